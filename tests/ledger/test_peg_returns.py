"""What came in and is never credited goes back, from its own worth.

`PegCluster.apply` compares reserves, liabilities and the books after each block.
"""

import pytest
from msgspec.structs import replace

from ambientd.ledger import peg_ends
from ambientd.ledger.peg_events import PaymentFinal, PaymentVersioned, ReturnAsked
from ambientd.ledger.peg_returns import RETURNS_MAX
from ambientd.model.genesis import Rules
from ambientd.model.peg import CoinState, PaymentKind
from ambientd.model.record import PegFee, PegIn, PegMoved, PegReturn
from ambientd.rules.bitcoin import Outpoint, decode_transaction
from ambientd.rules.peg_payments import PAYEE_MIN_SAT, fee_at, outputs
from tests.ledger.cluster import rejections
from tests.ledger.peg import PegCluster
from tests.rules.peg import PAYEE

SMALL_SAT = 4_000


def opened(most_sat: int = 0) -> PegCluster:
    cluster = PegCluster(rules=Rules(peg_sat_max=most_sat))
    cluster.open()
    return cluster


def name_of(word: PegIn) -> Outpoint:
    return Outpoint(decode_transaction(word.proof.raw_tx).txid, word.output)


def back(cluster: PegCluster, word: PegIn, fee_sat: int = 300) -> PegReturn:
    coin = name_of(word)
    return PegReturn(
        txid=coin.txid,
        output=coin.index,
        script=PAYEE,
        fee_sat=fee_sat,
        said_ms=cluster.next_ms(),
    )


def state_of(cluster: PegCluster, word: PegIn) -> CoinState | None:
    coin = name_of(word)
    entry = cluster.state.peg_coin(coin.txid, coin.index)
    return None if entry is None else entry.state


def returning(value_sat: int = SMALL_SAT) -> tuple[PegCluster, PegIn]:
    """Give a cluster with a payment that brings something too small back."""
    cluster = opened()
    word = cluster.peg_in(1, value_sat)
    cluster.block((1, back(cluster, word)))
    cluster.all_say(word)
    return cluster, word


def test_what_is_too_small_goes_back_once_a_quorum_has_seen_it() -> None:
    cluster = opened()
    word = cluster.peg_in(1, SMALL_SAT)
    [said] = rejections(cluster.block((0, word)))
    assert "below the least" in said, "nobody has asked for it"
    [asked] = cluster.block((1, back(cluster, word)))
    assert isinstance(asked, ReturnAsked)
    assert cluster.block((0, word), (1, word)) == [], "two of three see it"
    [event] = cluster.block((2, word))
    assert event == PaymentVersioned(1, 0, cluster.node(1))
    payment = cluster.payment(1)
    assert (payment.kind, outputs(payment, 0)) == (PaymentKind.RETURN, [(SMALL_SAT - 300, PAYEE)])
    assert PaymentFinal in map(type, cluster.finish(1))
    peg = cluster.state.peg
    assert (peg.in_sat, peg.out_sat, peg.fees_sat, peg.leaving_sat) == (0, 0, 0, 0)
    assert cluster.balance_sat(1) == 0
    assert state_of(cluster, word) is CoinState.RETURNED
    [said] = rejections(cluster.block((1, back(cluster, word))))
    assert "goes back already" in said


def test_what_waits_for_room_goes_back_at_once() -> None:
    cluster = opened(50_000)
    word = cluster.peg_in(1, 60_000)
    cluster.all_say(word)
    assert state_of(cluster, word) is CoinState.WAITING
    events = cluster.block((1, back(cluster, word)))
    assert [type(event) for event in events] == [ReturnAsked, PaymentVersioned]
    assert cluster.block((3, word)) == [], "nobody credits it any more"
    cluster.finish(1)
    assert (cluster.state.peg.in_sat, cluster.balance_sat(1)) == (0, 0)
    assert outputs(cluster.payment(1), 0) == [(59_700, PAYEE)]


def test_the_owner_alone_says_where_to() -> None:
    cluster = opened()
    word = cluster.peg_in(1, SMALL_SAT)
    cluster.block((2, back(cluster, word)))
    assert len(rejections(cluster.all_say(word))) == 3, "another's wish does not make it count"
    cluster.block((1, back(cluster, word)), (0, word))
    [said] = rejections(cluster.block((2, back(cluster, word))))
    assert "another node" in said


def test_what_is_credited_does_not_go_back() -> None:
    cluster = opened()
    word = cluster.peg_in(1, 20_000)
    cluster.block((0, word))
    [said] = rejections(cluster.block((1, back(cluster, word))))
    assert "will be" in said
    cluster.all_say(word)
    [said] = rejections(cluster.block((1, back(cluster, word))))
    assert "is credited" in said
    unseen = cluster.peg_in(1, 20_000)
    cluster.block((1, back(cluster, unseen)))
    cluster.all_say(unseen)
    assert cluster.balance_sat(1) == 2 * 19_500, "asking before anybody has seen it changes nothing"
    assert cluster.state.peg.payments == 0


def test_a_request_is_as_it_must_be() -> None:
    cluster = opened()
    word = cluster.peg_in(1, SMALL_SAT)
    good = back(cluster, word)
    for author, body, reason in (
        (77, good, "no address"),
        (1, replace(good, script=bytes(25)), "no kind that has an address"),
        (1, replace(good, said_ms=0), "moved since"),
        (1, replace(good, output=2**32), "so many outputs"),
    ):
        [said] = rejections(cluster.block((author, body)))
        assert reason in said
    assert rejections(cluster.block((1, good))) == []
    [said] = rejections(cluster.block((1, good)))
    assert "moved since" in said, "nobody brings it again"


@pytest.mark.parametrize("fee_sat", [1, SMALL_SAT - PAYEE_MIN_SAT + 1, 200_000])
def test_a_fee_that_cannot_be_paid_is_seen_by_nobody(fee_sat: int) -> None:
    cluster = opened()
    word = cluster.peg_in(1, SMALL_SAT)
    cluster.block((1, back(cluster, word, fee_sat)))
    [said] = rejections(cluster.block((0, word)))
    assert "fee of" in said
    cluster.block((1, back(cluster, word)))
    assert rejections(cluster.all_say(word)) == [], "the owner asked again, for another fee"
    waiting = opened(50_000)
    large = waiting.peg_in(1, 60_000)
    waiting.all_say(large)
    [said] = rejections(waiting.block((1, back(waiting, large, 1))))
    assert "relay" in said


def test_the_smallest_that_can_go_back_does() -> None:
    cluster, _ = returning()
    least_sat = fee_at(cluster.payment(1), cluster.state.peg_index.wallets, 1_000)
    for value_sat, is_taken in ((least_sat + PAYEE_MIN_SAT, 1), (least_sat + PAYEE_MIN_SAT - 1, 0)):
        word = cluster.peg_in(2, value_sat)
        cluster.block((2, back(cluster, word, least_sat)))
        cluster.all_say(word)
        assert cluster.state.peg.payments == 1 + is_taken
        cluster = returning()[0]


def test_a_node_has_few_returns_under_way_and_what_nobody_saw_gives_way() -> None:
    cluster = opened()
    words = [cluster.peg_in(1, SMALL_SAT) for _ in range(RETURNS_MAX + 2)]
    for word in words[: RETURNS_MAX + 1]:
        assert rejections(cluster.block((1, back(cluster, word)))) == []
    assert len(rejections(cluster.all_say(words[0]))) == 3, "the oldest gave way"
    for word in words[1 : RETURNS_MAX + 1]:
        cluster.all_say(word)
    assert cluster.state.peg.payments == RETURNS_MAX
    [said] = rejections(cluster.block((1, back(cluster, words[0]))))
    assert "under way" in said
    assert rejections(cluster.block((2, back(cluster, words[0])))) == [], "others have their own"
    cluster.finish(1)
    assert rejections(cluster.block((1, back(cluster, words[-1])))) == []


def test_the_owner_alone_pays_more() -> None:
    cluster, _ = returning()
    [said] = rejections(cluster.block((2, PegFee(payment=1, fee_sat=900))))
    assert "its owner" in said
    assert rejections(cluster.block((1, PegFee(payment=1, fee_sat=900)))) == []
    [said] = rejections(cluster.block((1, PegFee(payment=1, fee_sat=3_500))))
    assert "dust" in said
    cluster.sign_all(1, 1)
    cluster.all_say(cluster.seen(1, 1))
    proof = cluster.seen(1, 0).proof
    moved = PegMoved(payment=1, version=0, turn=0, proof=proof)
    assert PaymentFinal in map(type, cluster.all_say(moved)), "another version, and no books"
    assert cluster.state.peg.fees_sat == 0


def test_peg_outs_use_no_coin_that_goes_back() -> None:
    cluster, _ = returning(9_999)
    cluster.fund(1, 20_000)
    cluster.block((1, cluster.out(19_000)))
    assert [coin.value_sat for coin in cluster.payment(2).coins] == [20_000]


def test_what_went_back_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, word = returning()
    cluster.finish(1)
    monkeypatch.setattr(peg_ends, "KEPT_MS", 0)
    cluster.block()
    assert (state_of(cluster, word), cluster.state.peg_payment(1)) == (None, None)


def test_returns_come_back_from_a_store_as_they_were() -> None:
    cluster, _ = returning()
    cluster.block((1, back(cluster, cluster.peg_in(1, SMALL_SAT))))
    assert cluster.restarted().root == cluster.state.root
