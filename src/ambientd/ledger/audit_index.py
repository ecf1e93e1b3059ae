"""Which unreplicated answers wait for their draw, or for pay, or stand on nobody's word any more.

Derived from the entries and kept in step with them, so that no block looks at every answer.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from typing import TypeVar

from ambientd.ledger.audit_entries import AuditEntry, AuditState, Unvested
from ambientd.ledger.turns import part
from ambientd.model.base import DIGEST_BYTES, NodeId, TaskId
from ambientd.rules.auditing import AUDITS_MAX

Placed = TypeVar("Placed", tuple[int, bytes], tuple[int, TaskId])


class AuditIndex:
    """The answers by the time of their settlement, then by task."""

    def __init__(self) -> None:
        self._awaiting: list[tuple[int, TaskId]] = []
        self._suspects: list[tuple[int, TaskId]] = []
        self._vouched: dict[NodeId, dict[TaskId, AuditEntry]] = {}
        self._pay_msat: Counter[NodeId] = Counter()
        self._convicted: set[NodeId] = set()

    def put(self, task: TaskId, before: AuditEntry | None, entry: AuditEntry | None) -> None:
        """Take a change of what becomes of an answer; None when there is nothing."""
        if before is not None:
            self._take_out(task, before)
        if entry is not None:
            self._put_in(task, entry)

    def convict(self, node: NodeId) -> None:
        """Count on a node's word no more."""
        if node not in self._convicted:
            self._convicted.add(node)
            for task, entry in self._vouched.get(node, {}).items():
                if self._is_suspect(entry):
                    insort(self._suspects, (entry.settled_ms, task))

    def awaiting(self, settled_ms: int, count: int) -> list[TaskId]:
        """Give the first answers that were settled by then and wait for their draw."""
        end = bisect_right(self._awaiting, settled_ms, key=lambda each: each[0])
        return [task for _, task in self._awaiting[: min(end, count)]]

    def suspects(self, count: int) -> list[TaskId]:
        """Give the first answers that are to be audited because all who vouched are convicted."""
        return [task for _, task in self._suspects[:count]]

    def pay_msat(self, node: NodeId) -> int:
        """Add up what the answers cost that a conviction of a node may reopen."""
        return self._pay_msat[node]

    def _is_suspect(self, entry: AuditEntry) -> bool:
        return all(node in self._convicted for node in entry.vouchers)

    def _put_in(self, task: TaskId, entry: AuditEntry) -> None:
        if entry.state is AuditState.AWAITING:
            insort(self._awaiting, (entry.settled_ms, task))
        if not is_reopened_by_a_lie(entry):
            return
        for node in entry.vouchers:
            self._vouched.setdefault(node, {})[task] = entry
            self._pay_msat[node] += entry.pay_msat
        if self._is_suspect(entry):
            insort(self._suspects, (entry.settled_ms, task))

    def _take_out(self, task: TaskId, entry: AuditEntry) -> None:
        place = (entry.settled_ms, task)
        if entry.state is AuditState.AWAITING:
            _remove(self._awaiting, place)
        if not is_reopened_by_a_lie(entry):
            return
        for node in entry.vouchers:
            del self._vouched[node][task]
            self._pay_msat[node] -= entry.pay_msat
        if self._is_suspect(entry):
            _remove(self._suspects, place)


class VestingIndex:
    """The pay that waits, by the time when it is due, then by worker and task."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, bytes]] = []

    def put(self, name: bytes, before: Unvested | None, entry: Unvested | None) -> None:
        """Take a change of what waits of a worker's pay for a task."""
        if before is not None:
            _remove(self._waiting, (before.due_ms, name))
        if entry is not None:
            insort(self._waiting, (entry.due_ms, name))

    def due(self, time_ms: int, start: int, most: int) -> list[tuple[NodeId, TaskId]]:
        """Give some of the pay that has waited long enough, from a place on, the longest first."""
        end = bisect_right(self._waiting, time_ms, key=lambda each: each[0])
        return [_worker_and_task(name) for _, name in part(self._waiting, end, start, most)]

    def of(self, worker: NodeId) -> list[tuple[TaskId, int]]:
        """Give for which tasks a worker's pay waits, and when it is due, the first due first."""
        own = ((due_ms, name) for due_ms, name in self._waiting if name.startswith(worker))
        return [(_worker_and_task(name)[1], due_ms) for due_ms, name in own]


def _worker_and_task(name: bytes) -> tuple[NodeId, TaskId]:
    return NodeId(name[:DIGEST_BYTES]), TaskId(name[DIGEST_BYTES:])


def is_reopened_by_a_lie(entry: AuditEntry) -> bool:
    """Tell whether a conviction can lead to an audit of this answer: not while there is one."""
    return entry.state not in {AuditState.OPEN, AuditState.REFUTED} and entry.round < AUDITS_MAX


def _remove(kept: list[Placed], item: Placed) -> None:
    place = bisect_left(kept, item)
    assert kept[place] == item, "an index is kept in step with the entries"
    del kept[place]
