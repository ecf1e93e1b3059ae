"""What one peer may ask of gossip: no answer is larger than it is worth, no table grows with it."""

import contextlib
from typing import Any

import pytest
import trio
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import get_peer_and_seqno_msg_id
from libp2p.utils import encode_varint_prefixed

from ambientd.adapters.libp2p.gossip_router import (
    CONTROL_ENTRIES_MAX,
    CONTROL_IDS_MAX,
    WANTED_IDS_MAX,
    check_control,
)
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from tests.adapters.libp2p.support import Victim, friend_of, raw_host, victim
from tests.adapters.libp2p.test_hostility import MESHSUB, rpc, signed_message
from tests.ports.transport_contract import NODES, TOPIC

ATTACKER, FRIEND = 0, 4
pytestmark = [pytest.mark.net, pytest.mark.slow]


def packed(message: Any) -> bytes:
    return encode_varint_prefixed(message.SerializeToString())


async def gossiping(host: Any, target: Victim) -> tuple[Any, list[int]]:
    """Open gossip, and give the stream and the sizes of what comes on the victim's own."""
    taken: list[int] = []

    async def read(stream: Any) -> None:
        with contextlib.suppress(*NETWORK_ERRORS):
            while part := await stream.read(65_536):
                taken.append(len(part))

    host.set_stream_handler(MESHSUB, read)
    stream = await target.attack(host, MESHSUB)
    await until_taken(taken, 1)
    return stream, taken


async def until_taken(taken: list[int], size_bytes: int) -> None:
    with trio.fail_after(60):
        while sum(taken) < size_bytes:
            await trio.lowlevel.checkpoint()


async def test_a_message_asked_for_a_thousand_times_in_one_rpc_is_sent_once() -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND)) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        stream, taken = await gossiping(attacker, target)
        message = signed_message(attacker, data=b"y" * 100_000)
        await stream.write(rpc(message))
        await friend.check_served()
        before = (await friend.ask("state"))["rss_kib"]
        asked = rpc_pb2.RPC()
        mid = get_peer_and_seqno_msg_id(message).hex().encode()
        asked.control.iwant.add().messageIDs.extend([mid] * 5000)
        await stream.write(packed(asked))
        await until_taken(taken, 100_000)
        await friend.check_served()
        assert (await friend.ask("state"))["rss_kib"] - before < 16 * 1024
        assert sum(taken) < 200_000


async def test_who_asks_for_messages_again_and_again_is_owed_no_more_than_a_mebibyte() -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND)) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        stream, taken = await gossiping(attacker, target)
        messages = [
            signed_message(attacker, data=b"y" * 200_000, seqno=b"%08d" % n) for n in range(8)
        ]
        asked = rpc_pb2.RPC()
        for message in messages:
            await stream.write(rpc(message))
            mid = get_peer_and_seqno_msg_id(message).hex().encode()
            asked.control.iwant.add().messageIDs.append(mid)
        await stream.write(packed(asked))
        await friend.until_counted("gossip_asked_too_much")
        await friend.check_served()
        assert sum(taken) < 2 * 1024 * 1024


@pytest.mark.parametrize("kind", ["ihave", "iwant", "graft", "prune"])
async def test_a_control_part_of_many_entries_costs_its_sender_the_connection(kind: str) -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND)) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        stream = await target.attack(attacker, MESHSUB)
        asked = rpc_pb2.RPC()
        for _ in range(CONTROL_ENTRIES_MAX + 1):
            getattr(asked.control, kind).add()
        with contextlib.suppress(*NETWORK_ERRORS):
            await stream.write(packed(asked))
        await friend.until_counted("gossip_malformed")
        with trio.fail_after(60):
            await stream.muxed_conn.event_closed.wait()
        await friend.check_served()


def test_as_many_entries_and_ids_as_a_router_may_send_are_taken() -> None:
    control = rpc_pb2.ControlMessage()
    for _ in range(CONTROL_ENTRIES_MAX - 1):
        control.graft.add(topicID=TOPIC)
    control.ihave.add(topicID=TOPIC).messageIDs.extend([b"id"] * CONTROL_IDS_MAX)
    check_control(control)
    control.ihave[0].messageIDs.append(b"one more")
    with pytest.raises(ValueError, match="message ids in one RPC"):
        check_control(control)


async def test_of_thousands_of_messages_that_a_peer_says_it_has_few_are_asked_for() -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND)) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        stream, taken = await gossiping(attacker, target)
        said = rpc_pb2.RPC()
        said.control.ihave.add(topicID=TOPIC).messageIDs.extend(b"%092x" % n for n in range(5000))
        await stream.write(packed(said))
        await until_taken(taken, WANTED_IDS_MAX * 46)
        await friend.check_served()
        assert sum(taken) < 4 * WANTED_IDS_MAX * 46


async def test_an_author_that_floods_is_cut_short_and_others_are_heard() -> None:
    """The flood stays below what a forwarder may bring; the author's own share ends it."""
    async with (
        victim(allowed=(ATTACKER, FRIEND), gossip_author_messages_per_s=4.0) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        stream, _ = await gossiping(attacker, target)
        flood = [signed_message(attacker, seqno=b"%08d" % n) for n in range(200)]
        await stream.write(rpc(*flood))
        await friend.until_counted("gossip_author_over_rate")
        await friend.check_served()
        assert "gossip_over_rate" not in (await friend.ask("state"))["counters"]


async def test_nobody_uses_up_the_share_of_an_author_whose_key_it_has_not() -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND), gossip_author_messages_per_s=4.0) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        stream, _ = await gossiping(attacker, target)
        forged = [signed_message(attacker, seqno=b"%08d" % n) for n in range(200)]
        for each in forged:
            each.from_id = peer_id_of(NODES[FRIEND]).to_bytes()
        await stream.write(rpc(*forged))
        await friend.check_served()
        assert "gossip_author_over_rate" not in (await friend.ask("state"))["counters"]


async def test_a_message_that_comes_again_costs_its_forwarder_nothing_of_its_rate() -> None:
    async with (
        victim(allowed=(ATTACKER, FRIEND), gossip_messages_per_s=5.0) as target,
        friend_of(target) as friend,
        raw_host(ATTACKER) as attacker,
    ):
        stream, _ = await gossiping(attacker, target)
        await stream.write(rpc(*[signed_message(attacker)] * 1000))
        await stream.write(rpc(signed_message(attacker, b"hear me", b"12345679")))
        with trio.fail_after(60):
            async for _, _, data in friend.transport.gossip:
                if data == b"heard: hear me":
                    break
        assert "gossip_over_rate" not in (await friend.ask("state"))["counters"]
