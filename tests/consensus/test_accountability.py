"""A fork names at least f + 1 members and nobody honest (protocols/05 section 9)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

from hypothesis import example, given
from hypothesis import strategies as st

from ambientd.consensus.effects import EvidenceFound
from ambientd.consensus.evidence import EvidenceWatch
from ambientd.consensus.messages import (
    Append,
    EquivocalVotes,
    Evidence,
    HiddenCertificate,
    QcNotice,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
    block_hash,
)
from ambientd.consensus.safety import SafetyRules, SafetyState
from ambientd.rules.verdicts import liars_max
from tests.consensus.bench import Bench, of, record, sent

TERMS, INDEXES = 3, 4
LIARS = (0, 1)
HONEST = (2, 3)


@dataclass
class Forgers:
    """Two honest voters of four, by the rules alone, and two liars that sign whatever helps."""

    bench: Bench = field(default_factory=lambda: Bench(4))
    states: dict[int, SafetyState] = field(default_factory=dict)
    blocks: dict[bytes, Append] = field(default_factory=dict)
    votes: list[Vote] = field(default_factory=list)
    timeouts: dict[int, list[Timeout]] = field(default_factory=dict)
    tcs: list[TimeoutCertificate] = field(default_factory=list)
    qcs: list[QuorumCertificate] = field(default_factory=list)
    rules: SafetyRules = field(default_factory=SafetyRules)

    def __post_init__(self) -> None:
        self.qcs.append(self.bench.genesis)
        self.states = {who: SafetyState(self.bench.genesis) for who in HONEST}

    def offer(self, parent: int, term: int, name: int, shown: int, excuse: int) -> None:
        """Propose on a certified block, to some of the honest, with some excuse."""
        qc = self.qcs[parent % len(self.qcs)]
        if qc.position.index + 1 > INDEXES or qc.position.term > term:
            return
        fits = [tc for tc in self.tcs if tc.term == term - 1]
        tc = fits[excuse % len(fits)] if fits else None
        append = self.bench.block(0, term, qc, record(name), tc=tc)
        voters = [who for who in HONEST if shown & (who - 1) and self.votes_for(who, append)]
        # Two of three voters lie, so that one honest vote makes a certificate.
        if voters:
            self.blocks[block_hash(append.header)] = append
            self.qcs.append(self.bench.qc(append, *LIARS, voters[0]))
            self.votes += [self.bench.vote(who, append) for who in (*LIARS, *voters)]

    def votes_for(self, who: int, append: Append) -> bool:
        state = self.states[who]
        if self.rules.refusal(state, append.header, append.qc, append.tc) is not None:
            return False
        high = max(state.high_qc, append.qc, key=lambda qc: qc.position)
        vote = self.bench.vote(who, append)
        self.states[who] = SafetyState(high, vote, state.max_timed_out)
        return True

    def give_up(self, term: int, who: int, lie: int) -> None:
        """Let an honest member give a term up, and two liars show what they like with it."""
        state = self.states[who]
        if term > state.max_timed_out and term >= state.last_voted.term:
            self.states[who] = SafetyState(state.high_qc, state.last_vote, term)
            own = self.bench.timeout(who, term, state.high_qc)
            low = [qc for qc in self.qcs if qc.position.term <= term]
            shown = low[lie % len(low)]
            lies = [self.bench.timeout(liar, term, shown) for liar in LIARS]
            self.timeouts.setdefault(term, []).extend([own, *lies])
            self.tcs.append(self.bench.tc(term, own, *lies))

    def chain(self, hash_: bytes) -> dict[int, bytes]:
        """Give what stands where on the way to a block."""
        found: dict[int, bytes] = {}
        while hash_ in self.blocks:
            header = self.blocks[hash_].header
            found[header.index] = hash_
            hash_ = header.parent_hash
        return found

    def has_forked(self) -> bool:
        """Tell whether two blocks are committed of which neither stands on the other."""
        committed = {
            self.blocks[qc.hash].header.parent_hash
            for qc in self.qcs[1:]
            if qc.parent_term == qc.position.term
        }
        chains = [self.chain(hash_) for hash_ in committed if hash_ in self.blocks]
        return any(
            one[index] != two[index]
            for one, two in combinations(chains, 2)
            for index in (min(max(one), max(two)),)
        )

    def evidence(self) -> Iterator[Evidence | None]:
        """Give what a watch finds in certificates and blocks alone."""
        watch = EvidenceWatch()
        for qc in self.qcs[1:]:
            yield from watch.saw_qc(qc)
        for tc in self.tcs:
            yield from watch.saw_tc(tc)

    def culprits(self) -> set[bytes]:
        found = (self.bench.verifier.culprit(each) for each in self.evidence() if each is not None)
        return {key for key in found if key is not None}


Step = tuple[str, int, int, int, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("offer", "offer", "offer", "give up")),
        st.integers(0, 7),
        st.integers(1, TERMS),
        st.integers(0, 1),
        st.integers(1, 3),
        st.integers(0, 7),
    ),
    max_size=24,
)


def played(steps: list[Step]) -> Forgers:
    forgers = Forgers()
    for kind, which, term, name, shown, choice in steps:
        if kind == "offer":
            forgers.offer(which, term, name, shown, choice)
        else:
            forgers.give_up(term, HONEST[name], choice)
    return forgers


SPLIT: list[Step] = [  # honest 2 and 3 vote for twins, and for a child of their own each
    ("offer", 0, 1, 0, 1, 0),
    ("offer", 0, 1, 1, 2, 0),
    ("offer", 1, 1, 0, 1, 0),
    ("offer", 2, 1, 1, 2, 0),
]
HIDDEN: list[Step] = [  # 2 commits in term 1, which 3 knows nothing of as it gives up
    ("offer", 0, 1, 0, 1, 0),
    ("offer", 1, 1, 0, 1, 0),
    ("give up", 0, 1, 1, 0, 0),
    ("offer", 0, 2, 1, 2, 0),
    ("offer", 3, 2, 1, 2, 0),
]


@given(STEPS)
@example(SPLIT)
@example(HIDDEN)
def test_a_fork_names_more_than_f_members_and_nobody_honest_is_ever_named(
    steps: list[Step],
) -> None:
    forgers = played(steps)
    culprits = forgers.culprits()
    assert culprits <= {forgers.bench.key(who) for who in LIARS}
    if forgers.has_forked():
        assert len(culprits) >= liars_max(4) + 1


def kinds(steps: list[Step]) -> set[type[Evidence]]:
    forgers = played(steps)
    assert forgers.has_forked()
    return {type(each) for each in forgers.evidence() if each is not None}


def test_forks_are_of_both_kinds() -> None:
    assert kinds(SPLIT) == {EquivocalVotes}
    assert kinds(HIDDEN) == {HiddenCertificate}


def commit_alone(bench: Bench, who: int, name: str) -> QcNotice:
    """Let two liars and one honest member commit a block of their own; give its proof's end."""
    first = bench.block(0, 1, bench.genesis, record(name))
    bench.receive(who, 0, first)
    child = bench.block(0, 1, bench.qc(first, *LIARS, who), revealed=1)
    assert sent(bench.receive(who, 0, child), Vote)
    notice = QcNotice(bench.qc(child, *LIARS, who), None)
    bench.receive(who, 0, notice)
    return notice


def test_honest_members_of_a_forked_log_name_both_liars_once_they_meet() -> None:
    bench = Bench(4)
    bench.start(*HONEST)
    for who in HONEST:
        commit_alone(bench, who, f"of {who}")
    assert bench.log(2)[0].hash != bench.log(3)[0].hash
    left, right = (bench.nodes[who].store.log[0].block for who in HONEST)
    for who, other in ((2, right), (3, left)):
        bench.receive(who, 5 - who, QcNotice(bench.qc(other, *LIARS, 5 - who), None))
        found = of(bench.effects[bench.key(who)], EvidenceFound)
        assert {each.culprit for each in found} == {bench.key(liar) for liar in LIARS}


def test_a_time_out_that_only_a_certificate_holds_convicts() -> None:
    bench = Bench(4)
    bench.start(3)
    first = bench.block(0, 1, bench.genesis)
    second = bench.block(0, 1, bench.qc(first, 0, 1, 2), revealed=1)
    bench.receive(3, 0, QcNotice(bench.qc(second, 0, 1, 2), None))
    low = bench.tc(1, *(bench.timeout(who, 1, bench.genesis) for who in (0, 1, 3)))
    bench.receive(3, 1, QcNotice(bench.genesis, low))
    found = of(bench.effects[bench.key(3)], EvidenceFound)
    assert {each.culprit for each in found} == {bench.key(0), bench.key(1)}
