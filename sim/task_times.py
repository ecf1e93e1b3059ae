"""How long tasks take among few nodes and among many, in a world where nothing goes wrong.

All nodes are whole, with the links of a daemon (`sim.linked_machine`): four members and so many
guests, which have joined and come to rest before the first task. Members submit, one task after
the other at the same pace whatever the size, two replicas each; who works is as the ledger has it.
A task is assigned when its submitter's own node tells that the log has given a slot away, and
final when it tells so. Every checker of worlds of whole nodes looks on.
"""

import random
from dataclasses import dataclass
from functools import partial

from ambientd.codec.statements import task_id
from ambientd.ledger.events import SlotAssigned, TaskClosed
from ambientd.ledger.versions import KNOWN_VERSION
from ambientd.model.base import NodeId, TaskId
from ambientd.model.genesis import Rules
from ambientd.model.record import Admit
from ambientd.model.task import Assurance, TaskState
from ambientd.node.build import NodeOptions
from ambientd.node.effect import Told
from ambientd.roles.anchorer import AnchorerOptions
from ambientd.telemetry.core import TelemetryOptions
from sim.checkers import InvariantViolation, Kinds
from sim.choices import task_spec
from sim.cluster import UNTIL_MS, Cast, genesis_of, want, watch
from sim.joining import join_record, seed_of
from sim.linked_machine import LinkedHost
from sim.machine import Effect, Host
from sim.node_checkers import NodeChecker
from sim.place import Traffic
from sim.traffic import Rates, rates_of
from sim.world import World

MEMBERS = 4
REPLICAS = 2
NODES_MAX = MEMBERS + 256
"""A guest's number is a byte."""
JOIN_EVERY_MS = 100
REST_MS = 30_000
"""After the last join: what newcomers say waits for a beat, and their offers for several."""
LAST_MS = 10_000
"""For the last task to end."""


@dataclass(frozen=True, slots=True)
class TimesOptions:
    """One such world; everything else follows from the seed."""

    seed: int
    nodes: int
    tasks: int = 60
    every_ms: int = 500

    @property
    def members(self) -> int:
        """Give how many decide."""
        return min(self.nodes, MEMBERS)

    @property
    def begins_ms(self) -> int:
        """Give when the first task may come."""
        return (self.nodes - self.members) * JOIN_EVERY_MS + REST_MS

    @property
    def ends_ms(self) -> int:
        """Give when the world ends."""
        return self.begins_ms + self.tasks * self.every_ms + LAST_MS


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """What came of a world: times in ascending order, and what nodes carried amid the tasks."""

    assigned_ms: tuple[int, ...]
    final_ms: tuple[int, ...]
    blocks: int
    rates: tuple[Rates, ...]
    trace_hash: str


class TaskWatch(NodeChecker):
    """Notes when each task's own submitter tells that it has a worker, and that it is final."""

    effects: Kinds = (Told,)

    def __init__(self) -> None:
        self._submitted: dict[TaskId, tuple[bytes, int]] = {}
        self._assigned: dict[TaskId, int] = {}
        self._final: dict[TaskId, int] = {}

    def submitted(self, task: TaskId, node: bytes, now: int) -> None:
        """Note that a node's owner submits a task."""
        self._submitted[task] = (node, now)

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Note what a submitter is told of its own task."""
        if not isinstance(effect, Told):
            return
        match effect.event:
            case SlotAssigned(task=task):
                self._note(self._assigned, task, node.key, now)
            case TaskClosed(task=task, state=TaskState.FINAL):
                self._note(self._final, task, node.key, now)
            case _:
                pass

    def _note(self, times: dict[TaskId, int], task: TaskId, node: bytes, now: int) -> None:
        submitter, submitted_ms = self._submitted.get(task, (b"", 0))
        if node == submitter:
            times.setdefault(task, now - submitted_ms)

    def times(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Give both times of all tasks; raise InvariantViolation unless all are final."""
        open_tasks = self._submitted.keys() - self._final.keys()
        if open_tasks:
            text = f"{len(open_tasks)} of {len(self._submitted)} tasks are not final"
            raise InvariantViolation("tasks end where nothing goes wrong", text)
        return tuple(sorted(self._assigned.values())), tuple(sorted(self._final.values()))


@dataclass(frozen=True, slots=True)
class TimedWorld:
    """A world before it runs, who plays in it, and what notes the times."""

    world: World
    cast: Cast
    seen: TaskWatch


def build(options: TimesOptions) -> TimedWorld:
    """Lay out a world."""
    world, dice = World(options.seed), random.Random(options.seed * 14_009 + options.nodes)
    cast = _cast(options, dice)
    for host in cast.hosts:
        assert isinstance(host, LinkedHost), "all have links"
        world.add(host)
        world.at(dice.randrange(300), partial(world.start, host.key))
    for number, guest in enumerate(cast.joiners):
        inviter = cast.members[0]
        record = join_record(cast.genesis, inviter.options.seed, guest.options.seed, number)
        world.at(500 + JOIN_EVERY_MS * number, partial(want, world, inviter, record))
    timed = TimedWorld(world, cast, TaskWatch())
    _schedule(timed, options, dice)
    watch(world, cast)
    world.observers.append(timed.seen)
    return timed


def play(options: TimesOptions) -> TaskTimes:
    """Run a world to its end; raise InvariantViolation when it breaks a promise."""
    return finish(build(options), options)


def finish(timed: TimedWorld, options: TimesOptions) -> TaskTimes:
    """Let all come in and rest, then let tasks come; raise InvariantViolation as `play` does."""
    world, cast = timed.world, timed.cast
    witness = cast.members[-1]
    world.run(options.begins_ms)
    missing = options.nodes - len(witness.ledger.nodes())
    if missing:
        raise InvariantViolation("who is invited comes in", f"{missing} nodes have not joined")
    index = witness.ledger.applied_index
    for host in cast.hosts:
        world.places[host.key].traffic = Traffic()
    world.run(options.ends_ms)
    assigned, final = timed.seen.times()
    blocks = witness.ledger.applied_index - index
    return TaskTimes(assigned, final, blocks, _rates(world, cast, options), world.trace_hash)


def _cast(options: TimesOptions, dice: random.Random) -> Cast:
    """Give out the parts under the rules that a cluster has unless its founders say otherwise."""
    cast = Cast(genesis_of(options.members, Rules(), KNOWN_VERSION), is_stormy=False)
    for number in range(options.nodes):
        is_member = number < options.members
        name = ("member", number) if is_member else ("joiner", number - options.members)
        whole = NodeOptions(
            cast.genesis,
            seed_of(*name),
            anchors=AnchorerOptions(enabled=False),
            telemetry=TelemetryOptions(capacity=4),
        )
        host = LinkedHost(whole, dice.randrange(2**32))
        (cast.members if is_member else cast.joiners).append(host)
    return cast


def _schedule(timed: TimedWorld, options: TimesOptions, dice: random.Random) -> None:
    """Let members submit at an even pace, at no moment of a second more often than at others."""
    world = timed.world
    for serial in range(options.tasks):
        time_ms = options.begins_ms + serial * options.every_ms + dice.randrange(options.every_ms)
        host = dice.choice(timed.cast.members)
        spec = task_spec(serial, Assurance.REPLICATED, REPLICAS)
        admit = Admit(nonce=b"%d" % serial, spec=spec, until_ms=UNTIL_MS)
        task = task_id(NodeId(host.key), admit.nonce, admit.spec)
        world.at(time_ms, partial(timed.seen.submitted, task, host.key, time_ms))
        world.at(time_ms, partial(want, world, host, admit))


def _rates(world: World, cast: Cast, options: TimesOptions) -> tuple[Rates, ...]:
    time_ms = options.ends_ms - options.begins_ms
    kinds = (("members", cast.members), ("guests", cast.joiners))
    return tuple(
        rates_of(who, [world.places[host.key].traffic for host in hosts], time_ms)
        for who, hosts in kinds
        if hosts
    )
