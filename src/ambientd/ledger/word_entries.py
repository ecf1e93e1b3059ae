"""When authors last spoke, so that what they said before is not brought again."""

from enum import IntEnum

from ambientd.model.base import Value
from ambientd.model.mark import Mark


class Topic(IntEnum):
    """What an author's words are on, by the record's tag: older ones may be brought again."""

    NODES = 3
    SEATS = 13
    PROVERS = 44
    VERSIONS = 46


class OfferEntry(Value, frozen=True):
    """When a node's owner last said what work it takes, by its own clock and by block time.

    On `day` (of block time) the node has handed back so many slots.
    """

    said_ms: int = 0
    taken_ms: int = 0
    day: int = 0
    handed_back: int = 0


class LastWord(Value, frozen=True):
    """When an author last spoke on a topic, by its own clock."""

    said_ms: int


class MarkEntry(Value, frozen=True):
    """The marks that a task has had, as they came: whoever has it next may go on from any."""

    marks: tuple[Mark, ...] = ()

    def before(self, attempt: int) -> tuple[Mark, ...]:
        """Give the marks of earlier attempts than this one."""
        return tuple(mark for mark in self.marks if mark.attempt < attempt)


NO_MARKS = MarkEntry()
