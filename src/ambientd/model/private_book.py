"""A participant's own book of private mode: secrets, what it showed, and what that has spent.

It lies on the participant's disk and nowhere else; nothing leaves before its line is there.
"""

from ambientd.model.base import Digest, NodeId, Value
from ambientd.model.learning import StudyId

NOTHING_SHOWN = Digest(b"")


class OwnRound(Value, frozen=True):
    """A round under way: its secret, the masked update that was shown, whom shares are open for."""

    round: int
    secret: bytes
    shown: Digest = NOTHING_SHOWN
    opened_for: tuple[NodeId, ...] = ()


class Charge(Value, frozen=True):
    """Releases under equal terms; the numbers are those of the plan (protocols/17 section 5)."""

    clip_micro: int
    noise_milli: int
    survivors_min: int
    releases: int


class StudyBook(Value, frozen=True):
    """One study: what the owner allows, what was spent, and how much of it came to nothing.

    `limit_micro` is epsilon in millionths; none where the owner asked for no bound. `over` is the
    latest round that ended, as far as was heard: none up to it begins again.
    """

    study: StudyId
    limit_micro: int | None
    charges: tuple[Charge, ...] = ()
    rounds: tuple[OwnRound, ...] = ()
    wasted: int = 0
    over: int = 0

    @property
    def releases(self) -> int:
        """Count what was shown."""
        return sum(each.releases for each in self.charges)


class Book(Value, frozen=True):
    """All studies of private mode that this node was ever let into, in ascending order.

    `limit_micro` is what the owner lets all of them spend together; none where there is no bound.
    """

    studies: tuple[StudyBook, ...] = ()
    limit_micro: int | None = None

    def of(self, study: StudyId) -> StudyBook | None:
        """Give the lines of one study."""
        return next((each for each in self.studies if each.study == study), None)
