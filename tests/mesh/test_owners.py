"""An owner's pause on a real daemon: at once, across a kill, and over when it is lifted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ambientd.adapters.trail_files import check_trail, read_trail
from ambientd.api.cluster import ClusterPlan
from ambientd.api.doctor_values import LookRound
from ambientd.api.operations import (
    DOCTOR_LOOK,
    NODES,
    OWNER_SET,
    OWNER_SHOW,
    PAUSE,
    RESUME,
    STATUS,
)
from ambientd.api.owner_standing import OwnerStanding
from ambientd.api.owner_values import Pause, Resume, SetOwner, ShowOwner
from ambientd.api.requests import GetStatus, ListNodes
from ambientd.client import Mesh
from ambientd.model.genesis import Rules
from tests.mesh.cluster import Cluster, Daemon

NOOP = (Path(__file__).parents[2] / "examples" / "noop" / "noop.wasm").read_bytes()
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
    assert told.standing.closed == "paused"
    heeded(pair, first)
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
    pair.until(
        lambda: [each.reached for each in first.ask(DOCTOR_LOOK, LookRound()).peers] == [True],
        "the other node reaches it",
    )
    trail = first.data_dir / "trail"
    assert check_trail(trail).fault == ""
    assert [each.operation for each in read_trail(trail)] == ["pause", "resume", "owner.set"]


def heeded(mesh: Cluster, daemon: Daemon) -> OwnerStanding:
    """Wait until the log has what an owner has said, longer than the answer to it has waited."""
    mesh.until(lambda: daemon.ask(OWNER_SHOW, ShowOwner()).standing.told, "the log has it")
    return daemon.ask(OWNER_SHOW, ShowOwner()).standing


def workers_of(program: Mesh, **terms: Any) -> set[str | None]:
    """Have some tasks executed, and give who did."""
    tasks = [program.run(NOOP, assurance="none", **terms) for _ in range(6)]
    ended = [task.wait(60) for task in tasks]
    return {slot.worker for each in ended for slot in each.slots}


def test_caps_are_shown_in_status_and_the_scheduler_heeds_them_with_the_next_task(
    pair: Cluster,
) -> None:
    first, second = pair.daemons
    own, other = (each.ask(STATUS, GetStatus()).node for each in pair.daemons)
    assert first.ask(STATUS, GetStatus()).owner.caps.cpu_percent == 100
    with Mesh(second.data_dir) as program:
        wanted = SetOwner(
            cpu_percent=30, memory_bytes_max=2**33, refuses=("general",), on_battery=False
        )
        first.ask(OWNER_SET, wanted)
        heeded(pair, first)
        caps = first.ask(STATUS, GetStatus()).owner.caps
        assert (caps.cpu_percent, caps.memory_bytes_max) == (30, 2**33)
        assert (caps.refuses, caps.on_battery, caps.on_metered) == (("general",), False, True)
        assert workers_of(program) == {other}

        first.ask(OWNER_SET, SetOwner(refuses=()))
        heeded(pair, first)
        second.ask(PAUSE, Pause())
        heeded(pair, second)
        assert second.ask(STATUS, GetStatus()).owner.caps.paused
        assert workers_of(program) == {own}

        second.ask(RESUME, Resume())
        heeded(pair, second)
        closed = SetOwner(hours=("Mon 00:00-00:01",), time_zone="UTC")
        first.ask(OWNER_SET, closed)
        assert heeded(pair, first).closed == "hours", "but for a minute a week"
        assert workers_of(program) == {other}


def test_a_task_that_needs_more_memory_than_owners_lend_goes_elsewhere_or_waits(
    pair: Cluster,
) -> None:
    first, second = pair.daemons
    own, other = (each.ask(STATUS, GetStatus()).node for each in pair.daemons)
    small, large = 64 << 20, 256 << 20
    capped = SetOwner(memory_bytes_max=128 << 20)
    terms = {"output_bytes_max": 1 << 20, "assurance": "none"}
    with Mesh(second.data_dir) as program:
        second.ask(OWNER_SET, capped)
        heeded(pair, second)
        tasks = [program.run(NOOP, memory_bytes_max=large, **terms) for _ in range(6)]
        slots = [slot for task in tasks for slot in task.wait(60).slots]
        assert {(slot.worker, slot.attempt) for slot in slots} == {(own, 0)}

        first.ask(OWNER_SET, capped)
        heeded(pair, first)
        waiting = program.run(NOOP, memory_bytes_max=large, **terms)
        for each in [program.run(NOOP, memory_bytes_max=small, **terms) for _ in range(3)]:
            assert each.wait(60).state == "final"
        why = waiting.why()
        assert (why.state, waiting.show().slots[0].attempt) == ("pending", 0)
        assert "owners of 2 lend less memory than it needs" in why.text
        assert {each.standing for each in why.nodes} == {"no_memory"}

        second.ask(OWNER_SET, SetOwner(memory_bytes_max=0))
        heeded(pair, second)
        ended = waiting.wait(60)
        assert (ended.state, ended.slots[0].worker) == ("final", other)
