"""Giving slots to workers and taking them away: a pure function of committed state, no record."""

from msgspec.structs import replace

from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import Slot, TaskEntry
from ambientd.ledger.events import SlotAssigned, SlotReleased
from ambientd.ledger.suitors import holders, suitors
from ambientd.model.base import NodeId, TaskId
from ambientd.model.task import (
    BEFORE_SEALED,
    CHECKED_REPLICAS,
    Assurance,
    SlotState,
    TaskSpec,
    TaskState,
)
from ambientd.rules.auditing import is_trusted
from ambientd.rules.labels import traits_of, value_of
from ambientd.rules.reputation import NEWCOMER_OUTCOMES_MAX, outcomes, permille
from ambientd.rules.scheduling import Candidate, sample, select, slot_seed

SAMPLE_NODES = 64
"""Of more fit nodes than this a slot looks at so many, which the seed picks; never at all."""

COMPILED_BYTES_A_MS = 128
"""A slow device's: code that is nothing but arithmetic takes compilers 3 s a MB on a fast one."""

HELD = frozenset({SlotState.ASSIGNED, SlotState.COMMITTED})


def fill(draft: Draft, task: TaskId, entry: TaskEntry) -> TaskEntry:
    """Assign the slots that wait, as far as there are workers, and write what has changed."""
    before = draft.task(task)
    place = 0
    while place < len(entry.slots):
        slot = entry.slots[place]
        if slot.state is SlotState.WAITING:
            worker, entry = _choose(draft, task, slot, entry)
            if worker is not None:
                entry = _given(draft, task, slot, entry, worker)
        place += 1
    waiting = any(slot.state is SlotState.WAITING for slot in entry.slots)
    entry = replace(entry, state=TaskState.PENDING if waiting else TaskState.ASSIGNED)
    entry = replace(entry, deadline_ms=next_deadline(entry))
    if entry != before:
        draft.put_task(task, entry)
    return entry


def _given(draft: Draft, task: TaskId, slot: Slot, entry: TaskEntry, worker: NodeId) -> TaskEntry:
    deadline_ms = _lease_end(draft, worker, entry.spec)
    given = replace(slot, worker=worker, state=SlotState.ASSIGNED, deadline_ms=deadline_ms)
    _count_slot(draft, worker, +1)
    draft.tell(SlotAssigned(task, slot.slot, slot.attempt, worker, deadline_ms))
    slots = tuple(given if each.slot == slot.slot else each for each in entry.slots)
    tried = entry.tried if worker in entry.tried else (*entry.tried, worker)
    return replace(entry, slots=slots, tried=tried)


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


def next_deadline(entry: TaskEntry) -> int:
    """Give the first moment at which a slot is late, or the task; 0 when none can be.

    Once all answers are sealed a task is late no more: its workers have done their part.
    """
    ends = [slot.deadline_ms for slot in entry.slots if slot.deadline_ms]
    if entry.expires_ms and entry.state in BEFORE_SEALED:
        ends.append(entry.expires_ms)
    return min(ends, default=0)


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
    draft: Draft, task: TaskId, slot: Slot, entry: TaskEntry
) -> tuple[NodeId | None, TaskEntry]:
    """Choose a worker; one that is not trusted to work alone gets a second beside it."""
    seed = slot_seed(draft.context.beacon, task, slot.slot, slot.attempt)
    nodes = draft.state.fit_nodes()
    is_all = len(nodes) <= SAMPLE_NODES
    drawn = nodes if is_all else sample(nodes, seed, SAMPLE_NODES)
    candidates = [
        _candidate(draft, node, entry.spec)
        for node in suitors(draft.node, entry, drawn, is_all=is_all)
    ]
    strategy = entry.spec.strategy or draft.state.genesis.rules.strategy
    used = [_candidate(draft, node, entry.spec) for node in sorted(holders(entry))]
    worker = select(candidates, seed, strategy, used)
    is_alone = entry.spec.assurance is Assurance.AUDITED and len(entry.slots) == 1
    if worker is not None and is_alone and not _is_trusted(draft, worker, entry):
        checked = (Slot(slot=place, attempt=0) for place in range(1, CHECKED_REPLICAS))
        entry = replace(entry, slots=(*entry.slots, *checked))
    return worker, entry


def _is_trusted(draft: Draft, worker: NodeId, entry: TaskEntry) -> bool:
    """Tell whether a worker may answer alone: never for itself."""
    found = draft.reputation(worker, entry.spec.task_class)
    return is_trusted(found.streak) and worker != entry.submitter


def _candidate(draft: Draft, node: NodeId, spec: TaskSpec) -> Candidate:
    entry = draft.node(node)
    assert entry is not None
    found = draft.reputation(node, spec.task_class)
    return Candidate(
        node=node,
        bond_msat=entry.bond_msat,
        reputation_permille=permille(found.good, found.bad),
        newcomer=outcomes(found) < NEWCOMER_OUTCOMES_MAX,
        load_percent=entry.load_percent,
        latency_ms=entry.latency_ms,
        carbon_g_per_kwh=entry.carbon_g_per_kwh,
        open_slots=entry.open_slots,
        capacity=entry.capacity,
        traits=tuple(value_of(entry.profile, entry.engine, key) for key in traits_of(spec)),
    )
