"""Memory and the owner's wait are bounded under attack; `make fuzz-daemon` tries all attacks."""

from pathlib import Path

import pytest

from tests.fuzz.floods import FULL_CONNECTIONS, attacks
from tests.fuzz.live import besieged
from tests.fuzz.siege import run
from tests.mesh.test_hostile_peers import ATTACKS


def test_every_attack_that_is_known_is_one_that_goes_on() -> None:
    assert {*ATTACKS, FULL_CONNECTIONS} <= dict(attacks()).keys()


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
