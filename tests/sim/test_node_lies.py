"""Whole nodes tell the log's lies, in either world, and no promise breaks."""

from pathlib import Path
from typing import Any

import pytest

from sim.cluster import ClusterOptions, FastKit, build, run
from sim.faults import Fault
from sim.lies import Lie
from sim.node_lies import LOG_ALONE, NODE_LIES
from sim.plans import Plan, refusal
from sim.quick import quick
from sim.trio_world.world import TrioKit

FAULTS = frozenset({Fault.LIAR, Fault.CRASH, Fault.DELAY, Fault.PARTITION})
SEEDS = (1, 2, 3, 4, 5, 6, 7, 8)
HUNT = pytest.mark.hunt


def told(kit: Any, seed: int, lies: frozenset[Lie], time_ms: int) -> set[Lie]:
    """Run a world whose one liar tells these lies, under all checkers; give those it told."""
    options = ClusterOptions(
        seed, faults=FAULTS, time_ms=time_ms, vices=frozenset(), tells=True, lies=lies
    )
    stage = kit(seed)
    with quick():
        run(options, (), stage)
        hosts = [stage.world.host_of(host.key) for host in build(options)[1].members]
    (liar,) = (host for host in hosts if host.lies is not None)
    assert not liar.is_honest
    return set(liar.lies.told)


@pytest.mark.slow
@pytest.mark.parametrize("lie", NODE_LIES, ids=lambda lie: lie.name.lower())
def test_a_whole_node_tells_the_lie_and_no_promise_breaks(lie: Lie) -> None:
    worlds = (told(FastKit, seed, frozenset({lie}), 30_000) for seed in SEEDS)
    assert any(each == {lie} for each in worlds)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=HUNT), pytest.param(3, marks=HUNT)])
def test_a_daemon_in_the_trio_world_tells_lies_and_no_promise_breaks(seed: int) -> None:
    assert told(TrioKit, seed, frozenset(NODE_LIES), 26_000)


def test_each_lie_is_told_by_whole_nodes_or_has_a_reason_why_not() -> None:
    assert len(set(NODE_LIES)) == len(NODE_LIES)
    assert {*NODE_LIES, *LOG_ALONE} == set(Lie)
    assert not set(NODE_LIES) & set(LOG_ALONE)


def test_the_document_names_the_lies_that_whole_nodes_tell() -> None:
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    assert ", ".join(f"`{lie.name.lower()}`" for lie in NODE_LIES) in " ".join(text.split())


def test_lies_of_the_log_are_for_worlds_whose_nodes_tell_them() -> None:
    assert refusal(Plan("node-lies", 1, lies=("throttle", "lie"))) is None
    assert refusal(Plan("node-lies", 1, lies=("stale",))) is not None
    assert refusal(Plan("node-liars", 1, lies=("throttle",))) is not None
