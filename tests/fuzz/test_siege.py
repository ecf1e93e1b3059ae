"""Memory and the owner's wait are bounded under attack; `make fuzz-daemon` tries all attacks."""

from pathlib import Path

import pytest
import trio

from ambientd.ports.transport import HostPort
from tests.adapters.libp2p.support import raw_host
from tests.fuzz.floods import FULL_CONNECTIONS, Flood, Target, attacks, honest
from tests.fuzz.live import besieged
from tests.fuzz.siege import Cost, run
from tests.mesh.test_hostile_peers import ATTACKS
from tests.ports.transport_contract import NODES


def test_every_attack_that_is_known_is_one_that_goes_on() -> None:
    assert {*ATTACKS, FULL_CONNECTIONS} <= dict(attacks()).keys()


@pytest.mark.net
@pytest.mark.parametrize(
    "flood", [*(flood for _, flood in attacks()), honest(1e6)], ids=[*dict(attacks()), "honest"]
)
async def test_a_flood_that_reaches_nobody_is_no_siege(flood: Flood) -> None:
    with trio.socket.socket() as bound:
        await bound.bind(("127.0.0.1", 0))  # and listens to nobody
        address = HostPort(*bound.getsockname())
        async with raw_host(0) as host:
            target = Target(host, NODES[1], address, b"d" * 32)
            with trio.move_on_after(0.1):
                await flood.run(target)
    cost = Cost(seconds=1.0, sent_bytes=target.sent_bytes)
    with pytest.raises(AssertionError, match="nothing went out"):
        cost.check("unreached")
    Cost(seconds=1.0, sent_bytes=1).check("reached")


@pytest.mark.slow
@pytest.mark.mesh
@pytest.mark.once
@pytest.mark.net
async def test_one_peer_costs_a_daemon_bounded_memory_and_its_owner_little_time(
    tmp_path: Path,
) -> None:
    mesh = besieged(tmp_path)
    try:
        mesh.start(3)
        await run(mesh, seconds=1, chosen=FULL_CONNECTIONS)
    finally:
        mesh.stop()
