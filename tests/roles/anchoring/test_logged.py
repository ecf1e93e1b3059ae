"""What the log has an anchor of is watched by every member, whoever made it."""

import random

import pytest

from ambientd.model.base import Digest
from ambientd.model.receipt import AnchorProof
from ambientd.node.event import AnchorProven, AnchorSigned
from ambientd.roles.anchoring.book import (
    THEIRS_A_ROOT_MAX,
    THEIRS_BYTES_MAX,
    Place,
    Stage,
    decode_book,
    encode_book,
)
from ambientd.roles.anchoring.events import (
    AnchorLogged,
    CollectProof,
    PersistBook,
    ProofTaken,
    RootLost,
    RootsSettled,
    RootWanted,
    SeatTold,
    SendTransaction,
    TheirsHeard,
)
from ambientd.roles.anchoring.events import logged as logged_proof
from ambientd.roles.anchoring.logged import FOLLOWING_MAX, PATIENCE_WITH_THEIRS, Seat
from ambientd.roles.anchoring.options import AnchoringOptions
from ambientd.rules.bitcoin import compact_size, decode_transaction, double_sha256
from sim.anchor_chain import AnchorChain
from sim.wallets import Told, Wallet
from tests.roles.anchoring.test_core import (
    HASH,
    LATER,
    OPTIONS,
    OTHER_HASH,
    ROOT,
    THEIRS,
    Desk,
    coin,
    proving,
    theirs,
    wanting,
)

RAW = theirs()
TXID = decode_transaction(RAW).txid
ANEW = THEIRS.sign([coin(8_000, 8)], ROOT, 900)
PATIENCE_BLOCKS = PATIENCE_WITH_THEIRS * OPTIONS.bump_blocks


def logged(
    following: int = 5, block_hash: bytes = HASH, height: int = 100, size: int = 1
) -> AnchorLogged:
    place = Place(txid=TXID, height=height, block_hash=block_hash)
    return AnchorLogged(size, ROOT, RAW, place, following)


def watching(turn: int | None = 0, height: int = 105) -> Desk:
    """A member that has seen the log's anchor of another one in the chain."""
    desk = Desk()
    first = int.from_bytes(ROOT[:8], "big")
    desk.tell(SeatTold(None if turn is None else (first + turn) % 4, 4))
    desk.height = height
    desk.mine(TXID, 100)
    desk.tell(logged())
    assert not [each for each in desk.see() if not isinstance(each, PersistBook)]
    return desk


def undone(turn: int | None = 0) -> Desk:
    """The same, and a reorganisation has undone that anchor."""
    desk = watching(turn)
    del desk.places[TXID]
    desk.hashes[100] = OTHER_HASH
    effects = desk.see()
    assert RootLost(1, ROOT) in effects
    assert [each.raw for each in effects if isinstance(each, SendTransaction)] == [RAW]
    return desk


def signed(desk: Desk) -> bool:
    return any(isinstance(each, SendTransaction) and each.is_ours for each in desk.see())


def test_an_anchor_that_the_log_has_is_watched_by_whoever_did_not_make_it() -> None:
    desk = watching()
    entry = desk.entry()
    assert (entry.stage, entry.place) == (Stage.PROVEN, logged().place)
    assert desk.core.next_deadline == desk.now + OPTIONS.watch_ms
    assert desk.look().heights == (100,)


def test_one_that_left_the_chain_is_sent_again_and_its_heavier_proof_brought() -> None:
    desk = undone()
    desk.mine(TXID, 106, OTHER_HASH)
    desk.height = 106 + 5
    assert not [each for each in desk.see() if isinstance(each, CollectProof)]
    desk.height += 1
    asked = CollectProof(1, ROOT, desk.places[TXID], 6)
    assert asked in desk.see()
    desk.tell(ProofTaken(ROOT, asked.place))
    desk.tell(logged(6, OTHER_HASH, 106))
    assert desk.see() == []


def test_a_proof_outweighs_the_log_s_own_however_many_headers_that_has() -> None:
    desk = Desk()
    desk.tell(logged(following=40))
    desk.mine(TXID, 120, OTHER_HASH)
    desk.hashes[100] = b"\x0c" * 32
    desk.height = 120 + 40
    assert not [each for each in desk.see() if isinstance(each, CollectProof)]
    desk.height += 1
    assert CollectProof(1, ROOT, desk.places[TXID], 41) in desk.see()


def test_no_proof_is_waited_for_that_needs_more_headers_than_the_cap() -> None:
    desk = Desk()
    desk.tell(logged(following=FOLLOWING_MAX))
    desk.mine(TXID, 120, OTHER_HASH)
    desk.hashes[100] = b"\x0c" * 32
    desk.height = 120 + 2 * FOLLOWING_MAX
    assert not [each for each in desk.see() if isinstance(each, CollectProof)]
    assert desk.entry().stage is Stage.PROVEN
    assert desk.core.next_deadline == desk.now + OPTIONS.watch_ms, "it is at rest"


def test_a_height_that_a_proof_only_claims_is_no_loss_where_its_transaction_is_elsewhere() -> None:
    desk = Desk()
    desk.height = 200
    desk.mine(TXID, 100)
    desk.tell(logged(height=150))
    effects = desk.see()
    assert not [each for each in effects if isinstance(each, RootLost | CollectProof)]
    assert desk.entry().place == desk.places[TXID]


def test_a_chain_that_is_behind_has_not_lost_what_it_has_not_seen_yet() -> None:
    desk = Desk()
    desk.height = 90
    desk.tell(logged())
    effects = desk.see()
    assert not [each for each in effects if isinstance(each, RootLost | SendTransaction)]
    desk.height = 105
    desk.mine(TXID, 100)
    assert desk.see() == []
    assert desk.entry().stage is Stage.PROVEN


def test_a_height_that_never_comes_is_a_loss_in_the_end() -> None:
    desk = Desk()
    desk.tell(logged(height=499_999_999))
    assert RootLost(1, ROOT) not in desk.see()
    desk.now += PATIENCE_WITH_THEIRS * OPTIONS.bump_ms
    assert RootLost(1, ROOT) in desk.see()


def test_a_claimed_height_hides_no_reorganisation_of_other_anchors() -> None:
    desk, _ = proving()
    raw = theirs(LATER)
    place = Place(txid=decode_transaction(raw).txid, height=499_999_999, block_hash=OTHER_HASH)
    desk.tell(AnchorLogged(2, LATER, raw, place, 5))
    desk.see()
    desk.hashes[100] = OTHER_HASH
    assert RootLost(1, ROOT) in desk.see()


@pytest.mark.parametrize("turn", range(4))
def test_members_take_turns_with_what_stays_undone(turn: int) -> None:
    desk = undone(turn)
    desk.height += PATIENCE_BLOCKS * (1 + turn) - 1
    assert not signed(desk)
    desk.height += 1
    assert signed(desk)


def test_a_node_without_a_seat_signs_nothing_and_still_sends_what_it_knows() -> None:
    desk = undone(None)
    desk.height += 50 * PATIENCE_BLOCKS
    desk.now += OPTIONS.rebroadcast_ms
    sent = [each for each in desk.see() if isinstance(each, SendTransaction)]
    assert [each.raw for each in sent] == [RAW]


def test_what_was_not_begun_is_left_when_the_seat_is_lost() -> None:
    desk = wanting()
    desk.tell(SeatTold(None, 4))
    assert desk.book.roots == ()


def test_each_root_has_its_own_order_of_members() -> None:
    roots = [Digest(bytes(7) + bytes([number]) + bytes(24)) for number in range(4)]
    for root in roots:
        assert sorted(Seat(place, 4).turn(root) or 0 for place in range(4)) == [0, 1, 2, 3]
    assert [Seat(0, 4).turn(root) for root in roots] == [0, 3, 2, 1]


def test_what_is_shown_for_an_undone_batch_is_adopted_and_given_time() -> None:
    desk = undone()
    desk.height += PATIENCE_BLOCKS - 1
    desk.tell(TheirsHeard(1, ROOT, ANEW))
    assert not signed(desk)
    desk.height += 1
    assert not signed(desk), "what was shown has its own time"
    assert [version.raw for version in desk.entry().versions] == [RAW, ANEW]


def test_what_is_shown_before_the_loss_is_seen_is_adopted_with_it() -> None:
    desk = watching()
    desk.tell(TheirsHeard(1, ROOT, ANEW))
    del desk.places[TXID]
    desk.hashes[100] = OTHER_HASH
    desk.see()
    assert [version.raw for version in desk.entry().versions] == [RAW, ANEW]


def test_the_log_s_anchor_is_followed_even_after_as_many_as_may_be_adopted() -> None:
    desk = wanting()
    for number in range(THEIRS_A_ROOT_MAX):
        desk.tell(TheirsHeard(1, ROOT, THEIRS.sign([coin(9_000 + number)], ROOT, 500)))
    desk.tell(logged())
    versions = desk.entry().versions
    assert len(versions) == THEIRS_A_ROOT_MAX
    assert versions[-1].raw == RAW


def test_an_own_anchor_whose_proof_did_not_come_into_the_log_is_proved_again() -> None:
    desk, txid = proving()
    elsewhere = logged(block_hash=OTHER_HASH)
    desk.tell(elsewhere)
    assert desk.entry().stage is Stage.PROVEN
    desk.height += 1
    assert CollectProof(1, ROOT, desk.places[txid], 6) in desk.see()


def test_after_a_start_only_the_log_is_believed() -> None:
    desk = watching()
    again = Desk(book=desk.book)
    again.height, again.places, again.hashes = desk.height, desk.places, desk.hashes
    again.tell(logged())
    assert again.see() == []


def test_what_is_deep_enough_is_watched_no_more() -> None:
    desk = watching()
    desk.height = 100 + OPTIONS.deep_blocks - 2
    desk.see()
    assert desk.book.roots != ()
    desk.height += 1
    desk.see()
    assert desk.book.roots == ()
    assert desk.core.next_deadline is None


def test_what_is_watched_is_bounded_and_the_largest_batches_stay() -> None:
    kept = 3
    desk = Desk(AnchoringOptions(proven_kept_max=kept))
    for size in (5, 1, 4, 2, 3):
        root = Digest(bytes([size]) * 32)
        raw = theirs(root)
        place = Place(txid=decode_transaction(raw).txid, height=100, block_hash=HASH)
        desk.tell(AnchorLogged(size, root, raw, place, 5))
    assert sorted(entry.size for entry in desk.book.roots) == [3, 4, 5]


def test_undone_anchors_of_others_are_bounded_too() -> None:
    kept = 2
    desk = Desk(AnchoringOptions(proven_kept_max=kept))
    for size in range(1, 6):
        root = Digest(bytes([size]) * 32)
        raw = theirs(root)
        place = Place(txid=decode_transaction(raw).txid, height=100, block_hash=HASH)
        desk.tell(AnchorLogged(size, root, raw, place, 5))
        desk.see()
    undone_sizes = [entry.size for entry in desk.book.roots if entry.stage is Stage.SENT]
    assert undone_sizes[-kept:] == [4, 5]
    assert len(undone_sizes) <= kept + 1


def test_an_anchor_that_is_logged_while_the_chain_is_looked_at_is_looked_for_at_once() -> None:
    desk = wanting()
    desk.look()
    [persisted] = desk.tell(logged())
    assert isinstance(persisted, PersistBook)
    assert desk.core.next_deadline is None, "one look at a time"


def test_a_root_that_waits_here_follows_the_log_s_anchor_instead_of_paying() -> None:
    desk = Desk()
    desk.coins = ()
    desk.tell(RootWanted(1, ROOT))
    desk.see()
    desk.mine(TXID, 100)
    desk.tell(logged())
    assert desk.entry().stage is Stage.SENT
    desk.coins = (coin(),)
    assert not signed(desk)
    assert desk.entry().stage is Stage.MINED


def test_a_root_under_way_is_not_left_while_the_log_s_anchor_of_it_is_not_seen() -> None:
    desk = wanting()
    assert signed(desk)
    desk.tell(logged())
    desk.tell(RootsSettled(1))
    desk.height += 50 * PATIENCE_BLOCKS
    desk.see()
    assert desk.entry().stage is Stage.SENT


def test_two_members_that_anchor_a_root_at_once_keep_the_peace() -> None:
    """Both have paid before they hear of each other: the log's anchor is good for both."""
    chain = AnchorChain(random.Random(1))
    members = [Wallet(number, chain) for number in (1, 2)]
    for wallet in members:
        wallet.want(1, ROOT)
    told: list[Told] = []
    for step in range(60):
        for wallet in members:
            told += wallet.due(step * 1_000)
        chain.mine()
    signed_by_both = {each.raw_tx for each in told if isinstance(each, AnchorSigned)}
    assert len(signed_by_both) == 2, "each has paid"
    first, *_ = [each for each in told if isinstance(each, AnchorProven)]
    later: list[Told] = []
    for wallet in members:
        wallet.watch(1, ROOT, first.proof)
    for step in range(60, 120):
        for wallet in members:
            later += wallet.due(step * 1_000)
        chain.mine()
    assert later == [], "neither pays again, nor brings its own proof in the other's place"
    places = [wallet.progress[0].entry.place for wallet in members]
    logged_hash = double_sha256(first.proof.header)
    assert [place and place.block_hash for place in places] == [logged_hash] * 2


def test_a_cap_that_is_reached_holds_up_no_undone_anchor_of_others() -> None:
    desk = undone()
    desk.rate, desk.coins = 1_000_000, (coin(9_000_000),)
    desk.height += PATIENCE_BLOCKS
    assert not signed(desk)
    assert "above the cap" in (desk.core.alarm or "")
    desk.mine(TXID, desk.height, OTHER_HASH)
    desk.height += 6
    assert [each for each in desk.see() if isinstance(each, CollectProof)]
    assert desk.core.alarm is None


def test_who_has_no_coins_still_sends_and_proves_an_undone_anchor_of_others() -> None:
    desk = undone()
    desk.coins = ()
    desk.height += PATIENCE_BLOCKS
    assert not signed(desk)
    assert "out of funds" in (desk.core.alarm or "")
    desk.mine(TXID, desk.height, OTHER_HASH)
    desk.height += 6
    assert [each for each in desk.see() if isinstance(each, CollectProof)]


def test_a_root_of_others_that_the_log_never_had_is_left_once_a_later_one_is_there() -> None:
    desk = Desk()
    desk.tell(TheirsHeard(1, ROOT, RAW))
    desk.mine(TXID, 100)
    desk.height += 5
    [asked] = [each for each in desk.see() if isinstance(each, CollectProof)]
    desk.tell(ProofTaken(ROOT, asked.place))
    del desk.places[TXID]
    desk.hashes[100] = OTHER_HASH
    desk.see()
    desk.tell(RootsSettled(2))
    desk.height += PATIENCE_BLOCKS
    desk.see()
    assert desk.book.roots == ()


def padded(raw: bytes, junk: int) -> bytes:
    """Give a transaction with a witness that nothing proves."""
    witness = b"\x01" + compact_size(junk) + bytes(junk)
    return raw[:4] + b"\x00\x01" + raw[4:-4] + witness + raw[-4:]


def long_anchor(root: Digest, mark: int) -> AnchorProof:
    """Give what the largest record takes of an anchor: its witness is of no use to anybody."""
    raw = padded(THEIRS.sign([coin(9_000, mark)], root, 300), 99_000)
    header = bytes([mark]) * 80
    return AnchorProof(
        raw_tx=raw, index=0, siblings=(), height=100, header=header, following_headers=(header,) * 5
    )


def test_anchors_with_witnesses_of_any_length_leave_the_book_small_enough_to_be_read() -> None:
    desk = Desk()
    for size in range(1, OPTIONS.proven_kept_max + 1):
        root = Digest(size.to_bytes(32, "big"))
        for mark in range(THEIRS_A_ROOT_MAX):
            desk.tell(logged_proof(size, root, long_anchor(root, mark)))
    written = encode_book(desk.book)
    assert len(written) < OPTIONS.proven_kept_max * THEIRS_A_ROOT_MAX * THEIRS_BYTES_MAX
    assert decode_book(written) == desk.book


def test_an_anchor_too_long_to_be_kept_is_watched_and_signed_anew_and_never_sent() -> None:
    desk = Desk()
    first = int.from_bytes(ROOT[:8], "big")
    desk.tell(SeatTold(first % 4, 4))
    proof = long_anchor(ROOT, 1)
    told = logged_proof(1, ROOT, proof)
    desk.mine(told.place.txid, 100, told.place.block_hash)
    desk.height = 105
    desk.tell(told)
    desk.see()
    assert desk.entry().stage is Stage.PROVEN
    del desk.places[told.place.txid]
    desk.hashes[100] = OTHER_HASH
    effects = desk.see()
    assert RootLost(1, ROOT) in effects
    assert not [each for each in effects if isinstance(each, SendTransaction)]
    desk.tell(TheirsHeard(1, ROOT, ANEW))
    desk.see()
    assert desk.entry().newest == desk.entry().versions[-1], "what can be sent is"
    desk.height += PATIENCE_BLOCKS
    assert signed(desk)
