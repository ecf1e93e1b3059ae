"""Two or three transports in one process, over real sockets."""

import random
import socket
from hashlib import sha256

import pytest
import trio

from ambientd.adapters.libp2p import open_transport
from ambientd.errors import ConfigError, LocalProtocolError, UnreachableError
from ambientd.ports.transport import (
    HostPort,
    NodeId,
    PeerAddress,
    PeerConnected,
    PeerLost,
    TransportOptions,
)
from tests.adapters.libp2p.support import (
    BLOB,
    BLOB_DIGEST,
    NODES,
    SEEDS,
    at,
    connect,
    gossip_until_heard,
    node,
    serve_blob,
    serve_join,
    until_connected,
    until_lost,
)

pytestmark = pytest.mark.net


async def test_frames_arrive_whole_in_order_and_from_whom_they_come() -> None:
    async with node(0) as a, node(1) as b:
        await connect(a, b)
        sent = [bytes([n % 256]) * (n * 37 % 5000) for n in range(300)]
        assert all(a.send(b.node_id, frame) for frame in sent)
        with trio.fail_after(5):
            got = [await b.frames.receive() for _ in sent]
        assert got == [(a.node_id, frame) for frame in sent]


async def test_the_largest_frame_passes_and_a_larger_one_is_our_own_fault() -> None:
    async with node(0) as a, node(1) as b:
        await connect(a, b)
        frame = random.Random(1).randbytes(16 * 1024 * 1024)
        assert a.send(b.node_id, frame)
        with trio.fail_after(20):
            assert await b.frames.receive() == (a.node_id, frame)
        with pytest.raises(LocalProtocolError, match="at most 16777216"):
            a.send(b.node_id, frame + b"x")


async def test_nodes_that_dial_each_other_at_once_end_with_one_link_and_one_connection() -> None:
    async with node(0) as a, node(1) as b:
        a.set_peers([at(b.address, b.node_id)])
        b.set_peers([at(a.address, a.node_id)])
        with trio.fail_after(5):
            assert await a.connections.receive() == PeerConnected(b.node_id)
            assert await b.connections.receive() == PeerConnected(a.node_id)
            while len(a._connected(b.node_id)) + len(b._connected(a.node_id)) > 2:
                await trio.sleep(0.01)
        assert a.send(b.node_id, b"there")
        assert b.send(a.node_id, b"and back")
        with trio.fail_after(2):
            assert await b.frames.receive() == (a.node_id, b"there")
            assert await a.frames.receive() == (b.node_id, b"and back")
        for events in (a.connections, b.connections):
            with pytest.raises(trio.WouldBlock):
                events.receive_nowait()
        await gossip_until_heard(a, b, b"one")
        await gossip_until_heard(b, a, b"two")


async def test_either_side_may_dial() -> None:
    async with node(0) as small, node(1) as large:
        await connect(large, small)
        assert small.peers() == {large.node_id}


async def test_a_frame_to_nobody_is_refused_and_counted() -> None:
    async with node(0) as a:
        assert not a.send(NODES[1], b"hello")
        assert a.counters()["frame_not_queued"] == 1
        assert a.traffic(NODES[1]).frames_dropped == 1


async def test_a_peer_that_does_not_read_fills_our_queue_not_our_memory() -> None:
    async with (
        node(0, queue_frames_max=8, slow_limit_s=60.0, idle_limit_s=60.0) as a,
        node(1, queue_frames_max=8, slow_limit_s=60.0, idle_limit_s=60.0) as b,
    ):
        await connect(a, b)
        frame = b"x" * 100_000
        taken = 0
        with trio.fail_after(5):
            while a.send(b.node_id, frame):
                taken += 1
                await trio.sleep(0.01)
        assert taken < 200
        with trio.fail_after(10):
            for _ in range(taken):
                assert (await b.frames.receive())[1] == frame
            while not a.send(b.node_id, b"again"):
                await trio.sleep(0.01)
            assert (await b.frames.receive())[1] == b"again"


@pytest.mark.slow
async def test_a_peer_whose_queue_stays_full_is_dropped() -> None:
    async with node(0, queue_frames_max=4, slow_limit_s=0.5) as a, node(1, queue_frames_max=4) as b:
        await connect(a, b)
        with trio.fail_after(10):
            while b.node_id in a.peers():
                a.send(b.node_id, b"x" * 1_000_000)
                await trio.sleep(0.01)
            lost = await until_lost(a, b.node_id)
        assert lost.reason in ("queue full for 0.5 s", "stream closed")


async def test_gossip_reaches_those_who_are_not_direct_peers() -> None:
    async with node(0) as a, node(1) as b, node(2) as c:
        await connect(a, b)
        await connect(b, c)
        await gossip_until_heard(a, c, b"from a")
        await gossip_until_heard(c, a, b"from c")


async def test_publishing_never_raises() -> None:
    async with node(0, gossip_queue_max=4) as a:
        a.publish("no such topic", b"x")
        a.publish("test", b"x" * 1_000_000)
        for _ in range(10):
            a.publish("test", b"x")
        counters = a.counters()
        assert counters["publish_unknown_topic"] == 1
        assert counters["publish_too_large"] == 1
        assert counters["publish_queue_full"] == 6
    a.publish("test", b"after the end")


async def test_a_blob_is_fetched_by_its_digest() -> None:
    async with node(0) as a, node(1) as b:
        await connect(a, b)
        assert await a.request_blob(b.node_id, BLOB_DIGEST, len(BLOB)) == BLOB
        assert await b.request_blob(a.node_id, BLOB_DIGEST, len(BLOB)) == BLOB
        assert await a.request_blob(b.node_id, sha256(b"other").digest(), 10) is None
        assert await a.request_blob(b.node_id, BLOB_DIGEST, len(BLOB) - 1) is None
        assert await a.request_blob(NODES[2], BLOB_DIGEST, len(BLOB)) is None
        assert a.counters() == {"blob_refused": 1}


async def test_many_blobs_at_once_share_the_streams_and_all_arrive() -> None:
    async with (
        node(0, blob_streams_per_peer_max=3) as a,
        node(1, blob_streams_per_peer_max=3) as b,
    ):
        await connect(a, b)
        got: list[bytes | None] = []

        async def fetch() -> None:
            got.append(await a.request_blob(b.node_id, BLOB_DIGEST, len(BLOB)))

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for _ in range(12):
                    nursery.start_soon(fetch)
        # A slot is given back only after the asker has hung up, so some may find it busy.
        assert got.count(BLOB) >= 3
        assert set(got) <= {BLOB, None}
        (connection,) = a._connected(b.node_id)
        assert len(connection.muxed_conn.streams) < 10


async def test_a_blob_that_is_not_what_its_digest_says_is_refused() -> None:
    async def lie(digest: bytes) -> bytes | None:
        return b"something else"

    async with node(0) as a, node(1, blobs=lie) as b:
        await connect(a, b)
        assert await a.request_blob(b.node_id, BLOB_DIGEST, 100) is None
        assert a.counters() == {"blob_refused": 1}


async def test_a_blob_that_does_not_come_in_time_is_given_up_and_its_stream_closed() -> None:
    async def dawdle(digest: bytes) -> bytes | None:
        await trio.sleep_forever()

    async with node(0, blob_deadline_s=0.2) as a, node(1, blobs=dawdle) as b:
        await connect(a, b)
        with trio.fail_after(2):
            assert await a.request_blob(b.node_id, BLOB_DIGEST, 100) is None
        assert a.counters() == {"blob_late": 1}
        assert a.send(b.node_id, b"the link lives on")
        with trio.fail_after(2):
            assert await b.frames.receive() == (a.node_id, b"the link lives on")


async def test_a_bug_in_serving_blobs_is_contained() -> None:
    async def broken(digest: bytes) -> bytes | None:
        raise RuntimeError("bug")

    async with node(0) as a, node(1, blobs=broken) as b:
        await connect(a, b)
        assert await a.request_blob(b.node_id, BLOB_DIGEST, 100) is None
        assert b.counters() == {"blob_handler_raised": 1}
        assert a.peers() == {b.node_id}


async def test_a_newcomer_joins_and_is_a_peer_once_it_is_allowed() -> None:
    asked: list[NodeId] = []

    async def admit(node_id: NodeId, payload: bytes) -> bytes:
        asked.append(node_id)
        b.set_allowed(frozenset({NODES[0], NODES[1]}))
        return b"genesis for " + payload

    async with node(0, ()) as a, node(1, (), joins=admit) as b:
        address = at(b.address, b.node_id)
        assert await a.request_join(address, b"token") == b"genesis for token"
        assert asked == [a.node_id]
        a.set_allowed(frozenset({NODES[0], NODES[1]}))
        await connect(a, b)
        await gossip_until_heard(a, b, b"hello")


async def test_joining_where_nobody_listens_says_what_to_check() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with node(0, ()) as a:
        with pytest.raises(UnreachableError, match="check the address, the node id and the fire"):
            await a.request_join(PeerAddress(NODES[1], "127.0.0.1", port), b"")


async def test_joining_a_node_that_is_not_who_we_think_fails() -> None:
    async with node(0, ()) as a, node(1, ()) as b:
        with pytest.raises(UnreachableError):
            await a.request_join(at(b.address, NODES[2]), b"secret token")


async def test_a_peer_taken_off_the_list_is_disconnected_and_may_come_back() -> None:
    async with node(0, (0, 1)) as a, node(1, (0, 1)) as b:
        await connect(a, b)
        b.set_allowed(frozenset({b.node_id}))
        with trio.fail_after(5):
            assert (await until_lost(b, a.node_id)).reason == "no longer allowed"
            await until_lost(a, b.node_id)
        assert b.peers() == frozenset()
        assert not b.send(a.node_id, b"x")
        b.set_allowed(frozenset({a.node_id, b.node_id}))
        with trio.fail_after(10):
            await until_connected(b, a.node_id)


async def test_a_peer_no_longer_in_the_list_to_dial_is_not_redialled() -> None:
    async with node(0) as a:
        async with node(1) as b:
            await connect(a, b)
            a.set_peers([])
        with trio.fail_after(5):
            await until_lost(a, b.node_id)
        assert a._dialler.peers() == frozenset()


async def test_the_round_trip_is_measured_by_heartbeats() -> None:
    async with node(0) as a, node(1) as b:
        await connect(a, b)
        assert a.round_trip_ms(NODES[2]) is None
        with trio.fail_after(3):
            while (measured := a.round_trip_ms(b.node_id)) is None:
                await trio.sleep(0.01)
        assert 0 < measured < 500


async def test_traffic_is_counted_on_both_sides() -> None:
    async with node(0) as a, node(1) as b:
        await connect(a, b)
        for _ in range(10):
            assert a.send(b.node_id, b"x" * 1000)
        with trio.fail_after(3):
            for _ in range(10):
                await b.frames.receive()
        assert a.traffic(b.node_id).frames_sent == 10
        assert a.traffic(b.node_id).bytes_sent >= 10_000
        assert b.traffic(a.node_id).frames_received == 10
        assert b.traffic(a.node_id).bytes_received >= 10_000


async def test_a_port_in_use_is_the_operators_error_and_names_the_way_out() -> None:
    async with node(0) as a:
        with pytest.raises(ConfigError, match=rf"cannot listen on {a.address}: the port is in use"):
            async with node(1, listen=a.address):
                raise AssertionError


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
        with trio.fail_after(5):
            await until_connected(a, b.node_id)


async def test_bootstrap_peers_are_dialled_without_being_told() -> None:
    async with node(1) as b:
        options = TransportOptions(bootstrap=(at(b.address, b.node_id),))
        async with open_transport(
            options,
            seed=SEEDS[0],
            allowed=frozenset(NODES[:2]),
            serve_blob=serve_blob,
            serve_join=serve_join,
            rng=random.Random(0),
        ) as a:
            with trio.fail_after(5):
                assert await a.connections.receive() == PeerConnected(b.node_id)
        with trio.fail_after(5):
            assert isinstance(await until_lost(b, NODES[0]), PeerLost)
