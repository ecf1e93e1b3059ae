"""What submitters asked for and what they were shown, held against one order: the log's.

The log is the witness. Submitting and cancelling must take effect once, after they were asked
for, and are then linearizable. Showing reads a node's own ledger: it gives the state at some
index of that one order, and no node ever shows an earlier index than before.
"""

from bisect import bisect_right, insort
from dataclasses import dataclass

from ambientd.ledger.entries import Table, TaskEntry
from ambientd.model.base import TaskId
from ambientd.model.task import TaskState
from ambientd.rules.lessons import LESSON_CLASS
from sim.checkers import InvariantViolation
from sim.disk import DiskLost
from sim.machine import Effect, Host
from sim.node_checkers import NodeChecker, written
from sim.vices import Resident


@dataclass(frozen=True, slots=True)
class Shown:
    """What a node showed of a task, and at which index of the log."""

    node: bytes
    task: TaskId | None  # None: from here on the node starts anew
    index: int
    state: TaskState | None


class History(NodeChecker):
    """Collects operations and their effects; `check` judges them together."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self._submits: dict[TaskId, tuple[bytes, int]] = {}
        self._cancels: dict[TaskId, int] = {}
        self._indexes: dict[bytes, list[int]] = {}
        self._states: dict[tuple[bytes, int], tuple[TaskState | None, bytes, int]] = {}

    def submitted(self, task: TaskId, node: bytes, now: int) -> None:
        """Note that a node's owner submits a task."""
        self._submits[task] = (node, now)

    def cancelled(self, task: TaskId, now: int) -> None:
        """Note that a submitter takes a task back."""
        self._cancels.setdefault(task, now)

    def show(self, host: Resident, task: TaskId) -> None:
        """Look a task up at a node, if that is up."""
        if host.node is not None:
            entry = host.ledger.task(task)
            state = None if entry is None else entry.state
            self.shown.append(Shown(host.key, task, host.ledger.applied_index, state))

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Collect the states that honest nodes write."""
        if isinstance(effect, DiskLost):
            self.shown.append(Shown(node.key, None, 0, None))
        if not node.is_honest:
            return
        for change, rows in written(effect):
            index = change.committed.blocks[-1].index
            for table, name, entry, _ in rows:
                if table is Table.TASK and isinstance(entry, TaskEntry | None):
                    self._saw_state(name, index, entry, now)

    def _saw_state(self, task: bytes, index: int, entry: TaskEntry | None, now: int) -> None:
        is_known = task in self._indexes
        if (not is_known) if entry is None else _is_of_the_ledger(entry):
            return
        state, submitter = (None, b"") if entry is None else (entry.state, entry.submitter)
        known = self._states.get((task, index))
        if known is None:
            self._states[task, index] = (state, submitter, now)
            insort(self._indexes.setdefault(task, []), index)
        elif known[:2] != (state, submitter):
            self._break(f"task {task.hex()[:12]} has two states at index {index}")

    def state_at(self, task: bytes, index: int) -> TaskState | None:
        """Give a task's state after the block at `index`; None before it, and once forgotten."""
        indexes = self._indexes.get(task, [])
        place = bisect_right(indexes, index)
        return self._states[task, indexes[place - 1]][0] if place else None

    def check(self) -> None:
        """Raise InvariantViolation unless the one order explains everything."""
        for task, indexes in self._indexes.items():
            _, submitter, seen_ms = self._states[task, indexes[0]]
            asked = self._submits.get(TaskId(task))
            if asked is None or asked[0] != submitter or seen_ms < asked[1]:
                self._break(f"task {task.hex()[:12]} is there before or without being submitted")
            for index in indexes:
                state, _, seen_ms = self._states[task, index]
                is_taken_back = state is TaskState.CANCELLED
                if is_taken_back and seen_ms < self._cancels.get(TaskId(task), seen_ms + 1):
                    self._break(f"task {task.hex()[:12]} was taken back by nobody who may")
        latest: dict[bytes, int] = {}
        for shown in self.shown:
            if shown.task is None:
                latest.pop(shown.node, None)
                continue
            if shown.index < latest.get(shown.node, 0):
                self._break(f"a node showed index {shown.index} after {latest[shown.node]}")
            latest[shown.node] = shown.index
            due = self.state_at(shown.task, shown.index)
            if due is not shown.state:
                self._break(f"a node showed {shown.state} at {shown.index} instead of {due}")

    @staticmethod
    def _break(text: str) -> None:
        raise InvariantViolation("histories are linearizable", text)


def _is_of_the_ledger(entry: TaskEntry) -> bool:
    """Tell whether nobody asked for a task: an audit, or a participant's training."""
    return entry.audits is not None or entry.spec.task_class == LESSON_CLASS
