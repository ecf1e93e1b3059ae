"""Whatever one peer sends, the victim goes on serving the others: frames and gossip."""

import os
import struct
from typing import Any

import pytest
import trio
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.validators import PUBSUB_SIGNING_PREFIX
from libp2p.utils import encode_varint_prefixed

from ambientd.adapters.libp2p.exchanges import BLOB_PROTOCOL, JOIN_PROTOCOL
from ambientd.adapters.libp2p.frames import FrameKind, encode_frame, encode_probe
from ambientd.adapters.libp2p.host import answers_as, dial
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.adapters.libp2p.transport import FRAMES_PROTOCOL
from ambientd.errors import UnreachableError
from tests.adapters.libp2p.support import VICTIM, Friend, friend_of, node, raw_host, victim
from tests.ports.transport_contract import NODES, TOPIC, at, until_connected

pytestmark = [pytest.mark.net, pytest.mark.slow]

MESHSUB = "/meshsub/1.1.0"
ATTACKER, STRANGER, FRIEND = 0, 1, 4


def signed_message(host: Any, data: bytes = b"x", seqno: bytes = b"12345678") -> Any:
    message = rpc_pb2.Message(
        data=data, topicIDs=[TOPIC], from_id=host.get_id().to_bytes(), seqno=seqno
    )
    message.signature = host.get_private_key().sign(
        PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString()
    )
    return message


def rpc(*messages: Any) -> bytes:
    return encode_varint_prefixed(rpc_pb2.RPC(publish=messages).SerializeToString())


def bad_message(**fields: Any) -> bytes:
    return rpc(
        rpc_pb2.Message(
            **{"data": b"x", "topicIDs": [TOPIC], "seqno": b"12345678", "signature": b"sig"}
            | fields
        )
    )


def bad_control() -> bytes:
    message = rpc_pb2.RPC()
    message.control.ihave.add(topicID=TOPIC).messageIDs.extend([b"zz", b"abc"])
    message.control.iwant.add().messageIDs.extend([b"zz"])
    message.control.idontwant.add().messageIDs.extend([b"\xff"])
    message.control.graft.add(topicID="nope")
    prune = message.control.prune.add(topicID="nope")
    prune.backoff = 2**63
    peer = prune.peers.add()
    peer.peerID = b"xx"
    peer.signedPeerRecord = b"junk"
    return encode_varint_prefixed(message.SerializeToString())


GOSSIP_ATTACKS = {
    "bad_protobuf": encode_varint_prefixed(b"\xff" * 50),
    "bad_utf8_topic": encode_varint_prefixed(b"\x0a\x06\x08\x01\x12\x02\xff\xfe"),
    "bad_key": bad_message(from_id=b"\x12\x20" + b"q" * 32, key=b"\xff\xff\xff"),
    "bad_key_of_a_member": bad_message(from_id=peer_id_of(NODES[0]).to_bytes(), key=b"\xff\xff"),
    "empty_from": bad_message(from_id=b"", key=b"\xff\xff\xff"),
    "garbage_from": bad_message(from_id=b"\x00\x24\x08\x01\x12\x20", key=b"\xff\xff\xff"),
    "no_topic": bad_message(topicIDs=[]),
    "no_sequence_number": bad_message(seqno=b""),
    "huge_len": b"\xff\xff\xff\xff\x0f" + b"x" * 100,
    "endless_len": b"\xff" * 100,
    "ihave_bad": bad_control(),
    "many_entries": rpc(*[rpc_pb2.Message() for _ in range(5000)]),
}


@pytest.mark.parametrize("case", GOSSIP_ATTACKS)
async def test_gossip_that_is_not_gossip_harms_nobody_but_its_sender(case: str) -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND)) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        await friend.check_served()
        stream = await target.attack(attacker, MESHSUB)
        await stream.write(GOSSIP_ATTACKS[case])
        # Either the stream is ended for it, or what follows on the same stream is read.
        await end_or_read_on(attacker, stream, friend)
        await friend.check_served()


async def end_or_read_on(attacker: Any, stream: Any, friend: Friend) -> None:
    with trio.fail_after(60):
        try:
            await stream.write(rpc(signed_message(attacker, b"hear me")))
            while True:
                with trio.move_on_after(0.1):
                    await stream.read(100)
                with trio.move_on_after(0.1):
                    async for _, _, data in friend.transport.gossip:
                        if data == b"heard: hear me":
                            return
        except NETWORK_ERRORS:
            return


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_validator_that_raises_is_contained(kind: str) -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND)) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        await friend.ask(f"validator {kind}")
        stream = await target.attack(attacker, MESHSUB)
        await stream.write(rpc(signed_message(attacker)))
        if kind == "sync":
            await friend.until_counted("gossip_push_raised")
        await friend.ask("validator none")
        await friend.check_served()


async def test_a_stream_handler_that_raises_is_contained() -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND)) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        await target.attack(attacker, "/bad/1")
        await friend.until_counted("stream_handler_raised")
        await friend.check_served()


async def test_bytes_that_are_no_handshake_and_silence_instead_of_one_are_survived() -> None:
    async with victim(allowed=(FRIEND,)) as target, friend_of(target) as friend:
        for _ in range(20):
            stream = await trio.open_tcp_stream(target.address.host, target.address.port)
            await stream.send_all(os.urandom(500))
            await stream.aclose()
        silent = [
            await trio.open_tcp_stream(target.address.host, target.address.port) for _ in range(100)
        ]
        await friend.until_counted("handshakes_full")
        await friend.check_served()
        for stream in silent:
            await stream.aclose()


async def test_who_hangs_up_behind_the_keys_is_counted_as_such_and_alarms_nobody() -> None:
    async with (
        victim(allowed=(FRIEND,)) as target,
        friend_of(target) as friend,
        raw_host(STRANGER) as looker,
    ):
        assert await answers_as(looker, peer_id_of(target.node), target.address)
        await friend.until_counted("hung_up_after_keys")
        await friend.check_served()
        state = await friend.ask("state")
        assert "handshake_failed" not in state["counters"]


async def test_a_connection_that_breaks_off_is_survived() -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND)) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        stream = await target.attack(attacker, FRAMES_PROTOCOL)
        await stream.write(encode_probe(FrameKind.PING, 1))
        await friend.until(lambda state: NODES[ATTACKER].hex() in state["peers"])
        await stream.muxed_conn.secured_conn.close()
        await friend.until(lambda state: NODES[ATTACKER].hex() not in state["peers"])
        await friend.check_served()


FRAME_ATTACKS = {
    "unknown_kind": struct.pack("!IB", 8, 9) + b"12345678",
    "oversize": struct.pack("!IB", 2**32 - 1, FrameKind.DATA),
    "short_heartbeat": encode_frame(FrameKind.PING, b"1234"),
    "noise": bytes(range(255, 0, -1)) * 100,
}


@pytest.mark.parametrize("case", FRAME_ATTACKS)
async def test_a_broken_frame_costs_its_sender_the_connection(case: str) -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND)) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        stream = await target.attack(attacker, FRAMES_PROTOCOL)
        await stream.write(encode_probe(FrameKind.PING, 1) + FRAME_ATTACKS[case])
        await friend.until_counted("bad_frame")
        with trio.fail_after(60):
            await stream.muxed_conn.event_closed.wait()
        await friend.check_served()


async def test_a_peer_that_opens_its_stream_and_says_nothing_is_dropped() -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND), link_deadline_s=0.5) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        stream = await target.attack(attacker, FRAMES_PROTOCOL)
        with trio.fail_after(60):
            await stream.muxed_conn.event_closed.wait()
        await friend.check_served()


async def test_a_flooding_peer_is_slowed_to_its_rate_and_starves_nobody() -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND), frames_per_s=100.0) as target,
        friend_of(target) as friend,
        node(ATTACKER, (ATTACKER, VICTIM)) as flooder,
        trio.open_nursery() as nursery,
    ):
        flooder.set_peers([at(target.address, target.node)])
        with trio.fail_after(60):
            await until_connected(flooder, target.node)

        async def flood() -> None:
            while True:
                flooder.send(target.node, b"flood" * 20)
                await trio.lowlevel.checkpoint()

        async def read() -> None:
            async for _ in flooder.frames:
                pass

        begin_s = trio.current_time()
        nursery.start_soon(flood)
        nursery.start_soon(read)
        await friend.until_counted("frames_over_rate")
        state = await friend.ask("state")
        # What came at once, and what its rate lets through since.
        passed_s = trio.current_time() - begin_s
        assert state["frames"][NODES[ATTACKER].hex()] < 500 + 100 * passed_s
        await friend.check_served()
        nursery.cancel_scope.cancel()


async def test_gossip_above_the_rate_is_dropped_before_its_signature_is_looked_at() -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND), gossip_messages_per_s=50.0) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        stream = await target.attack(attacker, MESHSUB)
        await stream.write(rpc(*[signed_message(attacker, seqno=b"%08d" % n) for n in range(1000)]))
        await friend.until_counted("gossip_over_rate")
        await friend.check_served()


async def test_a_stranger_reaches_neither_frames_nor_blobs_nor_gossip() -> None:
    async with (
        victim(allowed=(FRIEND,)) as target,
        friend_of(target) as friend,
        raw_host(STRANGER) as stranger,
    ):
        frames = await target.attack(stranger, FRAMES_PROTOCOL)
        await refused(frames, encode_probe(FrameKind.PING, 1))
        blob = await stranger.new_stream(peer_id_of(target.node), [BLOB_PROTOCOL])
        await refused(blob, b"d" * 32)
        gossip = await stranger.new_stream(peer_id_of(target.node), [MESHSUB])
        await refused(gossip, rpc(signed_message(stranger)))
        state = await friend.ask("state")
        for kind in ("frames_from_stranger", "blob_from_stranger", "gossip_stream_refused"):
            assert state["counters"][kind] == 1
        assert state["peers"] == [NODES[FRIEND].hex()]
        await friend.check_served()


async def refused(stream: Any, request: bytes) -> None:
    """The stream ends without a byte of answer."""
    with trio.fail_after(60):
        answer = b"?"
        try:
            await stream.write(request)
            answer = await stream.read(1)
        except NETWORK_ERRORS:
            return
    assert answer == b""


async def test_a_strangers_message_forwarded_by_a_member_is_not_delivered() -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND)) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
        raw_host(STRANGER) as stranger,
    ):
        stream = await target.attack(attacker, MESHSUB)
        await stream.write(rpc(signed_message(stranger, b"hear me")))
        await friend.until_counted("gossip_from_stranger")
        await friend.check_served()


async def test_streams_beyond_the_cap_are_refused() -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND), inbound_streams_per_peer_max=16) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        await dial(attacker, peer_id_of(target.node), target.address)
        (connection,) = attacker.get_network().get_connections(peer_id_of(target.node))
        for _ in range(200):
            await connection.muxed_conn.open_stream()
        await friend.until_counted("streams_full")
        await friend.check_served()


async def test_a_peer_that_ignores_its_window_is_cut_off() -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND)) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        stream = await target.attack(attacker, BLOB_PROTOCOL)
        before = (await friend.ask("state"))["rss_kib"]
        muxed = stream.muxed_stream
        frame = struct.pack("!BBHII", 0, 0, 0, muxed.stream_id, 60_000) + b"x" * 60_000
        with trio.move_on_after(20):
            try:
                while not muxed.conn.is_closed:
                    await muxed.conn._write_frame(frame)
            except NETWORK_ERRORS:
                pass  # cut off, as it should be
        with trio.fail_after(60):
            await muxed.conn.event_shutting_down.wait()
        assert (await friend.ask("state"))["rss_kib"] - before < 32 * 1024
        await friend.check_served()


async def test_join_requests_are_bounded_in_size_and_in_rate() -> None:
    async with (
        victim(allowed=(FRIEND,), joins_burst=3, joins_per_s=0.001) as target,
        friend_of(target) as friend,
    ):
        async with raw_host(STRANGER) as stranger:
            stream = await target.attack(stranger, JOIN_PROTOCOL)
            await refused(stream, struct.pack("!I", 1 << 30))
        address = at(target.address, target.node)
        async with node(STRANGER, ()) as newcomer:
            assert await newcomer.request_join(address, b"1") == b"joined 1"
            assert await newcomer.request_join(address, b"2") == b"joined 2"
            with pytest.raises(UnreachableError):
                await newcomer.request_join(address, b"3")
        await friend.until_counted("join_over_rate")
        await friend.check_served()


async def test_strangers_hold_no_more_than_their_share_of_connections() -> None:
    async with (
        victim(allowed=(FRIEND,), strangers_max=1, join_deadline_s=4.0) as target,
        friend_of(target) as friend,
        raw_host(STRANGER) as first,
        raw_host(2) as second,
    ):
        connection = await dial(first, peer_id_of(target.node), target.address)
        await dial(second, peer_id_of(target.node), target.address)
        await friend.until_counted("strangers_full")
        with trio.fail_after(60):
            await connection.event_closed.wait()
        await friend.check_served()
