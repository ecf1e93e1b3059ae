"""Finding liars, COORDINATION "Evidence"."""

from itertools import combinations
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

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
    Evidence,
    EvidenceMessage,
    Header,
    HiddenCertificate,
    Position,
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
    assert not bench.receive(3, 1, EvidenceMessage(empty)), "who is convicted needs no judging"


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


# The watch against all pairs: a member that it does not convict is one that no pair convicts.

Said = Vote | Timeout | Header
ABOVE = 1_000
SMALL_TERMS = st.integers(0, 8)
MEMBERS_SEEN = st.integers(0, 1)
NOWHERE = QuorumCertificate(Position(0, 0), 0, b"", ())


def vote_of(member: int, term: int, index: int, parent_term: int, fork: int) -> Vote:
    return Vote(Position(term, index), min(parent_term, term), bytes([fork]) * 32, member, b"")


def timeout_of(member: int, term: int, high: tuple[int, int]) -> Timeout:
    return Timeout(term, Position(*high), member, b"", NOWHERE, None)


def header_of(proposer: int, term: int, index: int, fork: int) -> Header:
    key = bytes([proposer]) * 32
    return Header(term, index, bytes([fork]) * 32, 0, b"", b"", b"", key)


def contradict(one: Said, other: Said) -> bool:
    """Tell whether two words of one node convict it, by protocols/05 section 9 and nothing else."""
    match one, other:
        case Vote(), Vote():
            return one.position == other.position and one.hash != other.hash
        case Vote(), Timeout():
            return one.position.term <= other.term and other.high_position < one.parent_position
        case Timeout(), Vote():
            return contradict(other, one)
        case Header(), Header():
            return one.position == other.position and one != other
    return False


def who(said: Said) -> tuple[type[Header] | type[Vote], int]:
    if isinstance(said, Header):
        return Header, said.proposer[0]
    return Vote, said.member


def show(watch: EvidenceWatch, said: Said) -> Evidence | None:
    match said:
        case Vote():
            return watch.saw_vote(said)
        case Timeout():
            return watch.saw_timeout(said)
        case Header():
            return watch.saw_block(said, b"")


def pair_of(evidence: Evidence) -> tuple[Said, Said]:
    """Give the two words that evidence is made of."""
    match evidence:
        case EquivocalVotes(first, second):
            return first, second
        case EquivocalBlocks(first, _, second, _):
            return first, second
        case HiddenCertificate(vote, term, high, _):
            return vote, timeout_of(vote.member, term, (high.term, high.index))


@st.composite
def words(draw: st.DrawFn, most: int = 40) -> list[Said]:
    """Give what members sign, honestly or not, in whatever order it comes."""
    places = st.tuples(SMALL_TERMS, st.integers(0, 6))
    forks = st.sampled_from((0, 0, 0, 0, 1))
    votes = st.builds(vote_of, MEMBERS_SEEN, SMALL_TERMS, st.integers(1, 6), SMALL_TERMS, forks)
    timeouts = st.builds(timeout_of, MEMBERS_SEEN, SMALL_TERMS, places)
    # A term has one proposer.
    blocks = st.builds(
        lambda term, index, fork: header_of(term % 3, term, index, fork),
        SMALL_TERMS,
        st.integers(1, 6),
        forks,
    )
    return draw(st.lists(st.one_of(votes, timeouts, blocks), max_size=most))


@given(words())
def test_whoever_contradicts_itself_is_convicted_at_once_and_nobody_else(said: list[Said]) -> None:
    """Within what is kept, in any order: neither the skipped searches nor covers lose a pair."""
    watch = EvidenceWatch()
    seen: list[Said] = []
    convicted, found = set(), set()
    for word in said:
        against = [old for old in seen if who(old) == who(word) and contradict(old, word)]
        if against:
            convicted.add(who(word))
        seen.append(word)
        evidence = show(watch, word)
        # Of two forks the first is kept; whatever hides, or is hidden, is found each time.
        assert evidence or all(type(old) is type(word) for old in against)
        if evidence is not None:
            one, other = pair_of(evidence)
            assert who(one) == who(other) == who(word)
            assert contradict(one, other)
            found.add(who(word))
        assert found == convicted


def lifted(said: Said) -> Said:
    """Give the same word, high above those that are only there to be forgotten."""
    match said:
        case Vote():
            position = Position(said.position.term + ABOVE, said.position.index)
            return replace(said, position=position, parent_term=said.parent_term + ABOVE)
        case Timeout():
            high = Position(said.high_position.term + ABOVE, said.high_position.index)
            return replace(said, term=said.term + ABOVE, high_position=high)
        case Header():
            return replace(said, term=said.term + ABOVE)


def honest_words(times: int) -> list[Said]:
    """Give more honest words of each member than are kept; no two of them contradict."""
    return [
        *(
            vote_of(member, term, term, term, 0)
            for member in range(2)
            for term in range(1, times * VOTES_PER_MEMBER_MAX)
        ),
        *(
            timeout_of(member, term, (term, term))
            for member in range(2)
            for term in range(1, times * TIMEOUTS_PER_MEMBER_MAX)
        ),
        *(header_of(term % 3, term, term, 0) for term in range(1, times * BLOCKS_MAX)),
    ]


@settings(max_examples=50)
@given(words(), st.randoms(use_true_random=False), st.integers(1, 3))
def test_whatever_is_forgotten_in_between_the_highest_words_are_held_against_their_member(
    said: list[Said], rng: Random, times: int
) -> None:
    high = [lifted(word) for word in said]
    mixed = honest_words(times) + high
    rng.shuffle(mixed)
    watch = EvidenceWatch()
    found = {who(word) for word in mixed if show(watch, word) is not None}
    pairs = ((one, other) for one, other in combinations(high, 2) if who(one) == who(other))
    assert found == {who(one) for one, other in pairs if contradict(one, other)}
