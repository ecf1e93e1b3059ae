"""Where there is a peg: what a genesis must say on the main network."""

import pytest
from msgspec.structs import replace

from ambientd.model.genesis import Genesis, Rules
from ambientd.rules.peg_networks import (
    BOUND_MIN_SAT,
    MAIN_SAT_MAX,
    NOT_AUDITED,
    peg_fault,
    unaudited,
)
from ambientd.rules.peg_payments import PEG_IN_MIN_SAT
from tests.ledger.peg import PegCluster

SAID = Rules(peg_acknowledged=NOT_AUDITED, peg_sat_max=MAIN_SAT_MAX)


def genesis_of(network: str, rules: Rules | None = None) -> Genesis:
    return replace(PegCluster(network=network).genesis, rules=rules or Rules())


@pytest.mark.parametrize("network", ["regtest", "signet", "testnet4"])
def test_coins_that_are_worth_nothing_need_no_words(network: str) -> None:
    assert peg_fault(genesis_of(network)) is None
    assert unaudited(network) == ()


@pytest.mark.parametrize("said", ["", "yes", "main-network-peg-not-audited-2"])
def test_on_the_main_network_nothing_but_the_exact_words_will_do(said: str) -> None:
    fault = peg_fault(genesis_of("main", replace(SAID, peg_acknowledged=said)))
    assert fault is not None
    assert "it was not audited" in fault
    assert peg_fault(genesis_of("main", SAID)) is None
    assert unaudited("main")


@pytest.mark.parametrize("most_sat", [0, MAIN_SAT_MAX + 1])
def test_a_peg_on_the_main_network_is_bounded(most_sat: int) -> None:
    fault = peg_fault(genesis_of("main", replace(SAID, peg_sat_max=most_sat)))
    said = f"{BOUND_MIN_SAT} to {MAIN_SAT_MAX} sat"
    assert fault == f"on the main network a peg holds at most {said}"


@pytest.mark.parametrize("network", ["main", "regtest"])
def test_a_bound_leaves_room_for_a_late_peg_in_of_the_least_that_counts(network: str) -> None:
    assert BOUND_MIN_SAT // 2 == PEG_IN_MIN_SAT
    genesis = genesis_of(network, replace(SAID, peg_sat_max=BOUND_MIN_SAT))
    assert peg_fault(genesis) is None
    less = genesis_of(network, replace(SAID, peg_sat_max=BOUND_MIN_SAT - 1))
    assert "no room for a late peg-in" in str(peg_fault(less))


def test_the_words_bring_no_peg_to_play_credits_or_elsewhere() -> None:
    assert peg_fault(PegCluster(network="none", rules=SAID).genesis) is not None
    granted = PegCluster(network="main", rules=SAID, grant_msat=1)
    assert "play credits" in str(peg_fault(granted.genesis))
