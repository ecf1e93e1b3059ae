"""What the ledger waits for: the time of a block that changes it without any record.

Only this keeps the log awake (protocols/05 section 6). A slot that nobody can take waits for a
record, which wakes the log by itself: of a node that can work, or of a worker that is done.
"""

from collections.abc import Iterator

from ambientd.ledger.conditions import are_overlong
from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.learning import due_ms
from ambientd.ledger.state import LedgerState
from ambientd.ledger.suitors import (
    SAMPLE_NODES,
    candidate,
    holders,
    is_checked,
    is_crowded,
    strategy_of,
    suitors,
    suits,
)
from ambientd.model.base import NodeId
from ambientd.model.task import TaskSpec
from ambientd.rules.scheduling import Candidate, has_room, may_be_given

LOOKED_AT_MAX = 64
"""Tasks without a worker that are looked at; where more wait, the log stays awake for them."""

Known = dict[tuple[NodeId, str], Candidate]

MATCHES_MAX = 16_384
"""Nodes compared with what tasks ask for; where more would have to be, it stays awake, too."""


def awaited_ms(state: LedgerState) -> int | None:
    """Give the first such time: 0 when it is that of the next block, None when there is none."""
    if state.epoch_due is not None or state.audits.suspects(1) or are_overlong(state):
        return 0
    if _gives_work(state):
        return 0
    times = (state.first_deadline, due_ms(state))
    return min([each for each in times if each is not None], default=None)


def _gives_work(state: LedgerState) -> bool:
    """Tell whether a slot that nobody has may find a worker with room."""
    waiting = state.tasks_by.waiting_part(0, LOOKED_AT_MAX + 1)
    free = [node for node in state.fit_nodes() if _is_free(state, node)] if waiting else []
    if not free or len(waiting) > LOOKED_AT_MAX:
        return bool(free)
    looks = iter(range(MATCHES_MAX))
    entries = (state.task(task) for task in waiting)
    known: Known = {}
    return any(entry and _finds_worker(state, entry, free, looks, known) for entry in entries)


def _finds_worker(
    state: LedgerState,
    entry: TaskEntry,
    free: list[NodeId],
    looks: Iterator[int],
    known: Known,
) -> bool:
    """Tell whether enough of the nodes that a slot would be given to have room.

    Of many nodes a block looks at some, that nobody knows yet: then anybody free is enough.
    """
    nodes = state.fit_nodes()
    if len(nodes) <= SAMPLE_NODES:
        among = suitors(state.node, entry, nodes)
        if set(free).isdisjoint(among):
            return False
        candidates = [_candidate(state, node, entry.spec, known) for node in among]
        strategy, checked = strategy_of(state, entry.spec), is_checked(entry)
        return may_be_given(candidates, strategy, is_checked=checked)
    if is_crowded(state, entry):
        return False
    others = holders(entry) | entry.barred | {entry.submitter}
    return any(
        next(looks, None) is None or (node not in others and suits(state.node(node), entry.spec))
        for node in free
    )


def _candidate(state: LedgerState, node: NodeId, spec: TaskSpec, known: Known) -> Candidate:
    """Give what the scheduler weighs in a node, which is the same for all tasks of a class."""
    key = node, spec.task_class
    if key not in known:
        known[key] = candidate(state, node, spec)
    return known[key]


def _is_free(state: LedgerState, node: NodeId) -> bool:
    entry = state.node(node)
    return entry is not None and has_room(entry.open_slots, entry.capacity)
