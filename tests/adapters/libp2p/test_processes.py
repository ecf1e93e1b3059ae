"""Peers that die, stop and come back, in processes of their own."""

import signal

import pytest
import trio

from tests.adapters.libp2p.support import VICTIM, Friend, friend_of, node, victim
from tests.ports.transport_contract import at, until_connected, until_lost

pytestmark = [pytest.mark.net, pytest.mark.slow]


async def test_a_killed_peer_is_noticed_before_it_is_missed_and_found_again_when_back() -> None:
    async with node(4, (4, VICTIM), idle_limit_s=600.0) as watcher:
        async with victim(allowed=(4,)) as target:
            watcher.set_peers([at(target.address, target.node)])
            with trio.fail_after(60):
                await until_connected(watcher, target.node)
            target.kill()
            with trio.fail_after(60):
                lost = await until_lost(watcher, target.node)
            assert lost.reason == "stream closed"
        async with victim(allowed=(4,), port=target.address.port) as again:
            with trio.fail_after(60):
                await until_connected(watcher, again.node)


async def test_a_stopped_peer_is_noticed_within_the_idle_limit() -> None:
    async with victim(allowed=(4,)) as target, friend_of(target) as friend:
        target.kill(signal.SIGSTOP)
        with trio.fail_after(60):
            lost = await until_lost(friend.transport, target.node)
        assert lost.reason == "silent for 4 s"
        target.kill(signal.SIGCONT)
        with trio.fail_after(60):
            await until_connected(friend.transport, target.node)
        await friend.check_served()


@pytest.mark.parametrize("nodes", [2, 160])
async def test_a_peer_that_restarts_unnoticed_replaces_its_old_connection_before_it_gives_up(
    nodes: int,
) -> None:
    # A stopped process stands for a machine that lost power: its TCP connection says nothing.
    async with (
        node(4, (4, VICTIM), idle_limit_s=60.0, heartbeat_s=1.0) as watcher,
        victim(allowed=(4,)) as stopped,
    ):
        watcher.set_peers([at(stopped.address, stopped.node)])
        with trio.fail_after(60):
            await until_connected(watcher, stopped.node)
        others = {number.to_bytes(32) for number in range(nodes - 2)}
        watcher.set_allowed(frozenset({*others, watcher.node_id, stopped.node}))
        stopped.kill(signal.SIGSTOP)
        watcher.set_peers([])
        here = at(watcher.address, watcher.node_id)
        async with victim(allowed=(4,), bootstrap=here) as again:
            with trio.fail_after(60):
                lost = await until_lost(watcher, stopped.node)
                assert lost.reason == "a newer connection replaced it"
                await until_connected(watcher, stopped.node)
            state = await Friend(watcher, again).ask("state")
            assert "link_not_offered" not in state["counters"]
