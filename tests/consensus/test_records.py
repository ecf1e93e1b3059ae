"""How records reach the log, COORDINATION "Messages" (FORWARD) and "Through the log"."""

import random
from collections.abc import Callable

from ambientd.codec.merkle import leaf_hash
from ambientd.consensus.admission import Admission
from ambientd.consensus.core import Consensus
from ambientd.consensus.effects import Broadcast, PeerFault, RecordRefused, Send
from ambientd.consensus.events import (
    MessageReceived,
    RecordSettled,
    RecordSubmitted,
    RoundTripMeasured,
    Started,
)
from ambientd.consensus.forwarding import Forwarding
from ambientd.consensus.messages import Append, Forward, Vote
from ambientd.consensus.record_pool import RecordPool
from sim.replica import Store, is_valid
from tests.consensus.bench import Bench, of, options, record, sent


def test_a_record_is_forwarded_at_once_and_again_to_each_coordinator() -> None:
    bench = Bench(4)
    bench.start(3)
    [send] = [e for e in of(bench.submit(3, record(1)), Send) if isinstance(e.message, Forward)]
    assert (send.to, send.message) == (bench.key(0), Forward((record(1),)))
    assert not sent(bench.tick(3, 100), Forward)
    for who in (0, 2):
        effects = bench.receive(3, who, bench.timeout(who, 1, bench.genesis))
    assert bench.key(1) in [e.to for e in of(effects, Send) if isinstance(e.message, Forward)]


def test_a_record_is_forwarded_again_while_it_is_not_under_way() -> None:
    bench = Bench(4, changes={"may_vote": False})
    bench.start(3)
    bench.submit(3, record(1))
    assert sent(bench.tick(3, 800), Forward) == [Forward((record(1),))]
    bench.receive(3, 0, bench.block(0, 1, bench.genesis, record(1)))


def test_an_ignored_record_is_shown_to_all_members_once_a_term() -> None:
    bench = Bench(4, changes={"may_vote": False})
    bench.start(3)
    bench.submit(3, record(1))
    shown = []
    for _ in range(20):
        shown += [e for e in of(bench.tick(3, 400), Broadcast) if isinstance(e.message, Forward)]
    assert [e.message for e in shown] == [Forward((record(1),))]


def test_a_relayed_record_goes_to_the_coordinator_and_expires() -> None:
    bench = Bench(4, changes={"may_vote": False})
    bench.start(3)
    effects = bench.receive(3, 2, Forward((record(1),)))
    assert sent(effects, Forward) == [Forward((record(1),))]
    bench.tick(3, 61_000)
    assert bench.machine(3).pending_records == 0


def test_an_invalid_forwarded_record_is_the_senders_fault() -> None:
    bench = Bench(4)
    bench.start(0)
    assert of(bench.receive(0, 1, Forward((b"junk",))), PeerFault)
    assert bench.machine(0).pending_records == 0


def test_the_host_is_told_why_its_record_is_not_kept() -> None:
    bench = Bench(4, changes={"pending_records_max": 1, "record_bytes_max": 100})
    bench.start(3)
    [refused] = of(bench.submit(3, b"junk"), RecordRefused)
    assert refused == RecordRefused(leaf_hash(b"junk"), "the record is not valid")
    [refused] = of(bench.submit(3, record("x" * 200)), RecordRefused)
    assert "1 to 100 are taken" in refused.reason
    assert not of(bench.submit(3, record(1)), RecordRefused)
    [refused] = of(bench.submit(3, record(2)), RecordRefused)
    assert "waiting already" in refused.reason


def test_a_settled_record_is_forgotten() -> None:
    bench = Bench(4)
    bench.start(3)
    bench.submit(3, record(1))
    bench.machine(3).handle(RecordSettled(leaf_hash(record(1))), now=bench.now)
    assert bench.machine(3).pending_records == 0


def test_one_peer_cannot_fill_the_pool_for_others() -> None:
    pool = RecordPool(options(4, pending_per_peer_max=2, pending_bytes_max=200))
    assert pool.add(record(1), b"a", 0) is None
    assert pool.add(record(2), b"a", 0) is None
    assert "this peer" in str(pool.add(record(3), b"a", 0))
    assert pool.add(record(3), b"b", 0) is None
    pool.adopt(record(1))
    pool.adopt(record(1))
    pool.adopt(record("unknown"))
    assert pool.add(record(4), b"a", 0) is None
    assert "waiting already" in str(pool.add(record("x" * 200), None, 0))
    pool.settle(leaf_hash(record(2)))
    pool.drop(leaf_hash(record(2)))
    assert pool.knows(record(2))
    assert len(pool) == 3


def test_what_settled_long_ago_is_forgotten() -> None:
    pool = RecordPool(options(4))
    for number in range(8_200):
        pool.settle(leaf_hash(record(number)))
    assert not pool.knows(record(0))
    assert pool.knows(record(8_199))


def test_a_block_takes_records_in_order_up_to_its_limits() -> None:
    pool = RecordPool(options(4, records_max=2))
    for number in range(4):
        pool.add(record(number), None, number)
    assert pool.batch(()) == (record(0), record(1))
    assert pool.batch((leaf_hash(record(0)),)) == (record(1), record(2))
    assert pool.waiting((leaf_hash(record(0)),)) == (1, 3 * len(record(0)))


def test_records_of_a_block_under_way_are_not_proposed_twice() -> None:
    bench = Bench(4)
    bench.start()
    bench.run(50)
    bench.submit(0, record(1))
    bench.tick(0, 5)
    bench.submit(0, record(2))
    bench.settle()
    bench.run(200)
    proposed = [r for a in sent(bench.effects[bench.key(0)], Append) for r in a.records]
    assert proposed == [record(1), record(2)]


def test_many_records_are_forwarded_in_bounded_messages() -> None:
    opts = options(4)
    pool = RecordPool(opts)
    for number in range(1_500):
        pool.add(record(number), None, 0)
    pool.add(record("x" * 900_000), None, 0)
    pool.add(record("y" * 900_000), None, 0)
    forwarding = Forwarding(opts, pool)
    forwarding.changed()
    messages = [e.message for e in forwarding.step(1, b"c" * 32, (), 0)]
    assert [len(m.records) for m in messages if isinstance(m, Forward)] == [1_024, 477, 1]
    assert forwarding.deadline == opts.t0_ms


def test_a_new_record_is_forwarded_at_once_and_alone() -> None:
    opts = options(4)
    pool = RecordPool(opts)
    forwarding = Forwarding(opts, pool)

    def forwarded(now: int, *numbers: int) -> list[tuple[bytes, ...]]:
        for number in numbers:
            pool.add(record(number), None, now)
            forwarding.added(leaf_hash(record(number)))
        effects = forwarding.step(1, b"c" * 32, (), now)
        return [e.message.records for e in effects if isinstance(e.message, Forward)]

    assert forwarded(0, 1) == [(record(1),)]
    assert forwarded(10, 2, 3) == [(record(2), record(3))]
    assert forwarded(20) == []
    assert forwarded(2 * opts.t0_ms) == [(record(1),)]
    assert forwarding.deadline == 3 * opts.t0_ms


def test_a_full_block_is_no_sign_of_censorship() -> None:
    opts = options(4, include_ms=1_000)
    pool = RecordPool(opts)
    forwarding = Forwarding(opts, pool)
    pool.add(record(1), None, 0)
    forwarding.changed()
    forwarding.step(1, b"c" * 32, (), 0)
    forwarding.saw_block(opts.block_bytes_max, 1, 900)
    forwarding.saw_block(0, opts.records_max, 900)
    assert not forwarding.is_censored(1, (), 1_000)
    forwarding.saw_block(0, 0, 900)
    assert forwarding.is_censored(1, (), 1_000)
    assert not forwarding.is_censored(1, (leaf_hash(record(1)),), 1_000)


def test_round_trips_of_the_host_raise_the_patience() -> None:
    bench = Bench(4)
    bench.start(3)
    machine = bench.machine(3)
    for _ in range(64 * 6):
        machine.handle(RoundTripMeasured(300), now=bench.now)
    assert 1_150 <= machine._pacemaker.t0_ms <= 1_200
    for _ in range(64 * 20):
        machine.handle(RoundTripMeasured(10**9), now=bench.now)
    assert machine._pacemaker.t0_ms == 6_400


def counted(bench: Bench, who: int) -> list[bytes]:
    """Give the list of the records that a node's host is asked to verify from now on."""
    asked: list[bytes] = []

    def judge(data: bytes) -> bool:
        asked.append(data)
        return is_valid(data)

    bench.machine(who)._admission = Admission(judge, lambda _: True)
    return asked


def test_no_more_forwarded_records_are_verified_than_the_pool_keeps_of_the_peer() -> None:
    bench = Bench(4, changes={"pending_per_peer_max": 5})
    bench.start(3)
    asked = counted(bench, 3)
    bench.receive(3, 1, Forward(tuple(record(number) for number in range(100))))
    bench.receive(3, 1, Forward(tuple(record(number) for number in range(100, 200))))
    assert asked == [record(number) for number in range(5)]
    bench.receive(3, 2, Forward((record("of another peer"),)))
    assert bench.machine(3).pending_records == 6


def test_a_full_pool_verifies_nothing() -> None:
    bench = Bench(4, changes={"pending_records_max": 2, "record_bytes_max": 50})
    bench.start(3)
    asked = counted(bench, 3)
    assert not of(bench.receive(3, 1, Forward((record("x" * 60), record(1), record(2)))), PeerFault)
    bench.receive(3, 2, Forward((record(3),)))
    assert of(bench.submit(3, record(4)), RecordRefused)
    assert asked == [record(1), record(2)]


def test_a_forward_beyond_its_limits_is_a_fault_and_nothing_of_it_is_verified() -> None:
    bench = Bench(4)
    bench.start(3)
    asked = counted(bench, 3)
    many = Forward(tuple(record(number) for number in range(1_025)))
    [fault] = of(bench.receive(3, 1, many), PeerFault)
    assert "1024 are allowed" in fault.reason
    large = Forward((record("x" * 600_000), record("y" * 600_000)))
    [fault] = of(bench.receive(3, 1, large), PeerFault)
    assert "1048576 are allowed" in fault.reason
    assert asked == []
    assert not of(bench.receive(3, 1, Forward((record("x" * 2_000_000),))), PeerFault)


def test_after_an_invalid_record_the_rest_of_a_forward_is_not_looked_at() -> None:
    bench = Bench(4)
    bench.start(3)
    asked = counted(bench, 3)
    effects = bench.receive(3, 1, Forward((record(1), b"junk", record(2), b"more junk")))
    assert [fault.sender for fault in of(effects, PeerFault)] == [bench.key(1)]
    assert asked == [record(1), b"junk"]
    assert bench.machine(3).pending_records == 1


def core_that_admits(may_enter: Callable[[bytes], bool], who: int = 0) -> Consensus:
    """Give a started member whose host admits only some records."""
    bench = Bench(4)
    core = Consensus(
        options(4, bench.signers[who]),
        bench.signers[who],
        None,
        random.Random(1),
        is_valid=is_valid,
        state_root=lambda _: None,
        blocks=Store(),
        may_enter=may_enter,
    )
    core.handle(Started(), now=bench.now)
    return core


def test_a_record_that_the_host_does_not_admit_is_kept_of_nobody_and_accuses_nobody() -> None:
    core = core_that_admits(lambda data: data != record("stranger"))
    forward = Forward((record("stranger"), record("known")))
    effects = core.handle(MessageReceived(b"p" * 32, forward), now=1_000_000)
    assert not of(effects, PeerFault)
    assert core.pending_records == 1
    [refused] = of(core.handle(RecordSubmitted(record("stranger")), now=1_000_000), RecordRefused)
    assert refused.reason == "the ledger takes no such record from its author"


def test_a_vote_never_hangs_on_what_the_host_admits() -> None:
    bench = Bench(4)
    core = core_that_admits(lambda _: False, who=3)
    block = bench.block(0, 1, bench.genesis, record("stranger"))
    effects = core.handle(MessageReceived(bench.key(0), block), now=bench.now)
    assert sent(effects, Vote)
