"""What must hold of words that are brought again: what was said since is not undone by them."""

from dataclasses import dataclass, field

from ambientd.ledger.admission import decode_record
from ambientd.ledger.entries import Moves, Table
from ambientd.ledger.seat_entries import SeatEntry, SeatWord
from ambientd.model.base import DIGEST_BYTES, NodeId
from ambientd.model.genesis import FIRST_STATE_VERSION
from ambientd.model.record import Registry
from ambientd.node.effect import PersistLedger
from sim.checkers import InvariantViolation, Kinds
from sim.disk import DiskLost
from sim.machine import Effect, Host
from sim.node_checkers import NodeChecker, ledger_changes
from sim.node_machine import Persisted
from sim.recalls import TAG_AT
from sim.vices import Resident

REGISTRY_TAG = 3


@dataclass(slots=True)
class _Heard:
    """What one node's ledger has of everybody's words so far."""

    epoch: int
    version: int = FIRST_STATE_VERSION
    nodes: dict[bytes, int] = field(default_factory=dict)
    seats: dict[bytes, int] = field(default_factory=dict)
    moves: dict[bytes, int] = field(default_factory=dict)
    words: dict[bytes, frozenset[SeatWord]] = field(default_factory=dict)


class NewerWords(NodeChecker):
    """Words on nodes, seats and accounts count in the order in which their author said them."""

    effects: Kinds = (Persisted, DiskLost)

    def __init__(self) -> None:
        self._heard: dict[bytes, _Heard] = {}
        self._reports: dict[int, dict[bytes, int]] = {}
        self.recalled = 0

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Follow the words, as each honest node has them."""
        if isinstance(effect, DiskLost):
            self._heard.pop(node.key, None)
        for change in ledger_changes(effect) if node.is_honest else []:
            assert isinstance(node, Resident)
            epoch = node.ledger.epoch.number
            if change.is_leap:
                _take(change, self._heard.setdefault(node.key, _Heard(epoch)))
                continue
            heard = self._heard.setdefault(node.key, _Heard(epoch))
            fault = self._seats_fault(change, heard) or self._moves_fault(change, heard)
            # With a step to another state version every row is written anew.
            if (heard.epoch, heard.version) == (epoch, change.form.number):
                fault = fault or self._nodes_fault(change, heard, node)
            heard.epoch, heard.version = epoch, change.form.number
            if fault is not None:
                raise InvariantViolation("older words count for nothing", f"{fault}, at {now} ms")

    def _nodes_fault(self, change: PersistLedger, heard: _Heard, node: Resident) -> str | None:
        """Find a member's word on a node that none of its newer reports brought."""
        said: dict[bytes, int] = {}
        for block in change.committed.blocks:
            for author, said_ms in self._reports_in(block.index, block.block.records).items():
                if NodeId(author) in node.ledger.members:
                    said[author] = max(said.get(author, 0), said_ms)
                    self.recalled += said_ms < heard.nodes.get(author, 0)
        for (table, name), entry in change.writes.items():
            member = name[DIGEST_BYTES:]
            is_new = table is Table.REPORT and entry is not None and member in said
            if is_new and said[member] <= heard.nodes.get(member, -1):
                return f"{member.hex()[:12]} was taken back to what it said on a node"
        for member, said_ms in said.items():
            heard.nodes[member] = max(said_ms, heard.nodes.get(member, -1))
        return None

    def _reports_in(self, index: int, records: tuple[bytes, ...]) -> dict[bytes, int]:
        """Give when each author says to have made its reports in a block."""
        found = self._reports.get(index)
        if found is None:
            found = self._reports[index] = {}
            for each in records:
                if each[TAG_AT] == REGISTRY_TAG:
                    record = decode_record(each)
                    assert isinstance(record.body, Registry), "its tag says so"
                    said_ms = record.body.observed_ms
                    found[record.author] = max(said_ms, found.get(record.author, 0))
        return found

    @staticmethod
    def _seats_fault(change: PersistLedger, heard: _Heard) -> str | None:
        """Find a word on a seat that its author said before another that was there."""
        new: set[SeatWord] = set()
        for (table, name), entry in change.writes.items():
            if table is Table.SEAT and isinstance(entry, SeatEntry):
                new |= frozenset(entry.words) - heard.words.get(name, frozenset())
                heard.words[name] = frozenset(entry.words)
        for word in new:
            if word.said_ms <= heard.seats.get(word.member, -1):
                return f"{word.member.hex()[:12]} was taken back to what it said on a seat"
        for word in new:
            heard.seats[word.member] = max(word.said_ms, heard.seats.get(word.member, -1))
        return None

    @staticmethod
    def _moves_fault(change: PersistLedger, heard: _Heard) -> str | None:
        """Find money that was moved by an older word."""
        for (table, name), entry in change.writes.items():
            if table is Table.MOVES and isinstance(entry, Moves):
                if entry.said_ms < heard.moves.get(name, 0):
                    return f"{name.hex()[:12]} moved its money by an older word"
                heard.moves[name] = entry.said_ms
        return None


def _take(change: PersistLedger, heard: _Heard) -> None:
    """Take the words of a state that a node has from others, as far as it differs from its own."""
    for (table, name), entry in change.writes.items():
        if table is Table.SEAT and isinstance(entry, SeatEntry):
            heard.words[name] = frozenset(entry.words)
            for word in entry.words:
                heard.seats[word.member] = max(word.said_ms, heard.seats.get(word.member, -1))
