"""A world of daemons under trio's virtual clock: who is up, who crashes, what the checkers see."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import trio
from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.errors import StoreError
from ambientd.model.base import Digest
from ambientd.model.task import Assurance, TaskSpec
from ambientd.node.build import NodeOptions
from ambientd.ports.transport import HostPort
from sim.checkers import InvariantViolation
from sim.choices import task_spec
from sim.disk import DiskLost
from sim.machine import Delivery, Effect
from sim.network import Network
from sim.place import Place
from sim.stage import Observer, moments_after
from sim.trio_world.host import Around, TrioHost
from sim.trio_world.medium import Medium
from sim.trio_world.seeded import run_seeded
from sim.trio_world.sky import Sky, now_ms
from sim.vices import Resident, Vice
from sim.world import EPOCH_MS, SUPERVISED_MS

PORT = 4_400


@dataclass(slots=True)
class _Place(Place[TrioHost]):
    """A daemon's place: what ends its life, and whether that has ended."""

    scope: trio.CancelScope | None = None
    ended: trio.Event | None = None


class TrioWorld:
    """See `sim.stage.Stage`; `run` can be called once."""

    def __init__(self, seed: int) -> None:
        self.network = Network(random.Random(seed))
        self.observers: list[Observer] = []
        self.addresses: dict[bytes, HostPort] = {}
        self.contents: dict[Digest, bytes] = {}
        self._seed = seed
        self._sky = Sky()
        self._medium = Medium(self.network, self._sky.at, now_ms)
        self._places: dict[bytes, _Place] = {}
        self._nursery: trio.Nursery | None = None
        self._trace = hashlib.sha256()

    @property
    def now(self) -> int:
        """Give the time since the world began."""
        return 0 if self._nursery is None else now_ms()

    @property
    def sent(self) -> int:
        """Give how many messages were sent to somebody."""
        return self._medium.carried

    @property
    def trace_hash(self) -> str:
        """Give the hash over everything that happened."""
        return self._trace.hexdigest()

    def note(self, *parts: object) -> None:
        """Put a happening into the trace."""
        self._trace.update(repr((self.now, *parts)).encode())

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        """Do something at a time."""
        self._sky.at(max(time_ms, self.now), action)

    def add(self, host: TrioHost, skew_ms: int) -> None:
        """Put a node into the world; it starts when `start` says so."""
        place = self._places[host.key] = _Place(host, skew_ms)
        self.addresses[host.key] = HostPort(f"10.0.0.{len(self._places)}", PORT)
        host.around = Around(
            self._medium,
            self.addresses,
            self.contents,
            now=lambda: self._local(place),
            paused_until=lambda: place.paused_until,
            may_go_on=lambda: self._may_go_on(place),
            saw_effect=lambda effect: self._saw_effect(place, effect),
            saw_delivery=lambda delivery: self._saw_delivery(place, delivery),
        )

    def run(self, until_ms: int, lingers: Callable[[], bool] = bool) -> None:
        """Let everything up to `until_ms` happen, and go on for a moment while it lingers."""
        try:
            run_seeded(partial(self._main, until_ms, lingers), self._seed)
        except BaseExceptionGroup as group:
            raise _telling(group) from group

    async def _main(self, until_ms: int, lingers: Callable[[], bool]) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self._sky.run(until_ms)
            for moment_ms in moments_after(until_ms):
                if not lingers():
                    break
                await self._sky.run(moment_ms)
            nursery.cancel_scope.cancel()

    def _local(self, place: _Place) -> int:
        """Give the time that a node believes it is."""
        return EPOCH_MS + now_ms() + place.skew_ms

    # What happens to nodes.

    def host_of(self, key: bytes) -> TrioHost:
        """Give who hosts a node."""
        return self._places[key].host

    def start(self, key: bytes) -> None:
        """Boot a node that is down."""
        place = self._places[key]
        if not place.is_up:
            assert self._nursery is not None, "the world runs"
            place.is_up = True
            self.note("start", key)
            self._nursery.start_soon(self._live, place)

    async def _live(self, place: _Place) -> None:
        if place.ended is not None:
            await place.ended.wait()  # one life after the other
        place.ended = trio.Event()
        try:
            with trio.CancelScope() as place.scope:
                await place.host.live()
        except* StoreError as group:
            self._ends(place, _telling(group))
        finally:
            place.ended.set()

    def _ends(self, place: _Place, error: BaseException) -> None:
        """Let a daemon end that cannot go on, and be started again by what supervises it."""
        self.note("ends", place.host.key, str(error))
        self._stop(place)
        self.restart_at(self.now + SUPERVISED_MS, place.host.key)

    def crash(self, key: bytes) -> None:
        """Take a node down; only its store remains."""
        place = self._places[key]
        if place.is_up:
            self.note("crash", key)
            self._stop(place)
            assert place.scope is not None
            place.scope.cancel()

    @staticmethod
    def _stop(place: _Place) -> None:
        place.is_up = False
        place.crash_countdown = None
        place.host.die()

    def crash_within(self, key: bytes, effects: int, back_ms: int) -> None:
        """Take a node down after some more effects, maybe amid a list; it restarts later."""
        self._places[key].crash_within(effects, back_ms)

    def spare(self, key: bytes) -> None:
        """Call off a crash that is still to come."""
        self._places[key].spare()

    def _may_go_on(self, place: _Place) -> bool:
        """Count an effect, and crash the node when its time has come."""
        if place.crashes_now():
            key, back_ms = place.host.key, place.back_ms
            self.crash(key)
            self.restart_at(self.now + back_ms, key)
        return place.is_up

    def lose_disk(self, key: bytes) -> None:
        """Stop a node, and give it an empty disk."""
        place = self._places[key]
        self.crash(key)
        self.note("disk lost", key)
        place.host.lose_disk()
        self._saw_effect(place, DiskLost())

    def pause(self, key: bytes, until_ms: int) -> None:
        """Let a node stand still; what comes waits for it."""
        self.note("pause", key, until_ms)
        place = self._places[key]
        place.paused_until = until_ms
        if place.host.life is not None:
            place.host.life.transport.paused_until = until_ms

    def restart_at(self, time_ms: int, key: bytes) -> None:
        """Boot a node at a time, if it is down then."""
        self.at(time_ms, partial(self.start, key))

    def act(self, key: bytes, action: Callable[[int], Sequence[Effect]]) -> bool:
        """Let a node do something of its own accord; False when the node is down."""
        place = self._places[key]
        if not place.is_up:
            return False
        if place.paused_until > self.now:
            self.at(place.paused_until, partial(self._act_now, place, action))
        else:
            self._act_now(place, action)
        return True

    def _act_now(self, place: _Place, action: Callable[[int], Sequence[Effect]]) -> None:
        if place.is_up:
            action(self._local(place))

    # What the checkers see.

    def _saw_effect(self, place: _Place, effect: Effect) -> None:
        self.note("effect", place.host.key, type(effect).__name__)
        for observer in self.observers:
            observer.saw_effect(place.host, effect, self.now)

    def _saw_delivery(self, place: _Place, delivery: Delivery) -> None:
        digest = hashlib.sha256(delivery.data).digest()[:8]
        self.note("send", place.host.key, delivery.to, digest)
        for observer in self.observers:
            observer.saw_delivery(place.host, delivery, self.now)


def _telling(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the error that tells most: a broken promise, or else the first of all."""
    broken = group.subgroup(InvariantViolation)
    error: BaseException = broken or group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class TrioKit:
    """Worlds of daemons."""

    MODULE = b"a module of the simulator; nobody ever executes it"

    def __init__(self, seed: int) -> None:
        self.world = TrioWorld(seed)

    def spec(self, serial: int, assurance: Assurance, replicas: int) -> TaskSpec:
        """Give a small task that differs from every other, whose blobs there are."""
        data = b"input %d" % serial
        names = [Digest(sha256(each)) for each in (self.MODULE, data)]
        self.world.contents.update(zip(names, (self.MODULE, data), strict=True))
        return replace(
            task_spec(serial, assurance, replicas),
            module=names[0],
            input=names[1],
            module_size_bytes=len(self.MODULE),
            input_size_bytes=len(data),
        )

    def host(self, options: NodeOptions, seed: int, vices: frozenset[Vice]) -> Resident:
        """Make a node's host, with an empty store."""
        return TrioHost(options, seed, vices)

    def add(self, host: Resident, skew_ms: int) -> None:
        """Put a host of this kit into the world."""
        assert isinstance(host, TrioHost), "each world runs hosts of its own"
        self.world.add(host, skew_ms)
