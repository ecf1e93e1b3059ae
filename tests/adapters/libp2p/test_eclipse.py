"""An attacker of many names cuts nobody off: a victim keeps its members, and newcomers get in.

Its names take every place for strangers and dial without end, and one of them answers where a
member is looked for. All of them share this machine's address, so no share of places by address
helps the victim here.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from typing import Any, Final

import pytest
import trio

from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.host import build_host, dial, run_host
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.adapters.libp2p.transport import Libp2pTransport
from ambientd.errors import AmbientError
from ambientd.ports.transport import HostPort, PeerAddress, TransportOptions
from tests.adapters.libp2p.support import VICTIM, Friend, Victim, node, victim
from tests.ports.transport_contract import NODES, at, until_connected

pytestmark = [pytest.mark.net, pytest.mark.slow]

NEWCOMER: Final = 0
MEMBERS: Final = (1, 2, 3)
RETURNS, *STAY = MEMBERS
"""A cluster of four with the victim, whose quorum is three; one is away as the attack begins."""

IMPERSONATED: Final = 2
STRANGERS_MAX: Final = 4
CONNECTIONS_MAX: Final = 3 * STRANGERS_MAX
NAMES: Final = 4 * STRANGERS_MAX
TURNS_MIN: Final = 5 * STRANGERS_MAX
"""So many had to leave their place for another before the attack is taken for one."""

PAUSE_S: Final = 0.2
"""Attacker and members share a processor here: without it they would starve by that."""

GROWTH_KIB_MAX: Final = 32 * 1024


@asynccontextmanager
async def stranger(name: str) -> AsyncIterator[tuple[Any, HostPort, Counters]]:
    """Give a host under a name of the attacker's, where it listens, and what it counts."""
    counters = Counters()
    host = build_host(TransportOptions(), sha256(name.encode()).digest(), counters)
    async with run_host(host, HostPort("127.0.0.1", 0), counters) as address:
        yield host, address, counters


async def dial_for_ever(host: Any, target: Victim) -> None:
    """Take a place, keep it until it is taken away, and come again."""
    while True:
        try:
            connection = await dial(host, peer_id_of(target.node), target.address)
            await connection.event_closed.wait()
        except NETWORK_ERRORS:
            pass  # there was no room, for once
        await trio.sleep(PAUSE_S)


@asynccontextmanager
async def besieged(target: Victim) -> AsyncIterator[None]:
    """Let all the attacker's names dial meanwhile."""
    async with AsyncExitStack() as stack:
        names = [stranger(f"name {number}") for number in range(NAMES)]
        hosts = [(await stack.enter_async_context(each))[0] for each in names]
        async with trio.open_nursery() as nursery:
            for host in hosts:
                nursery.start_soon(dial_for_ever, host, target)
            yield
            nursery.cancel_scope.cancel()


async def is_joined(newcomer: Libp2pTransport, address: PeerAddress) -> bool:
    """Ask once."""
    try:
        return await newcomer.request_join(address, b"1") == b"joined 1"
    except AmbientError:
        return False


@asynccontextmanager
async def member(number: int, address: PeerAddress) -> AsyncIterator[Libp2pTransport]:
    """Give a member that is linked with the victim."""
    async with node(number, (*MEMBERS, VICTIM), backoff_max_s=0.5) as transport:
        transport.set_peers([address])
        with trio.fail_after(60):
            await until_connected(transport, address.node_id)
        yield transport


async def test_many_names_neither_cut_members_off_nor_keep_newcomers_out() -> None:
    async with AsyncExitStack() as stack:
        _, false_address, at_impostor = await stack.enter_async_context(stranger("impostor"))
        target = await stack.enter_async_context(
            victim(
                allowed=MEMBERS,
                bootstrap=at(false_address, NODES[IMPERSONATED]),
                strangers_max=STRANGERS_MAX,
                connections_max=CONNECTIONS_MAX,
                # A place is lost to who comes next, and not by itself.
                join_deadline_s=600.0,
                # How often this machine may ask is not what this is about.
                joins_burst=1_000,
                joins_per_s=1_000.0,
            )
        )
        address = at(target.address, target.node)
        async with member(RETURNS, address):
            pass  # it will come back when others have filled all there is
        stay = [await stack.enter_async_context(member(number, address)) for number in STAY]
        newcomer = await stack.enter_async_context(node(NEWCOMER, (), join_deadline_s=5.0))
        friend = Friend(stay[-1], target)
        before = await friend.ask("state")
        linked = {NODES[number].hex() for number in STAY}
        async with besieged(target):
            state = before
            with trio.fail_after(60):
                while state["counters"].get("strangers_full", 0) < TURNS_MIN:
                    state = await friend.ask("state")
                    assert linked <= set(state["peers"]), "a member gave way to strangers"
            async with member(RETURNS, address):
                with trio.fail_after(60):
                    while not await is_joined(newcomer, address):
                        await trio.sleep(0)
                state = await friend.ask("state")
                assert set(state["peers"]) == linked | {NODES[RETURNS].hex()}
            await friend.check_served()
        assert all(target.node in each.peers() for each in stay)
        assert at_impostor.snapshot().get("handshake_failed"), "nobody looked for the member there"
        assert state["rss_kib"] - before["rss_kib"] < GROWTH_KIB_MAX
