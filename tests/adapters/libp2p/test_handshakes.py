"""Sockets that show no key keep no member out, however many addresses they come from."""

import socket
from contextlib import ExitStack

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.host import (
    CONNECTIONS_PER_PEER_MAX,
    HANDSHAKES_MAX,
    HANDSHAKES_PER_HOST_MAX,
    build_host,
    dial,
)
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.ports.transport import TransportOptions
from tests.adapters.libp2p.support import friend_of, raw_host, victim
from tests.ports.transport_contract import SEEDS

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


async def test_a_member_that_connects_again_and_again_has_its_last_few_connections_alone() -> None:
    async with (
        victim(allowed=(FRIEND, MEMBER), link_deadline_s=600.0) as target,
        friend_of(target) as friend,
        raw_host(MEMBER) as member,
    ):
        connections = [
            await dial(member, peer_id_of(target.node), target.address) for _ in range(20)
        ]
        with trio.fail_after(60):
            for each in connections[:-CONNECTIONS_PER_PEER_MAX]:
                await each.event_closed.wait()
        assert not any(each.is_closed for each in connections[-CONNECTIONS_PER_PEER_MAX:])
        await friend.until_counted("peer_connections_full")
        await friend.check_served()


class Socket:
    """An accepted connection over which nothing comes."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get_remote_address(self) -> tuple[str, int]:
        return self._address, 4001

    async def read(self, count: int | None = None) -> bytes:
        del count
        await trio.sleep_forever()
        return b""

    async def write(self, data: bytes) -> None:
        del data
        await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_a_slow_handshake_outlasts_sockets_without_end_of_five_addresses(
    mock_clock: MockClock,
) -> None:
    del mock_clock  # stands still, so that none ends by its time
    counters = Counters()
    swarm = build_host(TransportOptions(), SEEDS[0], counters).get_network()
    ended: list[str] = []

    async def shake(address: str) -> None:
        await swarm._shake_hands(Socket(address), None)
        ended.append(address)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake, "192.0.2.1")
        await wait_all_tasks_blocked()
        for number in range(2 * HANDSHAKES_MAX):
            nursery.start_soon(shake, f"198.51.100.{number % 5}")
            await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        assert len(ended) == HANDSHAKES_MAX + 1
        assert "192.0.2.1" not in ended
    assert counters.snapshot() == {"handshakes_full": HANDSHAKES_MAX + 1}
