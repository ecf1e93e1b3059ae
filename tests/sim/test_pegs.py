"""Worlds of the peg: what must hold does, and every deliberate bug is caught."""

from contextlib import ExitStack

import pytest

from ambientd.ledger.peg import imbalance
from ambientd.model.peg import CoinState
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN, Outpoint
from ambientd.rules.peg_payments import txid
from ambientd.rules.peg_script import locking_script
from sim.checkers import InvariantViolation
from sim.mutants.patch import replaced
from sim.mutants.peg import PEG_MUTANTS
from sim.peg_bounds import MOST_SAT, drawn_most_sat
from sim.pegs import PAYEE, PegWorld
from sim.quick import quick

BOUNDED = (5, 7)
SEEDS = (11, *range(1, 10))
"""The first has payments that spend what came back of payments that are undone."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 4, 5, 6, 7])
def test_reserves_equal_liabilities_in_every_world(seed: int) -> None:
    world = PegWorld(seed)
    world.run()
    assert world.ledger.peg.payments


def test_some_worlds_have_a_bound_and_those_of_every_exhibit_have_none() -> None:
    bounds = [drawn_most_sat(seed) for seed in range(400)]
    assert 60 < sum(bound > 0 for bound in bounds) < 140
    assert set(bounds) == {0, *MOST_SAT}
    before_there_were_bounds = 181_716_342_558  # a sweep left the next one too little, once
    assert drawn_most_sat(before_there_were_bounds) == 0


@pytest.mark.slow
def test_in_a_bounded_world_something_waits_and_all_that_fits_is_counted() -> None:
    waited = 0
    for seed in BOUNDED:
        world = PegWorld(seed)
        world.run()
        assert world.most_sat
        waited += sum(
            entry is not None and entry.state is CoinState.WAITING
            for coin in world.chain.unspent
            for entry in [world.ledger.peg_coin(coin.txid, coin.index)]
        )
        assert not world.bound.fitting(world.chain.unspent)
    assert waited


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


def test_a_peg_in_that_a_deeper_reorganisation_takes_back_halts_the_peg_until_it_is_there() -> None:
    world, outpoint = with_a_counted_peg_in()
    paid = world.chain.blocks[world.chain.heights[outpoint.txid]].txs[1]
    world.chain.reorganise(CONFIRMATIONS_MIN + 2, drops=True)
    assert outpoint not in world.chain.unspent
    live(world, 4)
    assert imbalance(world.ledger) is None, "the books do not know of it"
    told = [keeper.core.faults(world.ledger) for keeper in world.keepers]
    assert all("lacks 1 of the coins" in fault for [fault] in told), "every member does"
    world.withdraw(world.owner(), 100_000, 500)
    live(world, 20)
    entry = world.ledger.peg_payment(1)
    assert entry is not None
    assert entry.words == (), "and signs nothing away"
    world.chain.waiting[paid.txid] = paid
    live(world, 20)
    assert [keeper.core.faults(world.ledger) for keeper in world.keepers] == [()] * len(told)
    assert world.ledger.peg.out_sat == 99_500


def live(world: PegWorld, steps: int) -> None:
    for _ in range(steps):
        world.chain.mine()
        world.step(checks_coins=False)


@pytest.mark.parametrize("depth", [CONFIRMATIONS_MIN + 1, 10, 14, 20])
def test_another_version_is_mined_by_a_deeper_reorganisation(depth: int) -> None:
    world, _ = with_a_counted_peg_in()
    chain, ledger, owner = world.chain, world.ledger, world.owner()
    world.withdraw(owner, 100_000, 500)
    for _ in range(4):
        world.step()
    world.raise_to(owner, 1, 2_000)
    for _ in range(4):
        world.step()
    while not ledger.peg.out_sat:
        world.step()
        chain.mine()
    world.withdraw(owner, 50_000, 500)
    world.step()
    entry = ledger.peg_payment(1)
    assert entry is not None
    first, second = txid(entry.payment, 0), txid(entry.payment, 1)
    while len(chain.blocks) - chain.heights[second] < depth:
        world.step()
        chain.mine()
    chain.reorganise(len(chain.blocks) - chain.heights[second], drops=False, leaving=second)
    chain.waiting[first] = chain.kept[first]
    live(world, 300)
    assert (first in chain.heights, second in chain.heights) == (True, False)
    paid_sat = sum(each.value_sat for each in chain.unspent.values() if each.script == PAYEE)
    assert ledger.peg.out_sat == paid_sat == 99_500 + 49_500, "each is paid, and paid once"
    assert {coin in chain.unspent for coin in ledger.peg_index.held()} == {True}


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
    for seed in SEEDS:
        PegWorld(seed).run()


@pytest.mark.slow
@pytest.mark.parametrize("name", PEG_MUTANTS)
def test_a_bug_of_the_peg_is_caught(name: str) -> None:
    with ExitStack() as stack:
        stack.enter_context(quick())
        for patch in PEG_MUTANTS[name]:
            stack.enter_context(replaced(patch))
        with pytest.raises((InvariantViolation, AssertionError)):
            shown_by_any_seed()
