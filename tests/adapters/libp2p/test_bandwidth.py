"""Bandwidth is measured against members, within a budget on both sides."""

import pytest
import trio

from ambientd.adapters.libp2p.bandwidth import BURST, SAMPLE_BYTES_MAX, SAMPLES_PER_DAY
from ambientd.ports.transport import TransportOptions
from tests.adapters.libp2p.support import node
from tests.ports.transport_contract import NODES, at, until_connected

pytestmark = pytest.mark.net
LARGE = TransportOptions(bandwidth_bytes_per_day=SAMPLE_BYTES_MAX * SAMPLES_PER_DAY)
NONE = TransportOptions(bandwidth_bytes_per_day=0)


async def test_a_peer_is_measured_until_the_budget_is_used_up() -> None:
    async with (
        node(0, options=LARGE) as asked,
        node(1, bootstrap=(at(asked.address, NODES[0]),)) as asking,
    ):
        await until_connected(asking, NODES[0])
        found = [await asking.bandwidth(NODES[0]) for _ in range(BURST - 1)]
        assert all(each is not None and each > 1_000 for each in found)
        assert asking.counters().get("bandwidth_failed", 0) == 0
        rest = [await asking.bandwidth(NODES[0]) for _ in range(BURST)]
        assert rest[1:] == [None] * (BURST - 1)


async def test_who_is_asked_gives_no_more_than_its_own_budget() -> None:
    async with (
        node(0, options=TransportOptions(bandwidth_bytes_per_day=1)) as asked,
        node(1, bootstrap=(at(asked.address, NODES[0]),), options=LARGE) as asking,
    ):
        await until_connected(asking, NODES[0])
        found = [await asking.bandwidth(NODES[0]) for _ in range(2)]
        assert found[1] is None
        assert asked.counters()["bandwidth_over_budget"] == 1
        with trio.fail_after(10):
            assert await asking.bandwidth(NODES[3]) is None, "nobody is connected under that id"


async def test_a_node_without_a_budget_asks_nobody() -> None:
    async with (
        node(0) as asked,
        node(1, bootstrap=(at(asked.address, NODES[0]),), options=NONE) as asking,
    ):
        await until_connected(asking, NODES[0])
        assert await asking.bandwidth(NODES[0]) is None
        assert asked.counters().get("bandwidth_over_budget", 0) == 0
