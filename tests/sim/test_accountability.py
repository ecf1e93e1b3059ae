"""Worlds with more than f liars: members disagree, and the liars are named."""

import pytest

from ambientd.consensus.effects import Committed
from ambientd.consensus.messages import Position, QcNotice
from sim.accountability import Accountability, convicts
from sim.checkers import InvariantViolation
from sim.plans import Plan, judge
from sim.scenarios import Outcome, ScenarioOptions, run
from tests.consensus.bench import Bench, record
from tests.consensus.test_accountability import HONEST, LIARS, commit_alone

A, B = b"a" * 32, b"b" * 32


def test_a_member_is_convicted_by_a_pair_that_nobody_honest_signs() -> None:
    first, twin = (Position(1, 1), 0, A), (Position(1, 1), 0, B)
    child = (Position(1, 2), 1, B)
    assert not convicts({first, child}, {})
    assert convicts({first, twin}, {})
    assert convicts({first, child}, {1: Position(0, 0)})
    assert convicts({first, child}, {3: Position(0, 0)})
    assert not convicts({first, child}, {1: Position(1, 1)})
    assert not convicts({(Position(2, 2), 1, B)}, {1: Position(0, 0)}), "it gave up before it voted"


def watched(bench: Bench) -> Accountability:
    honest = frozenset(bench.key(who) for who in HONEST)
    checker = Accountability(bench.options, honest)
    for who in range(4):
        bench.nodes[who].is_honest = who in HONEST
    return checker


def test_a_fork_that_is_seen_names_its_liars_and_one_that_is_hidden_is_a_violation() -> None:
    bench = Bench(4)
    checker = watched(bench)
    bench.start(*HONEST)
    notices = [commit_alone(bench, who, f"of {who}") for who in HONEST]
    for who in HONEST:
        for effect in bench.effects[bench.key(who)]:
            if isinstance(effect, Committed):
                checker.saw_effect(bench.nodes[who], effect, 0)
    assert checker.has_forked
    with pytest.raises(InvariantViolation, match="a fork names more than f"):
        checker.check()
    for notice in notices:
        checker.saw_message(bench.nodes[0], notice, 0)
    checker.check()
    assert checker.culprits == {bench.key(who) for who in LIARS}


def test_a_signature_that_is_none_names_nobody() -> None:
    bench = Bench(4)
    checker = watched(bench)
    one = bench.block(0, 1, bench.genesis, record(1))
    two = bench.block(0, 1, bench.genesis, record(2))
    checker.saw_message(bench.nodes[0], QcNotice(bench.qc(one, 0, 1, 2), None), 0)
    forged = bench.qc(two, 0, 1, 3)
    stolen = tuple((number, bytes(64)) for number, _ in forged.signatures)
    fields = (forged.position, forged.parent_term, forged.hash, stolen)
    checker.saw_message(bench.nodes[0], QcNotice(type(forged)(*fields), None), 0)
    assert checker.culprits == set()
    checker.saw_message(bench.nodes[0], QcNotice(forged, None), 0)
    assert checker.culprits == {bench.key(0), bench.key(1)}


def test_an_honest_member_that_is_named_is_a_violation() -> None:
    bench = Bench(4)
    checker = watched(bench)
    for name in (1, 2):
        vote = bench.vote(2, bench.block(0, 1, bench.genesis, record(name)))
        checker.saw_message(bench.nodes[2], vote, 0)
    with pytest.raises(InvariantViolation, match="nobody honest is named"):
        checker.check()


@pytest.mark.slow
def test_liars_above_f_fork_the_log_and_are_named() -> None:
    found = [judge(Plan("log-forks", seed, (4, 7)[seed % 2], 30_000)) for seed in range(1, 11)]
    assert all(isinstance(each, Outcome) for each in found), found
    assert sum("fork" in each.met for each in found if isinstance(each, Outcome)) >= 2


def test_committees_of_any_size_may_have_liars_above_f() -> None:
    for nodes in (1, 2, 3, 5):
        run(ScenarioOptions(1, nodes, faults=frozenset(), time_ms=30_000, liars_above=1))
