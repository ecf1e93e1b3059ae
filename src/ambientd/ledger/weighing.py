"""What the scheduler sees in each node for a task that waits (protocols/03 section 6)."""

from dataclasses import dataclass
from enum import Enum

from ambientd.ledger.entries import NodeEntry, TaskEntry
from ambientd.ledger.state import LedgerState
from ambientd.ledger.suitors import holders, suitors
from ambientd.model.base import NodeId
from ambientd.rules.labels import satisfies
from ambientd.rules.scheduling import has_room


class Standing(Enum):
    """Why a node may get, waits for, or cannot get a slot of a task."""

    FREE = "may get the slot"
    QUEUE_FULL = "may get the slot, but its queue is full"
    HOLDS_SLOT = "has another slot of this task"
    BARRED = "may not answer for this task"
    CONVICTED = "is convicted"
    NOT_ACCEPTING = "takes no work now"
    SAFE_MODE = "is in safe mode"
    CLASS_REFUSED = "takes no tasks of this class"
    UNLIKE = "is not what the constraints ask for"
    TRIED = "had this task before: only when nobody else is there"
    SUBMITTER = "submitted the task: only when nobody else is there"


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


def _hindrance(node: NodeId, entry: NodeEntry, task: TaskEntry) -> Standing:
    """Say why a slot is not for a node, the most lasting reason first."""
    spec = task.spec
    for standing, holds in (
        (Standing.CONVICTED, entry.tombstoned),
        (Standing.HOLDS_SLOT, node in holders(task)),
        (Standing.BARRED, node in task.barred),
        (Standing.CLASS_REFUSED, spec.task_class in entry.profile.refuses),
        (Standing.UNLIKE, not satisfies(entry.profile, entry.engine, spec.constraints)),
        (Standing.SAFE_MODE, entry.safe_mode),
        (Standing.NOT_ACCEPTING, not entry.accepting),
        (Standing.SUBMITTER, node == task.submitter),
    ):
        if holds:
            return standing
    return Standing.TRIED
