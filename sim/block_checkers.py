"""What every committed block must be, whoever proposed it: judged by its bytes alone."""

from collections.abc import Callable

from ambientd.codec import merkle
from ambientd.consensus.effects import Committed, CommittedBlock
from ambientd.consensus.messages import Append, Blocks, Message, Vote, block_hash
from ambientd.consensus.options import ConsensusOptions
from sim.checkers import Checker, InvariantViolation, Kinds, blocks_in
from sim.judge import Judge
from sim.machine import Effect, Host
from sim.replica import Replica
from sim.world import EPOCH_MS

STEP_MS_MAX = 10_000
HAND_OVER_MS_MAX = 10_000
LAG_MS_MAX = 21_000
"""What a block may be behind the time, and its voter's clock as well."""


class SoundBlocks(Checker):
    """Proposed and signed by the term's coordinator, dated in order, with the records it names."""

    effects: Kinds = (Committed,)
    messages: Kinds = (Append, Blocks, Vote)

    def __init__(self, options: ConsensusOptions, is_valid: Callable[[bytes], bool]) -> None:
        self._judge = Judge(options)
        self._is_valid = is_valid
        self._times: dict[int, int] = {}
        self._out_of_turn: set[bytes] = set()

    def saw_message(self, node: Host, message: Message, now: int) -> None:
        """Judge votes for blocks that somebody else proposed."""
        for append in blocks_in(message):
            if append.header.proposer != self._judge.coordinator(append.header.term):
                self._out_of_turn.add(block_hash(append.header))
        if node.is_honest and isinstance(message, Vote) and message.hash in self._out_of_turn:
            text = f"a vote for another's than the coordinator's, {now} ms"
            raise InvariantViolation("committed blocks are sound", text)

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Judge each block when it is first committed by an honest node."""
        if not node.is_honest or not isinstance(effect, Committed):
            return
        for block in effect.blocks:
            if block.index not in self._times:
                self._times[block.index] = block.block.header.time_ms
                fault = self._fault(block)
                if fault is not None:
                    text = f"{fault}, index {block.index}, {now} ms"
                    raise InvariantViolation("committed blocks are sound", text)

    def _fault(self, block: CommittedBlock) -> str | None:
        header, records = block.block.header, block.block.records
        if header.proposer != self._judge.coordinator(header.term):
            return "not the coordinator's"
        if not self._judge.is_proposed(block.block, block.hash):
            return "not signed"
        before_ms = self._times.get(block.index - 1)
        if before_ms is not None and not 0 <= header.time_ms - before_ms <= STEP_MS_MAX:
            return "dated before its parent or long after"
        leaves = [merkle.leaf_hash(record) for record in records]
        if merkle.root(leaves) != header.records_root or len(set(leaves)) != len(leaves):
            return "other records than the header names, or one twice"
        return None if all(map(self._is_valid, records)) else "a record that is not valid"


class TimePasses(Checker):
    """Nobody honest votes for a block that lets time stand still."""

    effects: Kinds = ()

    def __init__(self) -> None:
        self._times: dict[bytes, tuple[int, bytes]] = {}
        self._voted: set[tuple[bytes, bytes]] = set()

    def saw_message(self, node: Host, message: Message, now: int) -> None:
        """Hold the block of each vote against the time, and against its parent."""
        if isinstance(message, Append):
            header = message.header
            self._times[block_hash(header)] = header.time_ms, header.parent_hash
        if not (node.is_honest and isinstance(message, Vote)) or message.hash not in self._times:
            return
        if (node.key, message.hash) in self._voted:
            return  # the same vote again
        self._voted.add((node.key, message.hash))
        time_ms, parent = self._times[message.hash]
        before_ms = self._times[parent][0] if parent in self._times else None
        lag_ms = EPOCH_MS + now - time_ms
        catches_up = before_ms is not None and time_ms - before_ms == STEP_MS_MAX
        if lag_ms > LAG_MS_MAX and not catches_up:
            text = f"a vote for a block {lag_ms} ms behind, at {now} ms"
            raise InvariantViolation("time passes", text)


class TermsEnd(Checker):
    """No coordinator stays for ever, however well it does."""

    effects: Kinds = (Committed,)

    def __init__(self, tenure_ms: int) -> None:
        self._tenure_ms = tenure_ms
        self._began: dict[int, int] = {}
        self._top = 0

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Hold each new block against the first of its term."""
        if not node.is_honest or not isinstance(effect, Committed):
            return
        header = effect.blocks[-1].block.header
        began = self._began.setdefault(header.term, now)
        if header.index > self._top and now - began > self._tenure_ms + HAND_OVER_MS_MAX:
            text = f"term {header.term} goes on after {now - began} ms, at {now} ms"
            raise InvariantViolation("terms end", text)
        self._top = max(self._top, header.index)


def check_named_roots(replicas: list[Replica]) -> None:
    """A state root that a committed block names is the one that all have."""
    for replica in replicas:
        for block in replica.store.log:
            named = block.block.header.state_root
            # An epoch's first block names the state after the stop that it stands on; the term of
            # what it stands on is 0, as it is for the first of all.
            behind = 2 if block.block.qc.position.term else 1
            if named and named != replica.store.roots[block.index - behind]:
                text = f"another state root at index {block.index}"
                raise InvariantViolation("named state roots are true", text)
