"""Proposals that lie, whoever makes them: bent in one respect, or dated as their parents."""

from ambientd.codec.digest import tagged
from ambientd.consensus.core import Consensus
from ambientd.consensus.messages import Append, Header, append_payload, block_hash, records_root
from ambientd.consensus.options import LogSigner
from sim.lies import Lie

BACKDATED_MS = 60_000
STEP_MS_MAX = 10_000
"""What a block may be dated after its parent."""


def stall(machine: Consensus, told: set[Lie]) -> None:
    """Let a coordinator date each of its blocks as the parent."""
    propose = machine._propose

    def stalled(root: bytes, records: tuple[bytes, ...], now: int) -> None:
        told.add(Lie.STALL)
        tree, parent = machine._tree, machine.high_qc.hash
        honest = tree.time_ms

        def shown(hash_: bytes) -> int | None:
            time_ms = honest(hash_)
            return time_ms if hash_ != parent or time_ms is None else time_ms - STEP_MS_MAX

        tree.time_ms = shown  # type: ignore[method-assign]
        propose(root, records, now)
        tree.time_ms = honest  # type: ignore[method-assign]

    machine._propose = stalled  # type: ignore[method-assign]


def crooked(
    honest: Append, crook: Lie, named: tuple[bytes, ...], body: tuple[bytes, ...]
) -> Append:
    """Make a proposal crooked in one respect: it names some records and brings others; unsigned."""
    header = honest.header
    changed = {name: getattr(header, name) for name in header.__struct_fields__}
    changed["records_root"] = records_root(named)
    if crook is Lie.BACKDATE:
        changed["time_ms"] = header.time_ms - BACKDATED_MS
    elif crook is Lie.FALSE_ROOT and header.state_root:
        changed["state_root"] = tagged("sim/false-root/1", header.state_root)
    return Append(Header(**changed), honest.qc, honest.tc, body, b"")


def signed_append(append: Append, signer: LogSigner, epoch: int) -> Append:
    """Put a proposer's signature under a proposal."""
    payload = append_payload(epoch, block_hash(append.header))
    changed = {name: getattr(append, name) for name in append.__struct_fields__}
    return Append(**(changed | {"signature": signer.sign("append", payload)}))
