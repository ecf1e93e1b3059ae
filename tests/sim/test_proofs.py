"""Worlds in which tasks are proven: nothing false is settled, and no honest worker is convicted."""

import pytest

from ambientd.ledger.events import StepGivenUp, TaskFinal
from ambientd.model.task import Verdict
from sim.cluster import ClusterOptions, FastKit, run
from sim.faults import Fault
from sim.outcomes import ClusterOutcome
from sim.plans import FAST, TRIO, Plan, play
from sim.vices import Vice
from tests.sim.test_disputes import Ears

DISPUTED = frozenset({Fault.LIAR, Fault.DISPUTES})


def endings(plan: Plan) -> dict[str, int]:
    found = play(plan)
    assert isinstance(found, ClusterOutcome)
    return dict(found.endings)


@pytest.mark.slow
@pytest.mark.parametrize(("world", "seed"), [(FAST, 1), (FAST, 5), (TRIO, 2)])
def test_proven_tasks_end_amid_crashes_and_false_proofs(world: str, seed: int) -> None:
    found = endings(Plan("node-proofs", seed, 4, 40_000, world=world))
    assert found["proven"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vice", "convicts"), [("false_proof", True), ("hidden_proof", False)], ids=str
)
def test_a_false_proof_convicts_and_a_hidden_one_does_not(vice: str, convicts: bool) -> None:
    plan = Plan("node-proofs", 1, 4, 40_000, lies=(vice,))
    found = play(plan)
    assert isinstance(found, ClusterOutcome)
    assert bool(found.convicted) == convicts
    assert dict(found.endings)["proven"] > 0


@pytest.mark.hunt
@pytest.mark.parametrize("seed", range(1, 21))
def test_proofs_are_judged_fairly_in_many_worlds(seed: int) -> None:
    play(Plan("node-proofs", seed, 4 if seed % 2 else 7, 40_000))


@pytest.mark.slow
@pytest.mark.parametrize("world", [FAST, TRIO])
def test_what_is_disputed_is_proven_and_the_truth_wins(world: str) -> None:
    found = endings(Plan("node-steps", 5, 4, 40_000, world=world))
    assert found["proven"] > 0
    assert world == TRIO or found["bisected"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 4])
def test_promised_proofs_hold_up_nothing_amid_crashes_and_changing_committees(seed: int) -> None:
    play(Plan("node-promises", seed, 4, 40_000))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vice", "reason"),
    [
        ("false_proof", "its proof is wrong"),
        ("hidden_proof", "too few members judged its proof"),
    ],
)
def test_false_and_hidden_proofs_of_stretches_are_given_up_and_the_liar_loses(
    vice: str, reason: str
) -> None:
    for seed in range(6, 14):
        ears = Ears()
        vices = frozenset({Vice[vice.upper()], Vice.WRONG_STEP})
        options = ClusterOptions(
            seed, faults=DISPUTED, time_ms=35_000, replicas=(2, 3), proves=True, vices=vices
        )
        run(options, [ears], FastKit(seed))
        given_up = [each for each in ears.of(StepGivenUp) if each.reason == reason]
        if given_up:
            assert all(each.is_blamed == (vice == "false_proof") for each in given_up)
            ended = {each.task: each.settlement.verdict for each in ears.of(TaskFinal)}
            assert Verdict.BISECTED in {ended.get(each.task) for each in given_up}
            return
    pytest.fail("no world had such a proof")


@pytest.mark.hunt
@pytest.mark.parametrize("seed", range(1, 21))
@pytest.mark.parametrize("scenario", ["node-steps", "node-promises"])
def test_disputes_with_proofs_are_fair_in_many_worlds(scenario: str, seed: int) -> None:
    play(Plan(scenario, seed, 4 if seed % 2 else 7, 40_000))
