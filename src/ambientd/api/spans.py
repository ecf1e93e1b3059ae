"""From events of the log to spans: what this node has to say of the traces of tasks.

Trace and span ids follow from the task's id, so nodes need not tell them to one another. Each span
has one node that tells it: the submitter those of the task, a worker those of its own slots.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from ambientd.api.story import tell
from ambientd.codec.digest import tagged
from ambientd.ledger import events as ledger
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.execution import OutcomeKind
from ambientd.model.receipt import Receipt
from ambientd.model.task import TERMINAL, TaskState
from ambientd.runtime.news import Tidings

TASKS_MAX = 4_096
EVENTS_MAX = 64
WAITING_MAX = 16_384

Value = str | int | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of a task's life; ids in hex, times in Unix milliseconds."""

    trace: str
    id: str
    parent: str
    name: str
    start_ms: int
    end_ms: int
    attributes: dict[str, Value]
    events: tuple[tuple[int, str, str], ...] = ()
    error: str = ""


def trace_id(task: TaskId) -> str:
    """Give the id of a task's trace, the same on every node."""
    return tagged("ambient/trace/1", task)[:16].hex()


def span_id(task: TaskId, name: str, *numbers: int) -> str:
    """Give the id of a span in a task's trace, the same on every node."""
    where = "/".join((name, *map(str, numbers)))
    return tagged("ambient/span/1", task, where.encode())[:8].hex()


def is_chosen(trace: str, share_permille: int) -> bool:
    """Tell whether a trace is among the share that is told of: every node chooses alike."""
    return int(trace[-8:], 16) % 1000 < share_permille


@dataclass(slots=True)
class _Slot:
    attempt: int
    assigned_ms: int
    sealed_ms: int = 0


@dataclass(slots=True)
class _Task:
    """What is known of an open task since this daemon runs."""

    submitted_ms: int = 0
    free_since_ms: dict[int, int] = field(default_factory=dict)
    sealed_ms: int = 0
    slots: dict[int, _Slot] = field(default_factory=dict)
    events: list[tuple[int, str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Ended:
    """A task whose receipt is on its way to Bitcoin."""

    task: TaskId
    since_ms: int


class Spans:
    """Follows the tasks that are this node's own, and the slots that it has."""

    def __init__(self, own: NodeId, state: LedgerState, share_permille: int) -> None:
        self._own = own
        self._state = state
        self._share_permille = share_permille
        self._open: OrderedDict[TaskId, _Task] = OrderedDict()
        self._unbatched: OrderedDict[int, _Ended] = OrderedDict()
        self._unanchored: OrderedDict[int, _Ended] = OrderedDict()

    def submitted(self, task: TaskId, now: int) -> None:
        """Take note of when somebody asked for a task here."""
        if is_chosen(trace_id(task), self._share_permille):
            self._of(task).submitted_ms = now

    def note(self, told: Tidings) -> list[Span]:
        """Take note of an event, and give the spans that end with it."""
        now = told.time_ms
        match told.event:
            case ledger.CheckpointClosed(size=size):
                return self._passed(self._unbatched, self._unanchored, "batch", size, now)
            case ledger.BatchAnchored(size=size):
                return self._passed(self._unanchored, None, "anchor", size, now)
            case _:
                task = getattr(told.event, "task", None)
                if not isinstance(task, bytes):
                    return []
                if not is_chosen(trace_id(TaskId(task)), self._share_permille):
                    return []
                return self._about(TaskId(task), told)

    def _of(self, task: TaskId) -> _Task:
        found = self._open.setdefault(task, _Task())
        if len(self._open) > TASKS_MAX:
            self._open.popitem(last=False)
        return found

    def _about(self, task: TaskId, told: Tidings) -> list[Span]:
        entry = self._state.task(task)
        is_ours = entry is not None and entry.submitter == self._own
        is_mine = getattr(told.event, "worker", None) == self._own
        if not (is_ours or is_mine or task in self._open):
            return []
        if task not in self._open and (entry is None or entry.state in TERMINAL):
            return []  # what comes after the end is in no span
        known, now = self._of(task), told.time_ms
        if is_ours and len(known.events) < EVENTS_MAX:
            known.events += [(each.time_ms, each.kind, each.text) for each in tell(told)]
        match told.event:
            case ledger.TaskAdmitted() if is_ours and known.submitted_ms:
                return [self._span(task, "admit", known.submitted_ms, now)]
            case ledger.SlotAssigned(slot=slot, attempt=attempt):
                found = [] if not is_ours else [self._wait(task, known, slot, attempt, now)]
                if is_mine:
                    known.slots[slot] = _Slot(attempt, now)
                return found
            case ledger.SlotReleased(slot=slot, reason=reason):
                known.free_since_ms[slot] = now
                return self._handed_back(task, known, slot, reason, now) if is_mine else []
            case ledger.SlotCommitted(slot=slot) if is_mine and slot in known.slots:
                known.slots[slot].sealed_ms = now
            case ledger.TaskCommitted():
                known.sealed_ms = now
            case ledger.SlotRevealed(slot=slot, receipt=signed) if is_mine:
                return self._answered(task, known, slot, signed.receipt, now)
            case ledger.TaskFinal() | ledger.TaskClosed():
                del self._open[task]
                left = [
                    span
                    for slot in sorted(known.slots)
                    for span in self._handed_back(task, known, slot, "the task has ended", now)
                ]
                return left + (self._ended(task, known, told) if is_ours else [])
            case _:
                pass
        return []

    def _wait(self, task: TaskId, known: _Task, slot: int, attempt: int, now: int) -> Span:
        entry = self._state.task(task)
        since_ms = known.free_since_ms.get(slot) or (now if entry is None else entry.admitted_ms)
        return self._span(task, "wait for a worker", since_ms, now, slot, attempt)

    def _handed_back(
        self, task: TaskId, known: _Task, slot: int, reason: str, now: int
    ) -> list[Span]:
        held = known.slots.pop(slot, None)
        if held is None:
            return []
        return [self._span(task, "slot", held.assigned_ms, now, slot, held.attempt, error=reason)]

    def _answered(
        self, task: TaskId, known: _Task, slot: int, receipt: Receipt, now: int
    ) -> list[Span]:
        held = known.slots.pop(slot, _Slot(receipt.attempt, receipt.began_ms))
        place = (slot, receipt.attempt)
        parent = span_id(task, "slot", *place)
        sealed_ms = held.sealed_ms or known.sealed_ms or now
        about: dict[str, Value] = {
            "ambient.engine": f"{receipt.engine} {receipt.engine_version}",
            "ambient.outcome": OutcomeKind(receipt.result.kind).name.lower(),
            "ambient.gas": receipt.result.gas,
        }
        return [
            self._span(task, "slot", held.assigned_ms, now, *place),
            self._span(
                task,
                "execute",
                receipt.began_ms,
                receipt.finished_ms,
                *place,
                parent=parent,
                about=about,
            ),
            self._span(task, "seal", receipt.finished_ms, sealed_ms, *place, parent=parent),
            self._span(task, "reveal", known.sealed_ms or sealed_ms, now, *place, parent=parent),
        ]

    def _ended(self, task: TaskId, known: _Task, told: Tidings) -> list[Span]:
        entry, now, event = self._state.task(task), told.time_ms, told.event
        assert entry is not None, "a task ends before it is forgotten"
        about: dict[str, Value] = {"ambient.task": task.hex()}
        if entry.audits is not None:
            about["ambient.audits"] = entry.audits.task.hex()
        error, found = "", []
        if isinstance(event, ledger.TaskFinal):
            outcome = OutcomeKind(event.settlement.result.kind)
            about["ambient.outcome"] = outcome.name.lower()
            about["ambient.verdict"] = event.settlement.verdict.name.lower()
            about["ambient.gas"] = event.settlement.result.gas
            error = "" if outcome is OutcomeKind.COMPLETED else outcome.name.lower()
            if known.sealed_ms:
                found.append(self._span(task, "verdict", known.sealed_ms, now))
            self._unbatched[event.leaf] = _Ended(task, now)
            if len(self._unbatched) > WAITING_MAX:
                self._unbatched.popitem(last=False)
        elif entry.state is TaskState.EXPIRED:
            error = "expired"
        about["ambient.state"] = entry.state.name.lower()
        start_ms = known.submitted_ms or entry.admitted_ms
        root = Span(
            trace=trace_id(task),
            id=span_id(task, "task"),
            parent="",
            name="task",
            start_ms=min(start_ms, now),
            end_ms=now,
            attributes=about,
            events=tuple(known.events[:EVENTS_MAX]),
            error=error,
        )
        return [root, *found]

    def _passed(
        self,
        waiting: OrderedDict[int, _Ended],
        after: OrderedDict[int, _Ended] | None,
        name: str,
        size: int,
        now: int,
    ) -> list[Span]:
        """Give the spans of the receipts that a log of this size holds."""
        found = []
        for leaf in [each for each in waiting if each < size]:
            ended = waiting.pop(leaf)
            found.append(self._span(ended.task, name, ended.since_ms, now, about={"leaf": leaf}))
            if after is not None:
                after[leaf] = _Ended(ended.task, now)
                if len(after) > WAITING_MAX:
                    after.popitem(last=False)
        return found

    def _span(
        self,
        task: TaskId,
        name: str,
        start_ms: int,
        end_ms: int,
        *place: int,
        parent: str = "",
        about: dict[str, Value] | None = None,
        error: str = "",
    ) -> Span:
        numbers = zip(("ambient.slot", "ambient.attempt"), place, strict=False)
        return Span(
            trace=trace_id(task),
            id=span_id(task, name, *place),
            parent=parent or span_id(task, "task"),
            name=name,
            start_ms=min(start_ms, end_ms),
            end_ms=end_ms,
            attributes={"ambient.task": task.hex(), **dict(numbers), **(about or {})},
            error=error,
        )
