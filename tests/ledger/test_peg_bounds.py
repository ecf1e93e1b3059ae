"""The most that a peg holds, and a peg on the main network.

`PegCluster.apply` compares reserves and liabilities after each block.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from ambientd.ledger.peg_ins import FULL, PEG_IN_FEE_SAT, room_sat
from ambientd.model.genesis import Rules
from ambientd.model.peg import CoinState
from ambientd.model.record import PegAddress, PegIn
from ambientd.rules.bitcoin import MAIN, NETWORKS, REGTEST, decode_transaction
from ambientd.rules.peg_networks import MAIN_SAT_DEFAULT, NOT_AUDITED
from tests.ledger.cluster import rejections
from tests.ledger.peg import PegCluster

MOST_SAT = 100_000
ON_MAIN = Rules(peg_acknowledged=NOT_AUDITED, peg_sat_max=MAIN_SAT_DEFAULT)


def opened(**changes: object) -> PegCluster:
    cluster = PegCluster(**changes)  # type: ignore[arg-type]
    cluster.open()
    return cluster


def bounded() -> PegCluster:
    return opened(rules=Rules(peg_sat_max=MOST_SAT, keep_ms=20_000))


def state_of(cluster: PegCluster, body: PegIn) -> CoinState | None:
    entry = cluster.state.peg_coin(decode_transaction(body.proof.raw_tx).txid, body.output)
    return None if entry is None else entry.state


def balance_sat(cluster: PegCluster, number: int) -> int:
    return cluster.state.balance_msat(cluster.node(number)) // 1_000


def test_what_does_not_fit_waits_until_enough_has_gone_out() -> None:
    cluster = bounded()
    cluster.fund(0, 70_000)
    large, small = cluster.peg_in(1, 40_000), cluster.peg_in(2, 30_000)
    cluster.all_say(large)
    assert state_of(cluster, large) is CoinState.WAITING
    cluster.all_say(small)
    assert state_of(cluster, small) is CoinState.HELD
    assert room_sat(cluster.state, cluster.state.peg) == 0
    assert rejections(cluster.block((0, large))) == [FULL]
    assert balance_sat(cluster, 1) == 0
    cluster.block((0, cluster.out(60_000)))
    assert rejections(cluster.block((0, large))) == [FULL]
    cluster.finish(1)
    assert rejections(cluster.block((3, large))) == []
    assert state_of(cluster, large) is CoinState.HELD
    assert balance_sat(cluster, 1) == 40_000 - PEG_IN_FEE_SAT


def test_what_waits_is_nobodys_claim_and_is_credited_once() -> None:
    cluster = bounded()
    cluster.fund(0, 70_000)
    waits = cluster.peg_in(1, 40_000)
    cluster.all_say(waits)
    assert {cluster.state.peg_node(cluster.node(each)).claims for each in range(4)} == {0}
    cluster.block((0, cluster.out(60_000)))
    cluster.finish(1)
    cluster.block(*((member, waits) for member in range(4)))
    cluster.block(*((member, waits) for member in range(4)))
    assert balance_sat(cluster, 1) == 40_000 - PEG_IN_FEE_SAT


def test_late_peg_ins_that_are_brought_over_take_room_at_once() -> None:
    cluster = bounded()
    cluster.block(after_ms=20_000)
    cluster.block(cluster.key(0, root=50))
    assert cluster.state.peg.wallet == 2
    late = [cluster.peg_in(number, 20_000, wallet=1) for number in (1, 2, 3)]
    cluster.block(*((member, each) for each in late for member in cluster.quorum()))
    states = [state_of(cluster, each) for each in late]
    assert states == [CoinState.RESERVED, CoinState.RESERVED, CoinState.WAITING]
    assert cluster.state.peg_index.late_sat == 40_000
    assert rejections(cluster.block((0, late[2]))) == [FULL]


def test_an_earlier_wallet_that_signs_nothing_shuts_nobody_out() -> None:
    cluster = bounded()
    cluster.block(after_ms=20_000)
    cluster.block(cluster.key(0, root=50))
    whole, half = (cluster.peg_in(1, sat, wallet=1) for sat in (MOST_SAT, MOST_SAT // 2))
    for late in (whole, half):
        cluster.all_say(late)
    assert state_of(cluster, whole) is CoinState.WAITING
    assert state_of(cluster, half) is CoinState.RESERVED
    cluster.fund(2, MOST_SAT // 2)
    assert balance_sat(cluster, 2) == MOST_SAT // 2 - PEG_IN_FEE_SAT
    assert room_sat(cluster.state, cluster.state.peg) == 0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(10_000, 60_000), min_size=1, max_size=8))
def test_the_peg_never_holds_more_than_it_may(values: list[int]) -> None:
    cluster = bounded()
    bodies = [cluster.peg_in(place % 4, value) for place, value in enumerate(values)]
    cluster.block(*((member, each) for each in bodies for member in cluster.quorum()))
    held = [each for each in bodies if state_of(cluster, each) is CoinState.HELD]
    assert cluster.state.peg.in_sat <= MOST_SAT
    assert len(held) >= min(len(bodies), 1)
    assert {state_of(cluster, each) for each in bodies} <= {CoinState.HELD, CoinState.WAITING}


def test_without_the_founders_words_every_record_is_rejected_on_the_main_network() -> None:
    cluster = PegCluster(network="main", rules=changed(ON_MAIN, peg_acknowledged=""))
    said = rejections(cluster.block(cluster.key(0), (1, PegAddress())))
    assert len(said) == 2
    assert all("no peg on the main network: it was not audited" in each for each in said)
    assert cluster.state.peg.wallet == 0


def test_headers_of_little_work_credit_nothing_on_the_main_network() -> None:
    cluster = opened(network="main", rules=ON_MAIN)
    said = rejections(cluster.fund(0, 50_000))
    assert len(said) == 3
    assert all("the proof fails: proof_of_work" in each for each in said)
    assert balance_sat(cluster, 0) == 0


def test_with_the_work_of_the_main_network_bitcoin_comes_in_and_goes_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    easy = MAIN.__class__(
        MAIN.name, REGTEST.pow_limit, REGTEST.target_max, MAIN.genesis, is_costly=True
    )
    monkeypatch.setitem(NETWORKS, "main", easy)
    cluster = opened(network="main", rules=ON_MAIN)
    cluster.fund(0, 50_000)
    cluster.block((0, cluster.out(20_000)))
    cluster.finish(1)
    assert cluster.state.peg.out_sat + cluster.state.peg.fees_sat == 20_000
    over = cluster.peg_in(1, MAIN_SAT_DEFAULT)
    cluster.all_say(over)
    assert state_of(cluster, over) is CoinState.WAITING
