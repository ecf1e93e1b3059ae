"""What must hold while programs are replaced: a quorum asks for a state version, once an epoch."""

from collections.abc import Sequence

from ambientd.consensus.effects import CommittedBlock
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.admission import decode_record
from ambientd.model.base import NodeId
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.model.record import Epoch, VersionKnown
from sim.checkers import InvariantViolation
from sim.judge import needed
from sim.machine import Effect, Host
from sim.node_checkers import NodeChecker, ledger_changes
from sim.vices import Resident


class KnownVersions(NodeChecker):
    """A version comes only to a committee of which a quorum asked for it, and one an epoch.

    Words are counted from the blocks themselves, not as the ledger has them: of each author the
    last one of the present epoch or before. At some block before the stop, so many of the stop's
    own members must have said so.
    """

    def __init__(self, founded_in: int) -> None:
        self._waiting: dict[int, CommittedBlock] = {}
        self._next = 1
        self._words: dict[NodeId, VersionKnown] = {}
        self._knew: list[frozenset[NodeId]] = [frozenset()]
        self._versions = {FIRST_EPOCH: founded_in}
        self._epoch = FIRST_EPOCH

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Read each block once, in order, and hold the states of honest nodes against it."""
        if not node.is_honest:
            return
        for change in ledger_changes(effect):
            if not change.is_leap:
                for block in change.committed.blocks:
                    if block.index >= self._next:
                        self._waiting[block.index] = block
            while (block_here := self._waiting.pop(self._next, None)) is not None:
                self._read(block_here, now)
                self._next += 1
            # The state after a stop is still as the epoch before had it.
            epoch = change.epoch - (change.committed.end is not None)
            wanted = self._versions.get(epoch, change.form.number)
            if change.form.number != wanted:
                text = f"version {change.form.number} in epoch {epoch} by {now} ms, not {wanted}"
                raise InvariantViolation("one state version an epoch", text)

    def _read(self, block: CommittedBlock, now: int) -> None:
        for raw in block.block.records:
            try:
                record = decode_record(raw)
            except RemoteProtocolError:
                continue
            if isinstance(record.body, Epoch):
                self._begin(record.body, now)
            elif isinstance(record.body, VersionKnown):
                self._hear(record.author, record.body)
        present = self._versions[self._epoch]
        knew = frozenset(each for each, word in self._words.items() if word.version > present)
        if knew != self._knew[-1]:
            self._knew.append(knew)

    def _hear(self, author: NodeId, word: VersionKnown) -> None:
        known, present = self._words.get(author), self._versions[self._epoch]
        is_newer = known is None or word.said_ms > known.said_ms
        if is_newer and present <= word.version <= present + 1:
            self._words[author] = word

    def _begin(self, stop: Epoch, now: int) -> None:
        if stop.number != self._epoch + 1:
            return  # an older one, which the ledger rejects
        before = self._versions[self._epoch]
        members = frozenset(stop.members)
        most = max(len(knew & members) for knew in self._knew)
        if stop.state_version != before and (
            stop.state_version != before + 1 or most < needed(len(members))
        ):
            text = f"version {stop.state_version} at {most} of {len(members)} words by {now} ms"
            raise InvariantViolation("a quorum asks for a state version", text)
        self._epoch = stop.number
        self._versions[stop.number] = stop.state_version
        # A word goes with its seat; its time stays, so that it cannot be brought again.
        self._words = {
            author: word if author in members else VersionKnown(version=0, said_ms=word.said_ms)
            for author, word in self._words.items()
        }
        self._knew = [self._knew[-1] & members if stop.state_version == before else frozenset()]


def check_versions(hosts: Sequence[Resident]) -> None:
    """After healing everybody has the newest program, and the state is of its version."""
    for host in hosts:
        found, newest = host.ledger.version, host.newest.newest
        if found != newest:
            text = f"version {found} of {newest}"
            raise InvariantViolation("after healing, the newest version is in force", text)
