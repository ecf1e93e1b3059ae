"""What a member signs, and what it never signs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.errors import RemoteProtocolError
from ambientd.ledger.peg_ins import PEG_IN_FEE_SAT
from ambientd.model.genesis import Rules
from ambientd.model.record import PegFee, PegIn, PegKey, PegPaid
from ambientd.roles.pegging.book import PegBook, decode_book, encode_book
from ambientd.roles.pegging.core import (
    AGAIN_MS,
    ENDED_KEPT,
    KEY_MS,
    LOOK_MS,
    PLACES_A_LOOK,
    PegKeeper,
)
from ambientd.roles.pegging.events import (
    KeySigned,
    LookForPayment,
    LookForPegIns,
    PaymentSeen,
    PegInSeen,
    PersistBook,
    Place,
    ProposePeg,
    ProveKey,
    SendPayment,
    SignVersion,
    Ticked,
    VersionSigned,
)
from ambientd.rules.bitcoin import decode_transaction
from ambientd.rules.peg_payments import txid
from tests.ledger.cluster import TestCluster
from tests.ledger.peg import PegCluster, own_key
from tests.rules.peg import PAYEE

NOW = 1_000_000


def with_payment() -> PegCluster:
    cluster = PegCluster()
    cluster.open()
    cluster.fund(1, 200_000)
    cluster.block((1, cluster.out(100_000)))
    return cluster


def keeper(cluster: PegCluster, number: int = 0, book: PegBook | None = None) -> PegKeeper:
    return PegKeeper(cluster.node(number), book or PegBook(), own_key(number)[0])


def kinds(effects: list[object]) -> list[type]:
    return [type(effect) for effect in effects]


def test_what_is_signed_is_on_disk_first() -> None:
    cluster = with_payment()
    effects = keeper(cluster).handle(Ticked(), cluster.state, now=NOW)
    assert kinds(effects)[:2] == [PersistBook, SignVersion]
    assert effects[1] == SignVersion(1, 0, cluster.payment(1))


def test_a_crash_between_persisting_and_signing_loses_nothing() -> None:
    cluster = with_payment()
    [persist, *_] = keeper(cluster).handle(Ticked(), cluster.state, now=NOW)
    assert isinstance(persist, PersistBook)
    again = keeper(cluster, book=decode_book(encode_book(persist.book)))
    effects = again.handle(Ticked(), cluster.state, now=NOW)
    assert kinds(effects)[0] is SignVersion, "it is pledged already"


def test_another_payee_under_the_same_number_is_never_signed() -> None:
    cluster, forked = with_payment(), PegCluster()
    [persist, *_] = keeper(cluster).handle(Ticked(), cluster.state, now=NOW)
    assert isinstance(persist, PersistBook)
    forked.open()
    forked.fund(1, 200_000)
    elsewhere = b"\x00\x14" + bytes(range(1, 21))
    forked.block((1, forked.out(100_000, script=elsewhere)))
    signer = keeper(cluster, book=persist.book)
    assert SignVersion not in kinds(signer.handle(Ticked(), forked.state, now=NOW))
    assert "another payment" in signer.alarms[1]


def test_a_coin_that_was_signed_away_is_never_signed_again() -> None:
    cluster = with_payment()
    payment = cluster.payment(1)
    book = PegBook().pledged(1, payment)
    assert book.fault(1, replace(payment, fees_sat=(9,))) is None, "a fee is no other payment"
    assert "signed away" in str(book.fault(2, payment))
    assert book.pledged(1, payment) is book


def test_a_higher_fee_is_signed_with_the_same_pledge() -> None:
    cluster = with_payment()
    signer = keeper(cluster)
    signer.handle(Ticked(), cluster.state, now=NOW)
    cluster.block((1, PegFee(payment=1, fee_sat=5_000)))
    effects = signer.handle(Ticked(), cluster.state, now=NOW + 1)
    assert [each for each in effects if isinstance(each, SignVersion | PersistBook)] == [
        SignVersion(1, 1, cluster.payment(1))
    ]


def test_who_has_signed_or_is_not_needed_signs_nothing_more() -> None:
    cluster = with_payment()
    signer = keeper(cluster)
    first = signer.handle(Ticked(), cluster.state, now=NOW)
    assert SignVersion in kinds(first)
    assert SignVersion not in kinds(signer.handle(Ticked(), cluster.state, now=NOW + 1))
    later = signer.handle(Ticked(), cluster.state, now=NOW + AGAIN_MS)
    assert SignVersion in kinds(later), "its word may have been lost"
    cluster.block(cluster.signed(0, 1))
    assert SignVersion not in kinds(signer.handle(Ticked(), cluster.state, now=NOW + 2 * AGAIN_MS))
    cluster.block(cluster.signed(1, 1), cluster.signed(2, 1))
    other = keeper(cluster, 3).handle(Ticked(), cluster.state, now=NOW)
    assert SignVersion not in kinds(other)
    stranger = PegKeeper(cluster.node(77), PegBook(), own_key(77)[0])
    assert SignVersion not in kinds(stranger.handle(Ticked(), cluster.state, now=NOW))


def test_anybody_sends_what_is_complete_and_sends_it_again() -> None:
    cluster = with_payment()
    cluster.block(*(cluster.signed(member, 1) for member in range(3)))
    sender = PegKeeper(cluster.node(77), PegBook(), b"")
    [sent] = sender.handle(Ticked(), cluster.state, now=NOW)
    assert isinstance(sent, SendPayment)
    transaction = decode_transaction(sent.raw)
    assert transaction.txid == txid(cluster.payment(1), 0)
    assert transaction.outputs[0].script == PAYEE
    assert sender.handle(Ticked(), cluster.state, now=NOW + 1) == []
    assert sender.handle(Ticked(), cluster.state, now=NOW + AGAIN_MS) == [sent]
    cluster.all_say(cluster.seen(1))
    ended = PegKeeper(cluster.node(77), PegBook(), b"").handle(Ticked(), cluster.state, now=NOW)
    assert ended == [sent], "a reorganisation may have undone it"
    assert ENDED_KEPT


def test_a_member_says_its_key_until_the_ledger_has_it() -> None:
    cluster = PegCluster()
    member = keeper(cluster)
    assert member.handle(Ticked(), cluster.state, now=NOW) == [ProveKey()]
    assert member.handle(Ticked(), cluster.state, now=NOW + 1) == []
    assert member.handle(Ticked(), cluster.state, now=NOW + KEY_MS) == [ProveKey()]
    _, body = cluster.key(0)
    shown = KeySigned(body.key, body.chain_code, body.possession)
    [proposed] = member.handle(shown, cluster.state, now=NOW)
    assert isinstance(proposed, ProposePeg)
    assert isinstance(proposed.body, PegKey)
    cluster.block((0, proposed.body))
    assert cluster.state.peg_node(cluster.node(0)).key == body.key
    assert member.handle(Ticked(), cluster.state, now=NOW + 2 * KEY_MS) == []


def test_a_key_that_is_not_the_one_of_a_wallet_in_use_is_said() -> None:
    cluster = with_payment()
    assert keeper(cluster).faults(cluster.state) == ()
    astray = PegKeeper(cluster.node(0), PegBook(), own_key(1)[0])
    assert SignVersion not in kinds(astray.handle(Ticked(), cluster.state, now=NOW))
    [fault] = astray.faults(cluster.state)
    assert fault == "the key in peg.key is not the one that this node has in wallet 1"


def test_what_is_deep_in_the_chain_is_said_until_it_is_taken() -> None:
    cluster = with_payment()
    assert LookForPayment not in kinds(keeper(cluster).handle(Ticked(), cluster.state, now=NOW))
    cluster.block(*(cluster.signed(number, 1) for number in cluster.quorum()))
    member = keeper(cluster)
    effects = member.handle(Ticked(), cluster.state, now=NOW)
    assert LookForPayment(1, (txid(cluster.payment(1), 0),)) in effects
    looks = [each for each in effects if isinstance(each, LookForPegIns)]
    assert {place.script for place in looks[0].places} == {cluster.script(n) for n in range(4)}
    assert LookForPegIns not in kinds(member.handle(Ticked(), cluster.state, now=NOW + 1))
    word = cluster.peg_in(2, 50_000)
    place = Place(cluster.node(2), 1, cluster.script(2))
    seen = PegInSeen(place, 0, word.proof)
    assert member.handle(seen, cluster.state, now=NOW) == [ProposePeg(word)]
    cluster.block((0, word))
    assert member.handle(seen, cluster.state, now=NOW) == []
    paid = cluster.seen(1)
    event = PaymentSeen(1, 0, paid.proof)
    assert member.handle(event, cluster.state, now=NOW) == [ProposePeg(paid)]
    cluster.block((0, paid))
    assert member.handle(event, cluster.state, now=NOW) == []
    cluster.block((1, paid), (2, paid), (1, word), (2, word))
    for late in (seen, event):
        assert keeper(cluster, 3).handle(late, cluster.state, now=NOW) == []
    assert cluster.balance_sat(2) == 50_000 - PEG_IN_FEE_SAT
    assert isinstance(word, PegIn)
    assert isinstance(paid, PegPaid)
    assert LOOK_MS


def test_many_earlier_wallets_hold_up_no_look_at_the_present_one() -> None:
    cluster = PegCluster(rules=Rules(keep_ms=1))
    cluster.open()
    for root in range(50, 90):
        cluster.block(cluster.key(0, root=root))
    member = keeper(cluster, 1)
    walked = set()
    for look in range(10):
        effects = member.handle(Ticked(), cluster.state, now=NOW + look * LOOK_MS)
        [found] = [each for each in effects if isinstance(each, LookForPegIns)]
        assert len(found.places) <= PLACES_A_LOOK
        now_there = {place.script for place in found.places if place.wallet == 41}
        assert now_there == {cluster.script(number) for number in range(4)}
        walked |= {place.script for place in found.places}
    assert len(walked) == 4 * 41, "the earlier ones have their turns"


def test_signatures_become_a_record() -> None:
    cluster = with_payment()
    _, body = cluster.signed(0, 1)
    event = VersionSigned(1, 0, body.signatures)
    assert keeper(cluster).handle(event, cluster.state, now=NOW) == [ProposePeg(body)]


def test_without_a_peg_nothing_is_done() -> None:
    cluster = TestCluster()
    member = PegKeeper(cluster.node(0), PegBook(), own_key(0)[0])
    assert member.handle(Ticked(), cluster.state, now=NOW) == []


@given(st.binary(max_size=40))
def test_a_broken_book_is_refused(data: bytes) -> None:
    try:
        book = decode_book(data)
    except RemoteProtocolError:
        return
    assert encode_book(book) == data


def test_a_cut_book_is_refused() -> None:
    data = encode_book(PegBook().pledged(1, with_payment().payment(1)))
    with pytest.raises(RemoteProtocolError):
        decode_book(data[:-1])
