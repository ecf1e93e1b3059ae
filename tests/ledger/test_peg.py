"""The peg in the ledger: reserves equal liabilities after every block, whatever is said.

`PegCluster.apply` compares them, with what was booked, after each block.
"""

import pytest
from msgspec.structs import replace

from ambientd.codec import secp256k1
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import sign_record
from ambientd.ledger import peg_payments
from ambientd.ledger.admission import is_admissible
from ambientd.ledger.peg import reserves_sat
from ambientd.ledger.peg_events import (
    AddressGiven,
    PaymentFinal,
    PaymentSigned,
    PaymentVersioned,
    PegInCredited,
    WalletFormed,
)
from ambientd.ledger.peg_ins import CLAIMS_MAX, PEG_IN_FEE_SAT
from ambientd.ledger.peg_payments import (
    OWN_VERSIONS_MAX,
    PEG_OUT_MIN_SAT,
    PEG_OUT_PATIENCE_MS,
    SWEEP_PATIENCE_MS,
    VERSIONS_MAX,
)
from ambientd.model.genesis import Rules
from ambientd.model.peg import CoinState, PaymentKind
from ambientd.model.record import (
    Bond,
    PegAddress,
    PegFee,
    PegSigned,
    SeatAsked,
    SeatVote,
    SeatWish,
    Transfer,
)
from ambientd.rules.bitcoin import Outpoint, decode_transaction
from ambientd.rules.peg_payments import PEG_IN_MIN_SAT, fee_at, signed_transaction, txid
from ambientd.rules.peg_script import keys_of
from tests.ledger.cluster import TestCluster, rejections
from tests.ledger.peg import PegCluster, paying, proof_of
from tests.rules.peg import PAYEE

GUEST = 10
RULES = Rules(keep_ms=20_000)


def opened(**changes: object) -> PegCluster:
    cluster = PegCluster(**changes)  # type: ignore[arg-type]
    cluster.open()
    return cluster


def kinds(events: list[object]) -> list[type]:
    return [type(event) for event in events]


def test_a_wallet_forms_once_all_members_have_said_a_key() -> None:
    cluster = PegCluster()
    assert cluster.block(*(cluster.key(number) for number in range(3))) == []
    assert cluster.block(cluster.key(3)) == [WalletFormed(1)]
    assert cluster.wallet.threshold == 3
    assert [each.member for each in cluster.wallet.signers] == list(cluster.state.members)


def test_nobody_says_the_key_of_another() -> None:
    cluster = PegCluster()
    _, body = cluster.key(0)
    [said] = rejections(cluster.block((1, body)))
    assert "did not sign" in said
    cluster.block((0, body))
    [said] = rejections(cluster.block(cluster.key(1, root=0)))
    assert "another node's" in said
    [said] = rejections(cluster.block((0, body)))
    assert "since" in said


def test_two_members_with_one_key_form_no_wallet() -> None:
    cluster = PegCluster()
    cluster.block(cluster.key(0), cluster.key(1, root=0), cluster.key(2), cluster.key(3))
    assert cluster.state.peg.wallet == 0


def test_a_node_keeps_its_address() -> None:
    cluster = PegCluster()
    assert cluster.block((2, PegAddress())) == [AddressGiven(cluster.node(2), 1)]
    assert cluster.block((2, PegAddress()), (1, PegAddress())) == [AddressGiven(cluster.node(1), 2)]


@pytest.mark.parametrize("network", ["main", "none"])
def test_there_is_no_peg_where_nobody_has_reviewed_it(network: str) -> None:
    cluster = PegCluster(network=network)
    [said] = rejections(cluster.block((0, PegAddress())))
    assert "no peg" in said


def test_play_credits_are_never_withdrawn() -> None:
    cluster = TestCluster()
    peg = PegCluster()
    for body in (PegAddress(), peg.key(0)[1], peg.out(1)):
        [said] = rejections(cluster.block((0, body)))
        assert "play credits" in said


def test_a_peg_in_is_credited_once_when_a_quorum_has_seen_it() -> None:
    cluster = opened()
    word = cluster.peg_in(1, 100_000)
    assert cluster.block((0, word), (1, word)) == []
    outpoint = decode_transaction(word.proof.raw_tx).txid
    amount_msat = (100_000 - PEG_IN_FEE_SAT) * 1_000
    credited = PegInCredited(cluster.node(1), outpoint, 0, amount_msat)
    assert cluster.block((0, word), (2, word)) == [credited]
    assert cluster.block((0, word), (3, word), (2, word)) == []
    assert cluster.state.balance_msat(cluster.node(1)) == amount_msat
    assert cluster.state.meta.fee_pool_msat == PEG_IN_FEE_SAT * 1_000
    assert reserves_sat(cluster.state) == 100_000


def test_a_minority_makes_no_money() -> None:
    cluster = opened()
    word = cluster.peg_in(1, 100_000)
    cluster.block((0, word), (1, word))
    cluster.block((0, word), (1, word))
    assert cluster.state.balance_msat(cluster.node(1)) == 0
    assert reserves_sat(cluster.state) == 0


def test_what_is_no_peg_in_is_refused() -> None:
    cluster = opened()
    cluster.block(cluster.join(GUEST))
    word = cluster.peg_in(1, 100_000)
    strange = paying(PAYEE, 100_000)
    small = cluster.peg_in(1, PEG_IN_MIN_SAT - 1)
    shallow = replace(word, proof=proof_of(word.proof.raw_tx, confirmations=5))
    moved = replace(word, proof=replace(word.proof, siblings=(bytes(32),)))
    for author, body, reason in (
        (GUEST, word, "committee members"),
        (0, replace(word, wallet=2), "no such wallet"),
        (0, replace(word, node=cluster.node(GUEST)), "no address"),
        (0, replace(word, node=cluster.node(2)), "does not pay"),
        (0, replace(word, output=1), "does not pay"),
        (0, replace(word, proof=proof_of(strange)), "does not pay"),
        (0, replace(word, proof=replace(word.proof, raw_tx=b"junk")), "does not pay"),
        (0, small, "below the least"),
        (0, shallow, "confirmations"),
        (0, moved, "inclusion"),
    ):
        [said] = rejections(cluster.block((author, body)))
        assert reason in said
    assert reserves_sat(cluster.state) == 0


def test_one_liar_fills_nobodys_memory_with_peg_ins() -> None:
    cluster = opened()
    claims = [cluster.peg_in(3, 50_000) for _ in range(CLAIMS_MAX + 1)]
    [said] = rejections(cluster.block(*((3, each) for each in claims)))
    assert "wait" in said
    fresh = cluster.peg_in(3, 50_000)
    assert cluster.all_say(fresh), "others go on"
    assert cluster.state.peg_node(cluster.node(0)).claims == 0


def test_a_claim_that_nobody_else_sees_gives_way_to_a_later_one() -> None:
    cluster = opened()
    claims = [cluster.peg_in(3, 50_000) for _ in range(CLAIMS_MAX + 2)]
    *earlier, later, last = claims
    cluster.block(*((3, each) for each in earlier))
    shared = min(earlier, key=lambda each: decode_transaction(each.proof.raw_tx).txid)
    cluster.block((0, shared))
    assert rejections(cluster.block((3, later))) == []
    kept = set(cluster.state.peg_index.claims(cluster.node(3)))
    names = {Outpoint(decode_transaction(each.proof.raw_tx).txid, 0) for each in claims}
    assert (len(kept), cluster.state.peg_node(cluster.node(3)).claims) == (CLAIMS_MAX, CLAIMS_MAX)
    assert Outpoint(decode_transaction(shared.proof.raw_tx).txid, 0) in kept, "another has seen it"
    assert Outpoint(decode_transaction(later.proof.raw_tx).txid, 0) in kept
    [gone] = names - kept - {Outpoint(decode_transaction(last.proof.raw_tx).txid, 0)}
    [again] = [each for each in earlier if decode_transaction(each.proof.raw_tx).txid == gone.txid]
    assert cluster.all_say(again), "what was forgotten can be said again"
    assert rejections(cluster.block((3, last))) == []
    assert cluster.state.peg_node(cluster.node(3)).claims == CLAIMS_MAX


def test_a_peg_out_is_signed_sent_and_booked() -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    body = cluster.out(150_000, fee_sat=700)
    assert cluster.block((1, body)) == [PaymentVersioned(1, 0, cluster.node(1), body.said_ms)]
    assert cluster.balance_sat(1) == 49_500
    assert cluster.block(cluster.signed(0, 1), cluster.signed(2, 1)) == []
    assert cluster.block(cluster.signed(3, 1)) == [PaymentSigned(1, 0)]
    raw = _combined(cluster, 1, 0)
    transaction = decode_transaction(raw)
    assert transaction.outputs[0].value_sat == 149_300
    assert transaction.outputs[0].script == PAYEE
    assert cluster.all_say(cluster.seen(1)) == [PaymentFinal(1, 0, transaction.txid)]
    peg = cluster.state.peg
    assert (peg.in_sat, peg.out_sat, peg.fees_sat, peg.leaving_sat) == (200_000, 149_300, 700, 0)
    assert reserves_sat(cluster.state) == 50_000
    assert cluster.state.peg_index.held_sat() == {1: 50_000}


def _combined(cluster: PegCluster, number: int, version: int) -> bytes:
    entry = cluster.state.peg_payment(number)
    assert entry is not None
    wallets = cluster.state.peg_index.wallets
    signatures: list[dict[bytes, bytes]] = []
    for place, coin in enumerate(entry.payment.coins):
        keys = keys_of(wallets[coin.wallet], coin.index)
        found = {}
        for word in entry.words:
            if word.version == version:
                member = [s.member for s in wallets[coin.wallet].signers].index(word.member)
                signer = wallets[coin.wallet].signers[member]
                [key] = keys_of(replace(wallets[coin.wallet], signers=(signer,)), coin.index)
                assert key in keys
                found[key] = word.signatures[place]
        signatures.append(found)
    raw = signed_transaction(entry.payment, version, wallets, signatures)
    assert raw is not None
    return raw


def test_who_may_not_withdraw_moves_nothing() -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    for author, body, reason in (
        (2, cluster.out(10_000), "less than"),
        (1, cluster.out(199_501), "the balance is 199500 sat, less than 199501 sat"),
        (1, cluster.out(2**53 - 1), "less than"),
        (1, cluster.out(50_000, script=b"\x6a" + bytes(25)), "no kind"),
        (1, cluster.out(50_000, fee_sat=1), "relay"),
        (1, cluster.out(150_000, fee_sat=120_000), "limit"),
        (1, cluster.out(PEG_OUT_MIN_SAT, fee_sat=9_500), "dust"),
        (1, cluster.out(PEG_OUT_MIN_SAT, fee_sat=50_000), "dust"),
        (1, cluster.out(PEG_OUT_MIN_SAT, fee_sat=2**53 - 1), "limit"),
        (1, cluster.out(PEG_OUT_MIN_SAT - 1), "below the least"),
        (1, cluster.out(0), "below the least"),
        (77, cluster.out(600), "never convicted"),
    ):
        [said] = rejections(cluster.block((author, body)))
        assert reason in said
    assert cluster.state.peg.payments == 0


def test_an_overdraw_in_one_block_pays_once() -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    cluster.fund(2, 200_000)
    first = cluster.out(150_000)
    events = cluster.block((1, first), (1, cluster.out(150_000)), (1, first))
    assert len(rejections(events)) == 2
    assert cluster.state.peg.payments == 1


def test_two_peg_outs_never_spend_one_coin() -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    cluster.fund(2, 300_000)
    events = cluster.block((1, cluster.out(100_000)), (2, cluster.out(100_000)))
    assert rejections(events) == []
    coins = [coin.txid for number in (1, 2) for coin in cluster.payment(number).coins]
    assert len(set(coins)) == 2
    [said] = rejections(cluster.block((2, cluster.out(100_000))))
    assert "under way" in said
    cluster.finish(1)
    assert rejections(cluster.block((2, cluster.out(50_000)))) == []


def test_a_fee_is_raised_and_either_version_may_be_mined() -> None:
    for final, fee_sat in ((0, 500), (1, 9_000)):
        cluster = opened()
        cluster.fund(1, 200_000)
        cluster.block((1, cluster.out(100_000, fee_sat=500)))
        [said] = rejections(cluster.block((1, PegFee(payment=1, fee_sat=501))))
        assert "or more" in said
        [said] = rejections(cluster.block((2, PegFee(payment=1, fee_sat=9_000))))
        assert "24 h" in said
        [event] = cluster.block((1, PegFee(payment=1, fee_sat=9_000)))
        assert event == PaymentVersioned(1, 1, cluster.node(1))
        cluster.finish(1, final)
        assert cluster.state.peg.fees_sat == fee_sat
        assert cluster.state.peg.out_sat == 100_000 - fee_sat
        assert rejections(cluster.block((1, PegFee(payment=1, fee_sat=20_000)))) != []
        assert cluster.all_say(cluster.seen(1, 1 - final)) == [], "final is final"


def test_versions_are_few() -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    cluster.block(cluster.join(GUEST))
    cluster.block((1, Transfer(to=cluster.node(GUEST), amount_msat=150_000_000, said_ms=1)))
    cluster.block((GUEST, cluster.out(150_000)))
    for step in range(1, OWN_VERSIONS_MAX):
        assert not rejections(cluster.block((GUEST, PegFee(payment=1, fee_sat=500 + step * 300))))
    [said] = rejections(cluster.block((GUEST, PegFee(payment=1, fee_sat=50_000))))
    assert "many versions" in said
    for step in range(OWN_VERSIONS_MAX, VERSIONS_MAX):
        cluster.sign_all(1, step - 1)
        body = PegFee(payment=1, fee_sat=500 + step * 300)
        assert not rejections(cluster.leap((0, body), after_ms=PEG_OUT_PATIENCE_MS))
    [said] = rejections(cluster.block((0, PegFee(payment=1, fee_sat=50_000))))
    assert "versions already" in said


def test_a_peg_out_that_is_too_cheap_keeps_nobodys_coins_for_ever() -> None:
    cluster = opened()
    cluster.fund(1, 1_000_000)
    cluster.block((1, cluster.out(PEG_OUT_MIN_SAT, fee_sat=300)))
    [said] = rejections(cluster.block((2, PegFee(payment=1, fee_sat=900))))
    assert "24 h" in said
    cluster.leap(after_ms=PEG_OUT_PATIENCE_MS)
    [said] = rejections(cluster.block((2, PegFee(payment=1, fee_sat=901))))
    assert "three times" in said
    [said] = rejections(cluster.block((2, PegFee(payment=1, fee_sat=900))))
    assert "is not signed" in said
    cluster.sign_all(1)
    assert kinds(cluster.block((2, PegFee(payment=1, fee_sat=900)))) == [PaymentVersioned]
    cluster.finish(1, 1)
    assert cluster.state.peg.out_sat == PEG_OUT_MIN_SAT - 900


def test_a_liar_raises_no_fee_while_signers_are_away() -> None:
    cluster = opened()
    cluster.fund(1, 1_000_000)
    cluster.block((1, cluster.out(500_000, fee_sat=500)))
    cluster.sign_all(1)
    cluster.leap(after_ms=PEG_OUT_PATIENCE_MS)
    assert rejections(cluster.block((3, PegFee(payment=1, fee_sat=1_500)))) == []
    for _ in range(3):
        cluster.leap(after_ms=PEG_OUT_PATIENCE_MS)
        [said] = rejections(cluster.block((3, PegFee(payment=1, fee_sat=4_500))))
        assert "is not signed" in said
    cluster.sign_all(1, 1)
    assert rejections(cluster.block((3, PegFee(payment=1, fee_sat=4_500)))) == []


def test_a_bad_signature_is_refused() -> None:
    cluster = opened()
    cluster.block(cluster.join(GUEST))
    cluster.fund(1, 200_000)
    cluster.block((1, cluster.out(100_000)), after_ms=100)
    cluster.block((1, PegFee(payment=1, fee_sat=9_000)))
    _, good = cluster.signed(0, 1)
    for author, body, reason in (
        (1, good, "does not hold"),
        (0, replace(good, version=1), "does not hold"),
        (0, replace(good, version=2), "no such version"),
        (0, replace(good, payment=2), "no such payment"),
        (0, replace(good, signatures=()), "0 signatures"),
        (0, replace(good, signatures=(bytes(64),)), "does not hold"),
        (GUEST, good, "no key"),
        (*cluster.signed(0, 1, root=5), "does not hold"),
    ):
        [said] = rejections(cluster.block((author, body)))
        assert reason in said
    assert cluster.block((0, good), (0, good)) == []
    entry = cluster.state.peg_payment(1)
    assert entry is not None
    assert len(entry.words) == 1


def test_one_forger_makes_nobody_check_many_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    cluster.block((1, cluster.out(100_000)))
    _, good = cluster.signed(0, 1)
    bad = replace(good, signatures=(bytes(63) + b"\1",))
    checked = []
    verify = secp256k1.verify

    def counted(*words: bytes) -> bool:
        checked.append(words)
        return verify(*words)

    monkeypatch.setattr(secp256k1, "verify", counted)
    events = cluster.block((0, bad), (0, bad), (0, good), cluster.signed(1, 1))
    assert ["did not hold" in said for said in rejections(events)] == [False, True, True]
    assert len(checked) == 2 * 2, "two replicas apply each block"
    assert rejections(cluster.block((0, good))) == []


def test_a_minority_pays_nothing() -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    cluster.block((1, cluster.out(100_000)))
    events = cluster.block(cluster.signed(0, 1), cluster.signed(1, 1), cluster.signed(0, 1))
    assert events == []
    seen = cluster.seen(1)
    assert cluster.block((0, seen), (1, seen), (0, seen)) == []
    [said] = rejections(cluster.block((2, replace(seen, proof=proof_of(paying(PAYEE, 1))))))
    assert "another transaction" in said
    assert reserves_sat(cluster.state) == 200_000


def test_with_signers_away_a_payment_waits_and_goes_on_later() -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    cluster.block((1, cluster.out(100_000)))
    cluster.block(cluster.signed(0, 1), cluster.signed(1, 1))
    cluster.block(after_ms=3_600_000)
    assert cluster.block(cluster.signed(2, 1)) == [PaymentSigned(1, 0)]


def rotate(cluster: PegCluster, number: int) -> None:
    """Let a guest into the committee, with its key."""
    cluster.block(cluster.join(number))
    asks = SeatAsked(beacon_tip=sha256(b"tip %d" % number), bond_msat=0, asked_ms=1)
    cluster.block(cluster.key(number), (number, asks))
    wish = SeatVote(node=cluster.node(number), wish=SeatWish.IN, said_ms=cluster.next_ms())
    cluster.block(*((member, wish) for member in range(3)))
    due = cluster.state.epoch_due
    assert due is not None
    cluster.block((0, due))


def test_coins_follow_the_committee_and_the_pool_pays() -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    cluster.fund(2, 300_000)
    rotate(cluster, GUEST)
    assert cluster.state.peg.wallet == 2
    sweep = cluster.payment(1)
    assert sweep.kind is PaymentKind.SWEEP
    assert (len(sweep.coins), sweep.change_wallet) == (2, 2)
    fee_sat = sweep.fees_sat[0]
    assert cluster.state.meta.fee_pool_msat == 2 * PEG_IN_FEE_SAT * 1_000 - fee_sat * 1_000
    cluster.finish(1)
    assert cluster.all_say(cluster.seen(1)) == []
    assert cluster.state.peg_index.held_sat() == {2: 500_000 - fee_sat}
    assert cluster.wallet.threshold == 4


def test_a_peg_out_under_way_ends_though_the_committee_changes() -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    cluster.block((1, cluster.out(100_000)))
    rotate(cluster, GUEST)
    assert cluster.state.peg.payments == 1, "its coin is reserved"
    cluster.block(*(cluster.signed(member, 1) for member in range(3)))
    events = cluster.block(*((member, cluster.seen(1)) for member in range(4)))
    assert PaymentFinal in kinds(events)
    cluster.block()
    sweep = cluster.payment(2)
    assert sweep.kind is PaymentKind.SWEEP
    assert sweep.coins[0].txid == txid(cluster.payment(1), 0)
    assert sweep.coins[0].index == 0


def test_a_late_peg_in_is_brought_over_before_it_is_credited() -> None:
    cluster = opened()
    rotate(cluster, GUEST)
    word = cluster.peg_in(1, 100_000, wallet=1)
    events = cluster.block(*((member, word) for member in range(4)))
    assert kinds(events) == [PaymentVersioned]
    assert cluster.balance_sat(1) == 0
    late = cluster.payment(1)
    assert (late.kind, late.node, late.change_wallet) == (PaymentKind.LATE, cluster.node(1), 2)
    cluster.block(*(cluster.signed(member, 1) for member in range(3)))
    cluster.block(*((member, cluster.seen(1)) for member in range(4)))
    fee_sat = late.fees_sat[0]
    assert cluster.balance_sat(1) == 100_000 - fee_sat - PEG_IN_FEE_SAT
    assert cluster.state.peg_index.held_sat() == {2: 100_000 - fee_sat}
    assert cluster.block((0, word), (1, word)) == [], "not credited twice"


def test_a_late_peg_in_and_a_sweep_under_way_outlive_another_change_of_keys() -> None:
    cluster = opened(rules=RULES)
    cluster.fund(1, 200_000)
    change_key(cluster, 50)
    cluster.block(*(cluster.signed(member, 1) for member in (1, 2)))
    cluster.all_say(cluster.peg_in(2, 100_000, wallet=1))
    change_key(cluster, 51)
    assert cluster.state.peg_index.open_payments() == [1, 2], "a sweep, and a late peg-in"
    cluster.block(cluster.signed(3, 1))
    cluster.all_say(cluster.seen(1))
    finish_without_first(cluster, 2)
    assert cluster.balance_sat(2) == 100_000 - cluster.payment(2).fees_sat[0] - PEG_IN_FEE_SAT
    number = cluster.state.peg.payments
    assert cluster.payment(number).kind is PaymentKind.SWEEP, "what they brought goes on"
    finish_without_first(cluster, number)
    assert 3 in cluster.state.peg_index.held_sat()


def test_who_speaks_first_makes_no_peg_in_late_when_keys_come_back() -> None:
    cluster = opened(rules=RULES)
    change_key(cluster, 50)
    change_key(cluster, 0)
    assert cluster.script(1, 1) == cluster.script(1, 3)
    word = cluster.peg_in(1, 100_000)
    events = cluster.block((3, replace(word, wallet=1)), (0, word), (1, word))
    assert kinds(events) == [PegInCredited]
    assert cluster.state.peg_index.held_sat() == {3: 100_000}


def test_an_earlier_committee_makes_no_credits_out_of_its_own_coins() -> None:
    cluster = opened()
    rotate(cluster, GUEST)
    word = cluster.peg_in(1, 10_000_000, wallet=1)
    cluster.block(*((member, word) for member in range(4)))
    assert cluster.balance_sat(1) == 0, "they may take it back before it is brought over"
    [said] = rejections(cluster.block((1, cluster.out(1_000_000))))
    assert "less than" in said


def test_a_sweep_waits_for_its_fee_and_is_raised_step_by_step() -> None:
    cluster = opened()
    for _ in range(4):
        cluster.fund(1, 200_000)
    rotate(cluster, GUEST)
    first = cluster.payment(1).fees_sat[0]
    body = PegFee(payment=1, fee_sat=first + first)
    [said] = rejections(cluster.block((0, body)))
    assert "1 h" in said
    [said] = rejections(cluster.block((GUEST + 1, body)))
    assert "members" in said
    cluster.block(after_ms=SWEEP_PATIENCE_MS)
    [said] = rejections(cluster.block((0, PegFee(payment=1, fee_sat=4 * first))))
    assert "three times" in said
    [said] = rejections(cluster.block((0, PegFee(payment=1, fee_sat=3 * first))))
    assert "fee pool" in said
    pool_sat = cluster.state.meta.fee_pool_msat // 1_000
    raised = first + min(
        pool_sat, fee_at(cluster.payment(1), cluster.state.peg_index.wallets, 1000)
    )
    if raised == first + pool_sat:
        return
    cluster.sign_all(1)
    assert rejections(cluster.block((0, PegFee(payment=1, fee_sat=raised)))) == []
    cluster.block(*((member, cluster.seen(1, 0)) for member in range(4)))
    assert cluster.state.peg.fees_sat == first
    assert cluster.state.peg.leaving_sat == raised - first, "a deep reorganisation may cost it yet"
    assert cluster.state.meta.fee_pool_msat == (pool_sat - raised + first) * 1_000


def test_a_key_changes_and_the_coins_with_it_but_not_every_day() -> None:
    cluster = opened(rules=RULES)
    cluster.fund(1, 200_000)
    [said] = rejections(cluster.block(cluster.key(0, root=50)))
    assert "short while" in said
    cluster.block(after_ms=RULES.keep_ms)
    events = cluster.block(cluster.key(0, root=50))
    assert kinds(events) == [WalletFormed, PaymentVersioned]


def test_credits_stay_the_same_thing_inside() -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    gift = Transfer(to=cluster.node(2), amount_msat=50_000_001, said_ms=cluster.next_ms())
    bond = Bond(amount_msat=1_000_000, said_ms=cluster.next_ms())
    assert rejections(cluster.block((1, gift), (2, bond))) == []
    assert rejections(cluster.block((2, cluster.out(40_000)))) == []


def test_the_peg_comes_back_from_a_store_as_it_was() -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    cluster.fund(2, 300_000)
    cluster.block((1, cluster.out(100_000)))
    again = cluster.restarted()
    assert again.root == cluster.state.root
    ours, theirs = cluster.state.peg_index, again.peg_index
    assert ours.held_sat() == theirs.held_sat()
    assert ours.open_payments() == theirs.open_payments() == [1]
    assert list(ours.addresses()) == list(theirs.addresses())
    assert ours.wallets == theirs.wallets


def test_spent_peg_ins_are_remembered() -> None:
    cluster = opened()
    word = cluster.peg_in(1, 200_000)
    cluster.all_say(word)
    cluster.block((1, cluster.out(100_000)))
    cluster.finish(1)
    name = decode_transaction(word.proof.raw_tx).txid
    entry = cluster.state.peg_coin(name, 0)
    assert entry is not None
    assert entry.state is CoinState.SPENT
    assert cluster.all_say(word) == []


def test_what_is_too_long_is_not_admissible() -> None:
    cluster = opened()
    signer = cluster.signer(0)
    for body in (
        cluster.out(1, script=bytes(35)),
        PegSigned(payment=1, version=0, signatures=(bytes(63),)),
        PegSigned(payment=1, version=0, signatures=(bytes(64),) * 65),
        replace(cluster.key(0)[1], key=bytes(65)),
    ):
        assert not is_admissible(encode(sign_record(signer, body)), cluster.id)


def change_key(cluster: PegCluster, root: int) -> None:
    """Let the first member say another key, which makes another wallet."""
    cluster.block(after_ms=RULES.keep_ms)
    cluster.block(cluster.key(0, root=root))


def finish_without_first(cluster: PegCluster, number: int) -> None:
    cluster.block(*(cluster.signed(member, number) for member in (1, 2, 3)))
    cluster.all_say(cluster.seen(number))


def test_a_coin_that_is_not_worth_its_sweep_holds_up_no_other_wallet() -> None:
    cluster = opened(rules=RULES)
    cluster.fund(1, 200_000)
    cluster.block((1, cluster.out(199_000)))
    change_key(cluster, 50)
    finish_without_first(cluster, 1)
    assert cluster.state.peg_index.held_sat() == {1: 1_000}
    cluster.fund(2, 300_000)
    change_key(cluster, 51)
    assert {coin.wallet for coin in cluster.payment(2).coins} == {2}
    finish_without_first(cluster, 2)
    assert cluster.state.peg_index.held_sat().keys() == {1, 3}
    assert cluster.block() == []


def test_a_sweep_takes_as_many_coins_as_the_pool_can_pay_for() -> None:
    cluster = opened(rules=RULES)
    cluster.fund(1, 200_000)
    change_key(cluster, 50)
    finish_without_first(cluster, 1)
    cluster.fund(1, 300_000)
    change_key(cluster, 51)
    [coin] = cluster.payment(2).coins
    assert coin.value_sat == 300_000, "the larger one alone"


def test_an_empty_pool_holds_up_no_peg_out() -> None:
    cluster = opened(rules=RULES)
    cluster.fund(1, 200_000)
    change_key(cluster, 50)
    finish_without_first(cluster, 1)
    change_key(cluster, 51)
    assert cluster.state.peg.payments == 1, "the pool cannot pay a second sweep"
    assert rejections(cluster.block((1, cluster.out(100_000)))) == []
    payment = cluster.payment(2)
    assert ({coin.wallet for coin in payment.coins}, payment.change_wallet) == ({2}, 3)
    finish_without_first(cluster, 2)
    assert cluster.state.peg_index.held_sat().keys() == {3}


def test_late_peg_ins_that_nobody_signs_hold_up_no_peg_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peg_payments, "OPEN_MAX", 2)
    cluster = opened(rules=RULES)
    cluster.fund(1, 200_000)
    change_key(cluster, 50)
    finish_without_first(cluster, 1)
    for _ in range(2):
        cluster.all_say(cluster.peg_in(2, 10_000, wallet=1))
    assert cluster.state.peg_index.open_payments() == [2, 3]
    assert rejections(cluster.block((1, cluster.out(50_000)))) == []
    finish_without_first(cluster, 4)
    cluster.fund(1, 200_000)
    events = cluster.block((1, cluster.out(50_000)), (1, cluster.out(50_000)))
    assert rejections(events) == []
    [said] = rejections(cluster.block((1, cluster.out(50_000))))
    assert "2 peg-outs are under way" in said
