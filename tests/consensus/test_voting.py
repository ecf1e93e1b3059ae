"""A member's votes, COORDINATION "Vote" and "Persistence"."""

import pytest

from ambientd.consensus.effects import Committed, PeerFault, PersistBlock, PersistSafety
from ambientd.consensus.events import MessageReceived
from ambientd.consensus.messages import Append, Vote
from sim.replica import Store
from tests.consensus.bench import Bench, at, of, record, sent


def started(count: int = 4) -> Bench:
    bench = Bench(count)
    bench.start(*range(1, count))  # the test plays the coordinator of term 1
    bench.queue.clear()
    return bench


def test_a_vote_leaves_only_after_block_and_safety_state_are_persisted() -> None:
    bench = started()
    effects = bench.receive(1, 0, bench.block(0, 1, bench.genesis, record(1)))
    kinds = [type(effect) for effect in effects[:2]]
    assert kinds == [PersistBlock, PersistSafety]
    [vote] = sent(effects, Vote)
    assert of(effects, PersistSafety)[0].state.last_vote == vote
    assert vote.position == at(1, 1)


def test_the_same_proposal_again_brings_the_same_vote_again() -> None:
    bench = started()
    append = bench.block(0, 1, bench.genesis)
    first = sent(bench.receive(1, 0, append), Vote)
    effects = bench.receive(1, 0, append)
    assert sent(effects, Vote) == first
    assert not of(effects, PersistSafety)


def test_a_second_block_at_one_position_gets_no_vote_and_is_evidence() -> None:
    bench = started()
    bench.receive(1, 0, bench.block(0, 1, bench.genesis, record(1)))
    effects = bench.receive(1, 0, bench.block(0, 1, bench.genesis, record(2)))
    assert not sent(effects, Vote)
    assert bench.key(0) in bench.machine(1)._convicted


def test_no_vote_after_a_timeout_of_the_term() -> None:
    bench = started()
    bench.tick(1, 10_000)
    effects = bench.receive(1, 0, bench.block(0, 1, bench.genesis))
    assert not sent(effects, Vote)
    assert not sent(bench.receive(1, 0, bench.block(0, 1, bench.genesis)), Vote)


def test_a_block_of_a_later_term_needs_a_timeout_certificate() -> None:
    bench = Bench(4)
    bench.start(0, 2, 3)
    fault = of(bench.receive(2, 1, bench.block(1, 2, bench.genesis)), PeerFault)
    assert fault[0].reason == "the term may not build on this parent"


def test_a_block_below_what_the_timeouts_admit_is_refused() -> None:
    bench = Bench(4)
    bench.start(0, 2, 3)
    first = bench.block(0, 1, bench.genesis)
    high = bench.qc(first, 0, 2, 3)
    timeouts = [bench.timeout(who, 1, qc) for who, qc in ((0, high), (2, bench.genesis))]
    tc = bench.tc(1, *timeouts, bench.timeout(3, 1, bench.genesis))
    assert of(bench.receive(2, 1, bench.block(1, 2, bench.genesis, tc=tc)), PeerFault)
    good = bench.block(1, 2, high, tc=tc)
    bench.receive(2, 0, first)
    assert sent(bench.receive(2, 1, good), Vote)


def test_a_vote_waits_for_the_missing_parent_and_then_comes() -> None:
    bench = started()
    first = bench.block(0, 1, bench.genesis)
    second = bench.block(0, 1, bench.qc(first, 0, 2, 3), revealed=1)
    effects = bench.receive(1, 0, second)
    assert not sent(effects, Vote)
    assert [v.position for v in sent(bench.receive(1, 0, first), Vote)] == [at(1, 2)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"index": 3}, "does not stand on"),
        ({"parent_hash": b"x" * 32}, "does not stand on"),
        ({"records_root": b"x" * 32}, "not those of the header"),
        ({"beacon": b"x" * 32}, "beacon"),
        ({"state_root": b"x" * 32}, "cannot be known"),
    ],
)
def test_a_wrong_header_is_the_senders_fault(changes: dict[str, object], reason: str) -> None:
    bench = started()
    effects = bench.receive(1, 0, bench.block(0, 1, bench.genesis, **changes))
    assert not sent(effects, Vote)
    assert reason in of(effects, PeerFault)[0].reason


def test_a_block_by_someone_who_does_not_coordinate_is_a_fault() -> None:
    bench = started()
    effects = bench.receive(1, 2, bench.block(2, 1, bench.genesis))
    assert "does not coordinate" in of(effects, PeerFault)[0].reason


def test_certificates_that_do_not_fit_the_block_are_faults() -> None:
    bench = Bench(4)
    bench.start(3)
    tc = bench.tc(1, *(bench.timeout(who, 1, bench.genesis) for who in (0, 1, 2)))
    later = bench.qc(bench.block(1, 2, bench.genesis, tc=tc), 0, 1, 2)
    few = bench.tc(1, *(bench.timeout(who, 1, bench.genesis) for who in (0, 1)))
    for append, reason in (
        (bench.block(0, 1, later), "of an older term than its parent"),
        (bench.block(2, 3, bench.genesis, tc=tc), "not of the term before"),
        (bench.block(1, 2, bench.genesis, tc=few), "time-out certificate does not hold"),
    ):
        effects = bench.receive(3, 0, append)
        assert reason in of(effects, PeerFault)[0].reason


def test_a_block_above_eight_megabytes_is_a_fault() -> None:
    bench = started()
    large = bench.block(0, 1, bench.genesis, *(record("x" * 999_999 + str(n)) for n in range(8)))
    assert "more than 8000000" in of(bench.receive(1, 0, large), PeerFault)[0].reason


def test_invalid_or_doubled_records_are_a_fault() -> None:
    bench = started()
    invalid = bench.block(0, 1, bench.genesis, b"not a record")
    assert "invalid record" in of(bench.receive(1, 0, invalid), PeerFault)[0].reason
    doubled = bench.block(0, 1, bench.genesis, record(1), record(1))
    assert "twice" in of(bench.receive(1, 0, doubled), PeerFault)[0].reason


def test_forged_signatures_and_certificates_are_faults_and_change_nothing() -> None:
    bench = started()
    good = bench.block(0, 1, bench.genesis)
    bad = Append(good.header, good.qc, good.tc, good.records, b"x" * 64)
    assert "not signed" in of(bench.receive(1, 0, bad), PeerFault)[0].reason
    few = bench.block(0, 1, bench.qc(good, 0, 2), revealed=1)
    assert "certificate does not hold" in of(bench.receive(1, 0, few), PeerFault)[0].reason
    assert bench.machine(1).high_qc == bench.genesis
    assert sent(bench.receive(1, 0, good), Vote)


def test_block_time_may_not_run_backwards_nor_leap_ten_seconds() -> None:
    bench = started()
    first = bench.block(0, 1, bench.genesis)
    bench.receive(1, 0, first)
    bench.receive(2, 0, first)
    qc = bench.qc(first, 0, 2, 3)
    back = bench.block(0, 1, qc, revealed=1, time_ms=bench.now - 1)
    assert "block time" in of(bench.receive(1, 0, back), PeerFault)[0].reason
    leap = bench.block(0, 1, qc, revealed=1, time_ms=bench.now + 10_001)
    assert "block time" in of(bench.receive(2, 0, leap), PeerFault)[0].reason


def test_a_block_more_than_a_second_ahead_waits_for_this_nodes_clock() -> None:
    bench = started()
    ahead = bench.block(0, 1, bench.genesis, time_ms=bench.now + 1_200)
    assert not sent(bench.receive(1, 0, ahead), Vote)
    assert bench.nodes[1].next_deadline == bench.now + 200
    assert sent(bench.tick(1, 200), Vote)


def test_a_block_more_than_twenty_seconds_behind_gets_no_vote_and_accuses_nobody() -> None:
    bench = started()
    late = bench.block(0, 1, bench.genesis, time_ms=bench.now - 20_001)
    effects = bench.receive(1, 0, late)
    assert not sent(effects, Vote)
    assert not of(effects, PeerFault)
    assert sent(
        bench.receive(2, 0, bench.block(0, 1, bench.genesis, time_ms=bench.now - 20_000)), Vote
    )


def test_a_block_that_catches_up_as_fast_as_it_may_gets_a_vote_however_far_behind() -> None:
    bench = started()
    old = bench.block(0, 1, bench.genesis, time_ms=bench.now - 60_000)
    qc = bench.qc(old, 0, 2, 3)
    for who in (1, 2):
        bench.receive(who, 0, old)
    slow = bench.block(0, 1, qc, revealed=1, time_ms=bench.now - 50_001)
    assert not sent(bench.receive(1, 0, slow), Vote)
    fast = bench.block(0, 1, qc, revealed=1, time_ms=bench.now - 50_000)
    assert sent(bench.receive(2, 0, fast), Vote)


def test_a_vote_waits_for_the_hosts_state_root_and_refuses_another() -> None:
    bench = started()
    first = bench.block(0, 1, bench.genesis)
    second = bench.block(0, 1, bench.qc(first, 0, 2, 3), revealed=1)
    third_qc = bench.qc(second, 0, 2, 3)
    for who in (1, 2):
        bench.receive(who, 0, first)
        bench.receive(who, 0, second)
    wrong = bench.block(0, 1, third_qc, revealed=2, state_root=b"w" * 32)
    effects = bench.receive(1, 0, wrong)
    assert "state root at index 1 differs" in of(effects, PeerFault)[0].reason
    root = bench.nodes[1].store.roots[1]
    assert sent(bench.receive(2, 0, bench.block(0, 1, third_qc, revealed=2, state_root=root)), Vote)


def test_the_vote_comes_with_applied_once_the_host_knows_the_state() -> None:
    bench = started()
    first = bench.block(0, 1, bench.genesis)
    second = bench.block(0, 1, bench.qc(first, 0, 2, 3), revealed=1)
    root = Store().state_root_after([])
    third = bench.block(0, 1, bench.qc(second, 0, 2, 3), revealed=2, state_root=root)
    bench.receive(1, 0, first)
    bench.receive(1, 0, second)
    event = MessageReceived(bench.key(0), third)
    effects = bench.machine(1).handle(event, now=bench.now)  # nobody carries these out yet
    assert of(effects, Committed)
    assert not sent(effects, Vote)
    assert bench.nodes[1].next_deadline == bench.now + 5
    assert sent(bench.carry_out(1, effects), Vote)


def test_a_member_whose_safety_file_is_lost_never_signs() -> None:
    bench = Bench(4, changes={"may_vote": False})
    bench.start(1)
    assert not sent(bench.receive(1, 0, bench.block(0, 1, bench.genesis)), Vote)
    bench.tick(1, 60_000)
    assert not of(bench.effects[bench.key(1)], PersistSafety)
