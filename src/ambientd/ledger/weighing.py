"""What the scheduler sees in each node for a slot that waits, or saw when it gave one (03 §6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ambientd.ledger.choices import Choice
from ambientd.ledger.entries import NodeEntry, TaskEntry
from ambientd.ledger.state import LedgerState
from ambientd.ledger.suitors import (
    candidate,
    holders,
    is_checked,
    is_crowded,
    strategy_of,
    suitors,
)
from ambientd.model.base import NodeId
from ambientd.model.offer import Closed
from ambientd.rules.executions import lends_enough
from ambientd.rules.labels import proves, satisfies
from ambientd.rules.scheduling import (
    Candidate,
    contenders,
    different,
    has_room,
    may_be_given,
    whose_turn,
)


class Standing(Enum):
    """Why a node may get, waits for, or cannot get a slot of a task."""

    FREE = "may get the slot"
    QUEUE_FULL = "may get the slot, but its queue is full"
    HOLDS_SLOT = "has another slot of this task"
    BARRED = "may not answer for this task"
    CONVICTED = "is convicted"
    PAUSED = "its owner paused it"
    OTHER_HOURS = "its owner lets it work at other hours"
    ON_BATTERY = "runs on battery, on which its owner lets it take no work"
    ON_METERED = "is on a metered network, on which its owner lets it take no work"
    TOO_HOT = "is too hot, and takes no work until it has cooled"
    CLOSED = "its owner lets it take no work now"
    NOT_ACCEPTING = "takes no work now"
    SAFE_MODE = "is in safe mode"
    CLASS_REFUSED = "takes no tasks of this class"
    UNLIKE = "is not what the constraints ask for"
    NO_PROVER = "does not prove so much"
    NO_MEMORY = "its owner lends less memory than this task needs"
    TRIED = "had this task before: only when nobody else is there"
    SUBMITTER = "submitted the task: only when nobody else is there"
    # only of a slot that was given
    CHOSEN = "got the slot"
    ALIKE = "is like another worker of this task"
    NO_NEWCOMER = "is no newcomer, and the slot is for one"
    BUSIER = "is busier than others, who are enough"
    PASSED_OVER = "takes work, and is not among those that a slot looks at"
    RESTING = "takes no work now, or is in safe mode"


CLOSED = {
    Closed.PAUSED: Standing.PAUSED,
    Closed.HOURS: Standing.OTHER_HOURS,
    Closed.BATTERY: Standing.ON_BATTERY,
    Closed.METERED: Standing.ON_METERED,
    Closed.HOT: Standing.TOO_HOT,
}
"""What is told of a node that is closed, mostly by its owner."""


def closed_standing(closed: int) -> Standing:
    """Give what is told of a node that is closed for a reason."""
    return next((told for reason, told in CLOSED.items() if reason == closed), Standing.CLOSED)


CLOSED_STANDINGS = frozenset({*CLOSED.values(), Standing.CLOSED} - {Standing.TOO_HOT})
"""Those that are an owner's will."""

SUITED = frozenset({Standing.FREE, Standing.QUEUE_FULL})


@dataclass(frozen=True, slots=True)
class Weighed:
    """One node's standing for a task, and how much it has in hand."""

    node: NodeId
    standing: Standing
    open_slots: int
    capacity: int


def weigh(state: LedgerState, task: TaskEntry) -> list[Weighed]:
    """Give every node's standing for a slot of a task that nobody has, by node."""
    nodes = state.nodes()
    chosen = frozenset(suitors(state.node, task, nodes))
    weighed = []
    for node in nodes:
        entry = state.node(node)
        assert entry is not None, "nodes are listed from the ledger"
        if node in chosen:
            is_free = has_room(entry.open_slots, entry.capacity)
            standing = Standing.FREE if is_free else Standing.QUEUE_FULL
        else:
            standing = _hindrance(node, entry, task)
        weighed.append(Weighed(node, standing, entry.open_slots, max(1, entry.capacity)))
    return weighed


def waits_for_room(state: LedgerState, task: TaskEntry) -> bool:
    """Tell whether too few of those whom a slot is for have room for chance to choose."""
    if is_crowded(state, task):
        return True
    among = suitors(state.node, task, state.fit_nodes())
    found = [candidate(state, node, task.spec) for node in among]
    checked, strategy = is_checked(task), strategy_of(state, task.spec)
    return not may_be_given(found, strategy, is_checked=checked)


def weighed(choice: Choice) -> list[Weighed]:
    """Give the standing that every node that was looked at had for a slot, by node."""
    unlike = {each.node for each in _unlike(choice)}
    among = {each.node for each in among_whom(choice)}
    suited = {each.node: each.has_room for each in choice.candidates}
    turn = {each.node for each in _whose_turn(choice)}
    told = []
    for node, entry in sorted(choice.seen.items()):
        if node == choice.worker:
            standing = Standing.CHOSEN
        elif node in among:
            standing = Standing.FREE
        elif node in unlike:
            standing = Standing.BUSIER if node in turn else Standing.NO_NEWCOMER
        elif node in suited:
            standing = Standing.ALIKE if suited[node] else Standing.QUEUE_FULL
        else:
            standing = _hindrance(node, entry, choice.task)
        told.append(Weighed(node, standing, entry.open_slots, max(1, entry.capacity)))
    return told


def _unlike(choice: Choice) -> Sequence[Candidate]:
    free = [each for each in choice.candidates if each.has_room]
    return different(free, choice.holders, choice.candidates)


def _whose_turn(choice: Choice) -> Sequence[Candidate]:
    return whose_turn(_unlike(choice), choice.candidates, choice.seed)[0]


def among_whom(choice: Choice) -> Sequence[Candidate]:
    """Give those among whom the strategy decided."""
    checked = is_checked(choice.task)
    return contenders(
        choice.candidates, choice.seed, choice.strategy, choice.holders, is_checked=checked
    )


def unseen(choice: Choice) -> dict[Standing, int]:
    """Count the nodes that a slot did not look at."""
    return {
        Standing.PASSED_OVER: choice.passed_over,
        Standing.RESTING: choice.resting,
        Standing.CONVICTED: choice.convicted,
    }


def _hindrance(node: NodeId, entry: NodeEntry, task: TaskEntry) -> Standing:
    """Say why a slot is not for a node, the most lasting reason first."""
    spec = task.spec
    for standing, holds in (
        (Standing.CONVICTED, entry.tombstoned),
        (Standing.HOLDS_SLOT, node in holders(task)),
        (Standing.BARRED, node in task.barred),
        (Standing.CLASS_REFUSED, spec.task_class in entry.profile.refuses),
        (Standing.UNLIKE, not satisfies(entry.profile, entry.engine, spec.constraints)),
        (Standing.NO_PROVER, not proves(entry.profile, spec)),
        (Standing.NO_MEMORY, not lends_enough(entry.memory_bytes_max, spec)),
        (closed_standing(entry.closed), entry.closed > 0),
        (Standing.SAFE_MODE, entry.safe_mode),
        (Standing.NOT_ACCEPTING, not entry.accepting),
        (Standing.SUBMITTER, node == task.submitter),
    ):
        if holds:
            return standing
    return Standing.TRIED
