"""What happened to recent tasks, as long as this daemon remembers it."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from ambientd.api import replies
from ambientd.api.story import tell
from ambientd.api.why_given import Given
from ambientd.ledger.choices import Choice
from ambientd.ledger.events import RecordRejected, SlotAssigned
from ambientd.model.base import TaskId
from ambientd.runtime.news import Tidings

CHRONICLES_MAX = 2_000
REJECTIONS_MAX = 1_000
LINES_MAX = 200
ALL_LINES_MAX = 40_000
"""Of all tasks together, 20 for each: about 10 MiB."""
CHOICES_MAX = 500
"""Tasks of which is kept how their slots were given: up to 64 nodes a slot, as they were then."""
ALL_SEEN_MAX = 64 * CHOICES_MAX
"""Nodes that were looked at, for all slots together."""


@dataclass(slots=True)
class Chronicle:
    """What happened to recent tasks, in words, and how their slots were given; since the start."""

    lines: OrderedDict[str, list[replies.HistoryLine]] = field(default_factory=OrderedDict)
    rejected: OrderedDict[TaskId, str] = field(default_factory=OrderedDict)
    _given: OrderedDict[TaskId, dict[int, Given]] = field(default_factory=OrderedDict)
    _lines: int = 0
    _seen: int = 0

    def note(self, told: Tidings) -> None:
        """Write down what is about a task."""
        match told.event:
            case RecordRejected(kind="admit", task=bytes() as rejected, reason=reason):
                self.rejected[TaskId(rejected)] = reason
                if len(self.rejected) > REJECTIONS_MAX:
                    self.rejected.popitem(last=False)
            case SlotAssigned(task=given_of, slot=slot, attempt=attempt, choice=Choice() as choice):
                self._note_given(given_of, slot, Given(attempt, told.time_ms, choice))
            case _:
                pass
        for event in tell(told):
            task = event.fields.get("task")
            if not isinstance(task, str):
                continue
            lines = self.lines.setdefault(task, [])
            if len(lines) < LINES_MAX:
                lines.append(replies.HistoryLine(time_ms=event.time_ms, text=event.text))
                self._lines += 1
            while len(self.lines) > CHRONICLES_MAX or self._lines > ALL_LINES_MAX:
                self._lines -= len(self.lines.popitem(last=False)[1])

    def _note_given(self, task: TaskId, slot: int, given: Given) -> None:
        slots = self._given.setdefault(task, {})
        before = slots.get(slot)
        slots[slot] = given
        self._given.move_to_end(task)
        self._seen += len(given.choice.seen) - (0 if before is None else len(before.choice.seen))
        while len(self._given) > CHOICES_MAX or self._seen > ALL_SEEN_MAX:
            _, gone = self._given.popitem(last=False)
            self._seen -= sum(len(each.choice.seen) for each in gone.values())

    def of(self, task: TaskId) -> tuple[replies.HistoryLine, ...]:
        """Give a task's history."""
        return tuple(self.lines.get(task.hex(), ()))

    def given(self, task: TaskId) -> Mapping[int, Given]:
        """Give how the slots of a task were given, by slot, as far as it is remembered."""
        return self._given.get(task, {})
