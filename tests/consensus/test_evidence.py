"""Finding liars, COORDINATION "Evidence"."""

from ambientd.consensus.effects import EvidenceFound, PeerFault
from ambientd.consensus.evidence import (
    BLOCKS_MAX,
    TIMEOUTS_PER_MEMBER_MAX,
    VOTES_PER_MEMBER_MAX,
    EvidenceWatch,
)
from ambientd.consensus.messages import (
    Append,
    EquivocalBlocks,
    EquivocalVotes,
    EvidenceMessage,
    HiddenCertificate,
    QcNotice,
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


def test_the_watch_forgets_what_is_old() -> None:
    bench = Bench(4)
    watch = EvidenceWatch()
    for index in range(max(BLOCKS_MAX, VOTES_PER_MEMBER_MAX) + 5):
        block = bench.block(0, 1, bench.genesis, index=index)
        watch.saw_block(block.header, block.signature)
        watch.saw_vote(bench.vote(0, block))
    for term in range(1, TIMEOUTS_PER_MEMBER_MAX + 5):
        watch.saw_timeout(bench.timeout(0, term, bench.genesis))
    assert len(watch._blocks) == BLOCKS_MAX
    assert len(watch._votes[bench.number(0)]) == VOTES_PER_MEMBER_MAX
    assert len(watch._timeouts[bench.number(0)]) == TIMEOUTS_PER_MEMBER_MAX


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
