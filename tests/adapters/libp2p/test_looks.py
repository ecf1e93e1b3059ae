"""A peer says whether it reaches our port, and its time; and dials nobody else's door for us."""

from contextlib import AsyncExitStack, suppress

import pytest
import trio

from ambientd import __version__
from ambientd.adapters.libp2p.looks import (
    ADDRESS_DIALS_BURST,
    DIALS_BURST,
    LINKS_MAX,
    PEERS_MAX,
    Dials,
    encode_links,
)
from ambientd.ports.transport import LinkSeen, NodeId
from tests.adapters.libp2p.support import node
from tests.ports.transport_contract import NODES, at, until_connected

pytestmark = pytest.mark.net


async def test_a_peer_says_whether_it_reaches_a_port_what_time_it_is_and_its_version() -> None:
    async with node(0) as asked, node(1, bootstrap=(at(asked.address, NODES[0]),)) as asking:
        await until_connected(asking, NODES[0])
        look = await asking.look(NODES[0], asking.address.port)
        assert look is not None
        assert (look.reached, look.version) == (True, __version__)
        assert abs(look.clock_ms) < 5_000
        with trio.socket.socket() as closed:
            await closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]  # bound, and nobody listens
            look = await asking.look(NODES[0], port)
        assert look is not None
        assert look.reached is False


async def test_another_node_behind_the_port_is_not_taken_for_the_one_that_asks() -> None:
    async with (
        node(0) as asked,
        node(1, bootstrap=(at(asked.address, NODES[0]),)) as asking,
        node(2) as neighbour,
    ):
        await until_connected(asking, NODES[0])
        look = await asking.look(NODES[0], neighbour.address.port)
        assert look is not None
        assert look.reached is False
        await until_connected(asking, NODES[0])


async def test_what_speaks_no_protocol_of_ours_behind_the_port_is_not_reached() -> None:
    async def babble(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(b"HTTP/1.1 400 no\r\n\r\n")
        await stream.aclose()

    async with (
        node(0) as asked,
        node(1, bootstrap=(at(asked.address, NODES[0]),)) as asking,
        trio.open_nursery() as nursery,
    ):
        await until_connected(asking, NODES[0])
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, babble, [listener])
        look = await asking.look(NODES[0], listener.socket.getsockname()[1])
        assert look is not None
        assert look.reached is False
        nursery.cancel_scope.cancel()


async def test_a_peer_tells_its_links_that_to_us_among_them() -> None:
    async with (
        node(0) as asked,
        node(1, bootstrap=(at(asked.address, NODES[0]),)) as asking,
        node(2, bootstrap=(at(asked.address, NODES[0]),)) as other,
    ):
        await until_connected(asking, NODES[0])
        await until_connected(other, NODES[0])
        await until_connected(asked, NODES[2])
        look = await asking.look(NODES[0], 0)
        assert look is not None
        assert look.links is not None
        assert {link.node_id for link in look.links} == {NODES[1], NODES[2]}


def test_links_are_told_as_many_as_one_answer_has_and_unmeasured_ones_as_such() -> None:
    one = encode_links([LinkSeen(NODES[1], None)])
    assert one == b"\0\1" + NODES[1] + b"\xff" * 4
    assert encode_links([LinkSeen(NODES[1], 2**40)])[-4:] == b"\xff\xff\xff\xfe"
    assert encode_links([LinkSeen(NODES[1], 1)] * 1_000)[:2] == LINKS_MAX.to_bytes(2, "big")


async def test_all_peers_behind_one_address_together_are_dialled_seldom() -> None:
    async with AsyncExitStack() as stack:
        everybody = (0, 1, 2, 3, 4)
        asked = await stack.enter_async_context(node(0, everybody))
        told: list[bool | None] = []
        for number in range(1, 5):
            asking = await stack.enter_async_context(
                node(number, everybody, bootstrap=(at(asked.address, NODES[0]),))
            )
            await until_connected(asking, NODES[0])
            for _ in range(DIALS_BURST):
                look = await asking.look(NODES[0], asking.address.port)
                assert look is not None
                told.append(look.reached)
        tried = [each for each in told if each is not None]
        assert ADDRESS_DIALS_BURST <= len(tried) < 4 * DIALS_BURST


async def test_a_peer_dials_seldom_and_still_says_its_time() -> None:
    async with node(0) as asked, node(1, bootstrap=(at(asked.address, NODES[0]),)) as asking:
        await until_connected(asking, NODES[0])
        looks = [await asking.look(NODES[0], asking.address.port) for _ in range(DIALS_BURST + 2)]
        told = [None if look is None else look.reached for look in looks]
        assert told == [True] * DIALS_BURST + [None, None]
        assert all(look is not None for look in looks)


async def test_who_asks_for_no_dial_gets_none_and_a_stranger_no_answer() -> None:
    async with node(0) as asked, node(1, bootstrap=(at(asked.address, NODES[0]),)) as asking:
        await until_connected(asking, NODES[0])
        look = await asking.look(NODES[0], 0)
        assert look is not None
        assert look.reached is None
        assert await asking.look(NODES[3], 1) is None, "nobody is connected under that id"


def test_whoever_comes_after_many_others_is_dialled_all_the_same() -> None:
    dials = Dials()
    for number in range(PEERS_MAX + 1):
        peer = NodeId(number.to_bytes(32, "big"))
        assert dials.may_dial(peer, f"10.0.{number >> 8}.{number & 255}", now_s=number * 1.0)


def test_one_peer_with_many_addresses_takes_nobody_elses_place() -> None:
    dials = Dials()
    tried = [dials.may_dial(NODES[1], f"fd00::{number:x}", 0.0) for number in range(PEERS_MAX * 2)]
    assert tried.count(True) == DIALS_BURST
    assert dials.may_dial(NODES[2], "fd01::1", 0.0)
