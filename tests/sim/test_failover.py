"""Coordinators and workers that stop at each state of a task, and devices that overheat."""

from typing import Any

import pytest

from ambientd.ledger.events import NodeOffered, SlotReleased
from ambientd.ledger.offers import REASON_HOT
from ambientd.model.base import NodeId
from ambientd.model.offer import Closed
from sim.cluster import ClusterOptions, build, run, watch
from sim.faults import Fault
from sim.happenings import Heats
from sim.node_checkers import check_ends
from sim.strikes import COORDINATOR, EXECUTING, ROLES, STATES, WORKER, Striker, Strikes
from sim.vices import Vice

TIME_MS = 40_000
CALM_MS = 15_000
BACK_MS = (60, 2_000, 8_000)
FAILOVER = frozenset({Fault.TIMED_CRASH})
DISPUTED = "disputed"


def noting(world: Any) -> list[tuple[object, ...]]:
    """Keep what is put into a world's trace."""
    told: list[tuple[object, ...]] = []
    noted = world.note

    def note(*parts: object) -> None:
        told.append(parts)
        noted(*parts)

    world.note = note
    return told


def struck(state: str, role: str, seed: int) -> int:
    """Run a world in which this happens now and then, hold it to every promise, and count."""
    strikes = tuple(
        Strikes(at_ms, state, role, back_ms, CALM_MS)
        for at_ms, back_ms in zip((2_000, 5_000, 9_000), BACK_MS, strict=True)
    )
    options = ClusterOptions(
        seed,
        joiners=1,
        faults=FAILOVER | ({Fault.LIAR} if state == DISPUTED else set()),
        time_ms=TIME_MS,
        happenings=strikes,
        vices=frozenset({Vice.LIE}) if state == DISPUTED else None,
    )
    world, cast, history, _ = build(options)
    watch(world, cast)
    world.observers.append(history)
    told = noting(world)
    world.run(TIME_MS)
    check_ends(cast.honest)
    history.check()
    assert cast.honest[0].ledger.receipt_log_size() > 10
    assert not any(isinstance(each, Striker) for each in world.observers), "they look on"
    return sum(parts[0] == "strikes" for parts in told)


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("state", STATES)
def test_whoever_stops_at_whichever_state_each_task_has_one_end(state: str, role: str) -> None:
    assert 0 < struck(state, role, seed=STATES.index(state)) <= len(BACK_MS), f"nobody was {state}"


@pytest.mark.parametrize("role", [COORDINATOR, WORKER])
def test_who_stops_amid_an_execution_is_the_one_that_is_meant(role: str) -> None:
    strike = Strikes(2_000, EXECUTING, role, 3_000, CALM_MS)
    options = ClusterOptions(4, faults=FAILOVER, time_ms=30_000, happenings=(strike,))
    world, _, _, _ = build(options)
    told = noting(world)
    world.run(10_000)
    (found,) = [parts for parts in told if parts[0] == "strikes"]
    assert found[:3] == ("strikes", EXECUTING, role)
    crashes = [parts[1] for parts in told if parts[0] == "crash"]
    assert crashes == [found[3]]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(11, 13))
def test_the_promises_hold_with_crashes_at_drawn_states(seed: int) -> None:
    outcome = run(ClusterOptions(seed, (4, 7, 3)[seed % 3], faults=FAILOVER, time_ms=TIME_MS))
    assert outcome.tasks >= 20
    assert outcome.convicted == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [21])
def test_devices_that_overheat_hand_their_work_on_and_come_back(seed: int) -> None:
    options = ClusterOptions(
        seed, faults=frozenset({Fault.HEAT}), time_ms=60_000, task_every_ms=100
    )
    world, cast, history, happenings = build(options)
    watch(world, cast)
    world.observers.append(history)
    world.run(options.time_ms)
    check_ends(cast.honest)
    history.check()
    assert any(isinstance(each, Heats) for each in happenings)
    told = [each.event for each in cast.honest[0].told]  # type: ignore[attr-defined]
    closed = [each for each in told if isinstance(each, NodeOffered)]
    assert {each.closed for each in closed} == {Closed.HOT, Closed.OPEN}
    assert any(isinstance(each, SlotReleased) and each.reason == REASON_HOT for each in told)
    ledger = cast.honest[0].ledger
    entries = [ledger.node(NodeId(host.key)) for host in cast.hosts]
    assert all(entry is not None and entry.closed == Closed.OPEN for entry in entries)
