"""The vote rule as pure functions, COORDINATION "Vote", "Commit" and the model BRaft.tla."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ambientd.consensus.messages import (
    GENESIS,
    Header,
    Position,
    QuorumCertificate,
    TimeoutCertificate,
    Vote,
)
from ambientd.consensus.safety import Refusal, SafetyRules, SafetyState

terms = st.integers(1, 4)
indexes = st.integers(1, 4)
positions = st.builds(Position, terms, indexes)
RULES = SafetyRules()


def qc(position: Position, parent_term: int = 0, hash_: bytes = b"p" * 32) -> QuorumCertificate:
    return QuorumCertificate(position, parent_term, hash_, ())


def tc(term: int, *highs: Position) -> TimeoutCertificate:
    entries = tuple((n, high, b"s" * 64) for n, high in enumerate(highs))
    return TimeoutCertificate(term, entries, qc(max(highs)))


def header(position: Position, parent_hash: bytes = b"p" * 32) -> Header:
    return Header(*position, parent_hash, 0, b"r" * 32, b"b" * 32, b"", b"k" * 32)


def state(last_voted: Position = GENESIS, timed_out: int = 0, **more: Any) -> SafetyState:
    vote = Vote(last_voted, 0, b"v" * 32, 0, b"s" * 64) if last_voted != GENESIS else None
    return SafetyState(more.pop("high_qc", qc(GENESIS)), vote, timed_out, **more)


certificates = st.none() | st.builds(
    lambda term, highs: tc(term, *highs), terms, st.lists(positions, min_size=1, max_size=4)
)
states = st.builds(state, positions | st.just(GENESIS), st.integers(0, 4))
parents = positions | st.just(GENESIS)


@given(states, positions, parents, certificates)
def test_a_vote_is_always_above_the_last_and_in_a_term_not_given_up(
    before: SafetyState, at: Position, parent: Position, cert: TimeoutCertificate | None
) -> None:
    if RULES.refusal(before, header(at), qc(parent), cert) is None:
        assert at > before.last_voted
        assert at.term > before.max_timed_out
        assert at.index == parent.index + 1
        assert at.term >= parent.term


@given(states, positions, parents, certificates)
def test_a_vote_in_a_new_term_is_the_first_there_and_covers_all_that_timed_out(
    before: SafetyState, at: Position, parent: Position, cert: TimeoutCertificate | None
) -> None:
    allowed = RULES.refusal(before, header(at), qc(parent), cert) is None
    if allowed and parent.term != at.term:
        assert before.last_voted.term < at.term
        if at.term > 1:
            assert cert is not None
            assert cert.term == at.term - 1
            assert all(parent >= high for _, high, _ in cert.entries)


@given(states, st.lists(st.tuples(positions, parents, certificates), max_size=12))
def test_no_history_of_offers_brings_two_votes_at_one_position(
    before: SafetyState, offers: list[tuple[Position, Position, TimeoutCertificate | None]]
) -> None:
    voted: list[Position] = []
    for at, parent, cert in offers:
        if RULES.refusal(before, header(at), qc(parent), cert) is None:
            voted.append(at)
            before = state(at, before.max_timed_out)
    assert voted == sorted(set(voted))


@given(positions, parents)
def test_only_a_certified_pair_of_one_term_commits(child: Position, parent: Position) -> None:
    assert RULES.commits_parent(qc(child, parent.term)) == (child.term == parent.term)


@given(positions)
def test_a_timeout_admits_the_highest_certificate_known(high: Position) -> None:
    known = state(high_qc=qc(high))
    assert RULES.admitted_qc(known, qc(GENESIS)).position == high


def test_the_first_block_of_all_needs_no_timeout_certificate() -> None:
    assert RULES.refusal(state(), header(Position(1, 1)), qc(GENESIS), None) is None


def test_each_clause_refuses_on_its_own() -> None:
    def refusal(before: SafetyState, at: Position, parent: Position) -> Refusal | None:
        return RULES.refusal(before, header(at), qc(parent), None)

    one, two = Position(1, 1), Position(1, 2)
    assert refusal(state(two), two, one) is Refusal.POSITION_NOT_NEW
    assert refusal(state(timed_out=1), two, one) is Refusal.TERM_GIVEN_UP
    assert refusal(state(), Position(1, 3), one) is Refusal.INDEX_GAP
    assert RULES.refusal(state(), header(two, b"x" * 32), qc(one), None) is Refusal.INDEX_GAP
    assert refusal(state(), one, Position(2, 0)) is Refusal.INDEX_GAP
    assert refusal(state(), Position(2, 2), one) is Refusal.TERM_NOT_JUSTIFIED
    voted = state(Position(2, 1))
    found = RULES.refusal(voted, header(Position(2, 2)), qc(one), tc(1, one))
    assert found is Refusal.VOTED_IN_TERM
    assert refusal(state(one), two, one) is None


def test_a_safety_state_knows_the_term_it_proves() -> None:
    assert state().term == 1
    assert state(high_qc=qc(Position(3, 1))).term == 3
    assert state(tc=tc(6, Position(2, 1))).term == 7
