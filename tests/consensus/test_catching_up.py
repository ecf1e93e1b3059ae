"""Followers, observers, FETCH and BLOCKS, COORDINATION "Followers"."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ambientd.consensus.block_tree import BlockTree
from ambientd.consensus.catch_up import (
    EVIDENCE_BURST,
    FETCHERS_MAX,
    OFFERED_REST_T0,
    CatchUp,
    EvidenceLimit,
    FetchLimit,
    serve,
)
from ambientd.consensus.certificates import Committee
from ambientd.consensus.effects import Committed, PeerFault, Send
from ambientd.consensus.messages import Append, Blocks, Fetch, QcNotice, Timeout, Vote
from ambientd.consensus.snapshots import OFFERED_AGAIN_MS
from tests.consensus.bench import Bench, of, options, record, sent


def test_an_observer_commits_what_the_committee_does_and_signs_nothing() -> None:
    bench = Bench(4, observers=2)
    bench.start()
    bench.submit(4, record("from an observer"))
    bench.run(1_000)
    for who in (4, 5):
        assert record("from an observer") in bench.records(who)
        assert not sent(bench.effects[bench.key(who)], Vote)
    bench.down = {bench.key(0)}
    bench.run(2_000)
    assert bench.machine(5).term == 2
    assert not sent(bench.effects[bench.key(5)], Timeout)


def test_an_observer_that_hears_nothing_asks_a_member() -> None:
    bench = Bench(4, observers=1)
    bench.start()
    bench.run(100)
    bench.run(1_500)
    late = bench.nodes[4]
    late.crash()
    bench.run(3_000)
    bench.carry_out(4, late.boot(bench.now))
    deaf = bench.machine(4)
    effects = bench.tick(4, 1_700)
    [fetch] = sent(effects, Fetch)
    assert fetch.after == deaf.head_index
    bench.settle()
    assert deaf.head_index > 40


def test_blocks_are_fetched_in_bounded_runs() -> None:
    bench = Bench(4, changes={"fetch_blocks_max": 5})
    bench.start()
    bench.run(2_000)
    [answer] = sent(bench.receive(0, 1, Fetch(2)), Blocks)
    assert [block.header.index for block in answer.blocks] == [3, 4, 5, 6, 7]
    assert answer.qc.position.index == 7
    [nothing] = sent(bench.receive(0, 2, Fetch(10_000)), Blocks)
    assert nothing.blocks == ()


def test_a_run_of_blocks_is_bounded_in_bytes_but_never_empty() -> None:
    bench = Bench(1, changes={"fetch_bytes_max": 1_000})
    bench.start()
    for number in range(4):
        bench.submit(0, b"record %d " % number + b"x" * 2_000)
        bench.run(20)
    [answer] = sent(bench.receive(0, 0, Fetch(0)), Blocks) or [
        serve(
            0,
            bench.machine(0)._tree,
            bench.machine(0).high_qc,
            bench.nodes[0].store,
            bench.nodes[0].options,
        )
    ]
    sizes = [sum(map(len, block.records)) for block in answer.blocks]
    assert sum(sizes) <= 1_000 or len([size for size in sizes if size]) == 1


class Forgetful:
    """A source that has lost the end of its log."""

    def __init__(self, blocks: Sequence[Append]) -> None:
        self.blocks = blocks

    def committed(self, first: int, count: int) -> Sequence[Append]:
        return self.blocks[first - 1 : first - 1 + count]


def test_a_source_that_lacks_its_own_head_serves_only_what_it_can_prove() -> None:
    bench = Bench(1)
    bench.start()
    bench.run(2_000)
    log = [block.block for block in bench.log(0)]
    tree, high = bench.machine(0)._tree, bench.machine(0).high_qc
    answer = serve(0, tree, high, Forgetful(log[:4]), bench.options)
    assert [block.header.index for block in answer.blocks] == [1, 2, 3]
    assert answer.qc == log[3].qc
    assert serve(0, tree, high, Forgetful([]), bench.options).blocks == ()


def test_a_fresh_tree_serves_the_genesis_certificate() -> None:
    opts = options(4)
    bench = Bench(4)
    tree = BlockTree(Committee(opts.members, opts.seed), bench.genesis, None, ())
    assert serve(0, tree, bench.genesis, Forgetful([]), opts) == Blocks((), bench.genesis)


def lagging() -> tuple[Bench, list[Append], Fetch]:
    """Give a member that has seen only a certificate for the third block of a chain."""
    bench = Bench(4)
    bench.start(3)
    chain = [bench.block(0, 1, bench.genesis)]
    chain.append(bench.block(0, 1, bench.qc(chain[0], 0, 1, 2), record(1), revealed=1))
    effects = bench.receive(3, 2, QcNotice(bench.qc(chain[1], 0, 1, 2), None))
    [fetch] = of(effects, Send)
    assert fetch.to == bench.key(2)
    return bench, chain, fetch.message


def test_a_certificate_without_its_block_is_asked_of_who_showed_it() -> None:
    bench, chain, fetch = lagging()
    assert fetch == Fetch(0)
    effects = bench.receive(3, 2, Blocks(tuple(chain), bench.qc(chain[1], 0, 1, 2)))
    assert [c.blocks[0].block for c in of(effects, Committed)] == [chain[0]]


def test_blocks_that_lie_are_faults_and_somebody_else_is_asked() -> None:
    for number in range(6):
        bench, chain, _ = lagging()
        first, second = chain
        qc = bench.qc(second, 0, 1, 2)
        forged = Append(second.header, second.qc, None, second.records, b"x" * 64)
        swapped = Append(second.header, second.qc, None, (record(9),), second.signature)
        stranger = bench.block(1, 1, bench.genesis)
        answers = [
            Blocks((first, second), bench.qc(second, 0, 1)),
            Blocks((first,), qc),
            Blocks((second, first), qc),
            Blocks((first, forged), qc),
            Blocks((first, swapped), qc),
            Blocks((stranger,), bench.qc(stranger, 0, 1, 2)),
        ]
        effects = bench.receive(3, 2, answers[number])
        assert of(effects, PeerFault), number
        assert not of(effects, Committed)
        assert bench.machine(3).head_index == 0
        assert sent(bench.tick(3, 200), Fetch)


def test_blocks_that_nobody_asked_for_are_ignored() -> None:
    bench = Bench(4)
    bench.start(3)
    first = bench.block(0, 1, bench.genesis)
    effects = bench.receive(3, 2, Blocks((first,), bench.qc(first, 0, 1, 2)))
    assert effects == []


def test_an_answer_that_does_not_help_is_not_asked_for_in_a_loop() -> None:
    bench, _, _ = lagging()
    effects = bench.receive(3, 2, Blocks((), bench.genesis))
    assert not sent(effects, Fetch)
    assert sent(bench.tick(3, 100), Fetch)


def test_who_shows_every_gap_and_closes_none_is_passed_over_each_second_time() -> None:
    bench = Bench(4)
    catch_up = CatchUp(bench.options, random.Random(1))
    catch_up.is_missing = True
    liar = bench.key(2)
    asked = []
    for now in range(10_000, 90_000, 10_000):
        catch_up.hint(liar)
        target = catch_up.target(now)
        assert target is not None
        asked.append(target)
        catch_up.answered(target, now + 1, advanced=False)
    assert [target == liar for target in asked] == [True, False] * 4


def test_the_only_one_there_is_to_ask_is_asked_again() -> None:
    bench = Bench(2)
    catch_up = CatchUp(bench.options, random.Random(1))
    catch_up.is_missing = True
    for now in (10_000, 20_000, 30_000):
        assert catch_up.target(now) == bench.key(1)
        catch_up.answered(bench.key(1), now + 1, advanced=False)


@given(
    st.integers(2, 12),
    st.integers(0, 5_000),
    st.booleans(),
    st.lists(st.integers(0, 11), min_size=8, max_size=8),
    st.randoms(use_true_random=False),
)
def test_who_offers_a_snapshot_is_asked_once_in_a_while_however_long_its_answer_takes(
    members: int, latency_ms: int, is_older: bool, hints: list[int], rng: random.Random
) -> None:
    bench = Bench(members)
    t0_ms, catch_up = bench.options.t0_ms, CatchUp(bench.options, rng)
    catch_up.is_missing = True
    asked: dict[bytes, list[int]] = {}
    answers: list[tuple[int, bytes]] = []
    offered_at: dict[bytes, int] = {}
    end = 80 * t0_ms
    for now in range(0, end, 50):
        while answers and answers[0][0] <= now:
            _, peer = answers.pop(0)
            offered_at.setdefault(peer, now)
            catch_up.offered(peer, 1, now)
            if not catch_up.takes_answer(peer):
                continue
            if is_older:
                catch_up.answered(peer, now, advanced=False)
            else:
                catch_up.postpone(peer, now)
        catch_up.hint(bench.key(hints[now // 50 % 8] % members))
        target = catch_up.target(now)
        if target is not None:
            asked.setdefault(target, []).append(now)
            answers.append((now + latency_ms, target))
    for peer, times in asked.items():
        assert all(later - at >= t0_ms * 3 // 8 for at, later in itertools.pairwise(times))
        since = [at for at in times if at > offered_at.get(peer, end)]
        assert all(
            later - at >= OFFERED_REST_T0 * t0_ms * 3 // 4
            for at, later in itertools.pairwise([offered_at.get(peer, end), *since])
        )


def test_who_offered_a_snapshot_and_gives_blocks_after_all_is_asked_on_at_once() -> None:
    catch_up = CatchUp(options(2), random.Random(1))
    [peer] = set(options(2).members) - {options(2).self_id}
    catch_up.is_missing = True
    t0_ms = options(2).t0_ms
    catch_up.offered(peer, 1, 0)
    assert catch_up.target(OFFERED_REST_T0 * t0_ms * 3 // 4 - 1) is None
    now = OFFERED_REST_T0 * t0_ms + t0_ms // 2
    for _ in range(3):
        assert catch_up.target(now) == peer
        catch_up.answered(peer, now + t0_ms // 2, advanced=True)
        now += t0_ms


@given(st.integers(1, 20_000), st.randoms(use_true_random=False))
def test_who_is_quick_and_useless_keeps_nobody_else_from_being_heard(
    latency_ms: int, rng: random.Random
) -> None:
    """All others have offered a snapshot and rest; then they have the blocks."""
    bench = Bench(4)
    catch_up = CatchUp(bench.options, rng)
    catch_up.is_missing = True
    quick, *others = (key for key in bench.options.members if key != bench.options.self_id)
    for peer in others:
        catch_up.offered(peer, 1, 0)
    answers: list[tuple[int, bytes]] = []
    end = OFFERED_REST_T0 * bench.options.t0_ms + latency_ms + bench.options.t0_ms
    heard: set[bytes] = set()
    for now in range(0, end, 20):
        due = [peer for at, peer in answers if at <= now]
        answers = [(at, peer) for at, peer in answers if at > now]
        for peer in due:
            if catch_up.takes_answer(peer):
                heard.add(peer)
                catch_up.answered(peer, now, advanced=False)
        target = catch_up.target(now)
        if target is not None:
            answers.append((now + (1 if target == quick else latency_ms), target))
    assert heard & set(others)


def test_an_offer_of_what_is_here_by_now_gives_no_rest() -> None:
    bench = Bench(4)
    catch_up = CatchUp(bench.options, random.Random(1))
    catch_up.is_missing = True
    others = [key for key in bench.options.members if key != bench.options.self_id]
    for peer in others:
        catch_up.offered(peer, 7, 0)
    catch_up.head_index = 7
    now = OFFERED_REST_T0 * bench.options.t0_ms
    asked = set()
    for _ in range(16):
        asked.add(catch_up.target(now))
        now += bench.options.t0_ms // 2
    assert asked == set(others)


def test_whoever_begins_asks_again_while_that_means_that_it_wants_the_blocks() -> None:
    """However long T0 is: who offers is asked again within the minute in which it gives blocks."""
    slow = replace(Bench(2).options, t0_ms=60_000)
    [peer] = set(slow.members) - {slow.self_id}
    catch_up = CatchUp(slow, random.Random(1))
    catch_up.is_missing = True
    catch_up.offered(peer, 128, 0)
    assert catch_up.target(OFFERED_AGAIN_MS // 2) == peer


def test_a_word_that_does_not_help_ends_no_waiting_for_another_s_answer() -> None:
    bench, chain, _ = lagging()
    qc = bench.qc(chain[1], 0, 1, 2)
    [second] = of(bench.tick(3, after_ms=bench.options.t0_ms // 2), Send)
    asked, unasked = (0, 1) if second.to == bench.key(0) else (1, 0)
    assert not bench.receive(3, unasked, Blocks(tuple(chain), qc)), "nobody asked it"
    assert of(bench.receive(3, asked, Blocks((chain[0],), qc)), PeerFault)
    effects = bench.receive(3, 2, Blocks(tuple(chain), qc))
    assert [c.blocks[0].block for c in of(effects, Committed)] == [chain[0]]


def test_held_blocks_are_bounded() -> None:
    bench = Bench(4, changes={"held_blocks_max": 3})
    bench.start(3)
    parent = bench.block(0, 1, bench.genesis)
    for number in range(8):
        qc = bench.qc(parent, 0, 1, 2)
        parent = bench.block(0, 1, qc, record(number), revealed=number + 1)
        bench.receive(3, 0, parent)
    assert len(bench.machine(3)._held) == 3


def test_an_equivocating_coordinator_fills_no_memory() -> None:
    bench = Bench(4)
    bench.start(3)
    for number in range(20):
        bench.receive(3, 0, bench.block(0, 1, bench.genesis, record(number)))
    assert len(bench.machine(3)._tree.blocks) == 2


def test_a_full_tree_keeps_the_certified_branch() -> None:
    bench = Bench(4, changes={"tree_blocks_max": 2})
    bench.start(3)
    first = bench.block(0, 1, bench.genesis)
    twin = bench.block(0, 1, bench.genesis, record(1))
    bench.receive(3, 0, first)
    bench.receive(3, 0, twin)
    second = bench.block(0, 1, bench.qc(first, 0, 1, 2), revealed=1)
    bench.receive(3, 0, second)
    assert bench.machine(3)._tree.holds(second.header.parent_hash)
    assert len(bench.machine(3)._tree.blocks) == 2


def test_a_full_tree_has_no_room_for_a_losing_branch() -> None:
    bench = Bench(4, changes={"tree_blocks_max": 1})
    bench.start(3)
    first = bench.block(0, 1, bench.genesis)
    bench.receive(3, 0, first)
    bench.receive(3, 0, bench.block(0, 1, bench.genesis, record(1)))
    assert len(bench.machine(3)._tree.blocks) == 1


def test_one_fetch_a_peer_is_served_every_quarter_of_t0() -> None:
    bench = Bench(4)
    bench.start(0)
    assert sent(bench.receive(0, 1, Fetch(0)), Blocks)
    assert bench.receive(0, 1, Fetch(0)) == []
    assert sent(bench.receive(0, 2, Fetch(0)), Blocks)
    bench.now += 99
    assert bench.receive(0, 1, Fetch(0)) == []
    bench.now += 1
    assert sent(bench.receive(0, 1, Fetch(0)), Blocks)


def test_many_fetching_strangers_fill_no_memory_and_keep_no_member_out() -> None:
    opts = options(4)
    limit = FetchLimit(opts)
    allowed = [limit.allows(number.to_bytes(32, "big"), 0) for number in range(1_000)]
    assert allowed.count(True) == len(limit) == FETCHERS_MAX
    assert all(limit.allows(member, 0) for member in opts.members)
    assert limit.allows(b"z" * 32, 100)
    assert len(limit) == 1


def test_many_strangers_with_late_evidence_fill_no_memory_and_keep_no_member_out() -> None:
    opts = options(4)
    limit = EvidenceLimit(opts)
    allowed = [limit.allows(number.to_bytes(32, "big"), 0) for number in range(1_000)]
    assert allowed.count(True) == len(limit) == FETCHERS_MAX
    judged = [limit.allows(opts.members[0], 0) for _ in range(2 * EVIDENCE_BURST)]
    assert judged.count(True) == EVIDENCE_BURST
    assert limit.allows(opts.members[0], opts.t0_ms // 4)
    assert limit.allows(b"z" * 32, opts.t0_ms)


def test_a_node_that_lags_far_asks_nobody_more_often_than_it_is_served() -> None:
    bench = Bench(2, changes={"fetch_blocks_max": 5})
    bench.start()
    bench.run(3_000)
    late, head = bench.nodes[1], bench.machine(0).head_index
    assert head > 20
    late.crash()
    late.store = type(late.store)()
    late.options = replace(late.options, may_vote=False)
    bench.carry_out(1, late.boot(bench.now))
    asked: list[int] = []
    for _ in range(800):
        before = len(bench.effects[late.key])
        bench.tick(1, 5)
        bench.settle()
        asked += [bench.now] * len(sent(bench.effects[late.key][before:], Fetch))
    assert len(asked) > 4
    assert all(later - earlier >= 150 for earlier, later in itertools.pairwise(asked))
    assert bench.machine(1).head_index >= head - 1
