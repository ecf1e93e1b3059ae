from hypothesis import given
from hypothesis import strategies as st

from ambientd.rules.rewards import (
    cancel_fee_msat,
    escrow_msat,
    premium_msat,
    reward_msat,
    slot_fee_msat,
)

GAS = st.integers(0, 2**53)
PRICE = st.integers(0, 10**9)


def test_a_fee_is_rounded_up_to_the_next_millisatoshi() -> None:
    assert slot_fee_msat(1, 1) == 1
    assert slot_fee_msat(1_000_000, 7) == 7
    assert slot_fee_msat(1_000_001, 7) == 8
    assert reward_msat(0, 7) == 0


@given(GAS, GAS, PRICE, st.integers(0, 1000))
def test_an_escrow_for_one_worker_alone_covers_the_premium(
    gas: int, more: int, price: int, permille: int
) -> None:
    pay_msat = reward_msat(gas, price)
    escrow = escrow_msat(gas + more, price, 1, permille)
    assert pay_msat + premium_msat(pay_msat, permille) <= escrow


@given(GAS, GAS, PRICE, st.integers(2, 64))
def test_an_escrow_covers_every_worker_and_the_referees(
    gas: int, more: int, price: int, replicas: int
) -> None:
    gas_max = gas + more
    escrow = escrow_msat(gas_max, price, replicas, 100)
    assert replicas * reward_msat(gas, price) + slot_fee_msat(gas_max, price) <= escrow
    assert replicas * cancel_fee_msat(gas_max, price) <= escrow
