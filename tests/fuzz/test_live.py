"""Some seconds of mutated bytes on a live daemon's sockets; `make fuzz-daemon` goes on."""

from itertools import islice
from pathlib import Path

import pytest

from tests.fuzz.live import LOCAL, besieged, bombard, cases, sound
from tests.mesh.test_hostile_peers import check_served


def test_a_seed_means_the_same_cases() -> None:
    assert list(islice(cases(3), 50)) == list(islice(cases(3), 50))
    assert list(islice(cases(3), 50)) != list(islice(cases(4), 50))


def test_every_protocol_that_a_daemon_serves_has_sound_messages_to_begin_with() -> None:
    protocols = {protocol for protocol, _ in sound()}
    assert LOCAL in protocols
    assert len(protocols) == 11


@pytest.mark.slow
@pytest.mark.mesh
@pytest.mark.once
@pytest.mark.net
async def test_mutated_messages_on_every_socket_end_no_daemon(tmp_path: Path) -> None:
    mesh = besieged(tmp_path)
    try:
        mesh.start(3)
        check_served(mesh)
        gone = await bombard(mesh, seed=1, seconds=60, cases_max=100)
        assert set(gone) == {protocol for protocol, _ in sound()}
    finally:
        mesh.stop()
