"""Two or three transports in one process, over real sockets."""

import socket

import pytest
import trio

from ambientd.adapters.libp2p import Libp2pTransport
from ambientd.adapters.libp2p.exchanges import JOIN_LENGTH, JOIN_PROTOCOL, read_exactly
from ambientd.adapters.libp2p.gossip_router import PENDING_MAX
from ambientd.adapters.libp2p.host import dial
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.errors import ConfigError, UnreachableError
from ambientd.ports.transport import HostPort, NodeId, PeerAddress
from tests.adapters.libp2p.support import node, raw_host
from tests.ports.transport_contract import (
    NODES,
    OpenNode,
    TransportContract,
    at,
    connect,
    dial_each_other,
    fetch_at_once,
    until_connected,
    until_lost,
    use_the_only_link,
)

pytestmark = pytest.mark.net


@pytest.fixture(name="node")
def _node() -> OpenNode:
    return node


class TestLibp2pTransport(TransportContract):
    """The port's contract, over sockets."""


async def test_nodes_that_dial_each_other_at_once_end_with_one_connection() -> None:
    async with node(0) as a, node(1) as b:
        await dial_each_other(a, b)
        with trio.fail_after(60):
            while len(a._connected(b.node_id)) + len(b._connected(a.node_id)) > 2:
                await trio.sleep(0.01)
        await use_the_only_link(a, b)


async def test_a_link_whose_frames_wait_here_to_be_taken_outlasts_a_newer_connection() -> None:
    """What waits is not read on, and so nothing is heard; that is not the peer's silence."""
    smaller, larger = sorted((0, 1), key=lambda number: NODES[number])
    async with node(smaller, queue_frames_max=1) as full, node(larger) as peer:
        await connect(peer, full)
        link = full._links[peer.node_id]
        for _ in range(10):
            assert peer.send(full.node_id, b"frame")
        with trio.fail_after(60):
            while full.traffic(peer.node_id).frames_received < 2:
                await trio.sleep(0.01)
            newer = await dial(peer._host, peer_id_of(full.node_id), full.address)
            await newer.event_closed.wait()
            assert full.peers() == {peer.node_id}
            assert full._links[peer.node_id] is link
            for _ in range(10):
                assert await full.frames.receive() == (peer.node_id, b"frame")


async def test_who_takes_no_link_yet_has_its_request_to_join_answered() -> None:
    """It may be on the list already, and have refused the link before it was open."""

    async def late(node_id: NodeId, payload: bytes) -> bytes:
        while not member.counters().get("link_not_opened"):
            await trio.sleep(0.01)
        await trio.sleep(0.2)
        return b"you are in"

    async with node(0, joins=late) as member, raw_host(1) as newcomer:
        peer_id = peer_id_of(member.node_id)
        with trio.fail_after(60):
            await dial(newcomer, peer_id, member.address)
            stream = await newcomer.new_stream(peer_id, [JOIN_PROTOCOL])
            await stream.write(JOIN_LENGTH.pack(5) + b"token")
            answer = await read_exactly(stream, JOIN_LENGTH.size + len(b"you are in"))
        assert answer[JOIN_LENGTH.size :] == b"you are in"


async def test_what_the_queue_of_gossip_does_not_hold_is_dropped_and_counted() -> None:
    async with node(0, gossip_queue_max=4) as a:
        for _ in range(10):
            a.publish("test", b"x")
        assert a.counters()["publish_queue_full"] == 6


async def test_of_what_is_said_to_a_peer_that_hears_nothing_only_the_newest_waits_for_it() -> None:
    """It might be about to subscribe; among many followers, none of whom is, that would add up."""
    async with node(0) as a, node(1) as b:
        b.hear("test", wanted=False)
        await connect(a, b)
        await until_parted(a, b)
        router = a._gossip.pubsub.router
        for number in range(5 * PENDING_MAX):
            a.publish("test", b"%d" % number)
        with trio.fail_after(60):
            while len(router.mcache.msgs) < 5 * PENDING_MAX:
                await trio.sleep(0.01)
        waiting = router._pending_messages[peer_id_of(b.node_id)]
        assert 0 < len(waiting) <= PENDING_MAX + 1


async def until_parted(a: Libp2pTransport, b: Libp2pTransport) -> None:
    """Wait until `a` has a stream to `b`, which hears nothing of it."""
    pubsub, peer_id = a._gossip.pubsub, peer_id_of(b.node_id)
    with trio.fail_after(60):
        while peer_id not in pubsub.peers or peer_id in pubsub.peer_topics.get("test", ()):
            await trio.sleep(0.01)


async def test_many_blobs_at_once_leave_few_streams_open() -> None:
    async with (
        node(0, blob_streams_per_peer_max=3) as a,
        node(1, blob_streams_per_peer_max=3) as b,
    ):
        await connect(a, b)
        await fetch_at_once(a, b, 12)
        (connection,) = a._connected(b.node_id)
        assert len(connection.muxed_conn.streams) < 10


async def test_joining_where_nobody_listens_says_what_to_check() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with node(0, ()) as a:
        with pytest.raises(UnreachableError, match="check the address, the node id and the fire"):
            await a.request_join(PeerAddress(NODES[1], "127.0.0.1", port), b"")


@pytest.mark.parametrize("number", [0, 1], ids=["who opens links", "who awaits them"])
async def test_who_is_let_go_at_once_dials_again_without_waiting_for_a_link(number: int) -> None:
    smaller_first = sorted((0, 1), key=lambda each: NODES[each])
    ours, theirs = smaller_first[number], smaller_first[1 - number]
    async with raw_host(theirs) as full, node(ours, link_deadline_s=600.0) as dialler:
        (listener,) = full.get_network().listeners.values()
        port = listener.listeners[0].socket.getsockname()[1]
        dialler.set_peers([at(HostPort("127.0.0.1", port), NODES[theirs])])
        let_go = []
        with trio.fail_after(60):
            while len(let_go) < 3:
                for connection in full.get_network().get_connections():
                    if connection not in let_go:
                        let_go.append(connection)
                        await connection.close()
                await trio.sleep(0.01)


async def test_a_peer_no_longer_in_the_list_to_dial_is_not_redialled() -> None:
    async with node(0) as a:
        async with node(1) as b:
            await connect(a, b)
            a.set_peers([])
        with trio.fail_after(60):
            await until_lost(a, b.node_id)
        assert a._dialler.peers() == frozenset()


@pytest.mark.parametrize("host", ["203.0.113.7", "not an address"])
async def test_an_address_that_is_not_ours_is_the_operators_error(host: str) -> None:
    with pytest.raises(ConfigError, match=r"set transport\.listen to one"):
        async with node(0, listen=HostPort(host, 0)):
            raise AssertionError


async def test_the_port_is_free_after_the_block() -> None:
    async with node(0) as a, node(1) as b:
        await connect(a, b)
    for address in (a.address, b.address):
        socket.create_server((address.host, address.port)).close()


async def test_the_port_is_free_after_a_cancelled_block() -> None:
    with trio.CancelScope() as scope:
        async with node(0) as a, node(1) as b:
            await connect(a, b)
            scope.cancel()
            await trio.sleep_forever()
    for address in (a.address, b.address):
        socket.create_server((address.host, address.port)).close()


async def test_more_connections_than_slots_may_come_in_a_lifetime() -> None:
    async with node(1, (0, 1), connections_max=3) as b:
        for _ in range(8):
            async with node(0, (0, 1)) as a:
                await connect(a, b)


async def test_a_transport_of_ipv6_addresses_works() -> None:
    options = {"listen": HostPort("::1", 0)}
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    async with node(0, **options) as a, node(1, **options) as b:
        await connect(a, b)


async def test_a_host_name_is_resolved_when_dialling() -> None:
    async with node(0) as a, node(1) as b:
        a.set_peers([PeerAddress(b.node_id, "localhost", b.address.port)])
        with trio.fail_after(60):
            await until_connected(a, b.node_id)
