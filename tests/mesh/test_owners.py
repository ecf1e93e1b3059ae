"""An owner's pause on a real daemon: at once, across a kill, and over when it is lifted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.adapters.trail_files import check_trail, read_trail
from ambientd.api.cluster import ClusterPlan
from ambientd.api.doctor_values import LookRound
from ambientd.api.operations import DOCTOR_LOOK, NODES, OWNER_SET, PAUSE, RESUME, STATUS
from ambientd.api.owner_values import Pause, Resume, SetOwner
from ambientd.api.requests import GetStatus, ListNodes
from ambientd.model.genesis import Rules
from tests.mesh.cluster import Cluster

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "pair", 2, ClusterPlan(bitcoin="off", rules=Rules(batch_ms=100)))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def test_a_pause_is_told_outlives_a_kill_and_ends_when_it_is_lifted(pair: Cluster) -> None:
    first, second = pair.daemons
    told = first.ask(PAUSE, Pause())
    assert (told.standing.closed, told.standing.told) == ("paused", True)
    own = first.ask(STATUS, GetStatus()).node

    def closed() -> str:
        (found,) = (node for node in second.ask(NODES, ListNodes()).nodes if node.id == own)
        return found.closed

    pair.until(lambda: closed() == "its owner paused it", "the other node to hear of it")
    first.kill()
    first.start()
    status = pair.until(first.status, "the node to answer again")
    assert status is not None
    assert status.owner.text == "paused by owner"
    pair.until(lambda: first.ask(STATUS, GetStatus()).peers, "the node to find the other")
    assert first.ask(RESUME, Resume()).standing.closed == "open"
    assert first.ask(OWNER_SET, SetOwner(cpu_percent=50)).cpu_percent == 50
    look = first.ask(DOCTOR_LOOK, LookRound())
    assert [each.reached for each in look.peers] == [True]
    trail = first.data_dir / "trail"
    assert check_trail(trail).fault == ""
    assert [each.operation for each in read_trail(trail)] == ["pause", "resume", "owner.set"]
