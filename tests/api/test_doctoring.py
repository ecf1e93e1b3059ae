"""Peers are asked how they see this node, and not more often than that is of use."""

from types import SimpleNamespace
from typing import Any, cast

import trio

from ambientd.api.doctor_values import LookRound
from ambientd.api.doctoring import FRESH_MS, PEERS_ASKED_MAX, Doctoring
from ambientd.config.options import Config
from ambientd.model.base import NodeId
from ambientd.ports.transport import Look
from ambientd.runtime.service import Parts


class Mesh:
    """Peers that answer, and a clock that a test sets."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.now_ms = 1_000_000
        self.address = SimpleNamespace(port=4_470)

    def peers(self) -> list[bytes]:
        return [bytes([number]) * 32 for number in range(9)]

    async def look(self, peer: bytes, port: int) -> Look:
        await trio.lowlevel.checkpoint()
        self.asked.append(peer)
        return Look(reached=port == 4_470, clock_ms=3, version="1")


async def test_many_who_want_to_know_at_once_make_peers_be_asked_once() -> None:
    mesh = Mesh()
    ledger = SimpleNamespace(members=(mesh.peers()[8],), meta=SimpleNamespace(time_ms=0))
    node = SimpleNamespace(ledger=ledger)
    parts = SimpleNamespace(transport=mesh, node=node, now=lambda: mesh.now_ms, relays=int)
    doctoring = Doctoring(NodeId(bytes(32)), Config(), cast("Parts", parts))
    found: list[Any] = []

    async def look() -> None:
        found.append(await doctoring.look(LookRound()))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(look)
    assert len(mesh.asked) == len(set(mesh.asked)) == PEERS_ASKED_MAX
    assert mesh.peers()[8] in mesh.asked
    assert [each.reached for each in found[9].peers] == [True] * PEERS_ASKED_MAX
    mesh.now_ms += FRESH_MS
    await look()
    assert len(mesh.asked) == 2 * PEERS_ASKED_MAX
