"""Giving slots to workers and taking them away: a pure function of committed state, no record."""

from msgspec.structs import replace

from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import Slot, TaskEntry
from ambientd.ledger.events import SlotAssigned, SlotReleased
from ambientd.model.base import NodeId, TaskId
from ambientd.model.task import SlotState, TaskSpec, TaskState
from ambientd.rules.scheduling import Candidate, sample, select, slot_seed

NEWCOMER_OUTCOMES_MAX = 10
SAMPLE_NODES = 64
"""Of more fit nodes than this a slot looks at so many, which the seed picks; never at all."""

COMPILED_BYTES_A_MS = 128
"""A slow device's: code that is nothing but arithmetic takes compilers 3 s a MB on a fast one."""

HELD = frozenset({SlotState.ASSIGNED, SlotState.COMMITTED})


def fill(draft: Draft, task: TaskId, entry: TaskEntry) -> TaskEntry:
    """Assign the slots that wait, as far as there are workers, and write what has changed."""
    before = draft.task(task)
    slots = list(entry.slots)
    tried = list(entry.tried)
    for place, slot in enumerate(slots):
        if slot.state is not SlotState.WAITING:
            continue
        held = {other.worker for other in slots if other.state is not SlotState.WAITING}
        held |= entry.barred
        worker = _choose(draft, task, slot, entry.submitter, held, tried)
        if worker is None:
            continue
        deadline_ms = _lease_end(draft, worker, entry.spec)
        slots[place] = replace(
            slot, worker=worker, state=SlotState.ASSIGNED, deadline_ms=deadline_ms
        )
        tried.append(worker)
        _count_slot(draft, worker, +1)
        draft.tell(SlotAssigned(task, slot.slot, slot.attempt, worker, deadline_ms))
    waiting = any(slot.state is SlotState.WAITING for slot in slots)
    entry = replace(
        entry,
        slots=tuple(slots),
        tried=tuple(dict.fromkeys(tried)),
        state=TaskState.PENDING if waiting else TaskState.ASSIGNED,
        deadline_ms=next_deadline(slots),
    )
    if entry != before:
        draft.put_task(task, entry)
    return entry


def release(draft: Draft, task: TaskId, slot: Slot, reason: str) -> Slot:
    """Take a slot from its worker; the next attempt goes to somebody else."""
    _count_slot(draft, slot.worker, -1)
    draft.tell(SlotReleased(task, slot.slot, slot.worker, reason))
    return Slot(slot=slot.slot, attempt=slot.attempt + 1)


def withhold(draft: Draft, task: TaskId, slot: Slot, reason: str) -> Slot:
    """Close a slot whose sealed answer was never opened, without another attempt."""
    _count_slot(draft, slot.worker, -1)
    draft.tell(SlotReleased(task, slot.slot, slot.worker, reason))
    return replace(slot, state=SlotState.WITHHELD, deadline_ms=0)


def give_back(draft: Draft, slots: tuple[Slot, ...]) -> None:
    """Take the slots of an ended task out of their workers' queues."""
    for slot in slots:
        if slot.state in HELD:
            _count_slot(draft, slot.worker, -1)


def revealed(draft: Draft, worker: NodeId) -> None:
    """Take an answered slot out of its worker's queue."""
    _count_slot(draft, worker, -1)


def next_deadline(slots: list[Slot]) -> int:
    """Give the first moment at which a slot of these is late; 0 when none can be."""
    return min((slot.deadline_ms for slot in slots if slot.deadline_ms), default=0)


def _count_slot(draft: Draft, worker: NodeId, change: int) -> None:
    entry = draft.node(worker)
    if entry is not None:
        draft.put_node(worker, replace(entry, open_slots=max(0, entry.open_slots + change)))


def working_ms(spec: TaskSpec) -> int:
    """Give the time that executing a task may take where its module is new."""
    return spec.wall_ms_max + spec.module_size_bytes // COMPILED_BYTES_A_MS


def _lease_end(draft: Draft, worker: NodeId, spec: TaskSpec) -> int:
    """Give a worker time for what is in its queue already, and to make the module ready."""
    entry = draft.node(worker)
    queue = 1 if entry is None else 1 + entry.open_slots // max(1, entry.capacity)
    waits_ms = draft.state.genesis.rules.lease_ms + spec.wall_ms_max * (queue - 1)
    return draft.context.time_ms + waits_ms + working_ms(spec)


def _choose(
    draft: Draft,
    task: TaskId,
    slot: Slot,
    submitter: NodeId,
    held: set[NodeId],
    tried: list[NodeId],
) -> NodeId | None:
    """Prefer who was not tried yet; the submitter works for itself only when nobody else can."""
    seed = slot_seed(draft.context.beacon, task, slot.slot, slot.attempt)
    nodes = draft.state.fit_nodes()
    drawn = sample(nodes, seed, SAMPLE_NODES) if len(nodes) > SAMPLE_NODES else nodes
    fit = [node for node in drawn if node not in held and _is_fit(draft, node)]
    others = [node for node in fit if node != submitter]
    fresh = [node for node in others if node not in tried]
    # Who is only busy is waited for; somebody worse is not taken instead.
    candidates = [_candidate(draft, node) for node in fresh or others or fit]
    used = frozenset(entry.engine for entry in map(draft.node, sorted(held)) if entry)
    return select(candidates, seed, draft.state.genesis.rules.strategy, used)


def _is_fit(draft: Draft, node: NodeId) -> bool:
    entry = draft.node(node)
    return entry is not None and entry.is_fit


def _candidate(draft: Draft, node: NodeId) -> Candidate:
    entry = draft.node(node)
    assert entry is not None
    return Candidate(
        node=node,
        bond_msat=entry.bond_msat,
        reputation_permille=draft.reputation_permille(node),
        newcomer=draft.outcomes(node) < NEWCOMER_OUTCOMES_MAX,
        load_percent=entry.load_percent,
        latency_ms=entry.latency_ms,
        carbon_g_per_kwh=entry.carbon_g_per_kwh,
        open_slots=entry.open_slots,
        capacity=entry.capacity,
        engine=entry.engine,
    )
