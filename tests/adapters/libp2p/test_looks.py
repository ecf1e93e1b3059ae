"""A peer says whether it reaches our port, and its time; and dials nobody else's door for us."""

import pytest
import trio

from ambientd import __version__
from ambientd.adapters.libp2p.looks import DIALS_BURST
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
