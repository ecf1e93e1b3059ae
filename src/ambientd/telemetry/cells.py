"""Cells: who tells its condition to whom in a large cluster (protocols/10-cells.md).

Every node belongs to one cell by the hash of its key. In each cell one node is the head for a
while: its members send it their batches, and it sends the committee their coarse conditions in
one signed report. A member that cannot reach the head turns to the next candidate, and so does
the whole cell, as long as they cannot reach it either.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import tagged
from ambientd.codec.signing import Signer, verify
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import NodeId, Value
from ambientd.model.record import NodeReport

TENURE_MS = 60_000
REPORT_MS = 10_000
ROUND_MS = 2_000
STALE_MS = 35_000
AHEAD_MS_MAX = 10_000
CANDIDATES = 3
REPORT_BYTES_MAX = 64 * 1024
DOMAIN = "cell-report"


class CellReport(Value, frozen=True):
    """What a head says of its cell: the conditions that have changed since it said so last.

    `beat` only grows, from head to head too, and decides which of two reports is newer.
    """

    cell: int
    beat: int
    reports: tuple[NodeReport, ...]
    head: NodeId
    signature: bytes


@dataclass(frozen=True, slots=True)
class Roster:
    """Who is in which cell; the same for all nodes of a cluster, and worked out once."""

    cells: tuple[tuple[NodeId, ...], ...]
    sets: tuple[frozenset[NodeId], ...]

    def cell_of(self, node: NodeId) -> int:
        """Give a node's cell, by its key alone."""
        return cell_number(node, len(self.cells))


class SendBatch(msgspec.Struct, frozen=True):
    """Send this node's encoded batch to its head."""

    to: NodeId
    data: bytes


class SendReport(msgspec.Struct, frozen=True):
    """Send an encoded report to every member of the committee."""

    data: bytes


def cell_number(node: NodeId, cells: int) -> int:
    """Give the cell of a key among so many."""
    return int.from_bytes(tagged("ambient/cell/1", node)[:8], "big") % cells


def roster_of(nodes: Iterable[NodeId], cells: int) -> Roster:
    """Put nodes into so many cells."""
    found: list[list[NodeId]] = [[] for _ in range(cells)]
    for node in sorted(nodes):
        found[cell_number(node, cells)].append(node)
    return Roster(tuple(map(tuple, found)), tuple(map(frozenset, found)))


@lru_cache(maxsize=4096)
def candidates(members: tuple[NodeId, ...], tenure: int) -> tuple[NodeId, ...]:
    """Give who may be head in a tenure, in order: another few each time, by hash."""
    place = tenure.to_bytes(8, "big")
    ranked = sorted(members, key=lambda node: tagged("ambient/cell-head/1", place, node))
    return tuple(ranked[:CANDIDATES])


def _payload(cell: int, beat: int, reports: tuple[NodeReport, ...], head: NodeId) -> bytes:
    return encode((cell, beat, reports, head))


class CellMember:
    """One node's part in its cell: it tells the head, or is the head."""

    __slots__ = (
        "_beat",
        "_cell",
        "_due_ms",
        "_head_since_ms",
        "_id",
        "_lost",
        "_members",
        "_order",
        "_said",
        "_set",
        "_signer",
        "_tenure",
    )

    def __init__(self, signer: Signer, roster: Roster) -> None:
        self._signer = signer
        self._id = NodeId(signer.public_key)
        self._cell = roster.cell_of(self._id)
        self._members, self._set = roster.cells[self._cell], roster.sets[self._cell]
        self._lost: frozenset[NodeId] = frozenset()
        self._order: tuple[NodeId, ...] = ()
        self._tenure = -1
        self._head_since_ms: int | None = None
        self._said: dict[NodeId, NodeReport] = {}
        self._beat = 0
        self._due_ms = 0

    @property
    def members(self) -> frozenset[NodeId]:
        """Give the nodes of this cell."""
        return self._set

    def candidates(self, now: int) -> tuple[NodeId, ...]:
        """Give who may be head now, in order."""
        tenure = now // TENURE_MS
        if tenure != self._tenure:
            self._tenure, self._order = tenure, candidates(self._members, tenure)
        return self._order

    def head(self, now: int) -> NodeId | None:
        """Give the head as far as this node can reach it; None when it reaches no candidate."""
        return next((node for node in self.candidates(now) if node not in self._lost), None)

    @property
    def next_deadline(self) -> int:
        """Give when this node looks whether it has to report."""
        return self._due_ms

    def lost(self, peer: NodeId) -> None:
        """Note that a node cannot be reached."""
        if peer not in self._lost:
            self._lost |= {peer}

    def found(self, peer: NodeId) -> None:
        """Note that a node can be reached again."""
        if peer in self._lost:
            self._lost -= {peer}

    def on_published(self, data: bytes, now: int) -> SendBatch | None:
        """Bring an own batch to the head."""
        head = self.head(now)
        return None if head is None or head == self._id else SendBatch(head, data)

    def is_due(self, now: int) -> bool:
        """Tell whether this node, as head, has to report now."""
        if now < self._due_ms:
            return False
        if self.head(now) != self._id:
            self._head_since_ms, self._said = None, {}
            is_candidate = self._id in self.candidates(now)
            next_ms = (now // TENURE_MS + 1) * TENURE_MS
            self._due_ms = min(now + REPORT_MS, next_ms) if is_candidate else next_ms
            return False
        if self._head_since_ms is None:
            # Everybody has told this node once before it tells anybody.
            self._head_since_ms, self._due_ms = now, now + REPORT_MS + ROUND_MS
            return False
        return True

    def on_reports(self, reports: Iterable[NodeReport], now: int) -> SendReport | None:
        """Tell the committee what changed here; who was silent all along does not accept."""
        if self._head_since_ms is None:
            return None
        self._due_ms = now + REPORT_MS
        found = {each.node: each for each in reports}
        if now - self._head_since_ms >= STALE_MS:
            for node in self._members:
                found.setdefault(node, NodeReport(node=node, accepting=False))
        news = tuple(
            found[node]
            for node in self._members
            if node in found and self._said.get(node) != found[node]
        )
        self._said |= {each.node: each for each in news}
        self._beat = max(self._beat + 1, now)
        signature = self._signer.sign(DOMAIN, _payload(self._cell, self._beat, news, self._id))
        report = CellReport(
            cell=self._cell, beat=self._beat, reports=news, head=self._id, signature=signature
        )
        return SendReport(encode(report))


class CellBoard:
    """What a member of the committee knows of all cells."""

    def __init__(self, cluster: bytes, roster: Roster) -> None:
        self._cluster = cluster
        self._roster = roster
        self._beats = [0] * len(roster.cells)
        self._heard_ms = [0] * len(roster.cells)
        self._reports: list[dict[NodeId, NodeReport]] = [{} for _ in roster.cells]

    def on_report(self, data: bytes, now: int) -> str | None:
        """Take in a head's report, the cheapest check first; give what is wrong with it."""
        try:
            report: CellReport = decode(data, CellReport, REPORT_BYTES_MAX)
        except RemoteProtocolError as error:
            return str(error)
        cell = report.cell
        if not 0 <= cell < len(self._roster.cells):
            return "there is no such cell"
        if report.beat > now + AHEAD_MS_MAX:
            return "the report is of a time to come"
        if report.beat <= self._beats[cell]:
            return None
        members, tenure = self._roster.cells[cell], now // TENURE_MS
        near = (tenure - 1, tenure, tenure + 1)  # clocks differ
        if not any(report.head in candidates(members, max(each, 0)) for each in near):
            return "who reports is no candidate for head of this cell"
        if not all(each.node in self._roster.sets[cell] for each in report.reports):
            return "a node of another cell is reported"
        payload = _payload(cell, report.beat, report.reports, report.head)
        if not verify(report.head, DOMAIN, self._cluster, payload, report.signature):
            return "the report has a wrong signature"
        self._beats[cell], self._heard_ms[cell] = report.beat, now
        self._reports[cell] |= {each.node: each for each in report.reports}
        return None

    def reports(self, now: int) -> dict[NodeId, NodeReport]:
        """Give the coarse condition of every node whose cell was heard lately."""
        found: dict[NodeId, NodeReport] = {}
        for heard_ms, reports in zip(self._heard_ms, self._reports, strict=True):
            if now - heard_ms <= STALE_MS:
                found |= reports
        return found
