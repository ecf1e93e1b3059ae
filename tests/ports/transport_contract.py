"""What every transport must do; run on the real one and on the one in memory."""

import random
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import TypeAlias

import pytest
import trio
from nacl.signing import SigningKey

from ambientd.errors import ConfigError, LocalProtocolError, UnreachableError
from ambientd.ports.transport import (
    HostPort,
    NodeId,
    PeerAddress,
    PeerConnected,
    PeerLost,
    PeerMisbehaved,
    Transport,
)

TOPIC = "test"


def _identities(count: int) -> list[tuple[bytes, NodeId]]:
    """Seeds and node ids, sorted by id: the first opens links to all others."""
    seeds = [bytes([n + 1]) * 32 for n in range(count)]
    pairs = [(seed, bytes(SigningKey(seed).verify_key)) for seed in seeds]
    return sorted(pairs, key=lambda pair: pair[1])


IDENTITIES = _identities(8)
SEEDS = [seed for seed, _ in IDENTITIES]
NODES = [node for _, node in IDENTITIES]

BLOB = random.Random(7).randbytes(3_000_000)
BLOB_DIGEST = sha256(BLOB).digest()

OpenNode: TypeAlias = Callable[..., AbstractAsyncContextManager[Transport]]
"""Opens node `number` for the length of a block; `allowed`, `blobs`, `joins` and any option."""


def at(transport_address: HostPort, node: NodeId) -> PeerAddress:
    return PeerAddress(node, transport_address.host, transport_address.port)


async def serve_blob(digest: bytes) -> bytes | None:
    return BLOB if digest == BLOB_DIGEST else None


async def serve_join(node_id: NodeId, payload: bytes) -> bytes:
    return b"welcome " + node_id[:4] + payload


async def connect(a: Transport, b: Transport) -> None:
    """Let `a` dial `b`, and wait until both say so."""
    a.set_peers([at(b.address, b.node_id)])
    with trio.fail_after(60):
        await until_connected(a, b.node_id)
        await until_connected(b, a.node_id)


async def until_connected(transport: Transport, peer: NodeId) -> None:
    while peer not in transport.peers():
        event = await transport.connections.receive()
        if isinstance(event, PeerConnected) and event.node_id == peer:
            return


async def until_lost(transport: Transport, peer: NodeId) -> PeerLost:
    async for event in transport.connections:
        if isinstance(event, PeerLost) and event.node_id == peer:
            return event
    raise AssertionError("the events ended")


async def until_blamed(transport: Transport, peer: NodeId) -> PeerMisbehaved:
    """Hear of a breach, which is told before the loss that it brings."""
    async for event in transport.connections:
        assert not isinstance(event, PeerLost)
        if isinstance(event, PeerMisbehaved) and event.node_id == peer:
            return event
    raise AssertionError("the events ended")


async def gossip_until_heard(
    publisher: Transport, listener: Transport, data: bytes, directly: Collection[NodeId] = ()
) -> None:
    """Publish until the mesh has formed and the message arrives."""
    with trio.fail_after(60):
        while True:
            publisher.publish(TOPIC, data, directly)
            with trio.move_on_after(0.2):
                async for topic, signer, heard in listener.gossip:
                    if (topic, signer, heard) == (TOPIC, publisher.node_id, data):
                        return


async def dial_each_other(a: Transport, b: Transport) -> None:
    a.set_peers([at(b.address, b.node_id)])
    b.set_peers([at(a.address, a.node_id)])
    with trio.fail_after(60):
        assert await a.connections.receive() == PeerConnected(b.node_id)
        assert await b.connections.receive() == PeerConnected(a.node_id)


async def use_the_only_link(a: Transport, b: Transport) -> None:
    """Frames and gossip pass both ways, and no link was lost or came up again."""
    assert a.send(b.node_id, b"there")
    assert b.send(a.node_id, b"and back")
    with trio.fail_after(60):
        assert await b.frames.receive() == (a.node_id, b"there")
        assert await a.frames.receive() == (b.node_id, b"and back")
    for events in (a.connections, b.connections):
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
    await gossip_until_heard(a, b, b"one")
    await gossip_until_heard(b, a, b"two")


async def fetch_at_once(a: Transport, b: Transport, count: int) -> list[bytes | None]:
    """Let `a` ask `b` for the blob many times at once."""
    got: list[bytes | None] = []

    async def fetch() -> None:
        got.append(await a.request_blob(b.node_id, BLOB_DIGEST, len(BLOB)))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(fetch)
    return got


class TransportContract:
    """Inherit and provide the fixture `node`, an `OpenNode`."""

    async def test_frames_arrive_whole_in_order_and_from_whom_they_come(
        self, node: OpenNode
    ) -> None:
        async with node(0) as a, node(1) as b:
            await connect(a, b)
            sent = [bytes([n % 256]) * (n * 37 % 5000) for n in range(300)]
            assert all(a.send(b.node_id, frame) for frame in sent)
            with trio.fail_after(60):
                got = [await b.frames.receive() for _ in sent]
            assert got == [(a.node_id, frame) for frame in sent]

    async def test_the_largest_frame_passes_and_a_larger_one_is_our_own_fault(
        self, node: OpenNode
    ) -> None:
        async with node(0) as a, node(1) as b:
            await connect(a, b)
            frame = random.Random(1).randbytes(16 * 1024 * 1024)
            assert a.send(b.node_id, frame)
            with trio.fail_after(60):
                assert await b.frames.receive() == (a.node_id, frame)
            with pytest.raises(LocalProtocolError, match="at most 16777216"):
                a.send(b.node_id, frame + b"x")

    async def test_who_sends_what_is_no_frame_is_told_of_and_cut_off_and_may_come_back(
        self, node: OpenNode
    ) -> None:
        async with node(0) as a, node(1, frame_bytes_max=1_000) as b:
            await connect(a, b)
            assert a.send(b.node_id, bytes(1_000))
            assert a.send(b.node_id, bytes(1_001))
            with trio.fail_after(60):
                told = await until_blamed(b, a.node_id)
                assert told.reason.startswith("no frame:")
                assert (await until_lost(b, a.node_id)).reason == "broke the frame protocol"
                await until_lost(a, b.node_id)
                assert await b.frames.receive() == (a.node_id, bytes(1_000))
                await until_connected(b, a.node_id)

    async def test_nodes_that_dial_each_other_at_once_end_with_one_link(
        self, node: OpenNode
    ) -> None:
        async with node(0) as a, node(1) as b:
            await dial_each_other(a, b)
            await use_the_only_link(a, b)

    async def test_either_side_may_dial(self, node: OpenNode) -> None:
        async with node(0) as small, node(1) as large:
            await connect(large, small)
            assert small.peers() == {large.node_id}

    async def test_a_frame_to_nobody_is_refused_and_counted(self, node: OpenNode) -> None:
        async with node(0) as a:
            assert not a.send(NODES[1], b"hello")
            assert a.counters()["frame_not_queued"] == 1
            assert a.traffic(NODES[1]).frames_dropped == 1

    async def test_a_peer_that_does_not_read_fills_our_queue_not_our_memory(
        self, node: OpenNode
    ) -> None:
        patient = {"queue_frames_max": 8, "slow_limit_s": 60.0, "idle_limit_s": 60.0}
        async with node(0, **patient) as a, node(1, **patient) as b:
            await connect(a, b)
            frame = b"x" * 100_000
            taken = 0
            with trio.fail_after(60):
                while a.send(b.node_id, frame):
                    taken += 1
                    await trio.sleep(0.01)
            assert taken < 200
            with trio.fail_after(60):
                for _ in range(taken):
                    assert (await b.frames.receive())[1] == frame
                while not a.send(b.node_id, b"again"):
                    await trio.sleep(0.01)
                assert (await b.frames.receive())[1] == b"again"

    @pytest.mark.slow
    async def test_a_peer_whose_queue_stays_full_is_dropped(self, node: OpenNode) -> None:
        async with (
            node(0, queue_frames_max=4, slow_limit_s=0.5) as a,
            node(1, queue_frames_max=4) as b,
        ):
            await connect(a, b)
            with trio.fail_after(60):
                while b.node_id in a.peers():
                    a.send(b.node_id, b"x" * 1_000_000)
                    await trio.sleep(0.01)
                lost = await until_lost(a, b.node_id)
            assert lost.reason in ("queue full for 0.5 s", "stream closed")

    async def test_gossip_reaches_those_who_are_not_direct_peers(self, node: OpenNode) -> None:
        async with node(0) as a, node(1) as b, node(2) as c:
            await connect(a, b)
            await connect(b, c)
            await gossip_until_heard(a, c, b"from a")
            await gossip_until_heard(c, a, b"from c")

    async def test_who_is_named_with_gossip_hears_it_directly_or_through_others(
        self, node: OpenNode
    ) -> None:
        async with node(0) as a, node(1) as b, node(2) as c:
            await connect(a, b)
            await connect(b, c)
            named = (b.node_id, c.node_id, NODES[3])
            await gossip_until_heard(a, b, b"one", named)
            await gossip_until_heard(a, c, b"two", named)

    async def test_who_hears_no_gossip_is_heard_and_can_hear_again(self, node: OpenNode) -> None:
        async with node(0) as a, node(1) as b:
            await connect(a, b)
            await gossip_until_heard(a, b, b"one")
            b.hear(TOPIC, wanted=False)
            await gossip_until_heard(b, a, b"two")
            while True:  # what was under way, and then nothing
                a.publish(TOPIC, b"unheard")
                with trio.move_on_after(1) as patience:
                    await b.gossip.receive()
                if patience.cancelled_caught:
                    break
            b.hear(TOPIC, wanted=True)
            await gossip_until_heard(a, b, b"three")
            assert not a.counters()
            assert not b.counters()

    async def test_publishing_never_raises(self, node: OpenNode) -> None:
        async with node(0) as a:
            a.publish("no such topic", b"x")
            a.publish(TOPIC, b"x" * 1_000_000)
            a.publish(TOPIC, b"x")
            counters = a.counters()
            assert counters["publish_unknown_topic"] == 1
            assert counters["publish_too_large"] == 1
        a.publish(TOPIC, b"after the end")

    async def test_a_blob_is_fetched_by_its_digest(self, node: OpenNode) -> None:
        async with node(0) as a, node(1) as b:
            await connect(a, b)
            assert await a.request_blob(b.node_id, BLOB_DIGEST, len(BLOB)) == BLOB
            assert await b.request_blob(a.node_id, BLOB_DIGEST, len(BLOB)) == BLOB
            assert await a.request_blob(b.node_id, sha256(b"other").digest(), 10) is None
            assert await a.request_blob(b.node_id, BLOB_DIGEST, len(BLOB) - 1) is None
            assert await a.request_blob(NODES[2], BLOB_DIGEST, len(BLOB)) is None
            assert a.counters() == {"blob_refused": 1}

    async def test_many_blobs_at_once_are_shared_out_and_none_is_wrong(
        self, node: OpenNode
    ) -> None:
        async with (
            node(0, blob_streams_per_peer_max=3) as a,
            node(1, blob_streams_per_peer_max=3) as b,
        ):
            await connect(a, b)
            got = await fetch_at_once(a, b, 12)
            # A slot is given back only after the asker has hung up, so some may find it busy.
            assert got.count(BLOB) >= 3
            assert set(got) <= {BLOB, None}

    async def test_a_blob_that_is_not_what_its_digest_says_is_refused(self, node: OpenNode) -> None:
        async def lie(digest: bytes) -> bytes | None:
            return b"something else"

        async with node(0) as a, node(1, blobs=lie) as b:
            await connect(a, b)
            assert await a.request_blob(b.node_id, BLOB_DIGEST, 100) is None
            assert a.counters() == {"blob_refused": 1}

    async def test_a_blob_that_does_not_come_in_time_is_given_up(self, node: OpenNode) -> None:
        async def dawdle(digest: bytes) -> bytes | None:
            await trio.sleep_forever()

        async with node(0, blob_deadline_s=0.2) as a, node(1, blobs=dawdle) as b:
            await connect(a, b)
            with trio.fail_after(60):
                assert await a.request_blob(b.node_id, BLOB_DIGEST, 100) is None
            assert a.counters() == {"blob_late": 1}
            assert a.send(b.node_id, b"the link lives on")
            with trio.fail_after(60):
                assert await b.frames.receive() == (a.node_id, b"the link lives on")

    async def test_questions_about_parts_of_blobs_are_answered_for_who_asks(
        self, node: OpenNode
    ) -> None:
        async def answer(peer: NodeId, question: bytes) -> bytes:
            return b"" if question == b"nothing" else peer[:4] + question[::-1]

        async with node(0) as a, node(1, pieces=answer) as b:
            await connect(a, b)
            assert await a.request_piece(b.node_id, b"123") == a.node_id[:4] + b"321"
            for _ in range(10):
                assert await a.request_piece(b.node_id, b"x" * 64) == a.node_id[:4] + b"x" * 64
            assert await a.request_piece(b.node_id, b"nothing") is None
            assert await b.request_piece(a.node_id, b"123") is None, "it serves none"
            assert await a.request_piece(NODES[2], b"123") is None
            assert a.counters() == {}

    async def test_many_questions_at_once_are_all_answered_and_none_by_anothers_answer(
        self, node: OpenNode
    ) -> None:
        async def answer(peer: NodeId, question: bytes) -> bytes:
            await trio.lowlevel.checkpoint()
            return question * 8_000

        got: dict[bytes, bytes | None] = {}

        async def ask(question: bytes) -> None:
            got[question] = await a.request_piece(b.node_id, question)

        async with node(0) as a, node(1, pieces=answer) as b:
            await connect(a, b)
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    for number in range(8):
                        nursery.start_soon(ask, b"%d" % number * 32)
            assert got == {question: question * 8_000 for question in got}
            assert len(got) == 8

    async def test_an_answer_that_does_not_come_in_time_is_given_up_and_others_come(
        self, node: OpenNode
    ) -> None:
        async def dawdle(peer: NodeId, question: bytes) -> bytes:
            if question == b"slow":
                await trio.sleep_forever()
            return question

        async with node(0, blob_deadline_s=0.2) as a, node(1, pieces=dawdle) as b:
            await connect(a, b)
            with trio.fail_after(60):
                assert await a.request_piece(b.node_id, b"slow") is None
            assert a.counters() == {"blob_late": 1}
            assert await a.request_piece(b.node_id, b"quick") == b"quick"

    async def test_a_bug_in_answering_is_contained(self, node: OpenNode) -> None:
        async def broken(peer: NodeId, question: bytes) -> bytes:
            raise RuntimeError("bug")

        async with node(0) as a, node(1, pieces=broken) as b:
            await connect(a, b)
            assert await a.request_piece(b.node_id, b"123") is None
            assert b.counters() == {"blob_handler_raised": 1}
            assert a.peers() == {b.node_id}

    async def test_a_bug_in_serving_blobs_is_contained(self, node: OpenNode) -> None:
        async def broken(digest: bytes) -> bytes | None:
            raise RuntimeError("bug")

        async with node(0) as a, node(1, blobs=broken) as b:
            await connect(a, b)
            assert await a.request_blob(b.node_id, BLOB_DIGEST, 100) is None
            assert b.counters() == {"blob_handler_raised": 1}
            assert a.peers() == {b.node_id}

    async def test_a_newcomer_joins_and_is_a_peer_once_it_is_allowed(self, node: OpenNode) -> None:
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

    @pytest.mark.parametrize("newcomer", [0, 1])
    async def test_who_is_on_the_list_and_does_not_know_it_yet_can_ask_to_join(
        self, node: OpenNode, newcomer: int
    ) -> None:
        async def slowly(node_id: NodeId, payload: bytes) -> bytes:
            await trio.sleep(0.5)
            return b"you are in"

        async with node(newcomer, ()) as a, node(1 - newcomer, joins=slowly) as b:
            assert await a.request_join(at(b.address, b.node_id), b"token") == b"you are in"

    async def test_joining_a_node_that_is_not_who_we_think_fails(self, node: OpenNode) -> None:
        async with node(0, ()) as a, node(1, ()) as b:
            with pytest.raises(UnreachableError):
                await a.request_join(at(b.address, NODES[2]), b"secret token")

    async def test_joining_where_nobody_listens_says_what_to_check(self, node: OpenNode) -> None:
        async with node(0, ()) as a:
            async with node(1, ()) as gone:
                address = at(gone.address, gone.node_id)
            with pytest.raises(UnreachableError, match="check the address, the node id and the"):
                await a.request_join(address, b"")

    async def test_a_stranger_gets_no_link(self, node: OpenNode) -> None:
        async with node(0, (0, 1), link_deadline_s=0.3) as a, node(1, (1,)) as b:
            a.set_peers([at(b.address, b.node_id)])
            await trio.sleep(0.6)
            assert not a.peers()
            assert not b.peers()

    async def test_a_peer_taken_off_the_list_is_disconnected_and_may_come_back(
        self, node: OpenNode
    ) -> None:
        async with node(0, (0, 1)) as a, node(1, (0, 1)) as b:
            await connect(a, b)
            b.set_allowed(frozenset({b.node_id}))
            with trio.fail_after(60):
                assert (await until_lost(b, a.node_id)).reason == "no longer allowed"
                await until_lost(a, b.node_id)
            assert b.peers() == frozenset()
            assert not b.send(a.node_id, b"x")
            b.set_allowed(frozenset({a.node_id, b.node_id}))
            with trio.fail_after(60):
                await until_connected(b, a.node_id)

    async def test_the_round_trip_is_measured_by_heartbeats(self, node: OpenNode) -> None:
        async with node(0) as a, node(1) as b:
            await connect(a, b)
            assert a.round_trip_ms(NODES[2]) is None
            with trio.fail_after(60):
                while (measured := a.round_trip_ms(b.node_id)) is None:
                    await trio.sleep(0.01)
            assert 0 < measured < 5_000

    async def test_traffic_is_counted_on_both_sides(self, node: OpenNode) -> None:
        async with node(0) as a, node(1) as b:
            await connect(a, b)
            for _ in range(10):
                assert a.send(b.node_id, b"x" * 1000)
            with trio.fail_after(60):
                for _ in range(10):
                    await b.frames.receive()
            assert a.traffic(b.node_id).frames_sent == 10
            assert a.traffic(b.node_id).bytes_sent >= 10_000
            assert b.traffic(a.node_id).frames_received == 10
            assert b.traffic(a.node_id).bytes_received >= 10_000

    async def test_a_port_in_use_is_the_operators_error_and_names_the_way_out(
        self, node: OpenNode
    ) -> None:
        async with node(0) as a:
            said = rf"cannot listen on {a.address}: the port is in use"
            with pytest.raises(ConfigError, match=said):
                async with node(1, listen=a.address):
                    raise AssertionError

    async def test_the_port_is_free_after_the_block(self, node: OpenNode) -> None:
        async with node(0) as a, node(1) as b:
            await connect(a, b)
        async with node(2, listen=a.address), node(3, listen=b.address):
            pass

    async def test_bootstrap_peers_are_dialled_without_being_told(self, node: OpenNode) -> None:
        async with node(1) as b:
            async with node(0, bootstrap=(at(b.address, b.node_id),)) as a:
                with trio.fail_after(60):
                    assert await a.connections.receive() == PeerConnected(b.node_id)
                    await until_connected(b, NODES[0])
            with trio.fail_after(60):
                assert isinstance(await until_lost(b, NODES[0]), PeerLost)
