"""The transport in memory keeps the port's contract; its weather does not."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from inspect import Parameter, Signature, signature
from typing import Any

import pytest
import trio
import trio.testing

from ambientd.ports.transport import TransportOptions, serve_no_piece
from sim.network import Network, Weather
from sim.trio_world.medium import Medium
from sim.trio_world.sky import Sky, now_ms
from sim.trio_world.transport import MemoryTransport, open_memory_transport
from tests.ports.transport_contract import (
    NODES,
    TOPIC,
    TransportContract,
    connect,
    serve_blob,
    serve_join,
    until_connected,
    until_lost,
)

QUICK = TransportOptions(
    topics=frozenset({TOPIC}), heartbeat_s=0.2, idle_limit_s=1.5, link_deadline_s=1.0
)
HOUR_MS = 3_600_000


@dataclass
class Air:
    """A network that tests may spoil."""

    network: Network
    medium: Medium


@pytest.fixture
async def air(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> AsyncIterator[Air]:
    sky, network = Sky(), Network(random.Random(1))
    nursery.start_soon(sky.run, HOUR_MS)
    yield Air(network, Medium(network, sky.at, now_ms))
    nursery.cancel_scope.cancel()


OpenMemory = Callable[..., AbstractAsyncContextManager[MemoryTransport]]


@pytest.fixture
def node(air: Air) -> OpenMemory:
    @asynccontextmanager
    async def opened(
        number: int,
        allowed: tuple[int, ...] = (0, 1, 2, 3),
        *,
        blobs: Any = serve_blob,
        joins: Any = serve_join,
        pieces: Any = serve_no_piece,
        **changes: Any,
    ) -> AsyncIterator[MemoryTransport]:
        async with open_memory_transport(
            air.medium,
            NODES[number],
            replace(QUICK, **changes),
            allowed=frozenset(NODES[n] for n in allowed),
            serve_blob=blobs,
            serve_join=joins,
            rng=random.Random(number),
            serve_piece=pieces,
        ) as transport:
            yield transport

    return opened


def in_virtual_time(test: Any) -> Any:
    """Let a test of the contract have a clock that jumps."""

    async def run(self: Any, *, autojump_clock: trio.testing.MockClock, **asked: Any) -> None:
        await test(self, **asked)

    clock = Parameter("autojump_clock", Parameter.KEYWORD_ONLY)
    asked_for = [*signature(test).parameters.values(), clock]
    run.__signature__ = Signature(asked_for)  # type: ignore[attr-defined]
    run.pytestmark = getattr(test, "pytestmark", [])  # type: ignore[attr-defined]
    return run


class TestMemoryTransport(TransportContract):
    """The port's contract, in virtual time."""

    for name, test in list(vars(TransportContract).items()):
        if name.startswith("test"):
            locals()[name] = in_virtual_time(test)


async def test_a_parted_peer_is_lost_and_found_again(
    air: Air, node: OpenMemory, autojump_clock: trio.testing.MockClock
) -> None:
    async with node(0) as a, node(1) as b:
        await connect(a, b)
        air.network.partition({NODES[0]: 0, NODES[1]: 1})
        with trio.fail_after(3):
            assert "silent" in (await until_lost(a, b.node_id)).reason
            await until_lost(b, a.node_id)
        air.network.heal()
        with trio.fail_after(15):
            await until_connected(a, b.node_id)
            await until_connected(b, a.node_id)


async def test_a_peer_that_is_only_heard_is_lost_at_both_ends(
    air: Air, node: OpenMemory, autojump_clock: trio.testing.MockClock
) -> None:
    async with node(0) as a, node(1) as b:
        await connect(a, b)
        air.network.deafen(frozenset({(NODES[0], NODES[1])}))
        with trio.fail_after(6):
            await until_lost(b, a.node_id)
            await until_lost(a, b.node_id)


async def test_bad_weather_loses_doubles_and_reorders_frames(
    air: Air, node: OpenMemory, autojump_clock: trio.testing.MockClock
) -> None:
    async with node(0) as a, node(1) as b:
        await connect(a, b)
        air.network.weather = Weather(slow=300, slow_ms_max=400, loss=200, duplication=200)
        sent = [b"%d" % number for number in range(200)]
        for frame in sent:
            a.send(b.node_id, frame)
            await trio.sleep(0.001)
        await trio.sleep(1)
        got = []
        with trio.move_on_after(1):
            while True:
                got.append((await b.frames.receive())[1])
        assert set(got) < set(sent)
        assert len(got) > len(set(got))
        assert got != sorted(got, key=int)


async def test_what_comes_to_a_node_that_stands_still_waits_for_it(
    air: Air, node: OpenMemory, autojump_clock: trio.testing.MockClock
) -> None:
    async with node(0) as a, node(1) as b:
        await connect(a, b)
        b.paused_until = now_ms() + 1_000
        a.send(b.node_id, b"later")
        with trio.move_on_after(0.9):
            await b.frames.receive()
            raise AssertionError
        with trio.fail_after(0.2):
            assert await b.frames.receive() == (a.node_id, b"later")
