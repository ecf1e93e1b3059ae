"""What a member signs, and what it never signs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.errors import RemoteProtocolError
from ambientd.ledger import peg_ends
from ambientd.ledger.peg_ins import PEG_IN_FEE_SAT
from ambientd.model.genesis import Rules
from ambientd.model.record import PegFee, PegIn, PegKey, PegMoved, PegPaid, PegReturn
from ambientd.roles.pegging.book import PegBook, decode_book, encode_book
from ambientd.roles.pegging.core import (
    AGAIN_MS,
    COINS_A_LOOK,
    COINS_MS,
    ENDED_MS,
    KEY_MS,
    LOOK_MS,
    PLACES_A_LOOK,
    PegKeeper,
    standing,
)
from ambientd.roles.pegging.events import (
    CoinsSeen,
    KeySigned,
    LookForCoins,
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
from ambientd.rules.bitcoin import decode_transaction, display
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
    """Give a member that has looked for the ledger's coins, and misses none."""
    made = PegKeeper(cluster.node(number), book or PegBook(), own_key(number)[0])
    made.handle(all_there(cluster), cluster.state, now=NOW)
    return made


def all_there(cluster: PegCluster) -> CoinsSeen:
    coins = standing(cluster.state)
    return CoinsSeen(tuple(coins), frozenset(coins))


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
    book = PegBook().pledged(1, payment, [b""])
    assert book.fault(1, replace(payment, fees_sat=(9,)), [b""]) is None, "a fee changes nothing"
    assert "signed away" in str(book.fault(2, payment, [b""]))
    assert book.pledged(1, payment, [b""]) is book


def test_a_key_whose_book_is_an_older_copy_signs_nothing_more() -> None:
    cluster = with_payment()
    signer = keeper(cluster)
    [persist, *_] = signer.handle(Ticked(), cluster.state, now=NOW)
    assert isinstance(persist, PersistBook)
    older = keeper(cluster)
    assert older.faults(cluster.state) == ()
    older.handle(Ticked(), cluster.state, now=NOW)
    cluster.block(cluster.signed(0, 1))
    cluster.finish(1)  # between two looks of the one with the older book
    cluster.block((1, cluster.out(50_000)))
    for book, is_older in ((persist.book, False), (PegBook(), True)):
        member = keeper(cluster, book=book)
        effects = kinds(member.handle(Ticked(), cluster.state, now=NOW + AGAIN_MS))
        assert (SignVersion in effects) is not is_older
        assert ("payment 1, of which peg.book" in str(member.faults(cluster.state))) is is_older
    replaced = PegKeeper(cluster.node(0), PegBook(), own_key(9)[0])
    replaced.handle(Ticked(), cluster.state, now=NOW)
    assert "peg.book" not in str(replaced.faults(cluster.state)), "it is another key's signature"


def test_a_signature_that_comes_from_the_log_later_shows_an_older_book_as_well() -> None:
    cluster = with_payment()
    restored = keeper(cluster, number=3)
    cluster.block(*(cluster.signed(number, 1) for number in cluster.quorum()))
    assert SignVersion not in kinds(restored.handle(Ticked(), cluster.state, now=NOW))
    assert restored.faults(cluster.state) == ()
    cluster.block((1, PegFee(payment=1, fee_sat=5_000)))
    cluster.block(*(cluster.signed(number, 1, version=1) for number in (1, 2, 3)))
    cluster.all_say(cluster.seen(1, version=1))
    assert restored.handle(Ticked(), cluster.state, now=NOW + ENDED_MS)
    [said] = restored.faults(cluster.state)
    assert "signature of payment 1, of which peg.book does not know" in said


def test_a_replaced_key_signs_for_its_wallets_and_says_nothing_else() -> None:
    cluster = with_payment()
    cluster.block(*(cluster.signed(number, 1) for number in (1, 2)))
    new = PegKeeper(cluster.node(0), PegBook(), own_key(9)[0])
    assert ProveKey in kinds(new.handle(Ticked(), cluster.state, now=NOW))
    old = PegKeeper(cluster.node(0), PegBook(), own_key(0)[0], is_replaced=True)
    assert kinds(old.handle(Ticked(), cluster.state, now=NOW)) == [LookForCoins]
    old.handle(all_there(cluster), cluster.state, now=NOW)
    effects = old.handle(Ticked(), cluster.state, now=NOW)
    assert kinds(effects) == [PersistBook, SignVersion]
    assert "is not the one that this node has in wallet 1" in str(new.faults(cluster.state))
    assert new.faults(cluster.state, [own_key(0)[0]]) == ()


def test_a_replaced_key_whose_book_is_an_older_copy_signs_nothing() -> None:
    cluster = with_payment()
    cluster.block(cluster.signed(0, 1))
    cluster.block((1, cluster.out(50_000)))
    old = PegKeeper(cluster.node(0), PegBook(), own_key(0)[0], is_replaced=True)
    assert kinds(old.handle(Ticked(), cluster.state, now=NOW)) == [LookForCoins]
    assert not old.signs


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
    assert sender.handle(Ticked(), cluster.state, now=NOW + ENDED_MS) == [sent]


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


def test_a_member_says_what_is_too_small_only_when_it_is_wanted_back() -> None:
    cluster = PegCluster()
    cluster.open()
    word = cluster.peg_in(2, 4_000)
    member, place = keeper(cluster), Place(cluster.node(2), 1, cluster.script(2))
    seen = PegInSeen(place, 0, word.proof)
    assert member.handle(seen, cluster.state, now=NOW) == []
    name = decode_transaction(word.proof.raw_tx).txid
    said_ms = cluster.next_ms()
    back = PegReturn(txid=name, output=0, script=PAYEE, fee_sat=300, said_ms=said_ms)
    cluster.block((2, back))
    assert member.handle(seen, cluster.state, now=NOW) == [ProposePeg(word)]
    cluster.block((0, word), (1, word), (2, word))
    assert member.handle(seen, cluster.state, now=NOW) == [], "a quorum has seen it"
    assert standing(cluster.state) == set(), "nobody is owed it: it halts nothing"
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
    data = encode_book(PegBook().pledged(1, with_payment().payment(1), [b""]))
    with pytest.raises(RemoteProtocolError):
        decode_book(data[:-1])


def moved_on() -> tuple[PegCluster, PegCluster]:
    """Give a cluster twice: before and after another version takes a final payment's place."""
    found = []
    for words in (0, 3):
        cluster = with_payment()
        cluster.block((1, PegFee(payment=1, fee_sat=5_000)))
        cluster.finish(1)
        cluster.block((1, cluster.out(50_000)))
        proof = cluster.seen(1, 1).proof
        word = PegMoved(payment=1, version=1, turn=0, proof=proof)
        cluster.block(*((member, word) for member in range(words)))
        found.append(cluster)
    return found[0], found[1]


def test_a_payment_is_the_same_when_what_it_spends_has_another_txid() -> None:
    before, after = moved_on()
    [persist, signs, *_] = keeper(before, 3).handle(Ticked(), before.state, now=NOW)
    assert isinstance(persist, PersistBook)
    assert isinstance(signs, SignVersion)
    again = keeper(after, 3, book=persist.book)
    effects = again.handle(Ticked(), after.state, now=NOW)
    assert effects[0] == SignVersion(2, 0, after.payment(2)), "it is pledged already"
    assert after.payment(2).coins != before.payment(2).coins
    book = persist.book
    elsewhere = replace(after.payment(2), amount_sat=60_000)
    roots = after.state.peg_index.roots(after.payment(2))
    assert "another payment" in str(book.fault(2, elsewhere, roots))
    assert "signed away" in str(book.fault(3, after.payment(2), roots))


def test_another_version_than_the_final_one_is_looked_for_and_said() -> None:
    cluster, after = moved_on()
    member = keeper(cluster)
    names = tuple(txid(cluster.payment(1), version) for version in range(2))
    effects = member.handle(Ticked(), cluster.state, now=NOW)
    assert LookForPayment(1, names) in effects
    other, final = (PaymentSeen(1, version, cluster.seen(1, version).proof) for version in (1, 0))
    assert member.handle(final, cluster.state, now=NOW) == []
    [said] = member.handle(other, cluster.state, now=NOW)
    body = PegMoved(payment=1, version=1, turn=0, proof=other.proof)
    assert said == ProposePeg(body)
    cluster.block((0, body))
    assert member.handle(other, cluster.state, now=NOW) == []
    [back] = member.handle(final, cluster.state, now=NOW)
    assert back == ProposePeg(replace(body, version=0, proof=final.proof)), "it takes it back"
    assert keeper(after).handle(other, after.state, now=NOW) == []


def test_no_peg_out_is_signed_while_a_coin_is_missing() -> None:
    cluster = with_payment()
    cluster.fund(2, 300_000)
    member = PegKeeper(cluster.node(0), PegBook(), own_key(0)[0])
    effects = member.handle(Ticked(), cluster.state, now=NOW)
    assert SignVersion not in kinds(effects), "it has not looked yet"
    [looks] = [each.looks for each in effects if isinstance(each, LookForCoins)]
    coins = tuple(look.coin for look in looks)
    assert sorted(look.is_reserved for look in looks) == [False, True]
    fresh = keeper(cluster)
    fresh.handle(CoinsSeen(coins, frozenset(coins[:1])), cluster.state, now=NOW)
    assert SignVersion not in kinds(fresh.handle(Ticked(), cluster.state, now=NOW))
    [fault] = fresh.faults(cluster.state)
    assert "lacks 1 of the coins" in fault
    assert display(coins[1].txid) in fault
    fresh.handle(CoinsSeen(coins, frozenset(coins)), cluster.state, now=NOW)
    assert fresh.faults(cluster.state) == ()
    assert SignVersion in kinds(fresh.handle(Ticked(), cluster.state, now=NOW))


def test_all_coins_have_their_turn_to_be_looked_for() -> None:
    cluster = with_payment()
    for _ in range(COINS_A_LOOK + 9):
        cluster.fund(2, 10_000)
    member, looked = keeper(cluster), set()
    for look in range(2):
        effects = member.handle(Ticked(), cluster.state, now=NOW + look * COINS_MS)
        [found] = [each.looks for each in effects if isinstance(each, LookForCoins)]
        assert len(found) <= COINS_A_LOOK
        looked |= {each.coin for each in found}
    assert len(looked) == COINS_A_LOOK + 10


def test_a_member_that_restarts_signs_no_peg_out_before_it_has_looked_for_every_coin() -> None:
    cluster = with_payment()
    for _ in range(COINS_A_LOOK + 9):
        cluster.fund(2, 10_000)
    member = PegKeeper(cluster.node(0), PegBook(), own_key(0)[0])
    now = NOW
    for _ in range(2):
        effects = member.handle(Ticked(), cluster.state, now=now)
        assert SignVersion not in kinds(effects)
        [looks] = [each.looks for each in effects if isinstance(each, LookForCoins)]
        coins = tuple(look.coin for look in looks)
        member.handle(CoinsSeen(coins, frozenset(coins)), cluster.state, now=now)
        now += COINS_MS
    assert SignVersion in kinds(member.handle(Ticked(), cluster.state, now=now))


def test_the_book_forgets_what_the_ledger_has_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peg_ends, "KEPT_MS", 10_000)
    cluster = with_payment()
    [persist, *_] = keeper(cluster).handle(Ticked(), cluster.state, now=NOW)
    assert isinstance(persist, PersistBook)
    cluster.finish(1)
    cluster.block(after_ms=10_000)
    cluster.block()
    cluster.block((1, cluster.out(50_000)))
    member = keeper(cluster, book=persist.book)
    [second, *_] = member.handle(Ticked(), cluster.state, now=NOW)
    assert isinstance(second, PersistBook)
    assert [pledge.payment for pledge in second.book.pledges] == [2]
