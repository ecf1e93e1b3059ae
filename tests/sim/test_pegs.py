"""Worlds of the peg: what must hold does, and every deliberate bug is caught."""

from contextlib import ExitStack

import pytest

from ambientd.ledger.peg import imbalance
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN, Outpoint
from ambientd.rules.peg_payments import txid
from ambientd.rules.peg_script import locking_script
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


def with_a_counted_peg_in() -> tuple[PegWorld, Outpoint]:
    """Let a peg-in be counted in a world in which nothing else happens."""
    world = PegWorld(1)
    world.is_calm = True
    world.open()
    index = world.ledger.peg_index
    at, _ = next(index.addresses())
    world.chain.pay(locking_script(index.wallets[1], at), 400_000)
    for _ in range(CONFIRMATIONS_MIN):
        world.chain.mine()
    while not world.ledger.peg.in_sat:
        world.step()
    [(_, outpoint)] = index.candidates(1, 0)
    return world, outpoint


def test_a_deeper_reorganisation_that_mines_a_peg_in_again_changes_nothing() -> None:
    world, outpoint = with_a_counted_peg_in()
    world.chain.reorganise(CONFIRMATIONS_MIN + 2, drops=False)
    for _ in range(10):
        world.step()
    assert world.ledger.peg.in_sat == 400_000, "counted once"
    assert outpoint in world.chain.unspent


def test_a_peg_in_that_a_deeper_reorganisation_takes_back_is_missed_and_never_made_up() -> None:
    world, outpoint = with_a_counted_peg_in()
    world.chain.reorganise(CONFIRMATIONS_MIN + 2, drops=True)
    with pytest.raises(InvariantViolation, match="is not on the chain"):
        world.step()
    assert imbalance(world.ledger) is None, "the books do not know of it"
    assert outpoint not in world.chain.unspent, "an audit does"


def test_a_final_payment_that_a_deeper_reorganisation_undoes_is_sent_again() -> None:
    world, _ = with_a_counted_peg_in()
    world.withdraw(world.owner(), 100_000, 500)
    while not world.ledger.peg.out_sat:
        world.chain.mine()
        world.step()
    entry = world.ledger.peg_payment(1)
    assert entry is not None
    name = txid(entry.payment, 0)
    world.chain.reorganise(CONFIRMATIONS_MIN + 1, drops=False)
    world.chain.forget(name)
    for _ in range(200):
        world.chain.mine()
        world.step(checks_coins=False)
    assert world.chain.height_of(name) is not None
    assert world.ledger.peg.out_sat == 99_500, "and paid once"


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
