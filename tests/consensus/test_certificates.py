"""Quorums, coordinators and certificates, COORDINATION "What is and is not promised"."""

from itertools import combinations
from typing import Any

import pytest

from ambientd.consensus.certificates import (
    VERIFIED_MAX,
    Committee,
    Verifier,
    joining,
)
from ambientd.consensus.messages import (
    EquivocalBlocks,
    EquivocalVotes,
    Evidence,
    HiddenCertificate,
    QuorumCertificate,
    TimeoutCertificate,
)
from ambientd.rules.verdicts import liars_max, quorum
from tests.consensus.bench import Bench, at, options, record


def test_quorums_are_those_of_the_table() -> None:
    assert [quorum(n) for n in (1, 3, 4, 5, 6, 7, 10)] == [1, 2, 3, 4, 4, 5, 7]
    assert [liars_max(n) for n in (1, 3, 4, 7, 10)] == [0, 0, 1, 2, 3]
    assert [joining(n) for n in (1, 2, 3, 4, 7)] == [1, 2, 2, 2, 3]


@pytest.mark.parametrize("size", range(1, 41))
def test_two_quorums_share_an_honest_member_and_the_honest_make_one(size: int) -> None:
    assert 2 * quorum(size) - size > liars_max(size)
    assert quorum(size) <= size - liars_max(size)


def test_every_member_coordinates_in_turn_in_an_order_that_the_seed_gives() -> None:
    members = options(7).members
    committee = Committee(members, b"seed")
    order = [committee.coordinator(term) for term in range(7)]
    assert sorted(order) == list(members)
    assert order == [committee.coordinator(term) for term in range(7, 14)]
    assert order != [Committee(members, b"other").coordinator(term) for term in range(7)]


def broken(qc: QuorumCertificate, **changes: Any) -> QuorumCertificate:
    fields = {name: getattr(qc, name) for name in qc.__struct_fields__}
    return QuorumCertificate(**{**fields, **changes})


def test_any_q_votes_hold_and_nothing_less() -> None:
    bench = Bench(4)
    block = bench.block(0, 1, bench.genesis)
    for voters in combinations(range(4), 3):
        assert bench.verifier.qc_holds(bench.qc(block, *voters))
    good = bench.qc(block, 0, 1, 2)
    signatures = good.signatures
    for bad in (
        bench.qc(block, 0, 1),
        broken(good, signatures=(signatures[0], signatures[0], signatures[1])),
        broken(good, signatures=signatures[::-1]),
        broken(good, signatures=(*signatures[:2], (signatures[2][0], b"x" * 64))),
        broken(good, signatures=(*signatures[:2], (99, signatures[2][1]))),
        broken(good, hash=b"x" * 32),
        broken(good, position=at(1, 2)),
        broken(good, position=at(0, 1)),
        broken(good, position=at(1, 0)),
        broken(good, parent_term=1),
        broken(good, parent_term=2),
        broken(bench.genesis, hash=b"x" * 32),
    ):
        assert not bench.verifier.qc_holds(bad)


def test_a_certificate_of_another_epoch_or_cluster_does_not_hold() -> None:
    bench = Bench(4)
    qc = bench.qc(bench.block(0, 1, bench.genesis), 0, 1, 2)
    for changes in ({"epoch": 1}, {"cluster": b"d" * 32}):
        other = Verifier(options(4, **changes), bench.committee)
        assert not other.qc_holds(qc)
        assert not other.qc_holds(bench.genesis)


def test_the_memory_of_verified_certificates_is_bounded() -> None:
    bench = Bench(4)
    verifier = bench.verifier
    for index in range(VERIFIED_MAX + 10):
        verifier.trust(broken(bench.genesis, position=at(1, index)))
    assert not verifier.knows(broken(bench.genesis, position=at(1, 0)))
    assert verifier.knows(broken(bench.genesis, position=at(1, VERIFIED_MAX)))


def test_a_timeout_certificate_shows_exactly_the_highest_admitted() -> None:
    bench = Bench(4)
    block = bench.block(0, 1, bench.genesis)
    high = bench.qc(block, 0, 1, 2)
    timeouts = [bench.timeout(who, 1, qc) for who, qc in ((0, high), (1, bench.genesis))]
    tc = bench.tc(1, *timeouts, bench.timeout(2, 1, bench.genesis))
    assert bench.verifier.tc_holds(tc)
    assert bench.verifier.tc_holds(tc)  # from memory
    entries = tc.entries
    for bad in (
        TimeoutCertificate(1, entries, bench.genesis),
        TimeoutCertificate(1, entries[:2], high),
        TimeoutCertificate(0, entries, high),
        TimeoutCertificate(2, entries, high),
        TimeoutCertificate(1, entries, broken(high, hash=b"x" * 32)),
        bench.tc(
            1,
            *(
                bench.timeout(who, 1, bench.qc(bench.block(1, 2, bench.genesis), 0, 1, 2))
                for who in (0, 1, 2)
            ),
        ),
    ):
        assert not bench.verifier.tc_holds(bad)


def test_a_timeout_with_a_foreign_certificate_does_not_hold() -> None:
    bench = Bench(4)
    same = bench.tc(1, *(bench.timeout(who, 1, bench.genesis) for who in (0, 1, 2)))
    assert bench.verifier.timeout_holds(bench.timeout(0, 2, bench.genesis, same))
    assert not bench.verifier.timeout_holds(bench.timeout(0, 1, bench.genesis, same))
    few = bench.tc(1, *(bench.timeout(who, 1, bench.genesis) for who in (0, 1)))
    assert not bench.verifier.timeout_holds(bench.timeout(0, 2, bench.genesis, few))


def test_evidence_convicts_by_two_signatures_and_nothing_else() -> None:
    bench = Bench(4)
    one = bench.block(0, 1, bench.genesis, record(1))
    two = bench.block(0, 1, bench.genesis, record(2))
    vote, other = bench.vote(1, one), bench.vote(1, two)
    child = bench.vote(1, bench.block(0, 1, bench.qc(one, 0, 1, 2), revealed=1))
    hidden = bench.timeout(1, 3, bench.genesis)
    guilty: list[tuple[int, Evidence]] = [
        (0, EquivocalBlocks(one.header, one.signature, two.header, two.signature)),
        (1, EquivocalVotes(vote, other)),
        (1, HiddenCertificate(child, 3, hidden.high_position, hidden.signature)),
    ]
    for who, evidence in guilty:
        assert bench.verifier.culprit(evidence) == bench.key(who)
    later = bench.block(0, 1, bench.qc(one, 0, 1, 2), revealed=1)
    innocent: list[Evidence] = [
        EquivocalBlocks(one.header, one.signature, one.header, one.signature),
        EquivocalBlocks(one.header, one.signature, two.header, one.signature),
        EquivocalBlocks(one.header, one.signature, later.header, later.signature),
        EquivocalVotes(vote, vote),
        EquivocalVotes(vote, bench.vote(2, two)),
        EquivocalVotes(vote, child),
        # An ordinary vote before a time-out: its parent is not above what is admitted.
        HiddenCertificate(vote, 3, hidden.high_position, hidden.signature),
        HiddenCertificate(child, 3, hidden.high_position, b"x" * 64),
        HiddenCertificate(child, 0, hidden.high_position, hidden.signature),
    ]
    for evidence in innocent:
        assert bench.verifier.culprit(evidence) is None
