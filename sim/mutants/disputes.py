"""Bugs of bisected disputes: who is asked, what is compared, who decides, who loses."""

from collections.abc import Callable

from msgspec.structs import replace

from ambientd.ledger import disputes
from ambientd.ledger.dispute_entries import Game
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import TaskEntry
from ambientd.model.base import TaskId
from ambientd.model.dispute import Trace
from ambientd.rules.bisection import Stretch, targets
from sim.mutants.patch import Mutant, Patch, always, bug


def _only_the_last(_: object) -> object:
    """Compare traces at their last points alone."""

    def narrowed(stretch: Stretch, first: Trace, second: Trace) -> Stretch:
        if first.points[-1] == second.points[-1]:
            return Stretch(first.points[-1], stretch.until_gas, stretch.claims)
        claims = (first.points[-1], second.points[-1])
        return Stretch(stretch.low, targets(stretch)[-1], claims)

    return narrowed


def _not_agreed(_: object) -> object:
    """Begin at the last point before a difference, though only the first party stood there."""

    def narrowed(stretch: Stretch, first: Trace, second: Trace) -> Stretch:
        steps = list(zip(targets(stretch), first.points, second.points, strict=True))
        for place, (target, one, other) in reversed(list(enumerate(steps))):
            if one != other:
                low = steps[place - 1][1] if place else stretch.low
                return Stretch(low, target, (one, other))
        low = first.points[-1] if steps else stretch.low
        return Stretch(low, stretch.until_gas, stretch.claims)

    return narrowed


def _ever_in_time(run_out: Callable[..., None]) -> object:
    """Wait for traces for ever."""

    def ran_out(draft: Draft, task: TaskId, entry: TaskEntry) -> None:
        if disputes.is_whole(draft, task):
            run_out(draft, task, entry)

    return ran_out


def _any_quorum(quorum: Callable[[int], int]) -> object:
    return lambda members: max(1, quorum(members) - 1)


def _swapped(decide: Callable[..., None]) -> object:
    def decided(*arguments: object) -> None:
        *before, game, end = arguments
        assert isinstance(game, Game)
        decide(*before, replace(game, claims=game.claims[::-1]), end)

    return decided


def _bug(name: str, text: str, patch: Patch) -> Mutant:
    return Mutant(name, text, (patch,), "node-disputes", 40_000)


DISPUTE_MUTANTS = (
    _bug(
        "compares-one-point",
        "compares two traces at their last points alone",
        Patch(disputes, "narrowed", _only_the_last),
    ),
    _bug(
        "waits-for-parties",
        "takes traces after the deadline, and waits for ever",
        Patch(disputes, "run_out", _ever_in_time),
    ),
    _bug(
        "few-segment-referees",
        "decides a segment with one referee less than a quorum",
        Patch(disputes, "quorum", _any_quorum),
    ),
    _bug(
        "convicts-the-winner",
        "takes each party's claim for the other's",
        Patch(disputes, "_decide", _swapped),
    ),
    _bug(
        "starts-in-dispute",
        "begins a segment where only one party says that it stood",
        Patch(disputes, "narrowed", _not_agreed),
    ),
    _bug(
        "spares-losers",
        "convicts nobody of a false step",
        Patch(disputes, "_convict", always(None)),
    ),
    bug(
        "bisects-bundles",
        "bisects a bundle, which has no states between its items",
        Patch(disputes, "is_bundle", always(False)),
        scenario="node-bundles",
    ),
)
