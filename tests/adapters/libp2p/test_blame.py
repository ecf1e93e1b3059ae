"""Who is told of as being at fault: who broke a protocol itself, and nobody to whom others did."""

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from libp2p.stream_muxer.yamux import yamux

from ambientd.adapters.libp2p import Libp2pTransport
from ambientd.adapters.libp2p.events import EVENTS_MAX, FAULTS_WAITING_MAX, Events
from ambientd.adapters.libp2p.frames import FrameKind, encode_probe
from ambientd.adapters.libp2p.host import dial
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.adapters.libp2p.transport import FRAMES_PROTOCOL
from ambientd.ports.transport import HostPort, NodeId, PeerLost, PeerMisbehaved
from tests.adapters.libp2p.support import node, raw_host
from tests.adapters.libp2p.test_hostility import GOSSIP_ATTACKS, MESHSUB, rpc, signed_message
from tests.ports.transport_contract import NODES, at, until_lost

pytestmark = pytest.mark.net

ATTACKER, OTHER = 0, 2


def faults(transport: Libp2pTransport) -> list[PeerMisbehaved]:
    """Take the events that wait, and give those of them that blame."""
    found = []
    with suppress(trio.WouldBlock):
        while True:
            event = transport.connections.receive_nowait()
            if isinstance(event, PeerMisbehaved):
                found.append(event)
    return found


async def send(host: Any, to: Libp2pTransport, protocol: str, *parts: bytes) -> Any:
    await dial(host, peer_id_of(to.node_id), to.address)
    stream = await host.new_stream(peer_id_of(to.node_id), [protocol])
    for part in parts:
        await stream.write(part)
    return stream


async def until(what: Callable[[], object]) -> None:
    with trio.fail_after(60):
        while not what():
            await trio.sleep(0.01)


async def test_who_brings_a_forgery_is_blamed_and_not_whose_name_it_bears() -> None:
    async with node(1) as target, raw_host(ATTACKER) as attacker:
        forged = signed_message(attacker)
        forged.from_id = peer_id_of(NODES[OTHER]).to_bytes()
        await send(attacker, target, MESHSUB, rpc(signed_message(attacker), forged))
        await until(lambda: target.counters().get("gossip_unsigned"))
        reason = "gossip that its author has not signed"
        assert faults(target) == [PeerMisbehaved(NODES[ATTACKER], reason)]


async def test_who_passes_on_what_others_have_signed_is_blamed_for_nothing() -> None:
    async with node(1) as target, raw_host(ATTACKER) as attacker, raw_host(OTHER) as other:
        message = signed_message(other, data=b"from afar")
        await send(attacker, target, MESHSUB, rpc(message))
        with trio.fail_after(60):
            assert (await target.gossip.receive())[1:] == (NODES[OTHER], b"from afar")
        assert faults(target) == []


@pytest.mark.parametrize(
    ("case", "is_fault"),
    {
        "bad_protobuf": True,
        "endless_len": True,
        # An honest router says so much if others make it.
        "many_entries": False,
        "huge_len": False,
    }.items(),
)
async def test_gossip_that_does_not_read_is_blamed_and_too_much_of_it_is_cut_off(
    case: str, is_fault: bool
) -> None:
    async with node(1) as target, raw_host(ATTACKER) as attacker:
        stream = await send(attacker, target, MESHSUB, GOSSIP_ATTACKS[case])
        with trio.fail_after(60):
            await stream.muxed_conn.event_closed.wait()
        assert target.counters()["gossip_malformed"] == 1
        told = [(each.node_id, each.reason) for each in faults(target)]
        assert told == [(NODES[ATTACKER], "gossip that does not read")] * is_fault


async def test_a_connection_that_is_cut_in_the_middle_blames_nobody() -> None:
    async with node(1) as target, raw_host(ATTACKER) as attacker:
        whole = rpc(signed_message(attacker))
        await send(attacker, target, MESHSUB, whole[: len(whole) // 2])
        hello = encode_probe(FrameKind.PING, 1)
        stream = await send(attacker, target, FRAMES_PROTOCOL, hello, hello[:7])
        await until(target.peers)
        with suppress(*NETWORK_ERRORS):
            await stream.muxed_conn.secured_conn.close()
        await until(lambda: not target.peers())
        assert faults(target) == []


async def test_who_overruns_a_window_loses_the_connection_and_is_blamed_for_nothing() -> None:
    async with node(1) as target, node(OTHER) as other, raw_host(ATTACKER) as attacker:
        other.set_peers([at(target.address, target.node_id)])
        await until(target.peers)
        conn = (await dial(attacker, peer_id_of(target.node_id), target.address)).muxed_conn
        size = yamux.DEFAULT_WINDOW_SIZE + 1
        with suppress(*NETWORK_ERRORS):
            await conn._write_frame(struct.pack("!BBHII", 0, 0, 1, 101, size) + bytes(size))
        with trio.fail_after(60):
            await conn.event_closed.wait()
        assert target.counters()["window_overrun"] == 1
        assert faults(target) == []
        assert target.peers() == {other.node_id}


async def test_who_changes_bytes_on_the_way_makes_nobody_be_blamed() -> None:
    is_spoilt = False

    async def between(a: trio.SocketStream) -> None:
        b = await trio.open_tcp_stream(target.address.host, target.address.port)

        async def carry(source: trio.SocketStream, sink: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async for part in source:
                    await sink.send_all(part[:-1] + bytes([part[-1] ^ is_spoilt]))
                await sink.send_eof()

        async with a, b, trio.open_nursery() as both:
            both.start_soon(carry, a, b)
            both.start_soon(carry, b, a)

    async with node(0) as dialler, node(1) as target, trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, between, 0)
        port = listeners[0].socket.getsockname()[1]
        dialler.set_peers([at(HostPort("127.0.0.1", port), target.node_id)])
        await until(lambda: dialler.peers() and target.peers())
        is_spoilt = True
        with trio.fail_after(60):
            await until_lost(target, dialler.node_id)
            await until_lost(dialler, target.node_id)
        assert faults(target) == faults(dialler) == []
        nursery.cancel_scope.cancel()


async def test_a_flood_of_breaches_leaves_room_for_who_comes_and_goes() -> None:
    events = Events(lambda *_: pytest.fail("there is room"))
    for _ in range(2 * EVENTS_MAX):
        events.misbehaved(NodeId(b"m" * 32), "noise")
    events.lost(NodeId(b"n" * 32), "stream closed")
    assert events.received.statistics().current_buffer_used == FAULTS_WAITING_MAX + 1
    for _ in range(FAULTS_WAITING_MAX):
        assert isinstance(events.received.receive_nowait(), PeerMisbehaved)
    assert isinstance(events.received.receive_nowait(), PeerLost)
