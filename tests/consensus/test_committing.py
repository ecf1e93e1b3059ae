"""Proposals, certificates and commits, COORDINATION "Commit" and "Cost"."""

import pytest

from ambientd.consensus.beacon import LINKS
from ambientd.consensus.block_tree import ABANDONED_MAX, BlockTree
from ambientd.consensus.effects import Broadcast, Committed, CommittedBlock, PersistSafety, Send
from ambientd.consensus.messages import Append, QcNotice, Vote, block_hash
from tests.consensus.bench import Bench, at, of, record, sent


def running(count: int, **changes: int) -> Bench:
    bench = Bench(count, changes=dict(changes))
    bench.start()
    bench.settle()
    return bench


def test_one_member_alone_commits_at_once() -> None:
    bench = running(1)
    bench.submit(0, record(1))
    assert of(bench.tick(0, 5), Committed)
    assert bench.records(0) == [record(1)]


@pytest.mark.parametrize("count", [3, 4, 7])
def test_a_committee_commits_what_any_member_submits(count: int) -> None:
    bench = running(count)
    for who in range(count):
        bench.submit(who, record(who))
    bench.run(1_000)
    for who in range(count):
        assert sorted(bench.records(who)) == sorted(record(n) for n in range(count))
        assert bench.machine(who).pending_records == 0
        assert bench.nodes[who].store.roots[:8] == bench.nodes[0].store.roots[:8]


def test_a_record_commits_two_round_trips_after_its_batch_closes() -> None:
    bench = running(4)
    bench.run(50)
    bench.submit(0, record(1))
    assert bench.nodes[0].next_deadline == bench.now + 5
    bench.tick(0, 5)
    for expected in (0, 0, 0, 1):  # append, votes; empty append, votes
        assert len(bench.records(0)) == 0
        bench.hop()
        assert len(bench.records(0)) == expected
    assert not bench.records(1)
    bench.hop()  # one hop later the certificate tells the followers
    assert all(bench.records(who) == [record(1)] for who in range(4))


def test_a_commit_costs_six_messages_among_four() -> None:
    bench = running(4)
    bench.run(50)
    for number in range(50):
        bench.submit(0, record(number))
        bench.tick(0, 5)
        bench.settle()
    before = len(bench.log(0))
    messages = 0
    for number in range(50, 100):
        bench.submit(0, record(number))
        bench.tick(0, 5)
        while bench.queue:
            messages += len(bench.queue)
            bench.hop()
    # Each record costs two blocks of three appends and three votes, and one notice to all.
    assert messages == 50 * (6 + 6 + 3)
    assert len(bench.log(0)) > before


def test_a_full_batch_does_not_wait() -> None:
    bench = running(4, block_bytes_max=300)
    bench.run(50)
    assert not sent(bench.submit(0, b"record " + b"x" * 200), Append)
    [append] = sent(bench.submit(0, b"record " + b"y" * 200), Append)
    assert len(append.records) == 1  # the second would not fit and comes in the next block


def test_one_large_record_gets_a_block_of_its_own() -> None:
    bench = running(4)
    bench.submit(2, b"record " + b"x" * 500_000)
    bench.run(500)
    assert len(bench.records(3)) == 1


def test_an_empty_heartbeat_comes_every_quarter_of_t0() -> None:
    bench = running(4)
    bench.run(1_000)
    assert 9 <= len(bench.log(0)) <= 11
    assert bench.machine(0).term == 1


def test_the_coordinator_persists_its_proposal_before_it_sends_it() -> None:
    bench = running(4)
    effects = bench.tick(0, 100)
    kinds = [type(effect) for effect in effects]
    assert kinds.index(PersistSafety) < kinds.index(Broadcast)
    state = of(effects, PersistSafety)[0].state
    [append] = sent(effects, Append)
    assert state.last_proposed == state.last_voted == append.header.position


def test_a_proposal_without_answers_is_sent_again_unchanged() -> None:
    bench = running(4)
    [first] = sent(bench.tick(0, 100), Append)
    bench.queue.clear()
    assert sent(bench.tick(0, 100), Append) == [first] * 3
    bench.run(200)
    assert block_hash(first.header) in [block.hash for block in bench.log(3)]


def test_a_proposal_is_sent_again_only_to_those_whose_vote_is_missing() -> None:
    bench = running(4)
    [first] = sent(bench.tick(0, 100), Append)
    bench.queue.clear()
    bench.receive(0, 2, bench.vote(2, first))
    again = [effect for effect in bench.tick(0, 100) if isinstance(effect, Send)]
    assert [effect.to for effect in again] == sorted((bench.key(1), bench.key(3)))


def test_a_notice_tells_a_certificate_only_when_no_proposal_does() -> None:
    bench = running(4)
    bench.run(50)
    bench.submit(0, record(1))
    bench.tick(0, 5)
    bench.hop()
    bench.hop()
    kinds = {type(message) for _, _, message in bench.queue}
    assert kinds == {Append}
    bench.hop()
    bench.hop()
    assert {type(message) for _, _, message in bench.queue} == {QcNotice}


def test_the_commit_proof_is_two_certified_blocks_of_one_term() -> None:
    bench = running(4)
    bench.run(500)
    for block in bench.log(1):
        assert isinstance(block, CommittedBlock)
        assert (
            block.hash == block.qc.hash == block.child.parent_hash == block_hash(block.block.header)
        )
        assert block.child_qc.hash == block_hash(block.child)
        assert bench.verifier.qc_holds(block.qc)
        assert bench.verifier.qc_holds(block.child_qc)
        assert block.child.term == block.block.header.term


def test_certified_blocks_of_different_terms_do_not_commit_but_go_along_later() -> None:
    bench = Bench(4)
    bench.start(3)
    first = bench.block(0, 1, bench.genesis)
    high = bench.qc(first, 0, 1, 2)
    tc = bench.tc(1, *(bench.timeout(who, 1, high) for who in (0, 1, 2)))
    second = bench.block(1, 2, high, tc=tc)
    third = bench.block(1, 2, bench.qc(second, 0, 1, 2), revealed=1)
    bench.receive(3, 0, first)
    bench.receive(3, 1, second)
    bench.receive(3, 1, QcNotice(bench.qc(second, 0, 1, 2), None))
    assert not bench.log(3)
    bench.receive(3, 1, third)
    bench.receive(3, 1, QcNotice(bench.qc(third, 0, 1, 2), None))
    assert [block.block.header.position for block in bench.log(3)] == [at(1, 1), at(2, 2)]
    assert bench.log(3)[0].child == second.header


def test_votes_of_others_for_something_else_are_not_counted() -> None:
    bench = Bench(4)
    bench.start(0)
    bench.queue.clear()
    other = bench.block(0, 1, bench.genesis, record(9))
    effects = bench.receive(0, 1, bench.vote(1, other))
    assert of(effects, Send) == []
    forged = bench.vote(1, other)
    bench.receive(0, 1, Vote(forged.position, 0, forged.hash, 2, forged.signature))
    bench.receive(0, 1, Vote(at(5, 5), 0, forged.hash, 2, forged.signature))
    assert bench.machine(0).high_qc == bench.genesis


def test_a_member_outlives_its_first_hash_chain() -> None:
    bench = running(1, t0_ms=40)
    bench.run((LINKS + 40) * 10, step_ms=10)
    assert len(bench.log(0)) > LINKS
    assert bench.machine(0).term == 1
    assert {len(block.block.header.beacon) for block in bench.log(0)} == {32, 64}


def test_a_commit_names_the_kept_blocks_that_it_makes_impossible() -> None:
    bench = Bench(4)
    bench.start(3)
    first = bench.block(0, 1, bench.genesis)
    loser = bench.block(0, 1, bench.genesis, record("loser"))
    heir = bench.block(0, 1, bench.qc(loser, 0, 1, 2), record("heir"), revealed=1)
    for block in (first, loser, heir):
        bench.receive(3, 0, block)
    assert len(bench.nodes[3].store.tail) == 3
    second = bench.block(0, 1, bench.qc(first, 0, 1, 2), revealed=1)
    bench.receive(3, 0, second)
    effects = bench.receive(3, 0, QcNotice(bench.qc(second, 0, 1, 2), None))
    [committed] = of(effects, Committed)
    assert [block.hash for block in committed.blocks] == [block_hash(first.header)]
    assert sorted(committed.dropped) == sorted(block_hash(b.header) for b in (loser, heir))
    assert list(bench.nodes[3].store.tail.values()) == [second]


def test_a_block_that_a_full_tree_gave_up_is_dropped_once_the_log_has_passed_it() -> None:
    bench = Bench(4, changes={"tree_blocks_max": 2})
    bench.start(3)
    first = bench.block(0, 1, bench.genesis)
    twin = bench.block(0, 1, bench.genesis, record(1))
    second = bench.block(0, 1, bench.qc(first, 0, 1, 2), revealed=1)
    for block in (first, twin, second):
        bench.receive(3, 0, block)
    bench.restart(3)  # what was given up is remembered by the disk alone
    effects = bench.receive(3, 0, QcNotice(bench.qc(second, 0, 1, 2), None))
    [committed] = of(effects, Committed)
    assert committed.dropped == (block_hash(twin.header),)


def test_kept_blocks_without_a_parent_are_dropped_once_the_log_has_passed_them() -> None:
    bench = Bench(4)
    bench.start(3)
    first = bench.block(0, 1, bench.genesis)
    second = bench.block(0, 1, bench.qc(first, 0, 1, 2), revealed=1)
    third = bench.block(0, 1, bench.qc(second, 0, 1, 2), revealed=2)
    lost = bench.block(0, 1, bench.genesis, record("lost"))
    orphan = bench.block(0, 1, bench.qc(lost, 0, 1, 2), revealed=1)
    hash_ = block_hash(orphan.header)
    bench.nodes[3].store.tail[hash_] = orphan
    bench.restart(3)
    dropped = []
    for block in (first, second, third):
        effects = bench.receive(3, 0, block)
        dropped += [h for committed in of(effects, Committed) for h in committed.dropped]
    effects = bench.receive(3, 0, QcNotice(bench.qc(third, 0, 1, 2), None))
    dropped += [h for committed in of(effects, Committed) for h in committed.dropped]
    assert dropped == [hash_]


def test_the_memory_of_given_up_blocks_is_bounded() -> None:
    tree = BlockTree(Bench(4).committee, Bench(4).genesis, None, ())
    for number in range(ABANDONED_MAX + 5):
        tree.abandon(number.to_bytes(32, "big"), 1)
    assert len(tree._abandoned) == ABANDONED_MAX
