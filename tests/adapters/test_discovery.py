"""What every way to find members must do; run on multicast DNS and on the DHT, on loopback."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from ambientd.adapters.libp2p import Libp2pTransport
from ambientd.adapters.libp2p.dht import Directory
from ambientd.adapters.libp2p.dialler import FOUND_MAX
from ambientd.adapters.libp2p.statements import seal_of
from ambientd.adapters.mdns import MulticastDns
from ambientd.ports.discovery import ADDRESSES_MAX, Discovery, Search, Whereabouts
from ambientd.ports.transport import HostPort, NodeId, PeerAddress
from tests.adapters.libp2p.support import node
from tests.ports.transport_contract import NODES, SEEDS, connect

pytestmark = pytest.mark.net

CLUSTER = random.Random().randbytes(32)
FIRST, SECOND = HostPort("127.0.0.1", 4_401), HostPort("127.0.0.1", 4_402)
ASKER, MIDDLE, SOUGHT = 0, 1, 2


@dataclass
class Found:
    """What one way has found for the node that asks."""

    wanted: set[NodeId] = field(default_factory=lambda: {NODES[SOUGHT]})
    heard: list[Whereabouts] = field(default_factory=list)

    def search(self) -> Search:
        return Search(lambda: frozenset(self.wanted), self.heard.append)

    async def until(self, what: Callable[["Found"], bool]) -> None:
        with trio.fail_after(60):
            while not what(self):
                await trio.sleep(0.05)


@dataclass
class World:
    """Runs the asker's way, and lets the sought node be somewhere, or no longer."""

    found: Found
    place: Callable[[HostPort], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def running(way: Discovery, search: Search) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(way.run, search)
        yield
        nursery.cancel_scope.cancel()


def nearby(number: int, listen: HostPort, cluster: bytes = CLUSTER) -> MulticastDns:
    rng = random.Random()
    return MulticastDns(cluster, seal_of(SEEDS[number]), listen, lambda: ("127.0.0.1",), rng)


@asynccontextmanager
async def by_mdns() -> AsyncIterator[World]:
    found = Found()

    @asynccontextmanager
    async def place(at: HostPort) -> AsyncIterator[None]:
        async with running(nearby(SOUGHT, at), Found(set()).search()):
            yield

    async with running(nearby(ASKER, HostPort("127.0.0.1", 4_400)), found.search()):
        yield World(found, place)


def directory(transport: Libp2pTransport, number: int, at: list[HostPort]) -> Discovery:
    return Directory(transport.inside, seal_of(SEEDS[number]), lambda: tuple(at))


@asynccontextmanager
async def by_dht() -> AsyncIterator[World]:
    """The asker and the sought node have one peer in common."""
    found = Found()
    async with AsyncExitStack() as stack:
        asker = await stack.enter_async_context(node(ASKER))
        middle = await stack.enter_async_context(node(MIDDLE))
        await connect(asker, middle)
        for number, transport, seen in ((ASKER, asker, found), (MIDDLE, middle, Found(set()))):
            way = directory(transport, number, [transport.address])
            await stack.enter_async_context(running(way, seen.search()))

        @asynccontextmanager
        async def place(at: HostPort) -> AsyncIterator[None]:
            async with node(SOUGHT) as sought:
                await connect(sought, middle)
                async with running(directory(sought, SOUGHT, [at]), Found(set()).search()):
                    yield

        yield World(found, place)


Opens = Callable[[], AbstractAsyncContextManager[World]]
each_way = pytest.mark.parametrize("opens", [by_mdns, by_dht])


def says(at: HostPort) -> Callable[[Found], bool]:
    return lambda found: any(each.addresses == (at,) for each in found.heard)


@each_way
async def test_a_member_that_is_wanted_is_found_where_it_says_to_be(opens: Opens) -> None:
    async with opens() as world, world.place(FIRST):
        await world.found.until(says(FIRST))
        assert {each.node_id for each in world.found.heard} == {NODES[SOUGHT]}


@each_way
async def test_a_member_that_has_moved_is_found_anew_with_a_higher_number(opens: Opens) -> None:
    async with opens() as world:
        async with world.place(FIRST):
            await world.found.until(says(FIRST))
        async with world.place(SECOND):
            await world.found.until(says(SECOND))
        first, *_, last = world.found.heard
        assert first.number < last.number


@each_way
async def test_who_is_not_wanted_is_not_told(opens: Opens) -> None:
    async with opens() as world:
        world.found.wanted.clear()
        world.found.wanted.add(NODES[3])
        async with world.place(FIRST):
            assert world.found.heard == []
        async with world.place(SECOND):
            world.found.wanted.add(NODES[SOUGHT])
            await world.found.until(says(SECOND))
        assert not says(FIRST)(world.found)


async def test_another_mesh_in_the_same_network_is_not_heard() -> None:
    found = Found()
    async with (
        running(nearby(ASKER, HostPort("127.0.0.1", 4_400)), found.search()),
        running(nearby(SOUGHT, FIRST, cluster=b"another" * 4), Found(set()).search()),
    ):
        async with running(nearby(SOUGHT, SECOND), Found(set()).search()):
            await found.until(says(SECOND))
        assert not says(FIRST)(found)


async def test_a_member_that_others_cannot_dial_is_dialled_where_it_was_found() -> None:
    """The transport knows nobody's address; multicast DNS tells it."""
    async with (
        node(ASKER) as asker,
        node(SOUGHT) as sought,
        running(nearby(ASKER, asker.address), asker.search),
        running(nearby(SOUGHT, sought.address), sought.search),
    ):
        with trio.fail_after(60):
            while NODES[SOUGHT] not in asker.peers():
                await trio.sleep(0.05)


async def test_what_is_learnt_of_strangers_and_too_many_is_not_dialled() -> None:
    async with node(ASKER, allowed=(ASKER, SOUGHT)) as asker:
        asker.search.found(Whereabouts(NODES[3], 1, (FIRST,)))
        assert asker._dialler.peers() == frozenset()
        asker.search.found(Whereabouts(NODES[SOUGHT], 1, (FIRST,) * 9))
        assert asker._dialler.peers() == {NODES[SOUGHT]}
        asker.set_allowed(frozenset({NODES[ASKER]}))
        assert asker._dialler.peers() == frozenset()
        names = [n.to_bytes(32) for n in range(1, 200)]
        asker.set_allowed(frozenset(names))
        for name in names:
            asker.search.found(Whereabouts(name, 1, (FIRST,)))
        assert len(asker._dialler.peers()) == FOUND_MAX


async def test_many_names_that_are_found_take_no_turn_from_who_is_configured() -> None:
    """An attacker with many names and addresses has joined with all of them, and says so first."""
    async with node(SOUGHT) as sought, node(ASKER, allowed=(ASKER, SOUGHT)) as asker:
        names = [n.to_bytes(32) for n in range(1, 200)]
        asker.set_allowed(frozenset({*names, NODES[SOUGHT]}))
        for number in range(1, 4):
            for name in names:
                nowhere = tuple(HostPort("127.0.0.1", port) for port in range(1, 20))
                asker.search.found(Whereabouts(name, number, nowhere))
        dialler = asker._dialler
        assert len(dialler.peers()) == FOUND_MAX
        assert all(len(dialler._places[each].known()) <= ADDRESSES_MAX for each in dialler.peers())
        asker.set_peers((PeerAddress(NODES[SOUGHT], sought.address.host, sought.address.port),))
        assert NODES[SOUGHT] in dialler.peers()
        with trio.fail_after(60):
            while NODES[SOUGHT] not in asker.peers():
                await trio.sleep(0.05)
        # What others say of it afterwards puts no address before the configured one.
        asker.search.found(Whereabouts(NODES[SOUGHT], 9, (FIRST, SECOND)))
        assert dialler._places[NODES[SOUGHT]].known()[0] == sought.address


async def test_the_directory_keeps_one_statement_a_member_and_none_of_anybody_else() -> None:
    """However many identities sign, and however often a member signs anew."""
    async with node(ASKER, allowed=(ASKER, SOUGHT)) as asker:
        table = Directory(asker.inside, seal_of(SEEDS[ASKER]), tuple)
        for number in range(300):
            seal = seal_of(number.to_bytes(32))
            assert table._keep(seal.sign((FIRST,))) is None
        assert table._rows == {}
        member = seal_of(SEEDS[SOUGHT])
        older = member.sign((SECOND,))
        for port in range(1, 50):
            newest = member.sign((HostPort("127.0.0.1", port),))
            assert table._keep(newest) == NODES[SOUGHT]
        assert table._keep(older) == NODES[SOUGHT]
        assert {each: row.statement for each, row in table._rows.items()} == {NODES[SOUGHT]: newest}
        forged = bytearray(newest)
        forged[-1] ^= 1
        assert table._keep(bytes(forged)) is None


async def test_multicast_begins_anew_after_a_failure_on_the_same_interfaces() -> None:
    found, looks = Found(), 0

    def interfaces() -> tuple[str, ...]:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise OSError(24, "Too many open files")
        return ("127.0.0.1",)

    here = HostPort("127.0.0.1", 4_400)
    way = MulticastDns(CLUSTER, seal_of(SEEDS[ASKER]), here, interfaces, random.Random())
    with pytest.raises(ExceptionGroup):
        await way.run(found.search())
    async with running(way, found.search()), running(nearby(SOUGHT, FIRST), Found(set()).search()):
        await found.until(says(FIRST))
