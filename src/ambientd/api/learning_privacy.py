"""What private studies cost, in the words and numbers of the interfaces."""

from ambientd.api.learning_values import Budget, BudgetInfo, Privacy
from ambientd.errors import ConfigError
from ambientd.ledger.learning_entries import StudyEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.learning import Plan
from ambientd.model.private_book import Book, StudyBook
from ambientd.roles.learning import book as lines
from ambientd.rules.learning.privacy import DELTA_PPB, Terms, releases_max, spent
from ambientd.rules.studies import threshold_of

MICRO = 1_000_000
DELTA = DELTA_PPB / 1e9


def terms_of(plan: Plan) -> Terms | None:
    """Give what a private plan asks of an update; None where the plan is none."""
    try:
        return Terms(plan.clip_micro, plan.noise_milli, threshold_of(plan, plan.group_size))
    except ConfigError:
        return None


def epsilon_of(plan: Plan, releases: int) -> float | None:
    """Give what so many releases cost; None where no bound is claimed."""
    terms = terms_of(plan)
    return None if terms is None else _epsilon(spent(terms, releases).epsilon_micro)


def privacy_of(entry: StudyEntry, own: StudyBook | None) -> Privacy | None:
    """Tell what a private study asks for and has spent here; None for an open one."""
    plan = entry.plan
    if not plan.is_private:
        return None
    return Privacy(
        clip=plan.clip_micro / MICRO,
        noise=plan.noise_milli / 1_000,
        group=plan.group_size,
        threshold=threshold_of(plan, plan.group_size),
        delta=DELTA,
        epsilon_round=epsilon_of(plan, 1),
        epsilon_rounds=epsilon_of(plan, entry.terms.rounds),
        spent=0.0 if own is None else _epsilon(lines.spent(own).epsilon_micro),
        limit=None if own is None else _epsilon(own.limit_micro),
        releases=0 if own is None else own.releases,
        wasted=0 if own is None else own.wasted,
    )


def budget_of(book: Book, state: LedgerState) -> Budget:
    """Tell what all private studies have spent here."""
    return Budget(
        studies=[_line(own, book, state) for own in book.studies],
        epsilon=_epsilon(lines.spent(*book.studies).epsilon_micro),
        delta=DELTA,
        limit=_epsilon(book.limit_micro),
    )


def _line(own: StudyBook, book: Book, state: LedgerState) -> BudgetInfo:
    entry = state.study(own.study)
    return BudgetInfo(
        study=own.study.hex(),
        name="" if entry is None else entry.name,
        epsilon=_epsilon(lines.spent(own).epsilon_micro),
        limit=_epsilon(own.limit_micro),
        releases=own.releases,
        wasted=own.wasted,
        releases_left=None if entry is None else _releases_left(own, book, entry.plan),
    )


def _releases_left(own: StudyBook, book: Book, plan: Plan) -> int | None:
    """Give how many more releases both limits have room for; None without either."""
    terms = terms_of(plan)
    bounds = ((own.limit_micro, (own,)), (book.limit_micro, book.studies))
    left = [
        0 if (curve := lines.curve_of(*spenders)) is None else releases_max(terms, limit, curve)
        for limit, spenders in bounds
        if terms is not None and limit is not None
    ]
    return min(left, default=None)


def _epsilon(micro: int | None) -> float | None:
    return None if micro is None else micro / MICRO
