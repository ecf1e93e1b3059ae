"""Sockets that show no key keep no member out, however many addresses they come from."""

import socket
from contextlib import ExitStack

import pytest
import trio

from ambientd.adapters.libp2p.host import HANDSHAKES_PER_HOST_MAX, dial
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from tests.adapters.libp2p.support import friend_of, raw_host, victim

FRIEND, MEMBER = 4, 2
pytestmark = [pytest.mark.net, pytest.mark.slow]


async def test_a_member_comes_in_past_silent_sockets_of_nine_addresses() -> None:
    """Nine times 64 are more than the 512 connections that a node has slots for."""
    async with (
        victim(allowed=(FRIEND, MEMBER)) as target,
        friend_of(target) as friend,
        raw_host(MEMBER) as member,
    ):
        with ExitStack() as silent:
            for last in range(10, 19):
                for _ in range(HANDSHAKES_PER_HOST_MAX):
                    each = silent.enter_context(socket.socket())
                    each.bind((f"127.0.0.{last}", 0))
                    each.connect((target.address.host, target.address.port))
            await friend.until_counted("handshakes_full")
            with trio.fail_after(60):
                await dial(member, peer_id_of(target.node), target.address)
        await friend.check_served()


async def test_who_connects_beyond_the_slots_is_let_go_and_counted() -> None:
    async with (
        victim(allowed=(FRIEND, MEMBER), connections_max=1) as target,
        friend_of(target) as friend,
        raw_host(MEMBER) as member,
    ):
        with pytest.raises(NETWORK_ERRORS):
            await dial(member, peer_id_of(target.node), target.address)
        await friend.until_counted("connections_full")
        await friend.check_served()
