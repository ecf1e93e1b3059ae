"""Whole nodes tell the log's lies, in either world, and no promise breaks."""

import random
from pathlib import Path
from typing import Any

import pytest

from ambientd.consensus.effects import PeerFault
from ambientd.consensus.messages import QcNotice, Vote
from sim.cluster import ClusterOptions, FastKit, build, run
from sim.faults import Fault
from sim.lies import Lie
from sim.node_lies import LOG_ALONE, NODE_LIES, NodeLies
from sim.plans import Plan, refusal
from sim.quick import quick
from sim.trio_world.world import TrioKit
from tests.consensus.bench import Bench, record

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


def liar_on(bench: Bench, who: int, lie: Lie) -> NodeLies:
    return NodeLies(bench.signers[who], frozenset({lie}), random.Random(1))


def test_a_vote_that_its_log_has_cast_is_no_lie() -> None:
    bench = Bench(4)
    bench.start(1)
    lies = liar_on(bench, 1, Lie.VOTE_ANYTHING)
    machine, number = bench.machine(1), bench.number(1)
    bench.receive(1, 0, bench.block(0, 1, bench.genesis, record(1)))
    assert machine.safety.last_vote is not None
    assert not lies._forged(Lie.VOTE_ANYTHING, machine, number)
    bench.receive(1, 0, bench.block(0, 1, bench.genesis, record(2)))
    machine._give_up(bench.now)
    [said] = lies._forged(Lie.VOTE_ANYTHING, machine, number)
    assert isinstance(said.message, Vote)
    assert said.message.hash != machine.safety.last_vote.hash


def test_certificates_of_the_epoch_before_are_shown_again() -> None:
    old, new = Bench(4), Bench(4, changes={"epoch": 1})
    old.start(1)
    new.start(1)
    lies = liar_on(old, 1, Lie.REPLAY)
    certificate = old.qc(old.block(0, 1, old.genesis), 0, 1, 2)
    old.receive(1, 0, QcNotice(certificate, None))
    lies._enter(old.machine(1))
    lies._enter(new.machine(1))
    shown = [each for _ in range(20) for each in lies._replayed(new.machine(1))]
    assert {each.qc for each in shown} == {certificate}
    [fault] = new.receive(1, 2, shown[0])
    assert isinstance(fault, PeerFault), "it counts for nothing in another epoch"


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
