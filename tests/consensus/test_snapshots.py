import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import decode, encode
from ambientd.codec.state_pages import decode_page, encode_page
from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.catch_up import FETCHERS_MAX, OFFERED_REST_T0, PAGES_FIRST_T0
from ambientd.consensus.effects import Effect, PeerFault, Send, SnapshotFetched, VoteDecided
from ambientd.consensus.epochs import Endless, Epoch
from ambientd.consensus.events import Installed, MessageReceived, Started, Tick
from ambientd.consensus.first_start import Past
from ambientd.consensus.log import Log
from ambientd.consensus.messages import (
    Append,
    Blocks,
    EpochEnd,
    Fetch,
    InEpoch,
    Message,
    Offer,
    Pages,
    QcNotice,
    Snapshot,
    WantPages,
    decode_message,
    encode_message,
)
from ambientd.consensus.snapshots import (
    ASKED_AT_ONCE_MAX,
    OFFERED_AGAIN_MS,
    SnapshotFetcher,
    SnapshotServer,
    snapshot_fault,
)
from ambientd.errors import RemoteProtocolError
from sim.replica import STOP_PREFIX, read_stop
from tests.consensus.bench import Bench, keys, of, options, record
from tests.consensus.snapshots import ENTRIES, Taken, taken

BENCH = Bench(4, observers=1)
TAKEN = taken(BENCH)


def fault(**changes: Any) -> str | None:
    return snapshot_fault(replace(TAKEN.snapshot, **changes), BENCH.options, read_stop)


def test_a_certified_snapshot_holds() -> None:
    assert fault() is None
    assert TAKEN.snapshot.index == 2


def test_a_snapshot_with_anything_changed_proves_nothing() -> None:
    snapshot = TAKEN.snapshot
    top, child, last = snapshot.links
    other = taken(BENCH, entries=(ENTRIES[0], ENTRIES[2], ENTRIES[1])).snapshot
    few = replace(last[1], signatures=last[1].signatures[:2])
    for wrong, reason in (
        ({"version": 2}, "version 2"),
        ({"epoch": 1}, "epoch 1"),
        ({"block": replace(snapshot.block, records=())}, "not the one that is certified"),
        ({"block": other.links and BENCH.block(0, 1, BENCH.genesis)}, "not the one"),
        ({"links": (top, child, child)}, "do not follow"),
        ({"links": (top, child, (last[0], top[1]))}, "not of its header"),
        ({"links": (top, child, (last[0], few))}, "does not hold"),
        ({"links": (top, child, (replace(last[0], state_root=b"x" * 32), last[1]))}, "certificate"),
        ({"pages": other.pages}, "pages are not"),
        ({"pages": snapshot.pages[:-1]}, "pages are not"),
        ({"pages": ((0, bytes(32)),)}, "pages are not"),
    ):
        found = fault(**wrong)
        assert found is not None, wrong
        assert reason in found


def test_a_block_that_its_child_does_not_commit_proves_no_state() -> None:
    top, child, last = TAKEN.snapshot.links
    other_term = replace(child[1], parent_term=0)
    assert fault(links=(top, (child[0], other_term), last)) == "the child does not commit the block"


def test_no_snapshot_is_taken_at_the_end_of_an_epoch() -> None:
    members, tips = BENCH.options.members, BENCH.options.beacon_tips
    stop = BENCH.block(0, 1, BENCH.genesis, STOP_PREFIX + encode(Epoch(1, members, b"s", tips)))
    top = (stop.header, BENCH.qc(stop, 0, 1, 2))
    _, child, last = TAKEN.snapshot.links
    assert fault(block=stop, links=(top, child, last)) == "the block ends its epoch"


@given(st.binary(max_size=300))
@example(encode_page(()))
def test_any_bytes_are_refused_or_are_a_page(data: bytes) -> None:
    try:
        message = decode_message(encode_message(Pages((data,))))
    except RemoteProtocolError:
        return
    fetcher = SnapshotFetcher(BENCH.options, read_stop)
    assert fetcher.take_offer(BENCH.key(1), TAKEN.offer, BENCH.options, 0) is None
    fetcher.step(0, 0)
    assert isinstance(message, Pages)
    assert (fetcher.take_pages(BENCH.key(1), message, 0) is None) == is_page(data)


def is_page(data: bytes) -> bool:
    try:
        decode_page(data)
    except RemoteProtocolError:
        return False
    return True


def test_a_snapshot_reads_and_writes_the_same_bytes() -> None:
    data = encode(TAKEN.snapshot)
    assert decode(data, Snapshot) == TAKEN.snapshot
    assert encode_message(decode_message(encode_message(TAKEN.offer))) == encode_message(
        TAKEN.offer
    )


def fetching(offerer: int = 1) -> SnapshotFetcher:
    fetcher = SnapshotFetcher(BENCH.options, read_stop)
    assert fetcher.take_offer(BENCH.key(offerer), TAKEN.offer, BENCH.options, 0) is None
    return fetcher


def asked(effects: Sequence[Effect]) -> dict[bytes, tuple[bytes, ...]]:
    return {
        each.to: each.message.digests
        for each in effects
        if isinstance(each, Send) and isinstance(each.message, WantPages)
    }


def test_pages_are_asked_of_several_nodes_and_of_who_offered_them_first() -> None:
    wanted = asked(fetching(offerer=4).step(0, 0))
    assert next(iter(wanted)) == BENCH.key(4)
    assert 1 < len(wanted) <= ASKED_AT_ONCE_MAX
    assert sorted(d for each in wanted.values() for d in each) == sorted(TAKEN.pages)
    assert BENCH.options.self_id not in wanted


def test_a_state_is_handed_over_once_all_its_pages_are_here() -> None:
    fetcher = fetching()
    wanted = asked(fetcher.step(0, 0))
    for number, (peer, digests) in enumerate(wanted.items()):
        assert fetcher.step(0, number) == []
        answer = Pages(tuple(TAKEN.pages[digest] for digest in digests))
        assert fetcher.take_pages(peer, answer, number) is None
    [fetched] = fetcher.step(0, 10)
    assert isinstance(fetched, SnapshotFetched)
    assert (fetched.block.index, fetched.snapshot.root) == (2, TAKEN.snapshot.root)
    assert fetched.pages == tuple(encode_page(page) for page in ENTRIES)
    assert fetcher.deadline is None


def test_a_false_page_counts_for_nothing_and_its_sender_rests() -> None:
    fetcher = fetching(offerer=4)
    wanted = asked(fetcher.step(0, 0))
    peer = next(iter(wanted))
    lie = Pages((encode_page(((b"a", b"lie"),)),))
    assert fetcher.take_pages(peer, lie, 0) is None
    again = asked(fetcher.step(0, 1))
    assert peer not in again
    assert {d for each in again.values() for d in each} == set(wanted[peer])


def test_a_late_answer_counts_and_a_second_one_harms_nobody() -> None:
    fetcher = fetching(offerer=4)
    wanted = asked(fetcher.step(0, 0))
    first, second, *_ = wanted
    late = Pages(tuple(TAKEN.pages[digest] for digest in wanted[first]))
    assert fetcher.take_pages(second, late, 1) is None
    assert fetcher.take_pages(first, late, 1) is None
    for peer, digests in asked(fetcher.step(0, 400)).items():
        assert digests == wanted[second]
        assert fetcher.take_pages(peer, Pages((TAKEN.pages[digests[0]],)), 401) is None
    last = next(peer for peer in wanted if peer not in (first, second))
    assert fetcher.step(0, 402) == []
    answer = Pages(tuple(TAKEN.pages[digest] for digest in wanted[last]))
    assert fetcher.take_pages(last, answer, 403) is None
    assert len(of(fetcher.step(0, 404), SnapshotFetched)) == 1


def test_who_does_not_answer_is_passed_over_and_the_pages_asked_of_another() -> None:
    fetcher = fetching()
    wanted = asked(fetcher.step(0, 0))
    assert fetcher.step(0, 799) == []
    later = fetcher.deadline
    assert later == 2 * BENCH.options.t0_ms
    assert asked(fetcher.step(0, later)) == {}
    assert fetcher.deadline == later + 4 * BENCH.options.t0_ms
    assert len(asked(fetcher.step(0, fetcher.deadline))) == len(wanted)


def test_pages_of_an_older_snapshot_count_for_a_newer_one() -> None:
    fetcher = fetching()
    for peer, digests in asked(fetcher.step(0, 0)).items():
        pages = [TAKEN.pages[digest] for digest in digests if digest != next(iter(TAKEN.pages))]
        assert fetcher.take_pages(peer, Pages(tuple(pages)), 1) is None
    newer = taken(BENCH, 3, ((((b"a", b"new")),), *ENTRIES[1:]))
    assert fetcher.take_offer(BENCH.key(2), newer.offer, BENCH.options, 0) is None
    wanted = asked(fetcher.step(0, 2))
    changed = set(newer.pages) - set(TAKEN.pages)
    assert {d for each in wanted.values() for d in each} == changed
    [(peer, digests)] = wanted.items()
    assert fetcher.take_pages(peer, Pages((newer.pages[digests[0]],)), 3) is None
    [fetched] = fetcher.step(0, 4)
    assert fetched.block.index == 3


def test_an_older_offer_and_one_of_what_is_here_change_nothing() -> None:
    fetcher = SnapshotFetcher(BENCH.options, read_stop)
    assert fetcher.take_offer(BENCH.key(1), TAKEN.offer, BENCH.options, 2) is None
    assert fetcher.step(0, 0) == []
    newer = taken(BENCH, 3)
    assert fetcher.take_offer(BENCH.key(1), newer.offer, BENCH.options, 0) is None
    assert fetcher.take_offer(BENCH.key(2), TAKEN.offer, BENCH.options, 0) is None
    assert asked(fetcher.step(0, 0)).keys() >= {BENCH.key(1)}


def test_an_offer_may_begin_with_epochs_that_were_left_since_it_was_asked_for() -> None:
    members, tips = BENCH.options.members, BENCH.options.beacon_tips
    past, further = (
        EpochEnd(STOP_PREFIX + encode(Epoch(number, members, b"s", tips)), TAKEN.snapshot.links[:2])
        for number in (BENCH.options.epoch, BENCH.options.epoch + 1)
    )
    fetcher = SnapshotFetcher(BENCH.options, read_stop)
    offer = replace(TAKEN.offer, ends=(past,))
    assert fetcher.take_offer(BENCH.key(1), offer, BENCH.options, 0) is None
    assert asked(fetcher.step(0, 0)).keys() >= {BENCH.key(1)}
    fetcher = SnapshotFetcher(BENCH.options, read_stop)
    offer = replace(TAKEN.offer, ends=(past, further))
    assert fetcher.take_offer(BENCH.key(1), offer, BENCH.options, 0) is not None


@dataclass
class Compacted:
    """A source that keeps a snapshot and no block up to it."""

    taken: Taken = TAKEN
    blocks: dict[int, Append] = field(default_factory=dict)

    def committed(self, first: int, count: int) -> Sequence[Append]:
        return [self.blocks[i] for i in range(first, first + count) if i in self.blocks]

    def ends(self, first: int, count: int) -> Sequence[EpochEnd]:
        return ()

    def snapshot(self) -> Snapshot | None:
        return self.taken.snapshot

    def page(self, digest: bytes) -> bytes | None:
        return self.taken.pages.get(digest)


def test_who_asks_for_deleted_blocks_is_offered_the_snapshot() -> None:
    server = SnapshotServer(BENCH.options, Compacted())
    assert server.offer(BENCH.key(1), 0, 0, 0) == [Send(BENCH.key(1), TAKEN.offer)]
    assert server.offer(BENCH.key(2), 0, 2, 0) is None


def keeping() -> Compacted:
    """Give a source that keeps a snapshot and the blocks up to it as well."""
    return Compacted(blocks=dict.fromkeys((1, 2), TAKEN.snapshot.block))


def test_who_begins_is_offered_the_snapshot_though_the_blocks_are_kept() -> None:
    server = SnapshotServer(BENCH.options, keeping())
    assert server.offer(BENCH.key(1), 0, 0, 0) == [Send(BENCH.key(1), TAKEN.offer)]


def test_who_has_begun_is_given_the_blocks_while_they_are_kept() -> None:
    assert SnapshotServer(BENCH.options, keeping()).offer(BENCH.key(1), 0, 1, 0) is None


def test_who_begins_and_asks_again_soon_is_given_the_blocks() -> None:
    server = SnapshotServer(BENCH.options, keeping())
    times = (0, 1, OFFERED_AGAIN_MS - 1, OFFERED_AGAIN_MS)
    found = [server.offer(BENCH.key(1), 0, 0, now) for now in times]
    assert [each is None for each in found] == [False, True, True, False]


def test_an_offer_without_a_way_to_its_epoch_is_not_made() -> None:
    server = SnapshotServer(BENCH.options, Compacted())
    assert server.offer(BENCH.key(1), 1, 0, 0) == []


@pytest.mark.parametrize("what", ["offer", "pages"])
def test_each_peer_is_served_once_in_a_while(what: str) -> None:
    server = SnapshotServer(BENCH.options, Compacted())
    want = WantPages(tuple(TAKEN.pages))
    ask = {
        "offer": lambda who, now: server.offer(BENCH.key(who), 0, 0, now),
        "pages": lambda who, now: server.pages(BENCH.key(who), want, now),
    }[what]
    pause_ms = BENCH.options.t0_ms // 4
    assert [len(ask(1, 0)), len(ask(1, pause_ms - 1)), len(ask(2, 1))] == [1, 0, 1]
    assert len(ask(1, pause_ms)) == 1


def test_an_answer_is_bounded_in_bytes_but_never_empty_while_a_page_is_here() -> None:
    narrow = options(4, fetch_bytes_max=1)
    server = SnapshotServer(narrow, Compacted())
    digests = (bytes(32), *TAKEN.pages)
    [answer] = server.pages(BENCH.key(1), WantPages(digests), 0)
    assert isinstance(answer, Send)
    assert answer.message == Pages((next(iter(TAKEN.pages.values())),))
    [nothing] = server.pages(BENCH.key(2), WantPages((bytes(32),)), 0)
    assert nothing == Send(BENCH.key(2), Pages(()))


class Unheard:
    """A key that nobody has heard of."""

    def is_in_state(self) -> bool:
        return False

    def is_own(self, record: bytes) -> bool:
        del record
        return False


def late_log(*, is_whole: bool = False, past: Past | None = None) -> Log:
    """Give an observer's log that knows nothing yet and has asked for blocks."""
    signer = keys(1, b"observer")[0]
    log = Log(
        options(4, signer, is_whole=is_whole),
        signer,
        None,
        random.Random(1),
        is_valid=lambda *_: True,
        state_root=lambda _: None,
        blocks=Compacted(),
        stops=Endless(),
        past=past,
    )
    log.handle(Started(), now=0)
    return log


def hand(log: Log, sender: int, message: Message, now: int) -> list[Effect]:
    return log.handle(MessageReceived(BENCH.key(sender), message), now=now)


def test_an_offer_that_nobody_asked_for_is_passed_over() -> None:
    assert not asked(hand(late_log(), 1, TAKEN.offer, 1))


def test_a_false_offer_is_a_fault() -> None:
    log = late_log()
    [fetch] = [e for e in log.handle(Tick(), now=10_000) if isinstance(e, Send)]
    assert isinstance(fetch.message, Fetch)
    lie = Offer((), replace(TAKEN.snapshot, pages=((0, bytes(32)),)))
    [found] = of(hand(log, 1, lie, 10_001), PeerFault)
    assert found.reason == "the pages are not those of the state"


def test_who_wants_every_block_takes_a_snapshot_only_from_who_has_offered_it_twice() -> None:
    log, asked_before = late_log(is_whole=True), set[bytes]()
    for now in range(10_000, 20_000, 50):
        for fetch in of(log.handle(Tick(), now=now), Send):
            assert isinstance(fetch.message, Fetch)
            offer = MessageReceived(fetch.to, TAKEN.offer)
            is_fetching = bool(asked(log.handle(offer, now=now + 1)))
            assert is_fetching == (fetch.to in asked_before)
            if is_fetching:
                return
            asked_before.add(fetch.to)
    raise AssertionError("nobody was asked twice")


@pytest.mark.parametrize("is_true", [False, True])
def test_what_an_offer_puts_off_or_brings_on_is_in_the_next_deadline(is_true: bool) -> None:
    log, t0_ms = late_log(), BENCH.options.t0_ms
    missing = QcNotice(TAKEN.snapshot.links[2][1], None)
    assert asked_for_blocks(hand(log, 0, missing, 10_000))
    assert log.current.next_deadline == 10_000 + t0_ms // 2
    lie = Offer((), replace(TAKEN.snapshot, pages=((0, bytes(32)),)))
    hand(log, 0, TAKEN.offer if is_true else lie, 10_001)
    pause_ms = 4 * t0_ms if is_true else t0_ms // 4
    assert log.current.next_deadline == 10_001 + pause_ms


def asked_for_blocks(effects: Sequence[Effect]) -> list[bytes]:
    return [e.to for e in effects if isinstance(e, Send) and isinstance(e.message, Fetch)]


def test_a_false_offer_amid_a_fetch_puts_no_question_to_others_off() -> None:
    log, t0_ms = late_log(), BENCH.options.t0_ms
    missing = QcNotice(TAKEN.snapshot.links[2][1], None)
    [first] = asked_for_blocks(hand(log, 0, missing, 10_000))
    assert first == BENCH.key(0)
    assert asked(hand(log, 0, TAKEN.offer, 10_001))
    assert not asked_for_blocks(log.handle(Tick(), now=10_000 + 4 * t0_ms))
    later = 10_001 + 4 * t0_ms
    [second] = asked_for_blocks(log.handle(Tick(), now=later))
    assert second != first
    newer = taken(BENCH, index=3)
    lie = Offer((), replace(newer.snapshot, pages=((0, bytes(32)),)))
    assert of(log.handle(MessageReceived(second, lie), now=later + 1), PeerFault)
    [third] = asked_for_blocks(log.handle(Tick(), now=later + 1 + t0_ms // 4))
    assert third != second
    assert asked(log.handle(MessageReceived(third, newer.offer), now=later + 2 + t0_ms // 4))


def began_log() -> Log:
    """Give a late log that has installed the snapshot of block 2."""
    log = late_log()
    log.handle(Tick(), now=5_000)
    for peer, digests in asked(hand(log, 1, TAKEN.offer, 5_001)).items():
        answer = Pages(tuple(TAKEN.pages[digest] for digest in digests))
        log.handle(MessageReceived(peer, answer), now=5_002)
    log.handle(Installed(tuple(BeaconLink(bytes(32), 7) for _ in range(4))), now=5_003)
    assert log.current.head_index == 2
    return log


LIAR = bytes(32)
ONE_BY_ONE = taken(
    BENCH, 5, tuple(((number.to_bytes(2), b"1"),) for number in range(32)), depths=(5,) * 32
)


@dataclass
class Dripping:
    """A liar that offers a snapshot and gives each page at the last moment, and what is asked."""

    log: Log
    offering: frozenset[bytes] = frozenset()
    """Members that answer FETCH with the same snapshot, T0/4 later; the others with nothing."""
    fetches: list[tuple[bytes, int]] = field(default_factory=list)
    given: int = 0
    due: dict[int, list[tuple[bytes, Message]]] = field(default_factory=dict)

    def run(self, until_t0: int) -> None:
        t0_ms = BENCH.options.t0_ms
        missing = QcNotice(ONE_BY_ONE.snapshot.links[2][1], None)
        for message in (missing, ONE_BY_ONE.offer):
            self._see(self.log.handle(MessageReceived(LIAR, message), now=10_000), 10_000)
        for now in range(10_020, 10_000 + until_t0 * t0_ms, 20):
            self._see(self.log.handle(Tick(), now=now), now)
            for sender, message in self.due.pop(now, ()):
                self.given += isinstance(message, Pages)
                self._see(self.log.handle(MessageReceived(sender, message), now=now), now)

    def _see(self, effects: list[Effect], now: int) -> None:
        t0_ms = BENCH.options.t0_ms
        for peer in asked_for_blocks(effects):
            self.fetches.append((peer, now))
            if peer in self.offering:
                self.due.setdefault(now + t0_ms // 4, []).append((peer, ONE_BY_ONE.offer))
        for peer, digests in asked(effects).items():
            if peer == LIAR:
                page = Pages((ONE_BY_ONE.pages[digests[0]],))
                self.due.setdefault(now + 2 * t0_ms - 20, []).append((LIAR, page))
            else:
                nothing = MessageReceived(peer, Pages(()))
                self._see(self.log.handle(nothing, now=now), now)


@pytest.mark.parametrize("has_begun", [False, True])
def test_who_gives_pages_one_by_one_keeps_nobody_from_asking_for_blocks(has_begun: bool) -> None:
    world, t0_ms = Dripping(began_log() if has_begun else late_log()), BENCH.options.t0_ms
    world.run(until_t0=32)
    gaps = [later - earlier for (_, earlier), (_, later) in pairwise(world.fetches)]
    assert world.given > 10
    # Its offer puts questions off by 4 T0, as any does; its pages do not.
    assert gaps[0] <= (4 * t0_ms if has_begun else PAGES_FIRST_T0 * t0_ms + 20)
    assert max(gaps[1:]) <= t0_ms


@pytest.mark.parametrize("offering", [0, 2, 3])
def test_amid_pages_one_by_one_who_offers_rests_and_all_others_are_asked_soon(
    offering: int,
) -> None:
    t0_ms, members = BENCH.options.t0_ms, [BENCH.key(number) for number in range(4)]
    world = Dripping(began_log(), frozenset(members[:offering]))
    world.run(until_t0=62)
    assert world.given > 20
    rest_ms = OFFERED_REST_T0 * t0_ms
    for member in members:
        times = [now for peer, now in world.fetches if peer == member]
        gaps = [later - earlier for earlier, later in pairwise([*times, 10_000 + 62 * t0_ms])]
        if member in world.offering:
            assert min(gaps[:-1]) >= rest_ms * 3 // 4
            assert max(gaps) <= rest_ms + offering * 5 * t0_ms
        else:
            assert max(gaps) <= rest_ms


def test_who_is_quick_and_has_nothing_keeps_no_snapshot_of_the_others_out() -> None:
    """The pages of a first snapshot are gone, a newer one is offered, each offer takes long."""
    log, t0_ms, quick, offer_ms = began_log(), BENCH.options.t0_ms, BENCH.key(0), 1_500
    entries = tuple(((number.to_bytes(2), b"2"),) for number in range(32))
    newer = taken(BENCH, 8, entries, depths=(5,) * 32)
    due: dict[int, list[tuple[bytes, Message]]] = {}

    def see(effects: list[Effect], now: int) -> bool:
        for peer in asked_for_blocks(effects):
            has = ONE_BY_ONE.offer if now < 15_000 else newer.offer
            useless = Blocks((), TAKEN.snapshot.links[2][1])
            after_ms, answer = (20, useless) if peer == quick else (offer_ms, has)
            due.setdefault(now + after_ms, []).append((peer, answer))
        for peer, digests in asked(effects).items():
            here = {} if peer == quick else newer.pages
            pages = Pages(tuple(here[digest] for digest in digests if digest in here))
            due.setdefault(now + 20, []).append((peer, pages))
        return bool(of(effects, SnapshotFetched))

    see(hand(log, 0, QcNotice(ONE_BY_ONE.snapshot.links[2][1], None), 10_000), 10_000)
    for now in range(10_020, 10_000 + 40 * t0_ms + 2 * offer_ms, 20):
        is_fetched = see(log.handle(Tick(), now=now), now)
        for sender, message in due.pop(now, ()):
            is_fetched |= see(log.handle(MessageReceived(sender, message), now=now), now)
        if is_fetched:
            return
    raise AssertionError("the newer snapshot was never fetched")


def test_an_offer_of_what_is_here_already_comes_late_and_gives_its_sender_no_rest() -> None:
    log, t0_ms = began_log(), BENCH.options.t0_ms
    for member in range(4):
        hand(log, member, TAKEN.offer, 10_000)
    missing = QcNotice(ONE_BY_ONE.snapshot.links[2][1], None)
    assert asked_for_blocks(hand(log, 0, missing, 10_001 + t0_ms // 4)) == [BENCH.key(0)]


def test_who_offered_too_late_to_be_waited_for_rests_too() -> None:
    log, t0_ms = began_log(), BENCH.options.t0_ms
    missing = QcNotice(ONE_BY_ONE.snapshot.links[2][1], None)
    [first] = asked_for_blocks(hand(log, 0, missing, 10_000))
    [second] = asked_for_blocks(log.handle(Tick(), now=10_000 + t0_ms // 2))
    for number, peer in enumerate((second, first)):
        log.handle(MessageReceived(peer, ONE_BY_ONE.offer), now=10_250 + number)
    again = []
    for now in range(10_300, 10_251 + OFFERED_REST_T0 * t0_ms * 3 // 4, 10):
        again += asked_for_blocks(log.handle(Tick(), now=now))
    assert again
    assert not {first, second} & set(again)


def test_an_offer_of_an_older_block_than_is_fetched_puts_nothing_off() -> None:
    log, t0_ms = late_log(), BENCH.options.t0_ms
    newer = taken(BENCH, index=3)
    [first] = asked_for_blocks(hand(log, 0, QcNotice(newer.snapshot.links[2][1], None), 10_000))
    assert asked(log.handle(MessageReceived(first, newer.offer), now=10_001))
    later = 10_001 + 4 * t0_ms
    [second] = asked_for_blocks(log.handle(Tick(), now=later))
    log.handle(MessageReceived(second, TAKEN.offer), now=later + 1)
    assert log.current.next_deadline == later + 1 + t0_ms // 4


def ask_again(log: Log, peer: bytes, now: int) -> int:
    """Have a peer show how far the log is until it is asked for blocks; give when."""
    missing = MessageReceived(peer, InEpoch(1, Fetch(0)))
    for moment in range(now, now + 8 * BENCH.options.t0_ms, 20):
        if peer in asked_for_blocks(log.handle(missing, now=moment)):
            return moment
    raise AssertionError("it is never asked")


def test_who_wants_every_block_begins_though_the_first_members_are_gone() -> None:
    log, stranger = late_log(is_whole=True), bytes(32)
    offer = MessageReceived(stranger, TAKEN.offer)
    first = ask_again(log, stranger, 10_000)
    assert not asked(log.handle(offer, now=first + 1))
    second = ask_again(log, stranger, first + 2)
    assert asked(log.handle(offer, now=second + 1))


def test_whoever_asks_if_its_key_is_new_wants_every_block_until_it_knows() -> None:
    """Who had begun passed over first offers from then on, as long as its process ran."""
    log, stranger = late_log(past=Unheard()), bytes(32)
    offer = MessageReceived(stranger, TAKEN.offer)
    first = ask_again(log, stranger, 10_000)
    assert not asked(log.handle(offer, now=first + 1))
    nothing = Blocks((), log.current.high_qc)
    done = [each for member in range(4) for each in hand(log, member, nothing, first + 2)]
    assert of(done, VoteDecided) == [VoteDecided(may_vote=True)]
    assert not log.wants_all
    other = bytes(31) + b"1"
    second = ask_again(log, other, first + 3)
    assert asked(log.handle(MessageReceived(other, TAKEN.offer), now=second + 1))


def test_those_whose_first_offer_was_passed_over_are_bounded() -> None:
    log, now = late_log(is_whole=True), 10_000
    strangers = [number.to_bytes(32) for number in range(FETCHERS_MAX)]
    for stranger in (*strangers, BENCH.key(0), BENCH.key(0)):
        now = ask_again(log, stranger, now)
        assert not asked(log.handle(MessageReceived(stranger, TAKEN.offer), now=now))
    now = ask_again(log, strangers[-1], now)
    assert asked(log.handle(MessageReceived(strangers[-1], TAKEN.offer), now=now))


def test_a_late_node_fetches_the_state_and_goes_on_from_there() -> None:
    log = late_log()
    log.handle(Tick(), now=10_000)
    effects = hand(log, 1, TAKEN.offer, 10_001)
    wanted = asked(effects)
    assert wanted
    for peer, digests in wanted.items():
        answer = Pages(tuple(TAKEN.pages[digest] for digest in digests))
        effects = log.handle(MessageReceived(peer, answer), now=10_002)
    [fetched] = of(effects, SnapshotFetched)
    assert log.current.head_index == 0
    beacons = tuple(BeaconLink(bytes(32), 7) for _ in range(4))
    log.handle(Installed(beacons), now=10_003)
    assert log.current.head_index == 2
    assert log.current.high_qc == TAKEN.snapshot.links[1][1]
    effects = hand(log, 1, QcNotice(TAKEN.snapshot.links[2][1], None), 10_300)
    [fetch] = [e for e in effects if isinstance(e, Send)]
    assert fetch.message == Fetch(2)
    assert fetched.block.block.records == (record(1),)
