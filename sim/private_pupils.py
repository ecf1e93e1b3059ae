"""What simulated nodes do for rounds of private mode: names for shares and sums, a real book.

The book outlives crashes. A write may be lost with what should follow it, or be kept while what
should follow is lost; liars show other updates, name others as false, and deal nothing.
"""

import random
from collections.abc import Callable

from ambientd.codec.digest import tagged
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import RoundReceipt
from ambientd.model.learning_effect import (
    ConcealWanted,
    DealWanted,
    KeysWanted,
    OpenWanted,
    Place,
    RoundWish,
    SumWanted,
)
from ambientd.model.private_book import Book
from ambientd.node.learning_event import (
    Aggregated,
    GaveUp,
    KeysMade,
    LearningDone,
    LearningFailed,
    SharesDealt,
    SharesOpened,
    Trained,
)
from ambientd.roles.learning import book as lines
from ambientd.rules.learning import circles
from ambientd.rules.learning.privacy import Terms
from ambientd.rules.studies import threshold_of
from sim.learners import RememberedBook

CRASHES_PERMILLE = 60
LIMIT_MICRO = 6_000_000
SHARES_BYTES = 100

NameModel = Callable[[Digest, list[Digest]], Digest]


class PrivatePupil:
    """One device's part in rounds of private mode."""

    def __init__(
        self, own_id: NodeId, dice: random.Random, book: RememberedBook, *, lies: bool
    ) -> None:
        self._id = own_id
        self._dice = dice
        self._book = book
        self._lies = lies

    def hear(self, receipt: RoundReceipt) -> None:
        """Close a round that has ended."""
        self._book.keep(lines.heard(self._book.load(), receipt, self._id))

    def outcome(self, effect: RoundWish) -> LearningDone | None:
        """Do what private mode asks for; None for anything else."""
        match effect:
            case KeysWanted():
                return self._keys(effect)
            case DealWanted(place=place):
                return self._deal(place)
            case ConcealWanted():
                return self._conceal(effect)
            case OpenWanted():
                return self._open(effect)
            case SumWanted():
                return self._sum(effect)
            case _:
                return None

    def _written(self, place: Place, after: Book | lines.Refusal) -> LearningDone | None:
        """Write a line, unless the power goes before it or right after; None when all is well."""
        if isinstance(after, lines.Refusal):
            return refused(place, after)
        fate = self._dice.randrange(1_000)
        if fate < CRASHES_PERMILLE:
            return LearningFailed(place, "the power went before the write")
        self._book.keep(after)
        if fate < 2 * CRASHES_PERMILLE:
            return LearningFailed(place, "the power went after the write")
        return None

    def _named(self, what: bytes, place: Place, *more: bytes) -> Digest:
        number = place.round.to_bytes(4, "big")
        return Digest(tagged("sim/private/1", what, self._id, place.study, number, *more))

    def _keys(self, effect: KeysWanted) -> LearningDone:
        place, plan = effect.place, effect.plan
        book = self._book.load()
        if book.of(place.study) is None:
            book = lines.allow(book, place.study, LIMIT_MICRO)
            self._book.keep(book)
        terms = Terms(plan.clip_micro, plan.noise_milli, threshold_of(plan, plan.group_size))
        if (refusal := lines.worn(book, place.study, terms)) is not None:
            return refused(place, refusal)
        secret = self._secret(place)
        fault_or = self._written(place, lines.begin(book, place.study, place.round, secret))
        row = lines.own_round(self._book.load(), place.study, place.round)
        if fault_or is not None or row is None:
            return fault_or or LearningFailed(place, "no secret")
        rid = circles.round_id(place.study, place.round)
        return KeysMade(place, circles.announced(row.secret, self._id, rid))

    def _secret(self, place: Place) -> bytes:
        """Draw what everything of a round follows from."""
        del place
        return self._dice.randbytes(32)

    def _deal(self, place: Place) -> LearningDone:
        return SharesDealt(place, self._named(b"dealt", place), SHARES_BYTES)

    def _conceal(self, effect: ConcealWanted) -> LearningDone:
        place, plan = effect.place, effect.plan
        # Whoever trains again does not come to the same bytes: only what was shown may be shown.
        luck = bytes([self._dice.randrange(2)])
        update = self._named(b"update", place, effect.model.digest, luck)
        terms = Terms(plan.clip_micro, plan.noise_milli, effect.circle.threshold)
        after = lines.release(self._book.load(), place.study, place.round, update, terms)
        return self._written(place, after) or Trained(place, update, 1)

    def _open(self, effect: OpenWanted) -> LearningDone:
        place = effect.place
        after = lines.open_for(self._book.load(), place.study, place.round, effect.survivors)
        opened = self._named(b"opened", place, *effect.survivors)
        return self._written(place, after) or SharesOpened(place, opened, SHARES_BYTES)

    def _sum(self, effect: SumWanted) -> LearningDone:
        place = effect.place
        after = sum_of(effect.model.digest, [each.update for each in effect.contributed])
        if self._lies:
            forged = self._named(b"forged", place, self._dice.randbytes(8))
            accused = effect.circles[0].dealers[:1]
            return Aggregated(place, forged, (), accused)
        return Aggregated(place, after, ())


def refused(place: Place, refusal: lines.Refusal) -> LearningDone:
    """Leave a study, or sit a round out, as the daemon does."""
    if refusal.cause.is_final:
        return GaveUp(place, refusal.text)
    return LearningFailed(place, refusal.text, declined=True)


def sum_of(before: Digest, updates: list[Digest]) -> Digest:
    """Name the model that masked updates make of the one before."""
    return Digest(tagged("sim/private-model/1", before, *updates))
