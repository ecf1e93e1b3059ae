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
CHOICES_MAX = 500
"""Tasks of which is kept how their slots were given: up to 64 nodes a slot, as they were then."""


@dataclass(slots=True)
class Chronicle:
    """What happened to recent tasks, in words, and how their slots were given; since the start."""

    lines: OrderedDict[str, list[replies.HistoryLine]] = field(default_factory=OrderedDict)
    rejected: OrderedDict[TaskId, str] = field(default_factory=OrderedDict)
    _given: OrderedDict[TaskId, dict[int, Given]] = field(default_factory=OrderedDict)

    def note(self, told: Tidings) -> None:
        """Write down what is about a task."""
        match told.event:
            case RecordRejected(kind="admit", task=bytes() as rejected, reason=reason):
                self.rejected[TaskId(rejected)] = reason
                if len(self.rejected) > REJECTIONS_MAX:
                    self.rejected.popitem(last=False)
            case SlotAssigned(task=given_of, slot=slot, attempt=attempt, choice=Choice() as choice):
                given = Given(attempt, told.time_ms, choice)
                self._given.setdefault(given_of, {})[slot] = given
                if len(self._given) > CHOICES_MAX:
                    self._given.popitem(last=False)
            case _:
                pass
        for event in tell(told):
            task = event.fields.get("task")
            if not isinstance(task, str):
                continue
            lines = self.lines.setdefault(task, [])
            if len(lines) < LINES_MAX:
                lines.append(replies.HistoryLine(time_ms=event.time_ms, text=event.text))
            if len(self.lines) > CHRONICLES_MAX:
                self.lines.popitem(last=False)

    def of(self, task: TaskId) -> tuple[replies.HistoryLine, ...]:
        """Give a task's history."""
        return tuple(self.lines.get(task.hex(), ()))

    def given(self, task: TaskId) -> Mapping[int, Given]:
        """Give how the slots of a task were given, by slot, as far as it is remembered."""
        return self._given.get(task, {})
