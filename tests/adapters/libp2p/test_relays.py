"""Circuits through a member: for members alone, within limits, unread on their way."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from libp2p.io.exceptions import ConnectionClosedError
from trio.testing import wait_all_tasks_blocked

from ambientd.adapters.libp2p import Libp2pTransport
from ambientd.adapters.libp2p.delimited import read_message, write_message
from ambientd.adapters.libp2p.foreign import Host, Stream
from ambientd.adapters.libp2p.host import CONNECTIONS_PER_PEER_MAX, connections_to, dial
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.link import READ_BYTES
from ambientd.adapters.libp2p.relays import (
    HOP,
    MESSAGE_BYTES_MAX,
    STOP,
    Relays,
    _Circuit,
    messages,
)
from ambientd.ports.discovery import RelayLimits
from ambientd.ports.transport import HostPort
from tests.adapters.libp2p.support import node, raw_host
from tests.ports.transport_contract import NODES, at, until_connected

pytestmark = pytest.mark.net

SMALL, RELAY, LARGE = 0, 1, 2
USES, SERVES = RelayLimits(uses=True), RelayLimits(serves=True)


@dataclass
class Circle:
    """Two nodes that know only the relay."""

    small: Libp2pTransport
    relay: Libp2pTransport
    large: Libp2pTransport

    async def until_linked(self) -> None:
        with trio.fail_after(60):
            await until_connected(self.small, NODES[LARGE])
            await until_connected(self.large, NODES[SMALL])


@asynccontextmanager
async def circle(
    serves: RelayLimits | None = SERVES, uses: RelayLimits = USES
) -> AsyncIterator[Circle]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        found = Circle(await enter(node(SMALL)), await enter(node(RELAY)), await enter(node(LARGE)))
        nursery = await enter(trio.open_nursery())
        limits = ((found.small, uses), (found.relay, serves), (found.large, uses))
        for transport, has in limits:
            if has is not None:
                nursery.start_soon(Relays(transport.inside, has).run, transport.search)
        for transport in (found.small, found.large):
            transport.set_peers([at(found.relay.address, NODES[RELAY])])
            with trio.fail_after(60):
                await until_connected(transport, NODES[RELAY])
        yield found
        nursery.cancel_scope.cancel()


async def next_frame(transport: Libp2pTransport) -> tuple[bytes, bytes]:
    with trio.fail_after(60):
        return await transport.frames.receive()


async def test_two_nodes_that_nobody_can_dial_are_linked_through_a_member() -> None:
    async with circle() as nodes:
        await nodes.until_linked()
        assert nodes.small.send(NODES[LARGE], b"there" * 10_000)
        assert await next_frame(nodes.large) == (NODES[SMALL], b"there" * 10_000)
        assert nodes.large.send(NODES[SMALL], b"and back")
        assert await next_frame(nodes.small) == (NODES[LARGE], b"and back")


async def test_an_address_behind_a_relay_is_nobodys_to_dial() -> None:
    async with circle() as nodes:
        await nodes.until_linked()
        look = await nodes.small.look(NODES[LARGE], nodes.small.address.port)
        assert look is not None
        assert look.reached is None


async def counted(transport: Libp2pTransport, kind: str) -> None:
    with trio.fail_after(60):
        while not transport.counters().get(kind):
            await trio.sleep(0.05)


async def test_a_circuit_ends_after_its_bytes_and_another_begins() -> None:
    async with circle(RelayLimits(serves=True, circuit_bytes_max=200_000)) as nodes:
        await nodes.until_linked()
        nodes.small.send(NODES[LARGE], bytes(300_000))
        await counted(nodes.relay, "circuit_over_limit")
        await nodes.until_linked()


async def test_a_circuit_ends_after_its_time() -> None:
    async with circle(RelayLimits(serves=True, circuit_s_max=1)) as nodes:
        await nodes.until_linked()
        await counted(nodes.relay, "circuit_ended")


async def test_who_was_asked_before_it_served_is_asked_again_soon() -> None:
    """Nodes that start at the same time are linked before each of them is ready to carry."""
    async with circle(serves=None) as nodes:
        await counted(nodes.small, "reservation_refused")
        await counted(nodes.large, "reservation_refused")
        Relays(nodes.relay.inside, SERVES)
        await nodes.until_linked()


async def test_further_protocols_are_registered_before_anybody_can_ask_for_them() -> None:
    at_registration: list[HostPort] = []

    def further(transport: Libp2pTransport) -> None:
        at_registration.append(transport.address)
        Relays(transport.inside, SERVES)

    async with node(RELAY, further=further) as relay:
        assert at_registration == [HostPort(relay.address.host, 0)]
        assert relay.address.port


async def test_a_member_that_has_gone_makes_room_for_another() -> None:
    one = RelayLimits(serves=True, reservations_max=1)
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(node(RELAY))
        Relays(relay.inside, one)
        nursery = await stack.enter_async_context(trio.open_nursery())
        large = await stack.enter_async_context(node(LARGE))
        async with node(SMALL) as small:
            first = await reserve(nursery, small, relay)
            with trio.fail_after(60):
                while not first.reserved():
                    await trio.sleep(0.05)
            second = await reserve(nursery, large, relay)
            await counted(relay, "relay_full")
            assert not second.reserved()
        with trio.fail_after(60):
            while not second.reserved():
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()


async def reserve(nursery: trio.Nursery, home: Libp2pTransport, relay: Libp2pTransport) -> Relays:
    """Let a node reserve with a relay."""
    home.set_peers([at(relay.address, NODES[RELAY])])
    with trio.fail_after(60):
        await until_connected(home, NODES[RELAY])
    relays = Relays(home.inside, USES)
    nursery.start_soon(relays.run, home.search)
    return relays


async def test_more_than_may_reserve_do_not() -> None:
    async with circle(RelayLimits(serves=True, reservations_max=1)) as nodes:
        await counted(nodes.relay, "relay_full")
        assert NODES[LARGE] not in nodes.small.peers()


@pytest.mark.parametrize(
    "limits", [{"serves": RelayLimits()}, {"uses": RelayLimits()}], ids=["nobody serves", "no use"]
)
async def test_nothing_is_carried_that_nobody_has_asked_for(limits: dict[str, Any]) -> None:
    async with circle(**limits) as nodes:
        with trio.move_on_after(4):
            await nodes.until_linked()
        assert nodes.small.peers() == nodes.large.peers() == {NODES[RELAY]}


async def test_a_relay_that_tampers_ends_nothing_but_its_circuit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = Relays._carry

    async def tamper(self: Relays, here: Stream, there: Stream) -> None:
        monkeypatch.setattr(Relays, "_carry", honest)

        async def onward() -> None:
            while data := await here.read(READ_BYTES):
                await there.write(data)
            nursery.cancel_scope.cancel()

        passed = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(onward)
            while data := await there.read(READ_BYTES):
                passed += len(data)
                is_noise = passed > len(b"\x13/multistream/1.0.0\n\x07/noise\n")
                await here.write(data[:-1] + bytes([data[-1] ^ is_noise]))

    monkeypatch.setattr(Relays, "_carry", tamper)
    async with circle() as nodes:
        await nodes.until_linked()
        assert nodes.small.counters()["circuit_failed"] == 1


async def connect_through(stream: Stream, host: Host) -> Any:
    """Connect to the large node over a stream that a relay has agreed to."""
    circuit = _Circuit(stream, True)
    return await host.get_network().upgrade_outbound_raw_conn(circuit, peer_id_of(NODES[LARGE]))


async def brought(host: Host, number: int) -> tuple[Stream, int]:
    """Say as a relay to the large node that this one comes; give the stream, and its answer."""
    stream = await host.new_stream(peer_id_of(NODES[LARGE]), [STOP])
    asked = messages.StopMessage(type=messages.StopMessage.CONNECT)
    asked.peer.id = peer_id_of(NODES[number]).to_bytes()
    await write_message(stream, asked)
    said = await read_message(stream, messages.StopMessage, MESSAGE_BYTES_MAX)
    return stream, said.status


async def asked_for(host: Host) -> Stream:
    """Ask the relay for a circuit to the large node."""
    stream = await host.new_stream(peer_id_of(NODES[RELAY]), [HOP])
    asked = messages.HopMessage(type=messages.HopMessage.CONNECT)
    asked.peer.id = peer_id_of(NODES[LARGE]).to_bytes()
    await write_message(stream, asked)
    said = await read_message(stream, messages.HopMessage, MESSAGE_BYTES_MAX)
    assert said.status == messages.OK
    return stream


@asynccontextmanager
async def reserved() -> AsyncIterator[tuple[Libp2pTransport, Libp2pTransport]]:
    """A relay, and the large node, which has reserved with it."""
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(node(RELAY, link_deadline_s=600.0))
        large = await stack.enter_async_context(node(LARGE, link_deadline_s=600.0))
        nursery = await stack.enter_async_context(trio.open_nursery())
        Relays(relay.inside, SERVES)
        relays = await reserve(nursery, large, relay)
        with trio.fail_after(60):
            while not relays.reserved():
                await trio.sleep(0.05)
        yield relay, large
        nursery.cancel_scope.cancel()


async def test_who_comes_by_circuits_again_and_again_has_its_last_few_connections_alone() -> None:
    async with reserved() as (relay, large), raw_host(SMALL) as member:
        await dial(member, peer_id_of(NODES[RELAY]), relay.address)
        connections = [
            await connect_through(await asked_for(member), member)
            for _ in range(CONNECTIONS_PER_PEER_MAX + 1)
        ]
        with trio.fail_after(60):
            await connections[0].event_closed.wait()
        assert not any(each.is_closed for each in connections[1:])
        assert large.counters()["peer_connections_full"] == 1


async def test_a_relay_brings_nobody_but_whom_it_names_and_never_itself() -> None:
    async with reserved() as (relay, large):
        host = relay.inside.host
        _, answer = await brought(host, RELAY)
        assert answer == messages.PERMISSION_DENIED
        stream, answer = await brought(host, SMALL)
        assert answer == messages.OK
        connection = await connect_through(stream, host)
        await counted(large, "circuit_of_another")
        with trio.fail_after(60):
            await connection.event_closed.wait()
            while len(connections_to(large.inside.host, NODES[RELAY])) > 1:
                await trio.sleep(0.05)


class Silent:
    """A stream through a relay that says nothing, and ends nothing either."""

    async def read(self, n: int | None = None) -> bytes:
        del n
        await trio.sleep_forever()
        return b""

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_nothing_reads_on_at_a_circuit_that_is_closed_here() -> None:
    circuit, ended = _Circuit(Silent(), False), trio.Event()

    async def read() -> None:
        with pytest.raises(ConnectionClosedError):
            await circuit.read(1)
        ended.set()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await wait_all_tasks_blocked()
            await circuit.close()
            await ended.wait()
        with pytest.raises(ConnectionClosedError):
            await circuit.read(1)
