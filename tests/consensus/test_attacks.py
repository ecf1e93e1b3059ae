"""The traces by which the model checker broke the mutants, played against the real core.

One liar and three honest members of four. With the rules as
they are nothing breaks; with one rule taken out two members commit different blocks, which shows
that the trace is a real attack and that the rule is what stops it (COORDINATION "Checked so far").
"""

from collections.abc import Callable

import pytest

from ambientd.consensus.messages import (
    Append,
    Header,
    Message,
    QcNotice,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
    block_hash,
)
from ambientd.consensus.safety import SafetyRules, SafetyState
from tests.consensus.bench import Bench, record, sent


class NoTimeoutCertificate(SafetyRules):
    """Builds on any parent in a new term."""

    def term_is_justified(
        self, header: Header, parent: QuorumCertificate, tc: TimeoutCertificate | None
    ) -> bool:
        return True


class VotesAfterTimeout(SafetyRules):
    """Forgets that it gave the term up."""

    def term_is_open(self, state: SafetyState, header: Header) -> bool:
        return True


class DoubleVote(SafetyRules):
    """Votes again at a position."""

    def position_is_new(self, state: SafetyState, header: Header) -> bool:
        return True

    def first_vote_in_term(
        self, state: SafetyState, header: Header, parent: QuorumCertificate
    ) -> bool:
        return True


class LyingHighCertificate(SafetyRules):
    """Admits nothing when it times out."""

    def admitted_qc(self, state: SafetyState, genesis: QuorumCertificate) -> QuorumCertificate:
        return genesis


def vote_of(bench: Bench, who: int, append: Append, sender: int) -> bool:
    """Offer a block; tell whether the member votes for it."""
    votes = sent(bench.receive(who, sender, append), Vote)
    return any(vote.hash == block_hash(append.header) for vote in votes)


def certified(
    bench: Bench, append: Append, liar: int, honest: tuple[int, ...]
) -> QuorumCertificate | None:
    """Give the certificate that the votes of these honest members and the liar make, if any."""
    proposer = append.header.proposer
    sender = [bench.key(n) for n in range(4)].index(proposer)
    voters = [who for who in honest if vote_of(bench, who, append, sender)]
    return bench.qc(append, liar, *voters) if len(voters) >= 2 else None


def committed_at(bench: Bench, index: int) -> set[bytes]:
    return {node.store.log[index - 1].hash for node in bench.nodes if len(node.store.log) >= index}


def commit_at_one_member_alone(bench: Bench) -> None:
    """Let term 1's honest coordinator commit with the votes of 2 and 3, unheard by them."""

    def kept(sender: bytes, to: bytes, message: Message) -> bool:
        return isinstance(message, Append | Vote) and to != bench.key(1)

    bench.start(0)
    for _ in range(2):  # two heartbeats
        bench.hop(kept)
        bench.hop(kept)
        bench.tick(0, 100)
    bench.queue.clear()


def fork_in_term_two(bench: Bench, tc: TimeoutCertificate | None) -> None:
    """Let the liar, which coordinates term 2, leave out what term 1 committed."""
    fork = bench.block(1, 2, bench.genesis, record("fork"), tc=tc)
    qc = certified(bench, fork, 1, (2, 3))
    if qc is None:
        return
    child = bench.block(1, 2, qc, revealed=1)
    child_qc = certified(bench, child, 1, (2, 3))
    assert child_qc is not None
    bench.receive(2, 1, QcNotice(child_qc, None))


def give_up(bench: Bench) -> TimeoutCertificate:
    """Have 2 and 3 time out honestly; the liar adds a time-out that admits nothing."""
    bench.now += 400
    timeouts = [timeout for who in (2, 3) for timeout in sent(bench.tick(who), Timeout)]
    bench.queue.clear()
    return bench.tc(1, bench.timeout(1, 1, bench.genesis), *timeouts)


def attack_after_honest_timeouts(bench: Bench) -> None:
    """Build on what the time-outs do not allow, or allow only because they lie."""
    commit_at_one_member_alone(bench)
    tc = give_up(bench)
    for who in (2, 3):
        bench.receive(who, 1, QcNotice(bench.genesis, tc))
    fork_in_term_two(bench, tc)


def attack_with_early_timeouts(bench: Bench) -> None:
    """Have 2 and 3 give up before the coordinator of term 1 commits with their votes."""
    tc = give_up(bench)
    commit_at_one_member_alone(bench)
    for who in (2, 3):
        bench.receive(who, 1, QcNotice(bench.genesis, tc))
    fork_in_term_two(bench, tc)


def attack_with_twins(bench: Bench) -> None:
    """Certify two blocks at each position by showing both to all; the liar coordinates term 1."""
    bench.start(1)
    for name, learner in (("left", 1), ("right", 2)):
        qc = certified(bench, bench.block(0, 1, bench.genesis, record(name)), 0, (1, 2, 3))
        if qc is None:
            continue
        child = bench.block(0, 1, qc, record(name + " child"), revealed=1)
        child_qc = certified(bench, child, 0, (1, 2, 3))
        if child_qc is not None:
            bench.receive(learner, 0, QcNotice(child_qc, None))


ATTACKS: list[tuple[type[SafetyRules], Callable[[Bench], None]]] = [
    (NoTimeoutCertificate, attack_after_honest_timeouts),
    (LyingHighCertificate, attack_after_honest_timeouts),
    (VotesAfterTimeout, attack_with_early_timeouts),
    (DoubleVote, attack_with_twins),
]


def started(rules: type[SafetyRules]) -> Bench:
    bench = Bench(4, rules=rules)
    bench.start(2, 3)
    return bench


@pytest.mark.parametrize(("mutant", "attack"), ATTACKS)
def test_the_rules_withstand_the_attack(
    mutant: type[SafetyRules], attack: Callable[[Bench], None]
) -> None:
    bench = started(SafetyRules)
    attack(bench)
    assert len(committed_at(bench, 1)) <= 1


@pytest.mark.parametrize(("mutant", "attack"), ATTACKS)
def test_the_attack_breaks_agreement_without_the_rule(
    mutant: type[SafetyRules], attack: Callable[[Bench], None]
) -> None:
    bench = started(mutant)
    attack(bench)
    assert len(committed_at(bench, 1)) == 2
