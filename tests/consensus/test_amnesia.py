"""A member whose key may not vote follows the log and signs nothing, COORDINATION "Persistence"."""

from dataclasses import replace

import pytest

from ambientd.consensus.effects import CoordinatorChanged
from ambientd.consensus.messages import Append, Timeout, Vote
from tests.consensus.bench import Bench, of, record, sent
from tests.consensus.test_hostile import Babbler


def muted(count: int, who: int) -> Bench:
    bench = Bench(count)
    node = bench.nodes[who]
    node.options = replace(node.options, may_vote=False)
    return bench


def signed_by(bench: Bench, who: int) -> list[object]:
    effects = bench.effects[bench.key(who)]
    return [message for kind in (Vote, Timeout, Append) for message in sent(effects, kind)]


def test_a_member_that_may_not_vote_follows_the_log_and_signs_nothing() -> None:
    bench = muted(4, 0)
    bench.start()
    for who in range(4):
        bench.submit(who, record(who))
    bench.run(6_000)
    assert sorted(bench.records(0)) == sorted(record(n) for n in range(4))
    assert bench.machine(0).head_index >= bench.machine(1).head_index - 1 > 10
    assert signed_by(bench, 0) == []


def test_it_signs_nothing_in_its_own_terms_either_while_others_coordinate_in_turn() -> None:
    bench = muted(4, 2)
    bench.start()
    bench.run(300)
    for term in range(1, 9):
        high = bench.machine(1).high_qc
        tc = bench.machine(1)._safety.tc
        previous = tc if tc is not None and tc.term == term - 1 else None
        if bench.machine(1).term == term:
            for sender, voter in ((0, 1), (1, 3), (3, 0)):
                timeout = bench.timeout(sender, term, high, previous)
                bench.receive(voter, sender, timeout)
                bench.receive(2, sender, timeout)
        bench.run(2_000)
    terms = {e.term for e in of(bench.effects[bench.key(2)], CoordinatorChanged)}
    assert any(bench.committee.coordinator(term) == bench.key(2) for term in terms)
    bench.restart(2)
    bench.run(1_000)
    assert signed_by(bench, 2) == []
    assert bench.machine(2).head_index >= bench.machine(1).head_index - 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("who", [0, 3])
def test_no_message_makes_a_member_sign_that_may_not_vote(seed: int, who: int) -> None:
    babbler = Babbler(seed)
    bench = muted(4, who)
    bench.start(who)
    for _ in range(300):
        bench.receive(who, (who + 1) % 4, babbler.message())
        if babbler.dice.randrange(5) == 0:
            bench.tick(who, babbler.dice.randrange(300))
    bench.restart(who)
    bench.tick(who, 10_000)
    assert signed_by(bench, who) == []


def test_an_old_vote_is_not_sent_again_by_a_key_that_may_no_longer_vote() -> None:
    bench = Bench(4)
    bench.start(1)
    first = bench.block(0, 1, bench.genesis)
    assert sent(bench.receive(1, 0, first), Vote)
    bench.nodes[1].options = replace(bench.nodes[1].options, may_vote=False)
    bench.restart(1)
    assert not sent(bench.receive(1, 0, first), Vote)


def test_a_lone_member_that_may_not_vote_stands_still() -> None:
    bench = muted(1, 0)
    bench.start()
    bench.submit(0, record(1))
    bench.tick(0, 60_000)
    assert signed_by(bench, 0) == []
    assert bench.machine(0).head_index == 0
