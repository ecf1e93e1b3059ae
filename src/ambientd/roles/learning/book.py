"""What a participant may write into its book of private mode, and what it never may.

A budget only goes down: nothing here takes a charge back, whatever became of the round. Each
function gives the book to be kept, durably, before what it allows is done; or says why not.
"""

from dataclasses import dataclass
from enum import Enum

from msgspec.structs import replace

from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import RoundReceipt, RoundState, StudyId
from ambientd.model.private_book import NOTHING_SHOWN, Book, Charge, OwnRound, StudyBook
from ambientd.rules.learning.privacy import (
    DELTA_PPB,
    ORDERS,
    Curve,
    Spent,
    Terms,
    composed,
    cost,
    epsilon_micro,
    in_thousandths,
)

WASTED_MAX = 3
WASTED_SHARE = 4
"""A node leaves once this many releases came to nothing, if they are over a quarter of all."""


class Cause(Enum):
    """Why a book does not allow something, and whether a later round may go otherwise."""

    OVER = "the round is over, or has no secret here", False
    SHOWN = "another update was shown in the round, or its shares were opened", False
    SURVIVORS = "shares are not opened for these survivors", False
    NOT_ALLOWED = "the owner has allowed the study no budget", True
    WASTED = "too many releases came to nothing", True
    SPENT = "what the study may spend is spent", True
    ALL_SPENT = "what all studies together may spend is spent", True

    @property
    def is_final(self) -> bool:
        """Whether only the owner can change it: the node leaves, and else sits the round out."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a book does not allow, for people."""

    cause: Cause
    text: str

    def __str__(self) -> str:
        """Give the words."""
        return self.text


def _with(book: Book, lines: StudyBook) -> Book:
    others = [each for each in book.studies if each.study != lines.study]
    studies = tuple(sorted([*others, lines], key=lambda each: each.study))
    return replace(book, studies=studies)


def allow_all(book: Book, limit_micro: int | None) -> Book:
    """Note what the owner lets all studies spend together; what was spent stays."""
    return replace(book, limit_micro=limit_micro)


def allow(book: Book, study: StudyId, limit_micro: int | None) -> Book:
    """Note what the owner lets a study spend; what was spent stays."""
    known = book.of(study)
    if known is None:
        return _with(book, StudyBook(study=study, limit_micro=limit_micro))
    # Whoever consents anew takes what was wasted so far into account.
    return _with(book, replace(known, limit_micro=limit_micro, wasted=0))


def take_back(book: Book, study: StudyId, before: StudyBook | None) -> Book:
    """Undo what `allow` did, where a study was not joined after all; what was spent stays."""
    known = book.of(study)
    if known is None:
        return book
    if before is not None:
        return _with(book, replace(known, limit_micro=before.limit_micro, wasted=before.wasted))
    if known.charges or known.rounds or known.over:
        return _with(book, replace(known, limit_micro=0))
    return replace(book, studies=tuple(each for each in book.studies if each.study != study))


def own_round(book: Book, study: StudyId, number: int) -> OwnRound | None:
    """Give a round that is under way here."""
    lines = book.of(study)
    return None if lines is None else _round(lines, number)


def _round(lines: StudyBook, number: int) -> OwnRound | None:
    return next((each for each in lines.rounds if each.round == number), None)


def _put(lines: StudyBook, row: OwnRound) -> StudyBook:
    others = [each for each in lines.rounds if each.round != row.round]
    return replace(lines, rounds=tuple(sorted([*others, row], key=lambda each: each.round)))


def begin(book: Book, study: StudyId, number: int, secret: bytes) -> Book | Refusal:
    """Take up a round with a secret of its own; earlier ones are over, heard of or not."""
    lines = book.of(study)
    if lines is None:
        text = "the owner has allowed this study no budget: ambientctl fl join does"
        return Refusal(Cause.NOT_ALLOWED, text)
    if _round(lines, number) is not None:
        return book
    if number <= lines.over or any(each.round > number for each in lines.rounds):
        return Refusal(Cause.OVER, f"round {number} is over")
    unheard = sum(each.shown != NOTHING_SHOWN for each in lines.rounds)
    fresh = OwnRound(round=number, secret=secret)
    return _with(book, replace(lines, rounds=(fresh,), wasted=lines.wasted + unheard))


def release(
    book: Book, study: StudyId, number: int, update: Digest, terms: Terms
) -> Book | Refusal:
    """Spend what showing a masked update costs; the same one again costs nothing."""
    lines = book.of(study)
    row = None if lines is None else _round(lines, number)
    if lines is None or row is None:
        return _no_secret(number)
    if row.opened_for:
        text = "shares of this round were opened: nothing more is shown in it"
        return Refusal(Cause.SHOWN, text)
    if row.shown == update:
        return book
    if row.shown != NOTHING_SHOWN:
        text = "another update was shown in this round: their difference would give values away"
        return Refusal(Cause.SHOWN, text)
    refusal = worn(book, study, terms)
    if refusal is not None:
        return refusal
    return _with(book, _put(_charged(lines, terms), replace(row, shown=update)))


def _no_secret(number: int) -> Refusal:
    return Refusal(Cause.OVER, f"there is no secret for round {number} here")


def _charged(lines: StudyBook, terms: Terms) -> StudyBook:
    key = (terms.clip_micro, terms.noise_milli, terms.survivors_min)
    before = {(e.clip_micro, e.noise_milli, e.survivors_min): e.releases for e in lines.charges}
    before[key] = before.get(key, 0) + 1
    charges = tuple(
        Charge(clip_micro=clip, noise_milli=noise, survivors_min=least, releases=count)
        for (clip, noise, least), count in sorted(before.items())
    )
    return replace(lines, charges=charges)


def open_for(
    book: Book, study: StudyId, number: int, survivors: tuple[NodeId, ...]
) -> Book | Refusal:
    """Note whom shares are opened for, once and for all: another set could bare an update."""
    lines = book.of(study)
    row = None if lines is None else _round(lines, number)
    if lines is None or row is None:
        return _no_secret(number)
    if not survivors:
        return Refusal(Cause.SURVIVORS, "shares are opened for survivors, and there are none")
    if row.opened_for == survivors:
        return book
    if row.opened_for:
        return Refusal(Cause.SURVIVORS, "shares of this round were opened for other survivors")
    return _with(book, _put(lines, replace(row, opened_for=survivors)))


def heard(book: Book, receipt: RoundReceipt, me: NodeId) -> Book:
    """Close a round, and drop its secret; count it as wasted if what was shown came to nothing.

    Which round it was stays: a ledger that lags behind the book may ask for it once more.
    """
    lines = book.of(receipt.study)
    if lines is None:
        return book
    counts = (
        receipt.state is RoundState.DONE and me in receipt.survivors and me not in receipt.left_out
    )
    row = _round(lines, receipt.round)
    wasted = int(row is not None and row.shown != NOTHING_SHOWN and not counts)
    left = tuple(each for each in lines.rounds if each.round != receipt.round)
    over = max(lines.over, receipt.round)
    return _with(book, replace(lines, rounds=left, wasted=lines.wasted + wasted, over=over))


def worn(book: Book, study: StudyId, terms: Terms) -> Refusal | None:
    """Say why a study gets no further release; None when it does."""
    lines = book.of(study)
    if lines is None:
        return None
    if lines.wasted >= WASTED_MAX and WASTED_SHARE * lines.wasted > lines.releases:
        return Refusal(
            Cause.WASTED,
            f"{lines.wasted} of {lines.releases} releases came to nothing: this study wastes what "
            "privacy costs; join again to go on",
        )
    charged = _charged(lines, terms)
    if (fault := _beyond(lines.limit_micro, charged)) is not None:
        return Refusal(Cause.SPENT, f"one more release makes it {fault}: the budget is spent")
    if (fault := _beyond(book.limit_micro, *_with(book, charged).studies)) is not None:
        text = f"one more release makes all studies here {fault} in all: the budget is spent"
        return Refusal(Cause.ALL_SPENT, text)
    return None


def _beyond(limit_micro: int | None, *studies: StudyBook) -> str | None:
    """Say what studies would have cost together where that is more than is allowed."""
    if limit_micro is None:
        return None
    after = spent(*studies).epsilon_micro
    if after is not None and after <= limit_micro:
        return None
    said = "no bound" if after is None else f"epsilon {in_thousandths(after)}"
    return f"{said}, and {limit_micro / 1e6:.3f} are allowed"


def curve_of(*studies: StudyBook) -> Curve | None:
    """Give what studies have cost together, by order; None if something was shown without noise."""
    curves: list[Curve] = [(0,) * len(ORDERS)]
    for charge in (each for lines in studies for each in lines.charges):
        once = cost(Terms(charge.clip_micro, charge.noise_milli, charge.survivors_min))
        if once is None:
            return None
        curves.append(tuple(charge.releases * nano for nano in once))
    return composed(*curves)


def spent(*studies: StudyBook) -> Spent:
    """Give what studies have cost together; no epsilon where something was shown without noise."""
    curve = curve_of(*studies)
    return Spent(None if curve is None else epsilon_micro(curve), DELTA_PPB)
