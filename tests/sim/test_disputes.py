"""Disputes in worlds of whole nodes: every liar is found or blamed, soon, and nobody else."""

from typing import Any

import pytest

from ambientd.ledger.events import (
    LiarNamed,
    PartyBlamed,
    RoundBegan,
    SegmentReached,
    TaskDisputed,
    TaskFinal,
    WholeWanted,
)
from ambientd.model.dispute import BEGINNING, SEGMENT_GAS
from ambientd.model.task import Verdict
from ambientd.node.effect import Told
from sim.cluster import ClusterOptions, FastKit, run
from sim.dispute_checkers import ROUNDS_MAX
from sim.faults import Fault
from sim.mutants.disputes import DISPUTE_MUTANTS
from sim.plans import FAST, TRIO, Plan, judge, play
from sim.traces import Run, TraceVice, follows, lie
from sim.trio_world.world import TrioKit
from sim.vices import PARTY_VICES, Vice
from tests.ledger.cluster import result

FAULTS = frozenset({Fault.LIAR, Fault.DISPUTES})
SEEDS = (1, 2, 3, 5)
PLAYS = frozenset(PARTY_VICES) - {Vice.STRAY, Vice.SILENT, Vice.UNPAUSABLE, Vice.TARDY}
"""Who plays its games to their end."""


class Ears:
    """Hears, once, what honest nodes tell of disputes."""

    effects = None

    def __init__(self) -> None:
        self.events: dict[object, int] = {}

    def saw_delivery(self, node: Any, delivery: Any, now: int) -> None:
        """Look away."""

    def saw_effect(self, node: Any, effect: Any, now: int) -> None:
        if isinstance(effect, Told) and node.is_honest:
            self.events.setdefault(effect.event, effect.time_ms)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def bisected_ms(self) -> list[int]:
        """Give how long each bisected dispute took in block time."""
        began = {each.task: self.events[each] for each in self.of(TaskDisputed)}
        whole = {each.task for each in self.of(WholeWanted)}
        return [
            self.events[each] - began[each.task]
            for each in self.of(TaskFinal)
            if each.task in began and each.task not in whole
        ]


def heard(seed: int, vice: Vice, kit: Any = FastKit) -> Ears:
    options = ClusterOptions(
        seed, faults=FAULTS, time_ms=35_000, replicas=(2, 3), vices=frozenset({vice})
    )
    ears = Ears()
    run(options, [ears], kit(seed))
    return ears


@pytest.mark.slow
@pytest.mark.parametrize("vice", PARTY_VICES)
def test_every_way_to_play_is_found_out(vice: Vice) -> None:
    for seed in SEEDS:
        ears = heard(seed, vice)
        if vice is Vice.STRAY:  # right as it is, and disputed only when another lies
            assert not ears.of(LiarNamed)
            return
        if not ears.of(RoundBegan):
            continue
        assert ears.of(LiarNamed)
        if vice is Vice.SILENT:
            assert ears.of(PartyBlamed)
        settled = [each.settlement.verdict for each in ears.of(TaskFinal)]
        assert (Verdict.BISECTED in settled) or vice not in PLAYS - {Vice.OTHERS_END}
        return
    pytest.fail("no world had a dispute")


@pytest.mark.slow
def test_a_step_in_two_thousand_million_gas_is_localised_within_eight_rounds_and_seconds() -> None:
    rounds, took_ms = [], []
    for seed in SEEDS[:2]:
        ears = heard(seed, Vice.WRONG_STEP)
        rounds += [each.round + 1 for each in ears.of(RoundBegan)]
        took_ms += ears.bisected_ms()
        assert all(
            each.until_gas - each.start_gas <= SEGMENT_GAS for each in ears.of(SegmentReached)
        )
    assert rounds
    assert max(rounds) <= ROUNDS_MAX // 2
    assert took_ms
    assert max(took_ms) <= 5_000


@pytest.mark.slow
def test_daemons_bisect_their_disputes_as_simulated_nodes_do() -> None:
    for seed in SEEDS:
        ears = heard(seed, Vice.WRONG_STEP, TrioKit)
        settled = {each.settlement.verdict for each in ears.of(TaskFinal)}
        if ears.of(RoundBegan) and Verdict.BISECTED in settled:
            assert ears.of(LiarNamed)
            return
    pytest.fail("no world had a dispute that was bisected")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vice", "reason"),
    [
        (Vice.UNPAUSABLE, "a party cannot pause the execution"),
        (Vice.SILENT, "a party did not say how it got to its answer"),
    ],
)
def test_where_a_daemon_says_nothing_the_referees_execute_the_whole(
    vice: Vice, reason: str
) -> None:
    for seed in SEEDS:
        told = heard(seed, vice, TrioKit).of(WholeWanted)
        if reason in {each.reason for each in told}:
            return
    pytest.fail("no world had a large dispute")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 4])
def test_disputes_end_amid_crashes_and_changing_committees(seed: int) -> None:
    play(Plan("node-games", seed, 4, 40_000))


@pytest.mark.slow
@pytest.mark.parametrize(("world", "seed"), [(FAST, 4), (FAST, 5), (TRIO, 4)])
def test_disputed_bundles_are_executed_whole_in_either_world(world: str, seed: int) -> None:
    found = play(Plan("node-bundles", seed, 4, 40_000, world=world))
    assert found.convicted


@pytest.mark.hunt
@pytest.mark.parametrize("seed", range(1, 21))
@pytest.mark.parametrize("scenario", ["node-disputes", "node-games"])
def test_disputes_are_fair_in_many_worlds(scenario: str, seed: int) -> None:
    play(Plan(scenario, seed, 4 if seed % 2 else 7, 40_000))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed", "promise"),
    [
        ("bisects-bundles", 5, "a bundle is executed whole"),
        ("compares-one-point", 1, "disputes are short"),
        ("few-segment-referees", 1, "a false step is proven"),
        ("spares-losers", 3, "verdicts are fair"),
    ],
)
def test_bugs_of_disputes_are_caught(name: str, seed: int, promise: str) -> None:
    (mutant,) = (mutant for mutant in DISPUTE_MUTANTS if mutant.name == name)
    found = judge(Plan(mutant.scenario, seed, 4, 40_000, mutant=name))
    assert getattr(found, "invariant", None) == promise


def test_a_run_leaves_the_truth_where_it_says() -> None:
    true = Run(b"seed", result(gas=10**9), 10**9)
    for vice in TraceVice:
        false = lie(vice, true, result(b"lie", gas=10**9), b"own")
        assert false.at(10**9 + 1) != true.at(10**9 + 1)
        assert (false.at(0) == true.at(0)) == (
            vice not in (TraceVice.WRONG_TRACE, TraceVice.WRONG_EVERYWHERE)
        )
    step = lie(TraceVice.WRONG_STEP, true, result(b"lie", gas=10**9), b"own")
    at = true.gas_reached * 2 // 3
    assert step.at(at - 10_000) == true.at(at - 10_000)
    assert step.at(at + 10_000).root != true.at(at + 10_000).root
    assert step.at(at + 10_000).gas_index == true.at(at + 10_000).gas_index


def test_referees_follow_true_states_and_take_no_other_blob() -> None:
    true = Run(b"seed", result(gas=10**6), 10**6)
    start = true.at(5_000)
    assert follows(true, true.known(start), 9_000) == true.at(9_000)
    assert follows(true, true.known(BEGINNING), 9_000) == true.at(9_000)
    false = lie(TraceVice.WRONG_TRACE, true, result(b"lie"), b"own")
    assert follows(true, true.known(false.at(5_000)), 9_000) not in (None, true.at(9_000))
    assert follows(true, true.known(start), 9_000) != follows(false, false.known(start), 9_000)
