"""What scenarios, happenings and checkers see of a world, be it the fast one or that of trio."""

from collections.abc import Callable, Sequence
from typing import Protocol

from ambientd.model.task import Assurance, TaskSpec
from ambientd.node.build import NodeOptions
from sim.machine import Delivery, Effect, Host
from sim.network import Network
from sim.vices import Resident, Vice

LINGERS_MS, LINGER_STEP_MS = 1_000, 50


def moments_after(until_ms: int) -> range:
    """Give the times at which a world that lingers is looked at."""
    return range(until_ms + LINGER_STEP_MS, until_ms + LINGERS_MS + 1, LINGER_STEP_MS)


class Observer(Protocol):
    """Something that watches the world: a checker."""

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Look at what a node sends."""
        ...

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Look at an effect that a node is about to carry out."""
        ...


class Stage(Protocol):
    """Virtual time, a network, and nodes that start, stop and stand still in it."""

    network: Network
    observers: list[Observer]

    @property
    def now(self) -> int:
        """Give the time since the world began."""
        ...

    @property
    def sent(self) -> int:
        """Give how many messages were sent to somebody."""
        ...

    @property
    def trace_hash(self) -> str:
        """Give the hash over everything that happened."""
        ...

    def note(self, *parts: object) -> None:
        """Put a happening into the trace."""
        ...

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        """Do something at a time."""
        ...

    def run(self, until_ms: int, lingers: Callable[[], bool] = bool) -> None:
        """Let everything up to `until_ms` happen, and go on for a moment while it lingers."""
        ...

    def host_of(self, key: bytes) -> object:
        """Give who hosts a node."""
        ...

    def start(self, key: bytes) -> None:
        """Boot a node that is down."""
        ...

    def crash(self, key: bytes) -> None:
        """Take a node down; only its store remains."""
        ...

    def crash_within(self, key: bytes, effects: int, back_ms: int) -> None:
        """Take a node down after some more effects, maybe amid a list; it restarts later."""
        ...

    def spare(self, key: bytes) -> None:
        """Call off a crash that is still to come."""
        ...

    def lose_disk(self, key: bytes) -> None:
        """Stop a node, and give it an empty disk."""
        ...

    def pause(self, key: bytes, until_ms: int) -> None:
        """Let a node stand still; what comes waits for it."""
        ...

    def restart_at(self, time_ms: int, key: bytes) -> None:
        """Boot a node at a time, if it is down then."""
        ...

    def act(self, key: bytes, action: Callable[[int], Sequence[Effect]]) -> bool:
        """Let a node do something of its own accord; False when the node is down."""
        ...


class Kit(Protocol):
    """How a world of whole nodes is put together."""

    @property
    def world(self) -> Stage:
        """Give the world."""
        ...

    def spec(self, serial: int, assurance: Assurance, replicas: int) -> TaskSpec:
        """Give a small task that differs from every other."""
        ...

    def host(self, options: NodeOptions, seed: int, vices: frozenset[Vice]) -> Resident:
        """Make a node's host, with an empty store."""
        ...

    def add(self, host: Resident, skew_ms: int) -> None:
        """Put a host of this kit into the world."""
        ...
