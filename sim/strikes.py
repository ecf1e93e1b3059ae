"""Crashes aligned with a task's states: a node goes down just as a task comes into one."""

from msgspec import Struct

from ambientd.ledger import events
from ambientd.ledger.entries import TaskEntry
from ambientd.model.base import NodeId, TaskId
from ambientd.model.effect import Execute, Purpose
from ambientd.node.effect import Told
from sim.machine import Delivery, Effect, Host
from sim.stage import Stage
from sim.vices import Resident

COORDINATOR, WORKER = "coordinator", "worker"
ROLES = (COORDINATOR, WORKER)

TOLD = {
    "accepted": events.TaskAdmitted,
    "assigned": events.SlotAssigned,
    "sealed": events.SlotCommitted,
    "all-sealed": events.TaskCommitted,
    "opened": events.SlotRevealed,
    "disputed": events.TaskDisputed,
    "paid": events.Paid,
    "settled": events.TaskFinal,
}
"""The states that the log shows, by what is told of them."""

EXECUTING, BATCHED, MARKED = "executing", "batched", "marked"
STATES = (*TOLD, EXECUTING, BATCHED)
"""Of every task; of which states are marked, there is one more."""


class Strikes(Struct, frozen=True, tag="timed-crash"):
    """The coordinator or a worker stops just as a task comes into a state, and starts again."""

    at_ms: int
    state: str
    role: str
    back_ms: int
    until_ms: int


class Striker:
    """Watches for one state, and takes one honest node down when it is there."""

    def __init__(self, world: Stage, strike: Strikes) -> None:
        self._world = world
        self._strike = strike
        self.has_struck = False

    def watch(self) -> None:
        """Look from now on, until it has struck or nothing may befall anybody any more."""
        self._world.observers.append(self)
        self._world.at(self._strike.until_ms, self._leave)

    def _leave(self) -> None:
        if self in self._world.observers:
            self._world.observers.remove(self)

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Look away."""

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Look whether a task is in that state, as this node has it."""
        strike = self._strike
        if self.has_struck or not node.is_honest or now >= strike.until_ms:
            return
        if not isinstance(node, Resident) or node.node is None or not self._is_there(effect):
            return
        victim = self._victim(node, effect)
        host = None if victim is None else self._world.host_of(victim)
        if victim is None or not isinstance(host, Resident) or not host.is_honest:
            return
        if host.node is None:
            return  # it is down already
        self.has_struck = True
        self._world.at(now, self._leave)
        self._world.note("strikes", strike.state, strike.role, victim)
        self._world.crash_within(victim, 0, strike.back_ms)

    def _is_there(self, effect: Effect) -> bool:
        state = self._strike.state
        if state == EXECUTING:
            return isinstance(effect, Execute) and effect.assignment.purpose is Purpose.SLOT
        one_off = {BATCHED: events.CheckpointClosed, MARKED: events.StateMarked}
        wanted = one_off[state] if state in one_off else TOLD[state]
        return isinstance(effect, Told) and isinstance(effect.event, wanted)

    def _victim(self, node: Resident, effect: Effect) -> NodeId | None:
        assert node.node is not None, "the node is up"
        if self._strike.role == COORDINATOR:
            return node.node.coordinator
        if isinstance(effect, Execute):
            return NodeId(node.key)
        assert isinstance(effect, Told)
        worker: NodeId | None = getattr(effect.event, "worker", None)
        task: TaskId | None = getattr(effect.event, "task", None)
        return worker or _a_worker(node, task)


def _a_worker(node: Resident, task: TaskId | None) -> NodeId | None:
    """Give who has the first slot of a task that somebody has; without a task, of the last one."""
    entry: TaskEntry | None = None
    if task is not None:
        entry = node.ledger.task(task)
    elif known := [each for _, each in node.ledger.tasks()]:
        entry = known[-1]
    held = () if entry is None else tuple(slot.worker for slot in entry.slots if slot.worker)
    return held[0] if held else None
