"""Time-outs and elections, COORDINATION "Time-out"."""

import pytest

from ambientd.consensus.effects import Broadcast, CoordinatorChanged, PeerFault, PersistSafety, Send
from ambientd.consensus.messages import Append, Message, QcNotice, Timeout, Vote
from tests.consensus.bench import Bench, at, of, record, sent


def test_a_member_persists_its_timeout_before_it_tells_anyone() -> None:
    bench = Bench(4)
    bench.start(1)
    effects = bench.tick(1, 400)
    kinds = [type(effect) for effect in effects]
    assert kinds.index(PersistSafety) < kinds.index(Broadcast)
    assert of(effects, PersistSafety)[0].state.max_timed_out == 1
    [timeout] = sent(effects, Timeout)
    assert (timeout.term, timeout.high_position, timeout.tc) == (1, at(0, 0), None)


def test_a_timeout_is_repeated_until_the_term_ends() -> None:
    bench = Bench(4)
    bench.start(1)
    [first] = sent(bench.tick(1, 400), Timeout)
    assert not sent(bench.tick(1, 100), Timeout)
    assert sent(bench.tick(1, 500), Timeout) == [first]


@pytest.mark.parametrize(("count", "needed"), [(3, 2), (4, 2), (7, 3)])
def test_a_member_joins_when_enough_others_have_given_up(count: int, needed: int) -> None:
    bench = Bench(count)
    bench.start(1)
    for who in range(2, 2 + needed - 1):
        assert not sent(bench.receive(1, who, bench.timeout(who, 1, bench.genesis)), Timeout)
    who = 2 + needed - 1 if count > 3 else 0
    assert sent(bench.receive(1, who, bench.timeout(who, 1, bench.genesis)), Timeout)


def test_q_timeouts_elect_the_next_coordinator_which_proposes_at_once() -> None:
    bench = Bench(4)
    bench.start(1)
    for who in (2, 3):
        effects = bench.receive(1, who, bench.timeout(who, 1, bench.genesis))
    assert of(effects, CoordinatorChanged) == [CoordinatorChanged(2, bench.key(1))]
    [append] = sent(effects, Append)
    assert append.header.position == at(2, 1)
    assert append.tc is not None
    assert append.tc.term == 1


def test_the_maker_of_a_certificate_shows_it_to_the_next_coordinator() -> None:
    bench = Bench(4)
    bench.start(2)
    for who in (0, 3):
        effects = bench.receive(2, who, bench.timeout(who, 1, bench.genesis))
    [notice] = [e for e in of(effects, Send) if isinstance(e.message, QcNotice)]
    assert notice.to == bench.key(1)
    assert notice.message.tc.term == 1


def test_a_lost_coordinator_is_replaced_within_a_second_and_a_half() -> None:
    bench = Bench(4)
    bench.start()
    bench.run(500)
    bench.down.add(bench.key(0))
    bench.submit(1, record(1))
    before = len(bench.log(1))
    start = bench.now
    while len(bench.log(1)) < before + 2:
        bench.run(10)
    assert bench.now - start < 1_500
    assert bench.machine(1).term == 2
    assert record(1) in bench.records(1)


def test_patience_doubles_with_failed_terms_up_to_sixteen_and_is_reset_by_a_commit() -> None:
    bench = Bench(4)
    bench.start(2)
    machine = bench.machine(2)
    patiences = []
    tc = None
    for term in range(1, 8):
        timeouts = [bench.timeout(who, term, bench.genesis, tc) for who in (0, 1, 3)]
        tc = bench.tc(term, *timeouts)
        patiences.append(machine._pacemaker.patience_ms)
        bench.receive(2, 0, QcNotice(bench.genesis, tc))
    assert patiences == [400, 800, 1600, 3200, 6400, 6400, 6400]
    machine._pacemaker.committed()
    assert machine._pacemaker.patience_ms == 400


def test_a_coordinator_hands_over_after_ten_minutes() -> None:
    bench = Bench(4, changes={"tenure_ms": 3_000})
    bench.start()
    bench.run(2_900)
    assert bench.machine(2).term == 1
    bench.run(400)
    assert {bench.machine(who).term for who in range(4)} == {2}
    before = len(bench.log(3))
    bench.run(1_000)
    assert len(bench.log(3)) > before + 5


def test_a_member_in_an_old_term_is_shown_the_way() -> None:
    bench = Bench(4)
    bench.start(1, 2, 3)
    bench.run(700)
    assert bench.machine(1).term == 2
    effects = bench.receive(1, 0, bench.timeout(0, 1, bench.genesis))
    [notice] = sent(effects, QcNotice)
    assert notice.tc.term == 1
    old = bench.receive(1, 0, bench.block(0, 1, bench.genesis))
    assert sent(old, QcNotice) == [QcNotice(bench.machine(1).high_qc, notice.tc)]
    bench.start(0)
    bench.run(500)
    assert bench.machine(0).term == 2


def test_a_timeout_carries_a_later_term_to_who_lags() -> None:
    bench = Bench(4)
    bench.start(3)
    tc = bench.tc(4, *(bench.timeout(who, 4, bench.genesis) for who in (0, 1, 2)))
    bench.receive(3, 0, bench.timeout(0, 5, bench.genesis, tc))
    assert bench.machine(3).term == 5


def test_a_certificate_of_a_later_term_carries_there_too() -> None:
    bench = Bench(4)
    bench.start(3)
    tc = bench.tc(1, *(bench.timeout(who, 1, bench.genesis) for who in (0, 1, 2)))
    block = bench.block(1, 2, bench.genesis, tc=tc)
    effects = bench.receive(3, 0, QcNotice(bench.qc(block, 0, 1, 2), None))
    assert bench.machine(3).term == 2
    effects = bench.tick(3, 400)
    [timeout] = sent(effects, Timeout)
    assert timeout.tc is None  # the certificate of the term itself proves that it began
    assert bench.verifier.timeout_holds(timeout)


def test_timeouts_that_prove_nothing_are_faults() -> None:
    bench = Bench(4)
    bench.start(3)
    good = bench.timeout(0, 1, bench.genesis)
    bad = [
        bench.timeout(0, 7, bench.genesis),
        Timeout(1, at(0, 0), good.member, b"x" * 64, bench.genesis, None),
        Timeout(1, at(0, 0), 99, good.signature, bench.genesis, None),
        Timeout(1, at(1, 1), good.member, good.signature, bench.genesis, None),
    ]
    for timeout in bad:
        assert of(bench.receive(3, 0, timeout), PeerFault)
    assert bench.machine(3).term == 1


def test_forged_notices_are_faults() -> None:
    bench = Bench(4)
    bench.start(3)
    block = bench.block(0, 1, bench.genesis)
    few = QcNotice(bench.qc(block, 0, 1), None)
    assert of(bench.receive(3, 0, few), PeerFault)
    tc = bench.tc(1, bench.timeout(0, 1, bench.genesis), bench.timeout(1, 1, bench.genesis))
    assert of(bench.receive(3, 0, QcNotice(bench.genesis, tc)), PeerFault)


def test_one_member_alone_cannot_raise_the_term() -> None:
    bench = Bench(4)
    bench.start()
    bench.run(200)
    tick = bench.machine(3)
    bench.carry_out(3, tick.handle(_gives_up(bench), now=bench.now))
    bench.run(3_000)
    assert {bench.machine(who).term for who in range(4)} == {1}
    assert len(bench.log(3)) > 20


def _gives_up(bench: Bench) -> object:
    from ambientd.consensus.events import Tick

    bench.machine(3)._give_up(bench.now)
    return Tick()


def test_a_coordinator_that_leaves_a_record_out_loses_its_term() -> None:
    bench = Bench(4, changes={"include_ms": 1_000})
    bench.start()
    bench.run(100)
    bench.submit(2, record("unwanted"))

    def deaf(sender: bytes, to: bytes, message: Message) -> bool:
        return not (to == bench.key(0) and type(message).__name__ == "Forward")

    bench.queue.clear()
    for _ in range(600):
        bench.now += 5
        for who in range(4):
            due = bench.nodes[who].next_deadline
            if due is not None and due <= bench.now:
                bench.tick(who)
        bench.settle(deaf)
        if record("unwanted") in bench.records(2):
            break
    assert record("unwanted") in bench.records(2)
    assert bench.machine(2).term == 2


def test_losing_every_message_of_a_term_change_only_delays_it() -> None:
    bench = Bench(4)
    bench.start()
    bench.run(300)
    bench.down = {bench.key(who) for who in range(4)}
    bench.run(2_000)
    for who in range(4):
        bench.now += 1_000
        bench.tick(who)
    bench.queue.clear()
    bench.down.clear()
    before = len(bench.log(0))
    bench.run(4_000)
    assert len(bench.log(0)) > before + 10
    assert not [m for _, _, m in bench.queue if isinstance(m, Vote)]
