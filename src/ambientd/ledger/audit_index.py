"""Which unreplicated answers wait for their draw, and which stand on nobody's word any more.

Derived from the entries and kept in step with them, so that no block looks at every answer.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter

from ambientd.ledger.entries import AuditEntry, AuditState
from ambientd.model.base import NodeId, TaskId
from ambientd.rules.auditing import AUDITS_MAX

Placed = tuple[int, TaskId]


class AuditIndex:
    """The answers by the time of their settlement, then by task."""

    def __init__(self) -> None:
        self._awaiting: list[Placed] = []
        self._suspects: list[Placed] = []
        self._vouched: dict[NodeId, dict[TaskId, AuditEntry]] = {}
        self._fees_msat: Counter[NodeId] = Counter()
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

    def fees_msat(self, node: NodeId) -> int:
        """Add up the slot fees of the answers that a conviction of a node may reopen."""
        return self._fees_msat[node]

    def _is_suspect(self, entry: AuditEntry) -> bool:
        return all(node in self._convicted for node in entry.vouchers)

    def _put_in(self, task: TaskId, entry: AuditEntry) -> None:
        if entry.state is AuditState.AWAITING:
            insort(self._awaiting, (entry.settled_ms, task))
        if not is_reopened_by_a_lie(entry):
            return
        for node in entry.vouchers:
            self._vouched.setdefault(node, {})[task] = entry
            self._fees_msat[node] += entry.fee_msat
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
            self._fees_msat[node] -= entry.fee_msat
        if self._is_suspect(entry):
            _remove(self._suspects, place)


def is_reopened_by_a_lie(entry: AuditEntry) -> bool:
    """Tell whether a conviction can lead to an audit of this answer: not while there is one."""
    return entry.state not in {AuditState.OPEN, AuditState.REFUTED} and entry.round < AUDITS_MAX


def _remove(kept: list[Placed], item: Placed) -> None:
    place = bisect_left(kept, item)
    assert kept[place] == item, "an index is kept in step with the entries"
    del kept[place]
