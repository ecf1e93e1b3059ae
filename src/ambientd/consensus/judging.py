"""Is a proposed block acceptable, by itself and on its parent? (protocols/05-log.md section 4)."""

from collections.abc import Callable
from enum import Enum

from ambientd.codec import merkle
from ambientd.consensus.block_tree import Block, BlockTree
from ambientd.consensus.certificates import Committee, Verifier
from ambientd.consensus.epochs import ReadStop, Stops, epoch_of, succession_fault
from ambientd.consensus.messages import Append, QuorumCertificate
from ambientd.consensus.options import BLOCK_BYTES_HARD_MAX, ConsensusOptions
from ambientd.consensus.safety import SafetyRules

BLOCK_TIME_STEP_MAX_MS = 10_000
CLOCK_AHEAD_MAX_MS = 1_000
CLOCK_BEHIND_MAX_MS = 20_000
"""More than a member waits for a block where T0 is at its floor: two pauses of 6.4 s, 16 T0."""

StateRootAt = Callable[[int], bytes | None]


class Wait(Enum):
    """What a block that may yet get a vote waits for."""

    STATE_ROOT = "the host has not applied the log that far"
    CLOCK = "the block is ahead of this node's clock"
    LATER_BLOCK = "the block is too far behind this node's clock, and does not catch up"


def shape_fault(append: Append, committee: Committee) -> str | None:
    """Give what is wrong with a proposal before any signature is looked at."""
    header, qc, tc = append.header, append.qc, append.tc
    if header.term < 1 or header.index != qc.position.index + 1 or header.parent_hash != qc.hash:
        return "the block does not stand on the certificate it carries"
    if header.term < qc.position.term:
        return "the block is of an older term than its parent"
    if header.proposer != committee.coordinator(header.term):
        return "the proposer does not coordinate this term"
    if tc is not None and tc.term != header.term - 1:
        return "the time-out certificate is not of the term before"
    if sum(map(len, append.records)) > BLOCK_BYTES_HARD_MAX:
        return f"the block has more than {BLOCK_BYTES_HARD_MAX} bytes of records"
    return None


def signature_fault(
    append: Append, hash_: bytes, verifier: Verifier, rules: SafetyRules | None
) -> str | None:
    """Give what is wrong with a proposal's signatures; `rules` None when it is certified."""
    if not verifier.append_is_signed(append, hash_):
        return "the block is not signed by its proposer"
    if not verifier.qc_holds(append.qc):
        return "the parent's certificate does not hold"
    if append.tc is not None and not verifier.tc_holds(append.tc):
        return "the time-out certificate does not hold"
    if rules is not None and not rules.term_is_justified(append.header, append.qc, append.tc):
        return "the term may not build on this parent"
    return None


def records_fault(
    block: Block, is_valid: Callable[[bytes, bytes], bool] | None, read_stop: ReadStop
) -> str | None:
    """Give what is wrong with a block's records; `is_valid` None when it is certified.

    Else it judges a record by its hash and bytes.
    """
    if merkle.root(block.record_hashes) != block.append.header.records_root:
        return "the records are not those of the header"
    if len(set(block.record_hashes)) != len(block.record_hashes):
        return "a record is in the block twice"
    if is_valid is not None and not all(map(is_valid, block.record_hashes, block.append.records)):
        return "the block holds an invalid record"
    records = block.append.records
    if len(records) > 1 and any(read_stop(record) is not None for record in records):
        return "a record that ends the epoch is not the only one of its block"
    return None


def root_due(qc: QuorumCertificate) -> int | None:
    """Give the index whose state root a block on `qc` must name; None when it names none.

    A certificate whose parent is of the same term commits that parent: exactly then every
    node that holds this branch knows the state, whatever else it has or has not seen. An
    epoch's root is committed before the epoch begins.
    """
    if qc.position.term == 0:
        return qc.position.index or None
    grandparent = qc.position.index - 1
    return grandparent if grandparent >= 1 and qc.parent_term == qc.position.term else None


def stop_fault(
    block: Block, tree: BlockTree, options: ConsensusOptions, stops: Stops
) -> str | None:
    """Give why a block may not end the epoch, or may not stand behind one that does."""
    if block.append.records and tree.is_stopping(block.parent_hash):
        return "the block holds records behind the end of the epoch"
    if block.begins is None:
        return None
    due = root_due(block.append.qc)
    wanted = None if due is None else stops.due(due)
    if wanted is None or stops.read(wanted) != block.begins:
        return "the ledger does not end the epoch so"
    return succession_fault(epoch_of(options), block.begins)


def _earliest_ms(parent_time_ms: int | None, now: int) -> int:
    """Give what a block's time must at least be: close to now, or as far as it may go."""
    earliest_ms = now - CLOCK_BEHIND_MAX_MS
    if parent_time_ms is None:
        return earliest_ms
    return min(earliest_ms, parent_time_ms + BLOCK_TIME_STEP_MAX_MS)


def verdict(
    block: Block,
    tree: BlockTree,
    root_at: StateRootAt,
    options: ConsensusOptions,
    stops: Stops,
    now: int,
) -> str | Wait | None:
    """Judge a held block against its parent: a fault, something to wait for, or None for good."""
    header = block.append.header
    parent_time_ms = tree.time_ms(block.parent_hash)
    if parent_time_ms is not None and not (
        parent_time_ms <= header.time_ms <= parent_time_ms + BLOCK_TIME_STEP_MAX_MS
    ):
        return "block time runs backwards or leaps from the parent's"
    # A coordinator could let time stand still, and every lease with it. Who is late is no liar.
    if header.time_ms < _earliest_ms(parent_time_ms, now):
        return Wait.LATER_BLOCK
    if block.link is None:
        return "the beacon is not the proposer's next preimage"
    due = root_due(block.append.qc)
    if due is None:
        if header.state_root != b"":
            return "the block names a state root that cannot be known"
    else:
        own = root_at(due)
        if own is None:
            return Wait.STATE_ROOT
        if own != header.state_root:
            return f"the state root at index {due} differs from this node's"
    fault = stop_fault(block, tree, options, stops)
    if fault is not None:
        return fault
    return Wait.CLOCK if header.time_ms > now + CLOCK_AHEAD_MAX_MS else None
