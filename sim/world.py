"""A world of nodes in virtual time: one heap of events, one seed, no clock and no sockets."""

import hashlib
import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from sim.checkers import InvariantViolation
from sim.disk import DiskFault, DiskLost, Keeper
from sim.machine import Delivery, Effect, Machine
from sim.network import Network
from sim.place import Place, Traffic
from sim.stage import Observer, moments_after

EPOCH_MS = 1_700_000_000_000
SUPERVISED_MS = 1_000
WAKES_MAX = 1_000
"""A node that is due so often at one time, would keep a processor busy for good."""


@dataclass(slots=True)
class FastPlace(Place[Machine]):
    """A machine's place: when its next tick is due, and in which of its lives."""

    incarnation: int = 0
    wakes_at: int | None = None
    woke_at: int = 0
    wakes: int = 0
    """So often it was due at that one time."""
    is_light: bool = False
    traffic: Traffic = field(default_factory=Traffic)


class World:
    """Runs nodes until a time; every choice comes from the seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.network = Network(self.random)
        self.now = 0
        self.places: dict[bytes, FastPlace] = {}
        self._audience: list[bytes] = []  # who gets what is sent to all
        self.observers: list[Observer] = []
        self.delivered = 0
        self.sent = 0
        self._times: list[int] = []  # a heap of the times at which anything happens
        self._due: dict[int, list[Callable[[], None]]] = {}  # what happens then, in order
        self._done = 0  # of what happens now
        self._trace = hashlib.sha256()

    @property
    def trace_hash(self) -> str:
        """Give the hash over everything that happened."""
        return self._trace.hexdigest()

    def note(self, *parts: object) -> None:
        """Put a happening into the trace."""
        self._trace.update(repr((self.now, *parts)).encode())

    def add(self, host: Machine, skew_ms: int = 0, *, is_light: bool = False) -> None:
        """Put a node into the world; it starts when `start` says so.

        A light one gets what is sent to it alone, and checkers do not look at what it does.
        """
        self.places[host.key] = FastPlace(host, skew_ms, is_light=is_light)
        if not is_light:
            self._audience.append(host.key)

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        """Do something at a time."""
        due_ms = max(time_ms, self.now)
        due = self._due.get(due_ms)
        if due is None:
            self._due[due_ms] = [action]
            heapq.heappush(self._times, due_ms)
        else:
            due.append(action)

    def run(self, until_ms: int, lingers: Callable[[], bool] = bool) -> None:
        """Let everything up to `until_ms` happen, and go on for a moment while it lingers."""
        self._run(until_ms)
        for moment_ms in moments_after(until_ms):
            if not lingers():
                break
            self._run(moment_ms)

    def _run(self, until_ms: int) -> None:
        while self._times and self._times[0] <= until_ms:
            try:
                self._let_happen(self._times[0])
            except DiskFault as fault:
                self._ends(fault)
        self.now = until_ms

    def _let_happen(self, time_ms: int) -> None:
        """Do all that is due at one time, and what becomes due at that time meanwhile."""
        self.now = time_ms
        due = self._due[time_ms]
        while self._done < len(due):
            self._done += 1
            due[self._done - 1]()
        heapq.heappop(self._times)
        del self._due[time_ms]
        self._done = 0

    def _ends(self, fault: DiskFault) -> None:
        """Let a node end whose disk fails, and be started again by what supervises it."""
        self.note("ends", fault.key, str(fault))
        self.crash(fault.key)
        self.restart_at(self.now + SUPERVISED_MS, fault.key)

    def local(self, place: FastPlace) -> int:
        """Give the time that a node believes it is."""
        return EPOCH_MS + self.now + place.skew_ms

    def start(self, key: bytes) -> None:
        """Boot a node that is down."""
        place = self.places[key]
        if not place.is_up:
            place.is_up = True
            place.incarnation += 1
            self.note("start", key)
            self._carry_out(place, place.host.boot(self.local(place)))

    def crash(self, key: bytes) -> None:
        """Take a node down; only its store remains."""
        place = self.places[key]
        if place.is_up:
            self.note("crash", key)
            place.is_up = False
            place.crash_countdown = place.wakes_at = None
            place.incarnation += 1
            place.host.crash()

    def crash_within(self, key: bytes, effects: int, back_ms: int) -> None:
        """Take a node down after some more effects, maybe amid a list; it restarts later."""
        self.places[key].crash_within(effects, back_ms)

    def spare(self, key: bytes) -> None:
        """Call off a crash that is still to come."""
        self.places[key].spare()

    def host_of(self, key: bytes) -> Machine:
        """Give who hosts a node."""
        return self.places[key].host

    def lose_disk(self, key: bytes) -> None:
        """Stop a node, and give it an empty disk."""
        host = self.places[key].host
        assert isinstance(host, Keeper), "light nodes have no disks"
        self.crash(key)
        self.note("disk lost", key)
        host.lose_disk()
        self._show(self.places[key], DiskLost())

    def pause(self, key: bytes, until_ms: int) -> None:
        """Let a node stand still; what comes waits for it."""
        self.note("pause", key, until_ms)
        self.places[key].paused_until = until_ms

    def restart_at(self, time_ms: int, key: bytes) -> None:
        """Boot a node at a time, if it is down then."""
        self.at(time_ms, lambda: self.start(key))

    def act(self, key: bytes, action: Callable[[int], Sequence[Effect]]) -> bool:
        """Let a node do something of its own accord; False when the node is down."""
        place = self.places[key]
        if not place.is_up:
            return False
        if place.paused_until > self.now:
            self.at(place.paused_until, partial(self._act_now, place, action))
        else:
            self._act_now(place, action)
        return True

    def _act_now(self, place: FastPlace, action: Callable[[int], Sequence[Effect]]) -> None:
        if place.is_up:
            self._carry_out(place, action(self.local(place)))

    def _carry_out(self, place: FastPlace, effects: Sequence[Effect]) -> None:
        """Carry effects out one by one; a crash may come between any two."""
        observers = () if place.is_light else self.observers
        while effects:
            for effect in effects:
                if place.crash_countdown is not None and place.crashes_now():
                    self.crash(place.host.key)
                    self.restart_at(self.now + place.back_ms, place.host.key)
                    return
                try:
                    delivery = place.host.execute(effect)
                except DiskFault as fault:
                    if fault.is_durable:
                        self._show(place, effect)
                    raise
                for observer in observers:
                    observer.saw_effect(place.host, effect, self.now)
                if delivery is not None:
                    self._send(place, delivery)
            effects = place.host.settle(self.local(place))
        self._schedule_wake(place)

    def _show(self, place: FastPlace, effect: Effect) -> None:
        for observer in self.observers:
            observer.saw_effect(place.host, effect, self.now)

    def _send(self, place: FastPlace, delivery: Delivery) -> None:
        sender = place.host.key
        digest = hashlib.sha256(delivery.data).digest()
        self._trace.update(b"%d send %b %b %b" % (self.now, sender, delivery.to or b"", digest))
        for observer in () if place.is_light else self.observers:
            observer.saw_delivery(place.host, delivery, self.now)
        receivers = [delivery.to] if delivery.to is not None else self._audience
        traffic, size_bytes = place.traffic, len(delivery.data)
        for to in receivers:
            if to == sender or to not in self.places:
                continue
            self.sent += 1
            traffic.sent += 1
            traffic.sent_bytes += size_bytes
            for delay_ms in self.network.arrivals(sender, to):
                arrives = partial(self._deliver, sender, self.places[to], delivery.data)
                self.at(self.now + delay_ms, arrives)

    def _deliver(self, sender: bytes, place: FastPlace, data: bytes) -> None:
        if place.is_up and place.paused_until > self.now:
            self.at(place.paused_until, partial(self._deliver, sender, place, data))
        elif place.is_up:
            self.delivered += 1
            place.traffic.received += 1
            place.traffic.received_bytes += len(data)
            effects = place.host.receive(sender, data, EPOCH_MS + self.now + place.skew_ms)
            if effects is not None:
                self._carry_out(place, effects)

    def _schedule_wake(self, place: FastPlace) -> None:
        deadline = place.host.next_deadline
        if deadline is None or not place.is_up:
            return
        now, scheduled = self.now, place.wakes_at
        wakes_at = max(deadline - EPOCH_MS - place.skew_ms, now)
        if scheduled is not None and now <= scheduled <= wakes_at:
            return  # an earlier wake is scheduled and will look again
        self._wake_at(place, wakes_at)

    def _wake_at(self, place: FastPlace, wakes_at: int) -> None:
        place.wakes_at = wakes_at
        self.at(wakes_at, partial(self._wake, place, place.incarnation, wakes_at))

    def _wake(self, place: FastPlace, incarnation: int, wakes_at: int) -> None:
        if place.incarnation != incarnation or place.wakes_at != wakes_at:
            return
        place.wakes_at = None
        if place.paused_until > self.now:
            self._wake_at(place, place.paused_until)
        else:
            self._count_wake(place)
            self._carry_out(place, place.host.tick(EPOCH_MS + self.now + place.skew_ms))

    def _count_wake(self, place: FastPlace) -> None:
        place.wakes = place.wakes + 1 if place.woke_at == self.now else 1
        place.woke_at = self.now
        if place.wakes > WAKES_MAX:
            text = f"{place.host.key.hex()[:8]} was due {WAKES_MAX} times at {self.now} ms"
            raise InvariantViolation("no node is due for ever", text)
