"""Bugs of marks: whose they are, what answers say of them, which states are kept."""

from collections.abc import Callable

from ambientd.ledger import marks
from ambientd.model.base import Digest
from ambientd.model.mark import Mark
from ambientd.roles import worker
from ambientd.roles.keeper import Keeper, _Held
from sim.mutants.patch import Mutant, Patch, always, bug


def _names_nobody(_: Callable[..., object]) -> object:
    def began(started_ms: int, marks: tuple[Mark, ...]) -> int:
        del marks
        return started_ms

    return began


def _drops_early(_: Callable[..., object]) -> object:
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
        Patch(_Held, "useless", _drops_early),
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
