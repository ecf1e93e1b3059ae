"""Finding liars, COORDINATION "Evidence"."""

from hypothesis import given
from hypothesis import strategies as st

from ambientd.consensus.effects import EvidenceFound, PeerFault
from ambientd.consensus.evidence import (
    BLOCKS_MAX,
    SPARE_PART,
    TIMEOUTS_PER_MEMBER_MAX,
    VOTES_PER_MEMBER_MAX,
    EvidenceWatch,
)
from ambientd.consensus.messages import (
    Append,
    Blocks,
    EquivocalBlocks,
    EquivocalVotes,
    EvidenceMessage,
    HiddenCertificate,
    QcNotice,
    QuorumCertificate,
    Timeout,
    Vote,
)
from tests.consensus.bench import Bench, at, of, record, sent


def test_two_proposals_at_one_position_convict_the_proposer_once_everywhere() -> None:
    bench = Bench(4)
    bench.start()
    one = bench.block(0, 1, bench.genesis, record(1))
    two = bench.block(0, 1, bench.genesis, record(2))
    bench.receive(2, 0, one)
    [found] = of(bench.receive(2, 0, two), EvidenceFound)
    assert found.culprit == bench.key(0)
    assert isinstance(found.evidence, EquivocalBlocks)
    bench.settle()
    for who in range(4):
        convictions = of(bench.effects[bench.key(who)], EvidenceFound)
        assert [c.culprit for c in convictions] == [bench.key(0)]


def test_a_double_vote_is_found_in_two_certificates() -> None:
    bench = Bench(4)
    bench.start(3)
    one = bench.block(0, 1, bench.genesis, record(1))
    two = bench.block(0, 1, bench.genesis, record(2))
    bench.receive(3, 0, QcNotice(bench.qc(one, 0, 1, 2), None))
    found = of(bench.receive(3, 0, QcNotice(bench.qc(two, 1, 2, 3), None)), EvidenceFound)
    assert {f.culprit for f in found} == {bench.key(1), bench.key(2)}


def test_the_coordinator_notices_a_vote_for_something_it_did_not_propose() -> None:
    bench = Bench(4)
    bench.start(0)
    [mine] = sent(bench.effects[bench.key(0)], Append)
    other = bench.block(0, 1, bench.genesis, record(9))
    effects = bench.receive(0, 1, bench.vote(1, other))
    assert "not proposed" in of(effects, PeerFault)[0].reason
    found = of(bench.receive(0, 1, bench.vote(1, mine)), EvidenceFound)
    assert isinstance(found[0].evidence, EquivocalVotes)


def test_a_timeout_that_hides_a_voted_parent_convicts_in_either_order() -> None:
    for vote_first in (True, False):
        bench = Bench(4)
        bench.start(3)
        first = bench.block(0, 1, bench.genesis)
        second = bench.block(0, 1, bench.qc(first, 0, 1, 2), revealed=1)
        notice = QcNotice(bench.qc(second, 0, 1, 2), None)
        hiding = bench.timeout(1, 1, bench.genesis)
        for message in (notice, hiding) if vote_first else (hiding, notice):
            bench.receive(3, 1, message)
        [found] = of(bench.effects[bench.key(3)], EvidenceFound)
        assert found.culprit == bench.key(1)
        assert isinstance(found.evidence, HiddenCertificate)


def test_a_block_that_is_fetched_convicts_whoever_showed_another_at_its_position() -> None:
    bench = Bench(4)
    bench.start(3)
    one = bench.block(0, 1, bench.genesis, record(1))
    two = bench.block(0, 1, bench.genesis, record(2))
    bench.receive(3, 0, two)
    certificate = bench.qc(one, 0, 1, 2)
    bench.receive(3, 0, QcNotice(certificate, None))
    bench.tick(3, 1_000)
    [found] = of(bench.receive(3, 1, Blocks((one,), certificate)), EvidenceFound)
    assert found.culprit == bench.key(0)
    assert isinstance(found.evidence, EquivocalBlocks)


def test_time_outs_in_a_fetched_block_convict() -> None:
    bench = Bench(4)
    bench.start(3)
    first = bench.block(0, 1, bench.genesis)
    second = bench.block(0, 1, bench.qc(first, 0, 1, 2), revealed=1)
    bench.receive(3, 0, QcNotice(bench.qc(second, 0, 1, 2), None))
    hiding = bench.tc(1, *(bench.timeout(who, 1, bench.genesis) for who in (0, 1, 2)))
    other = bench.block(1, 2, bench.genesis, tc=hiding)
    bench.tick(3, 1_000)
    answer = Blocks((other,), bench.qc(other, 0, 1, 2))
    found = of(bench.receive(3, 1, answer), EvidenceFound)
    assert {each.culprit for each in found} == {bench.key(who) for who in (0, 1, 2)}


def test_a_vote_that_names_a_lower_parent_is_not_kept_in_the_place_of_the_one_that_counts() -> None:
    for named in ((0, 2), (2, 0)):
        watch = EvidenceWatch()
        for parent_term in named:
            assert watch.saw_vote(Vote(at(2, 3), parent_term, bytes(32), 1, b"")) is None
        assert watch.saw_timeout(Timeout(2, at(1, 1), 1, b"", known(1), None)) is not None


def test_evidence_from_a_peer_is_checked_before_it_is_believed() -> None:
    bench = Bench(4)
    bench.start(3)
    one = bench.block(0, 1, bench.genesis, record(1))
    two = bench.block(0, 1, bench.genesis, record(2))
    empty = EquivocalBlocks(one.header, one.signature, one.header, one.signature)
    assert of(bench.receive(3, 1, EvidenceMessage(empty)), PeerFault)
    real = EquivocalBlocks(one.header, one.signature, two.header, two.signature)
    assert of(bench.receive(3, 1, EvidenceMessage(real)), EvidenceFound)
    assert not bench.receive(3, 1, EvidenceMessage(real))


def known(term: int) -> QuorumCertificate:
    """Make up what a member may know at the end of a term: a certificate in it."""
    return QuorumCertificate(at(term, term), term, bytes(32), ())


def test_old_certificates_that_are_shown_again_push_no_evidence_out() -> None:
    bench = Bench(4)
    bench.start(3)
    liar, late = 1, TIMEOUTS_PER_MEMBER_MAX + 10
    hiding = bench.tc(late, *(bench.timeout(who, late, bench.genesis) for who in (0, liar, 2)))
    bench.receive(3, 0, QcNotice(bench.genesis, hiding))
    for term in range(1, late):
        old = bench.tc(term, *(bench.timeout(who, term, bench.genesis) for who in (0, liar, 2)))
        bench.receive(3, liar, QcNotice(bench.genesis, old))
    parent = bench.qc(bench.block(0, late - 1, bench.genesis), 0, liar, 2)
    child = bench.block(0, late, parent, revealed=1)
    found = of(bench.receive(3, 0, QcNotice(bench.qc(child, 0, liar, 2), None)), EvidenceFound)
    assert bench.key(liar) in {each.culprit for each in found}


def test_old_votes_that_are_shown_again_push_no_newer_one_out() -> None:
    bench = Bench(4)
    watch = EvidenceWatch()
    of_term = [bench.block(0, term, bench.genesis) for term in range(VOTES_PER_MEMBER_MAX + 10)]
    other = bench.block(0, len(of_term) - 1, bench.genesis, record(1))
    for block in reversed(of_term):
        watch.saw_vote(bench.vote(1, block))
    assert isinstance(watch.saw_vote(bench.vote(1, other)), EquivocalVotes)


@given(
    said=st.lists(
        st.tuples(st.integers(1, 12), st.integers(0, 12)),
        min_size=1,
        max_size=TIMEOUTS_PER_MEMBER_MAX,
    ),
    term=st.integers(1, 12),
    parent=st.integers(0, 12),
)
def test_whatever_time_outs_are_dropped_for_others_each_vote_that_one_convicts_for_convicts(
    said: list[tuple[int, int]], term: int, parent: int
) -> None:
    watch = EvidenceWatch()
    for each, high in said:
        watch.saw_timeout(Timeout(each, at(high, high), 1, b"", known(high), None))
    vote = Vote(at(term, parent + 1), parent, bytes(32), 1, b"")
    is_hidden = any(each >= term and high < parent for each, high in said)
    assert (watch.saw_vote(vote) is not None) == is_hidden


def test_a_member_that_gives_up_for_hours_knowing_nothing_new_takes_one_place() -> None:
    bench = Bench(4)
    watch = EvidenceWatch()
    for term in range(1, 1_000):
        watch.saw_timeout(bench.timeout(0, term, bench.genesis))
    assert list(watch._timeouts[bench.number(0)]) == [999]


def test_the_watch_forgets_what_is_old() -> None:
    bench = Bench(4)
    watch = EvidenceWatch()
    for index in range(2 * BLOCKS_MAX):
        block = bench.block(0, 1, bench.genesis, index=index)
        watch.saw_block(block.header, block.signature)
        watch.saw_vote(bench.vote(0, block))
    for term in range(1, 2 * TIMEOUTS_PER_MEMBER_MAX):
        watch.saw_timeout(bench.timeout(0, term, known(term)))
    for kept, most in (
        (watch._blocks, BLOCKS_MAX),
        (watch._votes[bench.number(0)], VOTES_PER_MEMBER_MAX),
        (watch._timeouts[bench.number(0)], TIMEOUTS_PER_MEMBER_MAX),
    ):
        assert most <= len(kept) <= most + most // SPARE_PART


def test_of_two_timeouts_of_a_term_the_lower_one_is_kept() -> None:
    bench = Bench(4)
    watch = EvidenceWatch()
    first = bench.block(0, 1, bench.genesis)
    high = bench.qc(first, 0, 1, 2)
    watch.saw_timeout(bench.timeout(1, 1, high))
    watch.saw_timeout(bench.timeout(1, 1, bench.genesis))
    child = bench.vote(1, bench.block(0, 1, high, revealed=1))
    assert isinstance(watch.saw_vote(child), HiddenCertificate)
    assert child.parent_position == at(1, 1)
