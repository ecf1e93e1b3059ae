"""Bugs of marks: whose they are, what answers say of them, which states are kept."""

from collections.abc import Callable, Sequence

from ambientd.ledger import marks
from ambientd.ledger.events import LedgerEvent, StateMarked
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest
from ambientd.model.effect import RoleEffect
from ambientd.model.mark import Mark
from ambientd.roles import worker
from ambientd.roles.keeper import Keeper, _Held
from sim.mutants.patch import Mutant, Patch, always, bug


def _names_nobody(_: Callable[..., object]) -> object:
    def began(started_ms: int, marks: tuple[Mark, ...]) -> int:
        del marks
        return started_ms

    return began


def _drops_early(before: Callable[..., Sequence[RoleEffect]]) -> object:
    def on_ledger(keeper: Keeper, event: LedgerEvent, state: LedgerState) -> Sequence[RoleEffect]:
        effects = before(keeper, event, state)
        if not isinstance(event, StateMarked):
            return effects
        task, held = event.mark.task, keeper._held[event.mark.task]
        earlier = held.names - {mark.state for mark in (event.mark, *held.said)}
        return [*effects, *keeper._let_go(task, earlier)]

    return on_ledger


def _drops_what_comes(_: Callable[..., object]) -> object:
    def useless(held: _Held) -> set[Digest]:
        return held.names - {mark.state for mark in (*held.marks[-1:], *held.said)}

    return useless


MARK_MUTANTS: tuple[Mutant, ...] = (
    bug(
        "marks-of-anybody",
        "takes a mark of who does not execute the task",
        Patch(marks, "_slot_fault", always(None)),
        scenario="node-marks",
        vice="mismark",
    ),
    bug(
        "names-no-maker",
        "says nothing in an answer of whose states it stands on",
        Patch(worker, "GoneOn", _names_nobody),
        scenario="node-marks",
        vice="mismark",
    ),
    bug(
        "keeps-all-states",
        "keeps the states of marks that newer ones replace, and of tasks that have ended",
        Patch(Keeper, "_let_go", always([])),
        scenario="node-marks",
    ),
    bug(
        "drops-early",
        "gives a state back when a later one is marked, before that is here",
        Patch(Keeper, "on_ledger", _drops_early),
        scenario="node-marks",
        vice="mismark",
    ),
    bug(
        "fetches-for-ever",
        "drops a state that it has fetched and still wants, and fetches it again",
        Patch(_Held, "useless", _drops_what_comes),
        scenario="node-marks",
        vice="mismark",
    ),
    bug(
        "keepers-forget",
        "does not fetch after a start what it was to keep before",
        Patch(Keeper, "resume", always([])),
        scenario="node-marks",
    ),
)
