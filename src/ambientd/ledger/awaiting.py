"""What the ledger waits for: the time of a block that changes it without any record.

Only this keeps the log awake (protocols/05 section 6). A slot that nobody can take waits for a
record, which wakes the log by itself: of a node that can work, or of a worker that is done.
"""

from collections.abc import Iterator

from ambientd.ledger.assigning import SAMPLE_NODES
from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.state import LedgerState
from ambientd.ledger.suitors import holders, suitors, suits
from ambientd.model.base import NodeId
from ambientd.rules.scheduling import has_room

LOOKED_AT_MAX = 64
"""Tasks without a worker that are looked at; where more wait, the log stays awake for them."""

MATCHES_MAX = 16_384
"""Nodes compared with what tasks ask for; where more would have to be, it stays awake, too."""


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
    looks = iter(range(MATCHES_MAX))
    entries = (state.task(task) for task in waiting)
    return any(entry and _finds_worker(state, entry, free, looks) for entry in entries)


def _finds_worker(
    state: LedgerState, entry: TaskEntry, free: list[NodeId], looks: Iterator[int]
) -> bool:
    """Tell whether one of the nodes that a slot would be given to has room.

    Of many nodes a block looks at some, that nobody knows yet: then anybody free is enough.
    """
    nodes = state.fit_nodes()
    if len(nodes) <= SAMPLE_NODES:
        return not set(free).isdisjoint(suitors(state.node, entry, nodes))
    others = holders(entry) | entry.barred | {entry.submitter}
    return any(
        next(looks, None) is None or (node not in others and suits(state.node(node), entry.spec))
        for node in free
    )


def _is_free(state: LedgerState, node: NodeId) -> bool:
    entry = state.node(node)
    return entry is not None and has_room(entry.open_slots, entry.capacity)
