"""What survives a crash, COORDINATION "Persistence"."""

from ambientd.consensus.effects import Committed, PersistSafety
from ambientd.consensus.events import MessageReceived
from ambientd.consensus.messages import Append, Timeout, Vote
from tests.consensus.bench import Bench, of, record, sent


def test_a_coordinator_never_proposes_in_a_term_begun_before_its_restart() -> None:
    bench = Bench(4)
    bench.start()
    bench.run(300)
    effects = bench.restart(0)
    assert not sent(effects, Append)
    [timeout] = sent(effects, Timeout)  # nobody need wait for it
    assert timeout.term == 1
    bench.run(1_000)
    assert bench.machine(0).term == 2
    proposals = sent(bench.effects[bench.key(0)], Append)
    assert len({append.header.position for append in proposals}) == len(
        {append.signature for append in proposals}
    )


def test_one_member_alone_goes_on_in_the_next_term() -> None:
    bench = Bench(1)
    bench.start()
    bench.submit(0, record(1))
    bench.run(300)
    before = len(bench.log(0))
    bench.restart(0)
    bench.submit(0, record(2))
    bench.run(300)
    assert bench.machine(0).term == 2
    assert bench.records(0) == [record(1), record(2)]
    assert len(bench.log(0)) > before


def test_a_vote_is_remembered_across_a_restart() -> None:
    bench = Bench(4)
    bench.start(1)
    first = bench.block(0, 1, bench.genesis, record(1))
    [vote] = sent(bench.receive(1, 0, first), Vote)
    bench.restart(1)
    assert not sent(bench.receive(1, 0, bench.block(0, 1, bench.genesis, record(2))), Vote)
    assert sent(bench.receive(1, 0, first), Vote) == [vote]


def test_a_timeout_is_remembered_and_told_again_after_a_restart() -> None:
    bench = Bench(4)
    bench.start(1)
    [timeout] = sent(bench.tick(1, 400), Timeout)
    effects = bench.restart(1)
    assert sent(effects, Timeout) == [timeout]
    assert not sent(bench.receive(1, 0, bench.block(0, 1, bench.genesis)), Vote)


def test_a_commit_that_the_crash_swallowed_is_told_again() -> None:
    bench = Bench(4)
    bench.start(3)
    first = bench.block(0, 1, bench.genesis)
    second = bench.block(0, 1, bench.qc(first, 0, 1, 2), revealed=1)
    bench.receive(3, 0, first)
    bench.receive(3, 0, second)
    bench.receive(3, 0, bench.timeout(0, 1, bench.genesis))
    joined = MessageReceived(bench.key(1), bench.timeout(1, 1, bench.qc(second, 0, 1, 2)))
    effects = bench.machine(3).handle(joined, now=bench.now)
    kinds = [type(effect) for effect in effects]
    assert kinds.index(PersistSafety) < kinds.index(Committed)
    bench.carry_out(3, effects[: kinds.index(Committed)])  # and here it crashes
    [committed] = of(bench.restart(3), Committed)
    assert [block.block for block in committed.blocks] == [first]
    assert not of(bench.restart(3), Committed)


def test_a_restarted_member_catches_up_and_votes_again() -> None:
    bench = Bench(4, changes={"fetch_blocks_max": 8})
    bench.start()
    bench.run(300)
    bench.nodes[3].crash()
    bench.run(5_000)
    assert len(bench.log(0)) - len(bench.log(3)) > 40
    votes = len(sent(bench.effects[bench.key(3)], Vote))
    bench.restart(3)
    bench.run(1_000)
    assert len(bench.log(0)) - len(bench.log(3)) <= 1
    assert len(sent(bench.effects[bench.key(3)], Vote)) > votes + 5


def test_a_whole_committee_restarts_and_goes_on() -> None:
    bench = Bench(4)
    bench.start()
    bench.submit(1, record(1))
    bench.run(300)
    before = len(bench.log(0))
    for who in range(4):
        bench.nodes[who].crash()
    bench.queue.clear()
    bench.start()
    bench.submit(1, record(2))
    bench.run(3_000)
    assert bench.records(3) == [record(1), record(2)]
    assert len(bench.log(3)) > before + 5


def test_the_high_certificate_is_never_lower_than_the_log_after_a_restart() -> None:
    bench = Bench(4, observers=1)
    bench.start()
    bench.run(300)
    high = bench.machine(4).high_qc.position
    assert not of(bench.effects[bench.key(4)], PersistSafety)  # an observer signs nothing
    bench.restart(4)
    assert bench.machine(4).high_qc.position >= bench.log(4)[-1].child_qc.position
    assert bench.machine(4).high_qc.position <= high
