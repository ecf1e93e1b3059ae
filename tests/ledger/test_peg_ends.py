"""How payments end, and what a reorganisation deeper than six blocks changes of it.

`PegCluster.apply` compares reserves, liabilities and the books after each block.
"""

import pytest
from msgspec.structs import replace

from ambientd.ledger import peg_ends, peg_payments, peg_wallets
from ambientd.ledger.events import LedgerEvent
from ambientd.ledger.peg_events import PaymentFinal, PaymentVersioned
from ambientd.ledger.peg_wallets import PegDraft
from ambientd.model.genesis import Rules
from ambientd.model.peg import CoinState
from ambientd.model.record import PegFee, PegMoved
from ambientd.rules.bitcoin import decode_transaction
from ambientd.rules.peg_payments import txid
from tests.ledger.cluster import rejections
from tests.ledger.peg import PegCluster, proof_of

RULES = Rules(keep_ms=20_000)


def funded(value_sat: int = 400_000, rules: Rules | None = None) -> PegCluster:
    cluster = PegCluster() if rules is None else PegCluster(rules=rules)
    cluster.open()
    cluster.fund(1, value_sat)
    return cluster


def paid_twice_over() -> PegCluster:
    """Give a cluster with a final payment that has two versions, and one that spends its change."""
    cluster = funded()
    cluster.block((1, cluster.out(100_000)), (1, PegFee(payment=1, fee_sat=2_000)))
    cluster.finish(1)
    cluster.block((1, cluster.out(50_000)))
    return cluster


def move(cluster: PegCluster, number: int, version: int, turn: int = 0) -> list[LedgerEvent]:
    word = moved_word(cluster, number, version, turn)
    return cluster.block(*((member, word) for member in cluster.quorum()))


def moved_word(cluster: PegCluster, number: int, version: int, turn: int = 0) -> PegMoved:
    proof = cluster.seen(number, version).proof
    return PegMoved(payment=number, version=version, turn=turn, proof=proof)


def is_final(cluster: PegCluster, number: int) -> bool:
    entry = cluster.state.peg_payment(number)
    assert entry is not None
    return entry.final is not None


def test_another_version_takes_the_final_ones_place_and_the_books_follow() -> None:
    cluster = funded()
    cluster.block((1, cluster.out(100_000)), (1, PegFee(payment=1, fee_sat=2_000)))
    cluster.finish(1)
    assert cluster.state.peg.out_sat == 99_500
    name = txid(cluster.payment(1), 1)
    assert move(cluster, 1, 1) == [PaymentFinal(1, 1, name)]
    peg = cluster.state.peg
    assert (peg.out_sat, peg.fees_sat, peg.leaving_sat) == (98_000, 2_000, 0)
    assert [(coin.txid, coin.index) for coin in cluster.state.peg_index.held()] == [(name, 1)]
    assert move(cluster, 1, 0, turn=1) == [PaymentFinal(1, 0, txid(cluster.payment(1), 0))]
    assert cluster.state.peg.out_sat == 99_500, "and back"


def test_a_payment_under_way_spends_what_came_back_by_its_new_name() -> None:
    cluster = paid_twice_over()
    cluster.block(*(cluster.signed(member, 2) for member in cluster.quorum()))
    move(cluster, 1, 1)
    [coin] = cluster.payment(2).coins
    assert coin.txid == txid(cluster.payment(1), 1)
    entry = cluster.state.peg_payment(2)
    assert entry is not None
    assert entry.words == (), "it is another transaction: what was signed is of no use"
    cluster.finish(2)
    assert cluster.state.peg.out_sat == 98_000 + 49_500


def test_a_final_payment_that_spent_what_came_back_is_paid_again_and_owed_once() -> None:
    cluster = paid_twice_over()
    cluster.finish(2)
    cluster.block((1, cluster.out(20_000)))
    name = txid(cluster.payment(1), 1)
    assert move(cluster, 1, 1) == [
        PaymentVersioned(3, 0, cluster.node(1)),
        PaymentVersioned(2, 0, cluster.node(1)),
        PaymentFinal(1, 1, name),
    ]
    assert (is_final(cluster, 2), cluster.state.peg.leaving_sat) == (False, 70_000)
    assert cluster.balance_sat(1) == 400_000 - 500 - 170_000, "nobody's balance has changed"
    [said] = rejections(cluster.block(cluster.signed(0, 3)))
    assert "yet to come back" in said
    [said] = rejections(cluster.block((0, cluster.seen(3))))
    assert "yet to come back" in said
    cluster.finish(2)
    [coin] = cluster.payment(3).coins
    assert coin.txid == txid(cluster.payment(2), 0)
    cluster.finish(3)
    assert cluster.state.peg.leaving_sat == 0
    assert cluster.state.peg.out_sat == 98_000 + 49_500 + 19_500


def test_a_chain_of_final_payments_is_undone_as_a_whole() -> None:
    cluster = paid_twice_over()
    cluster.finish(2)
    for number in (3, 4):
        cluster.block((1, cluster.out(20_000)))
        cluster.finish(number)
    move(cluster, 1, 1)
    assert cluster.state.peg_index.open_payments() == [2, 3, 4]
    move(cluster, 1, 0, turn=1)
    assert cluster.state.peg_index.open_payments() == [2, 3, 4], "and again, under way"
    for number in (2, 3, 4):
        cluster.finish(number)
    assert cluster.state.peg.out_sat == 99_500 + 49_500 + 2 * 19_500


def test_too_long_a_chain_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = paid_twice_over()
    cluster.finish(2)
    monkeypatch.setattr(peg_ends, "REOPENED_MAX", 0)
    [said] = rejections(move(cluster, 1, 1))
    assert "signed again" in said
    assert is_final(cluster, 2)


def test_a_minority_moves_nothing_and_a_word_can_be_taken_back() -> None:
    cluster = paid_twice_over()
    word = moved_word(cluster, 1, 1)
    assert cluster.block((0, word), (1, word), (0, word)) == []
    assert cluster.block((0, moved_word(cluster, 1, 0))) == [], "it sees the final one again"
    assert cluster.block((2, word)) == [], "two members see it now"
    assert PaymentFinal in map(type, cluster.block((3, word)))


def test_older_words_do_not_move_a_payment_back() -> None:
    cluster = paid_twice_over()
    forth = moved_word(cluster, 1, 1)
    cluster.block(*((member, forth) for member in cluster.quorum()))
    back = moved_word(cluster, 1, 0, turn=1)
    cluster.block(*((member, back) for member in cluster.quorum()))
    said = rejections(cluster.block(*((member, forth) for member in cluster.quorum())))
    assert len(said) == 3
    assert "since" in said[0]


def test_what_shows_nothing_moves_nothing() -> None:
    cluster = paid_twice_over()
    word = moved_word(cluster, 1, 1)
    for author, body, reason in (
        (77, word, "committee members"),
        (0, replace(word, payment=2), "no such final"),
        (0, replace(word, payment=9), "no such final"),
        (0, replace(word, version=2), "no such version"),
        (0, replace(word, proof=proof_of(word.proof.raw_tx, confirmations=5)), "confirmations"),
        (0, replace(word, proof=cluster.seen(1, 0).proof), "another transaction"),
    ):
        [said] = rejections(cluster.block((author, body)))
        assert reason in said


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peg_payments, "SWEEP_PATIENCE_MS", 10_000)


def swept(more_sat: int = 200) -> PegCluster:
    """Give a cluster whose sweep has two versions, of which the first is final."""
    cluster = funded(rules=RULES)
    cluster.block(after_ms=RULES.keep_ms)
    cluster.block(cluster.key(0, root=50))
    cluster.fund(2, 10_000)
    cluster.block(after_ms=10_000)
    fee_sat = cluster.payment(1).fees_sat[0]
    sign_without_first(cluster, 1)
    assert rejections(cluster.block((0, PegFee(payment=1, fee_sat=fee_sat + more_sat)))) == []
    finish_without_first(cluster, 1)
    return cluster


def sign_without_first(cluster: PegCluster, number: int) -> None:
    cluster.block(*(cluster.signed(member, number) for member in (1, 2, 3)))


def finish_without_first(cluster: PegCluster, number: int) -> None:
    sign_without_first(cluster, number)
    cluster.all_say(cluster.seen(number))


def held_sat(cluster: PegCluster) -> int:
    return sum(cluster.state.peg_index.held_sat().values())


def kept_sat(cluster: PegCluster) -> int:
    """Give what leaves the accounts though no payment is under way."""
    assert not cluster.state.peg_index.open_payments()
    return cluster.state.peg.leaving_sat


def test_what_a_dearer_version_costs_more_is_kept_until_none_can_be_mined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = swept()
    pool_msat, before_sat = cluster.state.meta.fee_pool_msat, held_sat(cluster)
    assert kept_sat(cluster) == 200
    [event] = move(cluster, 1, 1)
    assert isinstance(event, PaymentFinal)
    assert cluster.state.meta.fee_pool_msat == pool_msat, "it was set aside when it was decided"
    assert (held_sat(cluster), kept_sat(cluster)) == (before_sat - 200, 0)
    move(cluster, 1, 0, turn=1)
    assert (held_sat(cluster), kept_sat(cluster)) == (before_sat, 200)
    monkeypatch.setattr(peg_ends, "KEPT_MS", 0)
    cluster.block()
    assert (cluster.state.meta.fee_pool_msat, kept_sat(cluster)) == (pool_msat + 200_000, 0)


def test_an_empty_pool_holds_up_no_dearer_version_that_is_mined() -> None:
    cluster = swept(more_sat=600)
    assert cluster.state.meta.fee_pool_msat < 600_000
    assert PaymentFinal in map(type, move(cluster, 1, 1))


def test_what_a_late_peg_in_may_cost_more_is_credited_when_it_can_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = funded(rules=RULES)
    cluster.block(after_ms=RULES.keep_ms)
    cluster.block(cluster.key(0, root=50))
    finish_without_first(cluster, 1)
    cluster.all_say(cluster.peg_in(2, 20_000, wallet=1))
    sign_without_first(cluster, 2)
    cluster.block(after_ms=10_000)
    fee_sat = cluster.payment(2).fees_sat[0]
    cluster.block((2, PegFee(payment=2, fee_sat=2 * fee_sat)))
    finish_without_first(cluster, 2)
    assert cluster.balance_sat(2) == 20_000 - 500 - 2 * fee_sat
    move(cluster, 2, 1)
    assert cluster.balance_sat(2) == 20_000 - 500 - 2 * fee_sat, "whichever version is mined"
    move(cluster, 2, 0, turn=1)
    monkeypatch.setattr(peg_ends, "KEPT_MS", 0)
    cluster.block()
    assert cluster.balance_sat(2) == 20_000 - 500 - fee_sat


def test_coins_are_chosen_by_the_least_that_they_may_turn_out_to_be_worth() -> None:
    cluster = swept()
    kept = held_sat(cluster) - 10_000
    cluster.block((1, cluster.out(kept - 1_199)))
    assert len(cluster.payment(2).coins) == 2, "with version 1 one coin would leave 999 sat"
    move(cluster, 1, 1)
    assert cluster.payment(2).change_sat == 999 + 10_000
    alone = swept()
    alone.block((1, alone.out(kept - 1_200)))
    move(alone, 1, 1)
    assert alone.payment(2).change_sat == 1_000


def test_what_came_back_is_worth_what_it_is_once_no_other_version_can_be_mined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = swept()
    kept = held_sat(cluster) - 10_000
    monkeypatch.setattr(peg_ends, "KEPT_MS", 0)
    cluster.block()
    cluster.block((1, cluster.out(kept - 1_199)))
    assert len(cluster.payment(2).coins) == 1


def swept_of(monkeypatch: pytest.MonkeyPatch, value_sat: int) -> PegCluster:
    """Give a cluster that has one coin in all, and sweeps it, at 1 sat/vB."""
    cluster = funded(rules=RULES)
    cluster.block((1, cluster.out(400_000 - value_sat)))
    cluster.finish(1)
    monkeypatch.setattr(peg_wallets, "SWEEP_SAT_KVB", 1_000)
    cluster.block(after_ms=RULES.keep_ms)
    cluster.block(cluster.key(0, root=50))
    sign_without_first(cluster, 2)
    cluster.block(after_ms=10_000)
    return cluster


def test_no_version_of_a_sweep_leaves_less_than_what_comes_back_is_worth_at_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = swept_of(monkeypatch, 1_400)
    [said] = rejections(cluster.block((0, PegFee(payment=2, fee_sat=401))))
    assert "999 sat are left" in said
    assert rejections(cluster.block((0, PegFee(payment=2, fee_sat=400)))) == []


def test_no_sweep_begins_that_a_dearer_version_before_it_could_leave_too_little_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = swept_of(monkeypatch, 1_600)
    assert rejections(cluster.block((0, PegFee(payment=2, fee_sat=500)))) == []
    finish_without_first(cluster, 2)
    monkeypatch.setattr(peg_wallets, "SWEEP_SAT_KVB", 2_000)
    cluster.block(after_ms=RULES.keep_ms)
    cluster.block(cluster.key(0, root=51))
    cluster.fund(2, 10_000)
    assert cluster.state.peg_index.open_payments() == [], "1,100 sat may be all that is there"
    monkeypatch.setattr(peg_ends, "KEPT_MS", 0)
    cluster.block()
    assert cluster.payment(3).total_sat == 1_415, "now it is sure that there are more"


def test_a_payment_that_could_not_be_paid_with_less_keeps_the_books_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = swept()
    with monkeypatch.context() as patch:  # as a ledger decided that knew no least value
        patch.setattr(PegDraft, "least_of", lambda *_: {})
        assert rejections(cluster.block((1, cluster.out(398_500)))) == []
    [coin] = cluster.payment(2).coins
    said = rejections(move(cluster, 1, 1))
    assert "could not be paid" in said[-1]
    assert cluster.payment(2).coins == (coin,)


def test_a_dearer_sweep_leaves_less_to_the_payments_that_follow() -> None:
    cluster = swept()
    cluster.block((1, cluster.out(100_000)))
    finish_without_first(cluster, 2)
    before_sat = held_sat(cluster)
    move(cluster, 1, 1)
    finish_without_first(cluster, 2)
    assert held_sat(cluster) == before_sat - 200


def test_final_payments_are_forgotten_after_a_while_but_no_peg_in_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peg_ends, "KEPT_MS", 10_000)
    cluster = paid_twice_over()
    cluster.finish(2)
    word = cluster.peg_in(2, 100_000)
    cluster.all_say(word)
    cluster.block(after_ms=10_000)
    cluster.block()
    assert cluster.state.peg_payment(1) is None
    assert cluster.state.peg_payment(2) is None
    assert not cluster.state.peg_index.ends
    states = {
        entry.state: key
        for key, entry in cluster.state.items().items()
        if hasattr(entry, "words") and hasattr(entry, "value_sat")
    }
    assert set(states) == {CoinState.SPENT, CoinState.HELD}
    cluster.block((1, cluster.out(20_000)))
    cluster.finish(3)
    assert is_final(cluster, 3), "others go on"
    name = decode_transaction(word.proof.raw_tx).txid
    assert cluster.state.peg_coin(name, 0) is not None


def test_ends_come_back_from_a_store_as_they_were() -> None:
    cluster = paid_twice_over()
    cluster.block((0, moved_word(cluster, 1, 1)))
    again = cluster.restarted()
    assert again.root == cluster.state.root
    assert again.peg_index.ends == cluster.state.peg_index.ends
    assert again.peg_index.last_ended(0, 9) == [1]
    payment = cluster.payment(2)
    assert again.peg_index.roots(payment) == cluster.state.peg_index.roots(payment) != [b""]
