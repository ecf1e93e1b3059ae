"""The tasks in the orders in which blocks need them, so that no block looks at every task.

Derived from the entries and kept in step with them. Deadlines are of running time.
"""

import itertools
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.turns import part
from ambientd.model.base import NodeId, TaskId
from ambientd.model.task import TERMINAL, SlotState, TaskState

Placed = TypeVar("Placed", tuple[int, TaskId], tuple[int, int, TaskId], NodeId, TaskId)


class TaskIndex:
    """Open tasks by age, deadline, priority and worker, and ended ones by their end."""

    def __init__(self) -> None:
        self.open: list[tuple[int, TaskId]] = []
        self.deadlines: list[tuple[int, TaskId]] = []
        self.waiting: list[tuple[int, TaskId]] = []
        self.disputed: list[TaskId] = []
        self.leases = LeaseIndex()
        self.in_state: Counter[TaskState] = Counter()
        self._newest: list[tuple[int, TaskId]] = []
        self._ended: list[tuple[int, int, TaskId]] = []
        self._open_of: Counter[NodeId] = Counter()
        self._works: Counter[NodeId] = Counter()

    def see(self, task: TaskId, before: TaskEntry | None, entry: TaskEntry | None) -> None:
        """Take note of a task that has changed; None before it is there, and once forgotten."""
        if before is not None:
            self.in_state[before.state] -= 1
            self._take_out(task, before)
        if entry is not None:
            self.in_state[entry.state] += 1
            self._put_in(task, entry)
        if before is None and entry is not None:
            insort(self._newest, (-entry.admitted_ms, task))
        elif entry is None and before is not None:
            _remove(self._newest, (-before.admitted_ms, task))

    def newest_after(self, place: tuple[int, bytes] | None) -> Iterator[TaskId]:
        """Give all tasks, the newest first, after a place of (minus its admission, task)."""
        start = 0 if place is None else bisect_right(self._newest, place)
        return (self._newest[at][1] for at in range(start, len(self._newest)))

    def open_of(self, submitter: NodeId) -> int:
        """Count a submitter's tasks that have not ended, their audits not among them."""
        return self._open_of[submitter]

    def has_work(self, worker: NodeId) -> bool:
        """Tell whether a node has a slot of an open task: leased, sealed, opened or disputed."""
        return self._works[worker] > 0

    def late(self, running_ms: int, count: int) -> list[TaskId]:
        """Give the first open tasks whose deadline has come."""
        end = bisect_right(self.deadlines, running_ms, key=lambda each: each[0])
        return [task for _, task in self.deadlines[: min(end, count)]]

    def waiting_part(self, start: int, most: int) -> list[TaskId]:
        """Give some of the tasks with a slot that nobody has, from a place on."""
        return [task for _, task in part(self.waiting, len(self.waiting), start, most)]

    def ended(self, before_ms: int, count: int) -> list[tuple[TaskId, int | None]]:
        """Give the first tasks that ended by then, with their leaves, which ascend."""
        found = itertools.takewhile(lambda each: each[0] <= before_ms, self._ended[:count])
        return [(task, None if leaf < 0 else leaf) for _, leaf, task in found]

    def _put_in(self, task: TaskId, entry: TaskEntry) -> None:
        if entry.state in TERMINAL:
            insort(self._ended, _when_ended(task, entry))
            return
        insort(self.open, (entry.admitted_ms, task))
        self._open_of[entry.submitter] += entry.audits is None
        if entry.deadline_ms:
            insort(self.deadlines, (entry.deadline_ms, task))
        if entry.state is TaskState.PENDING:
            insort(self.waiting, (entry.queued_ms, task))
        elif entry.state is TaskState.DISPUTED:
            insort(self.disputed, task)
        for slot in entry.slots:
            if slot.worker:
                self._works[slot.worker] += 1
            if slot.state is SlotState.ASSIGNED:
                self.leases.put(slot.worker, task, slot.deadline_ms)

    def _take_out(self, task: TaskId, entry: TaskEntry) -> None:
        if entry.state in TERMINAL:
            _remove(self._ended, _when_ended(task, entry))
            return
        _remove(self.open, (entry.admitted_ms, task))
        self._open_of[entry.submitter] -= entry.audits is None
        if entry.deadline_ms:
            _remove(self.deadlines, (entry.deadline_ms, task))
        if entry.state is TaskState.PENDING:
            _remove(self.waiting, (entry.queued_ms, task))
        elif entry.state is TaskState.DISPUTED:
            _remove(self.disputed, task)
        for slot in entry.slots:
            if slot.worker:
                self._works[slot.worker] -= 1
            if slot.state is SlotState.ASSIGNED:
                self.leases.remove(slot.worker, task, slot.deadline_ms)


class LeaseIndex:
    """The slots in each worker's hands by the end of their leases, and which workers are gone."""

    def __init__(self) -> None:
        self._of: dict[NodeId, list[tuple[int, TaskId]]] = {}
        self._gone: set[NodeId] = set()
        self._holders: list[NodeId] = []

    def put(self, worker: NodeId, task: TaskId, deadline_ms: int) -> None:
        """Take note of a lease."""
        insort(self._of.setdefault(worker, []), (deadline_ms, task))
        self._see_holder(worker)

    def remove(self, worker: NodeId, task: TaskId, deadline_ms: int) -> None:
        """Forget a lease."""
        _remove(self._of[worker], (deadline_ms, task))
        if not self._of[worker]:
            del self._of[worker]
            self._see_holder(worker)

    def see_node(self, node: NodeId, *, is_gone: bool) -> None:
        """Take note of a node that takes no work any more, or takes some again."""
        if is_gone:
            self._gone.add(node)
        else:
            self._gone.discard(node)
        self._see_holder(node)

    def overlong(
        self, until_ms: int, start: int, holders_max: int, most: int
    ) -> list[tuple[NodeId, TaskId]]:
        """Give leases later than that of nodes that are gone, of some of these from a place on."""
        found: list[tuple[NodeId, TaskId]] = []
        for worker in part(self._holders, len(self._holders), start, holders_max):
            held = self._of[worker]
            place = bisect_right(held, until_ms, key=lambda each: each[0])
            found += [(worker, task) for _, task in held[place : place + most - len(found)]]
            if len(found) == most:
                break
        return found

    def are_overlong(self, until_ms: int) -> bool:
        """Tell whether there are such leases at all."""
        return any(self._of[worker][-1][0] > until_ms for worker in self._holders)

    def _see_holder(self, node: NodeId) -> None:
        keep(self._holders, node, is_kept=node in self._gone and node in self._of)


def keep(nodes: list[NodeId], node: NodeId, *, is_kept: bool) -> None:
    """Put a node into a sorted list, or take it out; either may be done already."""
    place = bisect_left(nodes, node)
    is_there = place < len(nodes) and nodes[place] == node
    if is_kept and not is_there:
        nodes.insert(place, node)
    elif is_there and not is_kept:
        del nodes[place]


def _when_ended(task: TaskId, entry: TaskEntry) -> tuple[int, int, TaskId]:
    """Order ended tasks by time; leaves ascend with it, and those without one come first."""
    return entry.ended_ms, -1 if entry.leaf is None else entry.leaf, task


def _remove(kept: list[Placed], item: Placed) -> None:
    place = bisect_left(kept, item)
    assert kept[place] == item, "an index is kept in step with the entries"
    del kept[place]
