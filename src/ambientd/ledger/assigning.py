"""Giving slots to workers and taking them away: a pure function of committed state, no record."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from ambientd.ledger.choices import Choice
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import NodeEntry, Slot, TaskEntry
from ambientd.ledger.events import SlotAssigned, SlotReleased
from ambientd.ledger.suitors import (
    SAMPLE_NODES,
    Register,
    candidate,
    holders,
    is_checked,
    is_crowded,
    strategy_of,
    suitors,
)
from ambientd.ledger.versions import QUEUES_VERSION
from ambientd.model.base import NodeId, TaskId
from ambientd.model.execution import WALL_MS_CEILING
from ambientd.model.reputation import Reputation
from ambientd.model.task import (
    BEFORE_SEALED,
    CHECKED_REPLICAS,
    Assurance,
    SlotState,
    TaskSpec,
    TaskState,
)
from ambientd.rules.auditing import is_trusted
from ambientd.rules.scheduling import has_room, sample, select, slot_seed
from ambientd.rules.terms import MODULE_BYTES_MAX

COMPILED_BYTES_A_MS = 128
"""A slow device's: code that is nothing but arithmetic takes compilers 3 s a MB on a fast one."""

SLOW_CYCLES_A_MS = 1
"""A slow device's, proving without wide registers: measured ones do 2 to 13."""

SLOW_GAS_A_MS = 20_000
"""A slow device's, with some to spare: no lease is longer than the gas that was paid for."""

EXECUTING_MS_MAX = WALL_MS_CEILING + MODULE_BYTES_MAX // COMPILED_BYTES_A_MS
"""The work of a slot without a proof is never more."""


class AsItBegan:
    """The nodes with the room that they had at the block's beginning, less what was given since."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def node(self, node: NodeId) -> NodeEntry | None:
        """Give a node; what became free in its queue is not there yet."""
        entry, began = self._draft.node(node), self._draft.state.node(node)
        if entry is None or began is None or began.open_slots <= entry.open_slots:
            return entry
        return replace(entry, open_slots=began.open_slots)

    def reputation(self, node: NodeId, task_class: str) -> Reputation:
        """Give what a node has earned in a class."""
        return self._draft.reputation(node, task_class)


def fill(draft: Draft, task: TaskId, entry: TaskEntry) -> TaskEntry:
    """Assign the slots that wait, as far as there are workers, and write what has changed."""
    before = draft.task(task)
    register = _register_for(draft, is_new=before is None)
    place = 0
    while place < len(entry.slots):
        slot = entry.slots[place]
        if slot.state is SlotState.WAITING:
            choice = _choose(draft, register, task, slot, entry)
            if choice is not None:
                entry = _given(draft, task, slot, _with_checks(draft, entry, choice), choice)
        place += 1
    waiting = any(slot.state is SlotState.WAITING for slot in entry.slots)
    entry = replace(entry, state=TaskState.PENDING if waiting else TaskState.ASSIGNED)
    entry = replace(entry, deadline_ms=next_deadline(entry))
    if entry != before:
        draft.put_task(task, entry)
    return entry


def _register_for(draft: Draft, *, is_new: bool) -> Register:
    """Give who comes, while others wait, nothing that became free in this very block."""
    has_others = draft.state.version >= QUEUES_VERSION and bool(draft.state.tasks_by.waiting)
    return AsItBegan(draft) if is_new and has_others else draft


def _given(draft: Draft, task: TaskId, slot: Slot, entry: TaskEntry, choice: Choice) -> TaskEntry:
    worker = choice.worker
    deadline_ms = _lease_end(draft, worker, entry.spec)
    told_ms = deadline_ms + draft.meta.lost_ms
    given = replace(slot, worker=worker, state=SlotState.ASSIGNED, deadline_ms=deadline_ms)
    _count_slot(draft, worker, entry.spec, +1)
    draft.tell(SlotAssigned(task, slot.slot, slot.attempt, worker, told_ms, choice))
    slots = tuple(given if each.slot == slot.slot else each for each in entry.slots)
    tried = entry.tried if worker in entry.tried else (*entry.tried, worker)
    return replace(entry, slots=slots, tried=tried)


def release(draft: Draft, task: TaskId, spec: TaskSpec, slot: Slot, reason: str) -> Slot:
    """Take a slot from its worker; the next attempt goes to somebody else."""
    leave_queue(draft, spec, slot)
    draft.tell(SlotReleased(task, slot.slot, slot.worker, reason))
    return Slot(slot=slot.slot, attempt=slot.attempt + 1)


def withhold(draft: Draft, task: TaskId, slot: Slot, reason: str) -> Slot:
    """Close a slot whose sealed answer was never opened, without another attempt."""
    draft.tell(SlotReleased(task, slot.slot, slot.worker, reason))
    return replace(slot, state=SlotState.WITHHELD, deadline_ms=0)


def give_back(draft: Draft, entry: TaskEntry) -> None:
    """Take the slots of an ended task out of their workers' queues."""
    for slot in entry.slots:
        leave_queue(draft, entry.spec, slot)


def leave_queue(draft: Draft, spec: TaskSpec, slot: Slot) -> None:
    """Take a slot out of its worker's queue, in which it is until its answer is sealed.

    A sealed answer has no lease while it waits for others: else a task that others never take
    would fill its workers' queues for ever.
    """
    if slot.state is SlotState.ASSIGNED:
        _count_slot(draft, slot.worker, spec, -1)


def next_deadline(entry: TaskEntry) -> int:
    """Give the first moment, in running time, at which a slot is late, or the task; 0 for none.

    Once all answers are sealed a task is late no more: its workers have done their part.
    """
    ends = [slot.deadline_ms for slot in entry.slots if slot.deadline_ms]
    if entry.expires_ms and entry.state in BEFORE_SEALED:
        ends.append(entry.expires_ms)
    return min(ends, default=0)


def _count_slot(draft: Draft, worker: NodeId, spec: TaskSpec, change: int) -> None:
    entry = draft.node(worker)
    if entry is not None:
        open_slots = max(0, entry.open_slots + change)
        queued_ms = max(0, entry.queued_ms + change * working_ms(spec))
        draft.put_node(worker, replace(entry, open_slots=open_slots, queued_ms=queued_ms))


def working_ms(spec: TaskSpec) -> int:
    """Give the time that executing a task may take where its module is new."""
    executing_ms = min(spec.wall_ms_max, -(-spec.gas_max // SLOW_GAS_A_MS))
    proving_ms = 0 if spec.proof is None else spec.proof.cycles_max // SLOW_CYCLES_A_MS
    return executing_ms + proving_ms + spec.module_size_bytes // COMPILED_BYTES_A_MS


def _lease_end(draft: Draft, worker: NodeId, spec: TaskSpec) -> int:
    """Give a worker time for what is in its queue already, and to make the module ready."""
    entry = draft.node(worker)
    # A device proves one task at a time, however many it executes.
    at_once = 1 if entry is None or spec.proof is not None else max(1, entry.capacity)
    queued_ms = 0 if entry is None else entry.queued_ms
    if entry is not None and spec.proof is None:
        # Proving holds up no execution: else its hours would let others' tasks lie, too.
        queued_ms = min(queued_ms, entry.open_slots * EXECUTING_MS_MAX)
    queued_ms //= at_once
    return draft.running_ms + draft.state.genesis.rules.lease_ms + queued_ms + working_ms(spec)


def _choose(
    draft: Draft, register: Register, task: TaskId, slot: Slot, entry: TaskEntry
) -> Choice | None:
    """Choose a worker, and keep what was looked at; None where nobody can take the slot."""
    if is_crowded(draft.state, entry):
        return None
    nodes = draft.state.fit_nodes()
    is_all = len(nodes) <= SAMPLE_NODES
    # Most of what waits waits in vain, and is tried in block after block: that is to cost little.
    if is_all and not _have_room(_entries_of(register, nodes).values()):
        return None
    seed = slot_seed(draft.context.beacon, task, slot.slot, slot.attempt)
    drawn = nodes if is_all else sample(nodes, seed, SAMPLE_NODES)
    seen = _entries_of(register, drawn)
    among = suitors(seen.get, entry, drawn, is_all=is_all)
    if not _have_room(seen[node] for node in among):
        return None
    candidates = [candidate(register, node, entry.spec) for node in among]
    strategy = strategy_of(draft.state, entry.spec)
    used = [candidate(draft, node, entry.spec) for node in sorted(holders(entry))]
    worker = select(candidates, seed, strategy, used, is_checked=is_checked(entry))
    if worker is None:
        return None
    able = draft.state.able_nodes()
    return Choice(
        task=entry,
        seen=seen,
        candidates=candidates,
        holders=used,
        strategy=strategy,
        seed=seed,
        worker=worker,
        passed_over=len(nodes) - len(drawn),
        resting=able - len(nodes),
        convicted=len(draft.state.nodes()) - able,
    )


def _entries_of(register: Register, nodes: Sequence[NodeId]) -> dict[NodeId, NodeEntry]:
    """Give what is known of these nodes."""
    found = ((node, register.node(node)) for node in nodes)
    return {node: about for node, about in found if about is not None}


def _have_room(nodes: Iterable[NodeEntry]) -> bool:
    """Tell whether one of these can take a slot: no strategy gives one to a full queue."""
    return any(has_room(node.open_slots, node.capacity) for node in nodes)


def _with_checks(draft: Draft, entry: TaskEntry, choice: Choice) -> TaskEntry:
    """Give a worker that is not trusted to work alone a second beside it."""
    is_alone = entry.spec.assurance is Assurance.AUDITED and len(entry.slots) == 1
    if not is_alone or _is_trusted(draft, choice.worker, entry):
        return entry
    checked = (Slot(slot=place, attempt=0) for place in range(1, CHECKED_REPLICAS))
    return replace(entry, slots=(*entry.slots, *checked))


def _is_trusted(draft: Draft, worker: NodeId, entry: TaskEntry) -> bool:
    """Tell whether a worker may answer alone: never for itself."""
    found = draft.reputation(worker, entry.spec.task_class)
    return is_trusted(found.streak) and worker != entry.submitter
