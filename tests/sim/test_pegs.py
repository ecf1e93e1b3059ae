"""Worlds of the peg: what must hold does, and every deliberate bug is caught."""

from contextlib import ExitStack

import pytest

from sim.checkers import InvariantViolation
from sim.mutants.patch import replaced
from sim.mutants.peg import PEG_MUTANTS
from sim.pegs import PegWorld

SEEDS_MAX = 8


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 7))
def test_reserves_equal_liabilities_in_every_world(seed: int) -> None:
    world = PegWorld(seed)
    world.run()
    assert world.ledger.peg.payments


@pytest.mark.slow
def test_a_seed_is_the_same_world_again() -> None:
    first, second = PegWorld(3), PegWorld(3)
    first.run()
    second.run()
    assert first.ledger.root == second.ledger.root


def shown_by_any_seed() -> None:
    for seed in range(1, SEEDS_MAX + 1):
        PegWorld(seed).run()


@pytest.mark.slow
@pytest.mark.parametrize("name", PEG_MUTANTS)
def test_a_bug_of_the_peg_is_caught(name: str) -> None:
    with ExitStack() as stack:
        for patch in PEG_MUTANTS[name]:
            stack.enter_context(replaced(patch))
        with pytest.raises((InvariantViolation, AssertionError)):
            shown_by_any_seed()
