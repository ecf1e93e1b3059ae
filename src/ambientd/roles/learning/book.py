"""What a participant may write into its book of private mode, and what it never may.

A budget only goes down: nothing here takes a charge back, whatever became of the round. Each
function gives the book to be kept, durably, before what it allows is done; or says why not.
"""

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
)

WASTED_MAX = 3
WASTED_SHARE = 4
"""A node leaves once this many releases came to nothing, if they are over a quarter of all."""

Refusal = str


def _with(book: Book, lines: StudyBook) -> Book:
    others = [each for each in book.studies if each.study != lines.study]
    return Book(studies=tuple(sorted([*others, lines], key=lambda each: each.study)))


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
    return Book(studies=tuple(each for each in book.studies if each.study != study))


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
        return "the owner has allowed this study no budget: ambientctl fl join does"
    if _round(lines, number) is not None:
        return book
    if number <= lines.over or any(each.round > number for each in lines.rounds):
        return f"round {number} is over"
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
        return f"there is no secret for round {number} here"
    if row.opened_for:
        return "shares of this round were opened: nothing more is shown in it"
    if row.shown == update:
        return book
    if row.shown != NOTHING_SHOWN:
        return "another update was shown in this round: their difference would give values away"
    fault = worn(lines, terms)
    if fault is not None:
        return fault
    return _with(book, _put(_charged(lines, terms), replace(row, shown=update)))


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
        return f"there is no secret for round {number} here"
    if not survivors:
        return "shares are opened for survivors, and there are none"
    if row.opened_for == survivors:
        return book
    if row.opened_for:
        return "shares of this round were opened for other survivors"
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


def worn(lines: StudyBook, terms: Terms) -> Refusal | None:
    """Say why a study gets no further release; None when it does."""
    if lines.wasted >= WASTED_MAX and WASTED_SHARE * lines.wasted > lines.releases:
        return (
            f"{lines.wasted} of {lines.releases} releases came to nothing: this study wastes what "
            "privacy costs; join again to go on"
        )
    if lines.limit_micro is None:
        return None
    after = spent(_charged(lines, terms)).epsilon_micro
    if after is None or after > lines.limit_micro:
        said = "no bound" if after is None else f"epsilon {after / 1e6:.3f}"
        return (
            f"one more release makes it {said}, and {lines.limit_micro / 1e6:.3f} are allowed: the "
            "budget is spent"
        )
    return None


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
