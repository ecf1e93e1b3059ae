"""What the ledger waits for: the time of a block that changes it without any record.

Only this keeps the log awake (protocols/05 section 6). A slot that nobody can take waits for a
record, which wakes the log by itself: of a node that can work, or of a worker that is done.
"""

from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.task import SlotState
from ambientd.rules.scheduling import has_room

LOOKED_AT_MAX = 64
"""Tasks without a worker that are looked at; where more wait, the log stays awake for them."""


def awaited_ms(state: LedgerState) -> int | None:
    """Give the first such time: 0 when it is that of the next block, None when there is none."""
    if state.epoch_due is not None or state.audits.suspects(1) or _gives_work(state):
        return 0
    return state.first_deadline


def _gives_work(state: LedgerState) -> bool:
    """Tell whether a slot that nobody has may find a worker with room."""
    waiting = state.waiting_tasks()
    free = [node for node in state.fit_nodes() if _is_free(state, node)] if waiting else []
    if not free or len(waiting) > LOOKED_AT_MAX:
        return bool(free)
    return any(_finds_worker(state, task, free) for task in waiting)


def _is_free(state: LedgerState, node: NodeId) -> bool:
    entry = state.node(node)
    return entry is not None and has_room(entry.open_slots, entry.capacity)


def _finds_worker(state: LedgerState, task: TaskId, free: list[NodeId]) -> bool:
    """Tell whether one of the nodes that a slot would be given to has room (03, section 6)."""
    entry = state.task(task)
    assert entry is not None, "an index names tasks that exist"
    held = {slot.worker for slot in entry.slots if slot.state is not SlotState.WAITING}
    held |= entry.barred
    others = held | {entry.submitter}
    for passed_over in (others.union(entry.tried), others, held):
        if any(node not in passed_over for node in state.fit_nodes()):
            return any(node not in passed_over for node in free)
    return False
