"""Worlds in which the committee changes."""

import pytest

from sim.epochs import EpochWorldOptions, run


def test_a_calm_world_changes_its_committee_again_and_again() -> None:
    outcome = run(EpochWorldOptions(1, time_ms=25_000, has_faults=False))
    assert outcome.epochs >= 4
    assert outcome.convicted == 0


def test_a_seed_gives_the_same_world_twice() -> None:
    options = EpochWorldOptions(2, time_ms=24_000)
    assert run(options) == run(options)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "nodes"), [(3, 4), (18, 4), (5, 7), (6, 1), (7, 2), (8, 3)])
def test_every_promise_holds_across_epochs_under_all_faults(seed: int, nodes: int) -> None:
    assert run(EpochWorldOptions(seed, nodes)).epochs >= 1
