"""Worlds in which tasks are proven: nothing false is settled, and no honest worker is convicted."""

import pytest

from sim.cluster import ClusterOutcome
from sim.plans import FAST, TRIO, Plan, play


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
