"""Anchoring decides what is signed, sent, replaced and given up; views are made by hand here."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.errors import ConfigError, RemoteProtocolError
from ambientd.model.base import Digest
from ambientd.roles.anchoring.book import (
    HEARD_KEPT_MAX,
    THEIRS_BYTES_MAX,
    AnchorBook,
    AnchoredRoot,
    Coin,
    Place,
    Stage,
    Version,
    decode_book,
    encode_book,
)
from ambientd.roles.anchoring.core import Anchoring
from ambientd.roles.anchoring.events import (
    Answered,
    AskForFunds,
    ChainAway,
    ChainSeen,
    CollectProof,
    Effect,
    Event,
    Look,
    LookAtChain,
    PersistBook,
    ProofTaken,
    RetryAsked,
    RootLost,
    RootsSettled,
    RootWanted,
    SendTransaction,
    TheirsHeard,
    Ticked,
    View,
)
from ambientd.roles.anchoring.options import AnchoringOptions
from ambientd.roles.anchoring.purse import Payment, Short, bumped_fee, first_fee, pay
from ambientd.rules.anchor_costs import DUST_SAT, INPUTS_MAX, anchor_vsize
from ambientd.rules.bitcoin import decode_transaction
from sim.wallets import UnsignedPurse

ROOT, LATER = Digest(b"\x01" * 32), Digest(b"\x02" * 32)
HASH, OTHER_HASH = b"\x0a" * 32, b"\x0b" * 32
OPTIONS = AnchoringOptions()
DAY_MS = 86_400_000
PURSE, THEIRS = UnsignedPurse(1), UnsignedPurse(2)


def coin(value_sat: int = 50_000, number: int = 1) -> Coin:
    return Coin(txid=bytes([number]) * 32, index=0, value_sat=value_sat)


class Desk:
    """A core, the time, and the chain as a test says it is."""

    def __init__(self, options: AnchoringOptions = OPTIONS, book: AnchorBook | None = None) -> None:
        self.core = Anchoring(options, PURSE, book or AnchorBook(), "address")
        self.now = 10 * DAY_MS
        self.book = book or AnchorBook()
        self.height = 100
        self.coins: tuple[Coin, ...] = (coin(),)
        self.rate: int | None = None
        self.places: dict[bytes, Place] = {}
        self.hashes: dict[int, bytes] = {}
        self.waiting: frozenset[bytes] = frozenset()

    def tell(self, event: Event) -> list[Effect]:
        effects = self.core.handle(event, now=self.now)
        for effect in effects:
            if isinstance(effect, PersistBook):
                self.book = effect.book
        return effects

    def look(self) -> Look:
        deadline_ms = self.core.next_deadline
        assert deadline_ms is not None
        self.now = max(self.now, deadline_ms)
        [effect] = self.tell(Ticked())
        assert isinstance(effect, LookAtChain)
        return effect.look

    def see(self) -> list[Effect]:
        """Look, and look again while that is wanted at once."""
        effects = self._see()
        while self.core.next_deadline == self.now:
            effects += self._see()
        return effects

    def _see(self) -> list[Effect]:
        wanted = self.look()
        view = View(
            height=self.height,
            places={txid: self.places.get(txid) for txid in wanted.txids},
            hashes={height: self.hashes.get(height) for height in wanted.heights},
            waiting=self.waiting & set(wanted.waiting),
            coins=self.coins if wanted.coins else None,
            rate_msat_vb=self.rate if wanted.coins else None,
        )
        return self.tell(ChainSeen(view))

    def sent(self) -> SendTransaction | None:
        """What is sent now, taken by the network."""
        for effect in self.see():
            if isinstance(effect, SendTransaction):
                self.tell(Answered(effect.txid))
                return effect
        return None

    def entry(self, root: Digest = ROOT) -> AnchoredRoot:
        return next(entry for entry in self.book.roots if entry.root == root)

    def mine(self, txid: bytes, height: int | None = None, block_hash: bytes = HASH) -> None:
        height = self.height if height is None else height
        self.places[txid] = Place(txid=txid, height=height, block_hash=block_hash)
        self.hashes[height] = block_hash


def wanting(options: AnchoringOptions = OPTIONS) -> Desk:
    desk = Desk(options)
    desk.tell(RootWanted(1, ROOT))
    return desk


def sending(options: AnchoringOptions = OPTIONS) -> tuple[Desk, bytes]:
    desk = wanting(options)
    sent = desk.sent()
    assert sent is not None
    return desk, sent.txid


def proving(options: AnchoringOptions = OPTIONS) -> tuple[Desk, bytes]:
    desk, txid = sending(options)
    desk.mine(txid)
    desk.height += 5
    [persisted, collect] = desk.see()
    assert isinstance(persisted, PersistBook)
    assert isinstance(collect, CollectProof)
    desk.tell(ProofTaken(ROOT, collect.place))
    assert desk.entry().stage is Stage.PROVEN
    return desk, txid


def theirs(root: Digest = ROOT) -> bytes:
    return THEIRS.sign([coin(9_000, 9)], root, 500)


def test_where_nothing_is_wanted_nothing_is_looked_at() -> None:
    assert Desk().core.next_deadline is None
    assert Desk().tell(Ticked()) == []


def test_what_is_signed_is_on_disk_before_it_is_sent() -> None:
    desk = wanting()
    persisted, sent = desk.see()
    assert isinstance(persisted, PersistBook)
    assert isinstance(sent, SendTransaction)
    [version] = persisted.book.roots[0].versions
    assert (version.raw, version.txid, version.coins) == (sent.raw, sent.txid, (coin(),))
    assert persisted.book.day_fee_sat == version.fee_sat


def test_after_a_crash_the_same_transaction_is_sent_and_nothing_is_signed() -> None:
    desk, txid = sending()
    again = Desk(book=desk.book)
    assert again.core.next_deadline == 0
    sent = again.sent()
    assert sent is not None
    assert sent.txid == txid
    again.tell(RootWanted(1, ROOT))
    assert again.book == desk.book


def test_the_fee_follows_the_estimate_and_falls_back_when_there_is_none() -> None:
    for rate, fee_sat in ((None, 314), (1_000, 157), (1, 157), (10_001, 1_571)):
        desk = wanting()
        desk.rate = rate
        desk.see()
        assert desk.entry().versions[0].fee_sat == fee_sat


def test_a_fee_above_the_cap_waits_and_says_so() -> None:
    desk = wanting()
    desk.rate = 100_000
    desk.see()
    assert desk.core.alarm == "a fee of 15700 sat is above the cap 10000"
    assert desk.core.next_deadline == desk.now + OPTIONS.retry_ms
    desk.rate = 1_000
    assert desk.sent() is not None
    assert desk.core.alarm is None


def test_a_day_s_anchors_cost_no_more_than_their_cap() -> None:
    options = replace(OPTIONS, fee_sat_a_day_max=500)
    desk, txid = sending(options)
    desk.mine(txid)
    desk.tell(RootWanted(2, LATER))
    desk.coins = (coin(number=2),)
    assert desk.sent() is None
    assert desk.core.alarm == "628 sat in one day is above the cap 500"
    desk.now += DAY_MS
    assert desk.sent() is not None
    assert desk.book.day_fee_sat == 314


class Device(UnsignedPurse):
    """A signer that may be away."""

    away = ""

    def sign(self, coins: Sequence[Coin], root: Digest, fee_sat: int) -> bytes | str:
        return self.away or super().sign(coins, root, fee_sat)


def test_a_signer_that_is_away_costs_nothing_and_is_asked_again() -> None:
    device = Device(1)
    device.away = "plug it in"
    desk = Desk()
    desk.core = Anchoring(OPTIONS, device, AnchorBook(), "address")
    desk.tell(RootWanted(1, ROOT))
    assert desk.sent() is None
    assert desk.core.alarm == "plug it in"
    assert desk.book.day_fee_sat == 0
    device.away = ""
    sent = desk.sent()
    assert sent is not None
    assert desk.core.alarm is None
    assert desk.book.day_fee_sat == desk.entry().versions[0].fee_sat > 0


def test_a_stuck_anchor_whose_signer_is_away_is_sent_on_as_it_is() -> None:
    device = Device(1)
    desk = Desk()
    desk.core = Anchoring(OPTIONS, device, AnchorBook(), "address")
    desk.tell(RootWanted(1, ROOT))
    first = desk.sent()
    assert first is not None
    device.away = "plug it in"
    desk.height += OPTIONS.bump_blocks
    desk.now += OPTIONS.bump_ms
    assert desk.sent() == first
    assert desk.core.alarm == "plug it in"
    assert len(desk.entry().versions) == 1
    device.away = ""
    desk.height += OPTIONS.bump_blocks
    desk.now += OPTIONS.bump_ms
    raised = desk.sent()
    assert raised is not None
    assert raised.txid != first.txid
    assert desk.core.alarm is None


def test_an_anchor_is_sent_again_after_a_while_and_at_once_when_asked() -> None:
    desk, txid = sending()
    assert desk.sent() is None
    desk.now += OPTIONS.rebroadcast_ms
    again = desk.sent()
    assert again is not None
    desk.tell(RetryAsked())
    assert desk.core.next_deadline == desk.now
    at_once = desk.sent()
    assert at_once is not None
    assert {again.txid, at_once.txid} == {txid}


@pytest.mark.parametrize("by_time", [False, True], ids=["blocks", "time"])
def test_a_stuck_anchor_is_replaced_by_one_that_spends_the_same_and_pays_more(
    by_time: bool,
) -> None:
    desk, txid = sending()
    desk.height += OPTIONS.bump_blocks - 1
    assert desk.sent() is None
    desk.height += 0 if by_time else 1
    desk.now += OPTIONS.bump_ms if by_time else 0
    desk.coins = ()
    bumped = desk.sent()
    assert bumped is not None
    first, second = desk.entry().versions
    assert (first.txid, second.txid, second.coins) == (txid, bumped.txid, first.coins)
    assert second.fee_sat == first.fee_sat + 157
    # Either may be mined.
    assert set(desk.look().txids) == {first.txid, second.txid}


def test_a_replacement_reaches_the_cap_and_no_further() -> None:
    desk, _ = sending(replace(OPTIONS, fee_sat_max=500))
    desk.height += OPTIONS.bump_blocks
    assert desk.sent() is not None
    assert desk.entry().versions[-1].fee_sat == 471
    desk.height += OPTIONS.bump_blocks
    desk.see()
    assert len(desk.entry().versions) == 2
    assert desk.core.alarm == "a fee of 628 sat is above the cap 500"


def test_a_replacement_takes_another_coin_when_the_change_is_used_up() -> None:
    desk = wanting()
    desk.coins = (coin(650),)
    assert desk.sent() is not None
    desk.height += OPTIONS.bump_blocks
    desk.coins = (coin(9_000, 2),)
    assert desk.sent() is not None
    assert desk.entry().versions[-1].coins == (coin(650), coin(9_000, 2))


def test_who_has_no_coins_says_where_to_send_some_and_loses_nothing() -> None:
    desk = wanting()
    desk.coins = (coin(100),)
    assert AskForFunds(314 + DUST_SAT) in desk.see()
    assert desk.core.alarm == ("out of funds: 100 sat, an anchor needs 608; send some to address")
    [progress] = desk.core.progress()
    assert (progress.entry.stage, progress.note) == (Stage.WAITING, desk.core.alarm)
    desk.coins = (coin(608),)
    assert desk.sent() is not None


def test_the_next_anchor_waits_for_the_change_of_the_one_before_without_an_alarm() -> None:
    desk, txid = sending()
    desk.tell(RootWanted(2, LATER))
    desk.coins = ()
    assert desk.sent() is None
    assert desk.core.alarm is None
    desk.coins = (coin(),)
    assert desk.sent() is None, "the coin is in use, even where the network has forgotten it"
    desk.mine(txid)
    desk.coins = (Coin(txid=txid, index=1, value_sat=49_686),)
    child = desk.sent()
    assert child is not None
    assert child.root == LATER


def test_an_anchor_whose_change_is_spent_already_is_left_and_its_child_replaced() -> None:
    desk, txid = sending()
    desk.mine(txid)
    desk.tell(RootWanted(2, LATER))
    desk.coins = (Coin(txid=txid, index=1, value_sat=49_686),)
    assert desk.sent() is not None
    del desk.places[txid]
    desk.hashes[100] = OTHER_HASH
    desk.see()
    assert {entry.stage for entry in desk.book.roots} == {Stage.SENT}
    desk.height += OPTIONS.bump_blocks
    desk.see()
    assert [len(entry.versions) for entry in desk.book.roots] == [1, 2]


def test_a_child_of_a_version_that_was_replaced_keeps_nothing_from_being_replaced() -> None:
    desk, txid = sending()
    desk.height += OPTIONS.bump_blocks
    desk.see()
    desk.mine(txid)
    desk.tell(RootWanted(2, LATER))
    desk.coins = (Coin(txid=txid, index=1, value_sat=49_686),)
    assert desk.sent() is not None
    del desk.places[txid]
    desk.hashes[desk.height] = OTHER_HASH
    desk.coins = (coin(),)
    desk.see()
    assert [len(entry.versions) for entry in desk.book.roots] == [2, 1]
    desk.height += OPTIONS.bump_blocks
    desk.see()
    assert [len(entry.versions) for entry in desk.book.roots] == [3, 2]


def test_a_later_root_takes_the_place_of_one_for_which_nothing_is_signed() -> None:
    desk = wanting()
    desk.tell(RootWanted(2, LATER))
    assert [entry.root for entry in desk.book.roots] == [LATER]


def test_a_root_that_the_log_has_an_anchor_of_is_left_and_its_alarm_ends() -> None:
    desk = wanting()
    desk.coins = ()
    desk.see()
    assert desk.core.alarm is not None
    desk.tell(RootsSettled(0))
    assert [entry.root for entry in desk.book.roots] == [ROOT]
    desk.tell(RootsSettled(1))
    assert (desk.book.roots, desk.core.alarm) == ((), None)
    desk.coins = (coin(),)
    assert desk.sent() is None


def test_another_member_s_anchor_that_is_not_mined_is_left_where_the_log_has_one() -> None:
    for is_settled in (True, False):
        desk = wanting()
        desk.tell(TheirsHeard(1, ROOT, theirs()))
        assert desk.sent() is not None
        desk.tell(RootsSettled(1 if is_settled else 0))
        desk.height += 2 * OPTIONS.bump_blocks - 1
        desk.see()
        assert desk.entry().stage is Stage.SENT, "it may be the one that is in the log"
        desk.height += 1
        own = desk.sent()
        assert (own is None) == is_settled
        assert bool(desk.book.roots) != is_settled


def test_a_root_whose_coin_was_spent_elsewhere_is_left_where_the_log_has_its_anchor() -> None:
    desk, txid = sending()
    desk.tell(RootsSettled(1))
    desk.coins = ()
    desk.tell(Answered(txid, "bad-txns-inputs-missingorspent"))
    desk.see()
    desk.height += OPTIONS.confirmations
    desk.see()
    assert desk.book.roots == ()


def test_a_root_whose_proof_was_undone_is_not_left_though_the_log_has_its_anchor() -> None:
    desk, txid = proving()
    del desk.places[txid]
    desk.hashes[100] = OTHER_HASH
    desk.coins = ()
    desk.see()
    desk.tell(Answered(txid, "bad-txns-inputs-missingorspent"))
    desk.see()
    desk.height += OPTIONS.confirmations
    desk.see()
    assert desk.entry().stage is Stage.WAITING
    desk.tell(RootsSettled(1))
    desk.coins = (coin(number=2),)
    assert desk.sent() is not None


def test_a_proof_is_asked_for_with_the_sixth_confirmation_and_until_it_was_taken() -> None:
    desk, txid = sending()
    desk.mine(txid)
    desk.height += 4
    desk.see()
    assert desk.core.progress()[0].confirmations == 5
    desk.height += 1
    asked = CollectProof(1, ROOT, desk.places[txid], 5)
    assert desk.see() == desk.see() == [asked]
    desk.tell(ProofTaken(ROOT, replace_place(asked.place)))
    assert desk.entry().stage is Stage.MINED, "a proof from another block is not this one's"
    desk.tell(ProofTaken(ROOT, asked.place))
    assert desk.see() == []
    assert desk.core.next_deadline == desk.now + OPTIONS.watch_ms


def replace_place(place: Place) -> Place:
    return Place(txid=place.txid, height=place.height, block_hash=OTHER_HASH)


def test_a_root_that_is_wanted_again_is_proved_again() -> None:
    desk, txid = proving()
    desk.tell(RootWanted(1, ROOT))
    asked = CollectProof(1, ROOT, desk.places[txid], 5)
    assert asked in desk.see()
    desk.tell(ProofTaken(ROOT, asked.place))
    assert desk.see() == []


def test_a_root_that_is_undone_while_it_is_wanted_again_needs_a_heavier_proof() -> None:
    desk, _ = proving()
    again = Desk(book=desk.book)
    again.tell(RootWanted(1, ROOT))
    again.hashes[100] = OTHER_HASH
    again.see()
    assert again.entry().reorganised == 1


def test_after_a_start_proofs_that_took_the_place_of_undone_ones_are_brought_again() -> None:
    desk, txid = proving()
    del desk.places[txid]
    desk.hashes[100] = OTHER_HASH
    desk.see()
    desk.mine(txid, desk.height, OTHER_HASH)
    desk.height += 6
    asked = CollectProof(1, ROOT, desk.places[txid], 6)
    assert asked in desk.see()
    desk.tell(ProofTaken(ROOT, asked.place))
    assert asked not in desk.see()
    again = Desk(book=desk.book)
    again.height, again.places, again.hashes = desk.height, desk.places, desk.hashes
    assert asked in again.see(), "the log may not have had it before the crash"
    again.tell(ProofTaken(ROOT, asked.place))
    assert again.see() == []


def test_a_reorganisation_takes_a_proven_root_back_and_asks_for_a_heavier_proof() -> None:
    desk, txid = proving()
    del desk.places[txid]
    desk.hashes[100] = OTHER_HASH
    effects = desk.see()
    assert RootLost(1, ROOT) in effects
    assert (desk.entry().stage, desk.entry().reorganised) == (Stage.SENT, 1)
    assert [each.txid for each in effects if isinstance(each, SendTransaction)] == [txid]
    desk.mine(txid, desk.height, OTHER_HASH)
    desk.height += 5
    assert not [each for each in desk.see() if isinstance(each, CollectProof)]
    desk.height += 1
    assert CollectProof(1, ROOT, desk.places[txid], 6) in desk.see()


def test_while_the_highest_proven_block_is_there_the_lower_ones_are_not_asked_for() -> None:
    desk, txid = proving()
    desk.tell(RootWanted(2, LATER))
    desk.coins = (coin(number=2),)
    later = desk.sent()
    assert later is not None
    desk.mine(later.txid)
    desk.height += 5
    collect = next(each for each in desk.see() if isinstance(each, CollectProof))
    desk.tell(ProofTaken(LATER, collect.place))
    assert desk.look().heights == (105,)
    desk.tell(ChainSeen(View(height=111, hashes={105: OTHER_HASH})))
    assert desk.look().heights == (100,)
    again = Desk(book=desk.book)
    assert again.look().heights == (100,), "after a start all are looked at"
    assert txid not in again.book.roots[0].void


def test_the_oldest_proven_roots_are_watched_no_more() -> None:
    desk, _ = proving(replace(OPTIONS, proven_kept_max=1))
    desk.tell(RootWanted(2, LATER))
    desk.coins = (coin(number=2),)
    later = desk.sent()
    assert later is not None
    desk.mine(later.txid)
    desk.height += 5
    collect = next(each for each in desk.see() if isinstance(each, CollectProof))
    desk.tell(ProofTaken(LATER, collect.place))
    assert [entry.root for entry in desk.book.roots] == [LATER]


def refused() -> tuple[Desk, bytes]:
    desk, txid = sending()
    desk.coins = (coin(number=2),)
    desk.tell(Answered(txid, "missing or spent"))
    assert desk.core.alarm == "the chain refused the anchor: missing or spent"
    return desk, txid


def test_a_coin_spent_elsewhere_six_deep_makes_the_root_begin_anew() -> None:
    desk, txid = refused()
    desk.see()
    assert desk.core.alarm is not None
    assert "spent elsewhere" in desk.core.alarm
    desk.height += 5
    assert desk.sent() is None
    desk.height += 1
    anew = desk.sent()
    assert anew is not None
    assert anew.txid != txid
    assert desk.entry().versions[0].coins == (coin(number=2),)
    assert [version.txid for version in desk.entry().void] == [txid]


def test_a_version_given_up_that_a_reorganisation_brings_back_is_followed() -> None:
    desk, txid = refused()
    desk.see()
    desk.height += 6
    desk.see()
    desk.mine(txid)
    desk.see()
    assert (desk.entry().stage, desk.entry().void) == (Stage.MINED, ())
    # Should it be undone once more, one version spends the coins of both.
    del desk.places[txid]
    desk.hashes[desk.height] = OTHER_HASH
    desk.coins = ()
    desk.see()
    assert set(desk.entry().versions[-1].coins) == {coin(), coin(number=2)}


@pytest.mark.parametrize("is_known", [False, True], ids=["coin", "transaction"])
def test_a_refusal_is_no_loss_while_the_coin_or_the_transaction_is_there(is_known: bool) -> None:
    desk, txid = refused()
    desk.waiting = frozenset({txid}) if is_known else frozenset()
    desk.coins = () if is_known else (coin(),)
    desk.see()
    assert not desk.look().coins


def test_only_versions_whose_coin_is_gone_are_given_up() -> None:
    desk = wanting()
    desk.coins = (coin(650),)
    assert desk.sent() is not None
    desk.height += OPTIONS.bump_blocks
    desk.coins = (coin(9_000, 2),)
    second = desk.sent()
    assert second is not None
    desk.tell(Answered(second.txid, "missing or spent"))
    desk.coins = (coin(650),)
    desk.see()
    desk.height += 6
    desk.see()
    assert desk.entry().stage is Stage.SENT
    assert [version.coins for version in desk.entry().versions] == [(coin(650),)]


def test_a_refused_version_is_replaced_in_time_while_an_older_one_waits() -> None:
    desk, first = sending()
    desk.height += OPTIONS.bump_blocks
    second = desk.sent()
    assert second is not None
    desk.tell(Answered(second.txid, "insufficient fee"))
    desk.waiting, desk.coins = frozenset({first}), ()
    desk.height += OPTIONS.bump_blocks
    third = desk.sent()
    assert third is not None
    assert third.txid not in {first, second.txid}


def test_what_another_member_has_sent_is_adopted_instead_of_paying() -> None:
    for is_heard_first in (True, False):
        desk = Desk()
        events: list[Event] = [TheirsHeard(1, ROOT, theirs()), RootWanted(1, ROOT)]
        for event in events if is_heard_first else reversed(events):
            desk.tell(event)
        sent = desk.sent()
        assert sent is not None
        assert (sent.raw, sent.is_ours) == (theirs(), False)
        assert desk.book.day_fee_sat == 0
        desk.tell(Answered(sent.txid, "fee too low"))
        desk.height += 2 * OPTIONS.bump_blocks - 1
        assert desk.sent() is None
        desk.height += 1
        own = desk.sent()
        assert own is not None
        assert own.is_ours
        assert len(desk.entry().versions) == 2


@pytest.mark.parametrize(
    "raw", [b"", b"junk", theirs(LATER), theirs() + b"\0", bytes(THEIRS_BYTES_MAX + 1)]
)
def test_what_is_no_anchor_of_the_root_is_not_adopted(raw: bytes) -> None:
    desk = wanting()
    desk.tell(TheirsHeard(1, ROOT, raw))
    assert desk.entry().stage is Stage.WAITING


def test_what_another_member_has_sent_is_followed_and_proved_and_never_paid_for() -> None:
    desk = Desk()
    desk.tell(TheirsHeard(1, ROOT, theirs()))
    desk.height += 50 * OPTIONS.bump_blocks
    sent = desk.sent()
    assert sent is not None
    assert not sent.is_ours
    assert desk.book.day_fee_sat == 0
    again = Desk(book=desk.book)
    again.mine(sent.txid)
    again.height += 5
    assert CollectProof(1, ROOT, again.places[sent.txid], 5) in again.see()


def test_what_is_heard_is_bounded() -> None:
    desk = Desk()
    for number in range(HEARD_KEPT_MAX + 1):
        root = Digest(bytes([number]) * 32)
        desk.tell(TheirsHeard(number + 1, root, theirs(root)))
    assert [entry.size for entry in desk.book.roots] == list(range(2, HEARD_KEPT_MAX + 2))
    desk.tell(RootWanted(1, Digest(bytes(32))))
    assert desk.entry(Digest(bytes(32))).versions == ()
    for number in range(10):
        raw = THEIRS.sign([coin(9_000, number + 1)], ROOT, 500)
        desk.tell(RootWanted(2, ROOT))
        desk.tell(TheirsHeard(1, ROOT, raw))
    assert len(desk.entry().versions) == 4


def test_a_chain_that_is_away_is_an_alarm_and_tried_again() -> None:
    desk, _ = sending()
    desk.look()
    assert desk.core.next_deadline is None, "one look at a time"
    assert desk.tell(Ticked()) == []
    desk.tell(ChainAway("nobody answers"))
    assert desk.core.alarm == "nobody answers"
    assert desk.sent() is not None, "what was not taken then is sent again"
    assert desk.core.alarm is None


def test_a_root_that_comes_while_the_chain_is_looked_at_is_looked_for_at_once() -> None:
    desk, _ = sending()
    desk.look()
    desk.tell(RootWanted(2, LATER))
    desk.tell(ChainSeen(View(height=100, places=dict.fromkeys([desk.entry().versions[0].txid]))))
    assert desk.core.next_deadline == desk.now
    assert desk.look().coins


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="bump_blocks is 0"):
        AnchoringOptions(bump_blocks=0)
    assert AnchoringOptions(fee_sat_a_day_max=0).fee_sat_a_day_max == 0


@given(st.binary(max_size=200))
def test_a_book_is_read_back_as_it_was_and_junk_is_refused(junk: bytes) -> None:
    desk, _ = proving()
    assert decode_book(encode_book(desk.book)) == desk.book
    with pytest.raises(RemoteProtocolError):
        decode_book(b"\x00" + junk)


def test_a_book_of_another_version_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="version 9"):
        decode_book(encode_book(AnchorBook(version=9)))


COINS = st.lists(st.integers(1, 20_000), max_size=30).map(
    lambda values: [coin(value, number) for number, value in enumerate(values)]
)


@given(COINS, COINS, st.integers(0, 50_000))
def test_a_payment_keeps_what_it_must_covers_its_fee_and_leaves_no_dust(
    kept: Sequence[Coin], more: Sequence[Coin], rate_msat_vb: int
) -> None:
    kept = kept[:INPUTS_MAX]
    more = [Coin(txid=b"\xff" * 32, index=each.index, value_sat=each.value_sat) for each in more]
    paid = pay(kept, more, first_fee(rate_msat_vb))
    total_sat = sum(each.value_sat for each in (*kept, *more))
    match paid:
        case Payment(coins=coins, fee_sat=fee_sat):
            assert coins[: len(kept)] == tuple(kept)
            assert len(coins) <= INPUTS_MAX
            assert fee_sat >= anchor_vsize(len(coins)) * rate_msat_vb / 1000
            assert sum(each.value_sat for each in coins) - fee_sat >= DUST_SAT
        case Short(available_sat=available_sat, needed_sat=needed_sat):
            assert available_sat == total_sat
            assert needed_sat > DUST_SAT


@given(st.integers(150, 50_000), st.integers(0, 200_000), st.integers(150, 60_000))
def test_a_replacement_pays_what_bip_125_asks_for(paid: int, rate: int, cap: int) -> None:
    fee_sat = bumped_fee(paid, rate, cap)(157)
    assert fee_sat >= paid + 157
    assert fee_sat <= max(cap, paid + 157)


def test_versions_name_what_they_are() -> None:
    raw = theirs()
    version = Version(raw=raw, txid=decode_transaction(raw).txid)
    assert AnchoredRoot(size=1, root=ROOT).newest is None
    assert AnchoredRoot(size=1, root=ROOT, versions=(version,)).newest == version
