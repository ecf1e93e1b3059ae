"""What the ledger counts about a node's work in one class of tasks."""

from ambientd.model.base import Value


class Tally(Value, frozen=True):
    """How many of a week's outcomes came from one submitter, by the start of its key."""

    submitter: bytes
    count: int


class Reputation(Value, frozen=True):
    """Beta counters in millionths, the prior included, as of a day of block time.

    `streak` counts verified outcomes since the last fault, `counted` and `tallies` those of a week.
    """

    good: int
    bad: int
    streak: int = 0
    day: int = 0
    week: int = 0
    counted: int = 0
    tallies: tuple[Tally, ...] = ()
