"""A log that nobody waits for beats ever more slowly, and is awake at once (section 6)."""

from itertools import pairwise

from ambientd.consensus.messages import Append, Fetch, Timeout
from ambientd.consensus.pacemaker import NAP_MS_MAX, REST_MS_MAX
from tests.consensus.bench import Bench, record, sent


def resting(count: int = 4, observers: int = 0, for_ms: int = 30_000) -> Bench:
    bench = Bench(count, observers, awaited_ms=None)
    bench.start()
    bench.run(for_ms)
    return bench


def proposals(bench: Bench, who: int = 0) -> list[int]:
    """Give the block times of what a member proposed."""
    effects = bench.effects[bench.key(who)]
    return sorted({append.header.time_ms for append in sent(effects, Append)})


def test_pauses_double_up_to_six_seconds_while_nobody_waits() -> None:
    times = proposals(resting())
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[-2:] == [REST_MS_MAX] * 2
    assert pauses == sorted(pauses)
    assert all(after <= 2 * before for before, after in pairwise(pauses[1:]))
    assert len(times) < 15


def test_a_record_is_committed_at_once_and_the_log_comes_to_rest_again() -> None:
    bench = resting()
    before = len(bench.log(2))
    bench.submit(2, record(1))
    bench.run(50)
    assert record(1) in bench.records(2)
    bench.run(1_000)
    assert len(bench.log(2)) < before + 8
    assert {bench.machine(who).term for who in range(4)} == {1}


def test_a_ledger_that_waits_for_time_keeps_the_log_awake() -> None:
    bench = resting()
    for node in bench.nodes:
        node.awaited_ms = 0
    bench.submit(1, record(1))
    bench.run(100)
    before = len(bench.log(1))
    bench.run(1_000)
    assert len(bench.log(1)) >= before + 9


def test_until_a_deadline_pauses_are_shorter_and_then_a_block_comes_at_once() -> None:
    bench = resting()
    due_ms = bench.now + 20_000
    for node in bench.nodes:
        node.awaited_ms = due_ms
    bench.submit(1, record(1))
    bench.run(15_000)
    times = proposals(bench)
    assert [later - earlier for earlier, later in pairwise(times)][-3:] == [NAP_MS_MAX] * 3
    bench.run(due_ms - bench.now + 500)
    times = [time for time in proposals(bench) if time >= due_ms]
    assert times[0] - due_ms < 50
    assert len(times) >= 4
    assert {bench.machine(who).term for who in range(4)} == {1}
    assert bench.machine(3)._safety.max_timed_out == 0


def test_members_whose_clocks_are_early_bear_a_coordinator_that_sleeps_on() -> None:
    bench = resting()
    due_ms = bench.now + 5_000
    bench.nodes[0].awaited_ms = due_ms + 800
    for node in bench.nodes[1:]:
        node.awaited_ms = due_ms
    bench.submit(1, record(1))
    bench.run(10_000)
    assert all(bench.machine(who)._safety.max_timed_out == 0 for who in range(4))


def test_a_coordinator_lost_before_a_deadline_is_replaced_soon_after_it() -> None:
    bench = resting()
    due_ms = bench.now + 3_000
    for node in bench.nodes:
        node.awaited_ms = due_ms
    bench.submit(1, record(1))
    bench.run(1_000)
    bench.down.add(bench.key(0))
    bench.run(due_ms + 2_000 - bench.now)
    assert bench.machine(1).term == 2
    assert max(proposals(bench, 1)) >= due_ms


def test_a_lost_coordinator_is_replaced_soon_after_somebody_wants_something() -> None:
    for count in (4, 7, 10):
        bench = resting(count)
        bench.down.add(bench.key(0))
        bench.run(3_000)
        assert bench.machine(1).term == 1
        bench.submit(1, record(1))
        start = bench.now
        while record(1) not in bench.records(1):
            bench.run(10)
        assert bench.now - start < 1_000
        assert bench.machine(1).term == 2


def test_a_lost_coordinator_is_replaced_in_the_end_though_nobody_wants_anything() -> None:
    bench = resting()
    bench.down.add(bench.key(0))
    bench.run(2 * REST_MS_MAX + 1_500)
    assert bench.machine(1).term == 2


def test_one_lost_proposal_ends_no_term() -> None:
    bench = resting()
    before = len(proposals(bench))
    bench.down.add(bench.key(3))
    while len(proposals(bench)) == before:
        bench.run(100)
    bench.down.clear()
    bench.run(2 * REST_MS_MAX)
    assert bench.machine(3)._safety.max_timed_out == 0


def test_a_member_that_gives_up_wakes_the_coordinator_but_once() -> None:
    bench = resting()
    before = len(bench.log(1))
    timeout = bench.timeout(3, 1, bench.machine(3).high_qc)
    bench.receive(0, 3, timeout)
    bench.receive(1, 3, timeout)
    bench.run(150)
    assert len(bench.log(1)) > before
    bench.run(20_000)
    assert len(bench.log(1)) < before + 12
    assert bench.machine(1).term == 1


def test_who_gave_up_alone_says_so_seldom_until_somebody_joins() -> None:
    bench = resting()
    bench.submit(3, record(1))
    bench.queue.clear()
    bench.carry_out(3, bench.nodes[3].tick(bench.now + 400))
    assert bench.machine(3)._safety.max_timed_out == 1
    bench.run(1_000)
    said = len(sent(bench.effects[bench.key(3)], Timeout))
    bench.run(REST_MS_MAX)
    assert len(sent(bench.effects[bench.key(3)], Timeout)) <= said + 2
    bench.down.add(bench.key(0))
    bench.submit(1, record(2))
    bench.run(1_500)
    assert record(2) in bench.records(1)
    assert bench.machine(3).term == 2


def test_who_follows_asks_seldom_while_the_log_rests() -> None:
    bench = resting(observers=1)
    bench.effects[bench.key(4)].clear()
    bench.run(60_000)
    assert not sent(bench.effects[bench.key(4)], Fetch)
    bench.down.update(bench.key(who) for who in range(4))
    bench.run(10_000)
    assert sent(bench.effects[bench.key(4)], Fetch)


def test_a_cluster_of_one_rests_too() -> None:
    bench = resting(1)
    assert len(bench.log(0)) < 15
    bench.submit(0, record(1))
    bench.run(10)
    assert bench.records(0) == [record(1)]
