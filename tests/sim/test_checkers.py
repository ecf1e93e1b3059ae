"""Each checker can fail: fed a lie, it says so."""

from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from ambientd.consensus.certificates import Verifier
from ambientd.consensus.effects import Committed, CommittedBlock, EvidenceFound
from ambientd.consensus.messages import EpochEnd, EquivocalVotes, QcNotice
from sim.checkers import (
    Agreement,
    Certificates,
    CommitProofs,
    HonestAreInnocent,
    InvariantViolation,
    JustifiedVotes,
    Leapt,
    OneProposal,
    VoteDiscipline,
    check_nothing_lost,
    check_progress,
)
from sim.mutants.patch import Patch, always, put_in
from tests.consensus.bench import Bench, record


def breaks(invariant: str) -> Any:
    return pytest.raises(InvariantViolation, match=invariant)


def chain(bench: Bench, *names: str) -> list[CommittedBlock]:
    """Give committed blocks in a row, in term 1."""
    blocks, qc = [], bench.genesis
    for number, name in enumerate((*names, "child")):
        block = bench.block(0, 1, qc, record(name), revealed=number)
        qc = bench.qc(block, 0, 1, 2)
        blocks.append((block, qc))
    return [
        CommittedBlock(b, qc.hash, qc, child.header, child_qc)
        for (b, qc), (child, child_qc) in pairwise(blocks)
    ]


def test_votes_after_timeouts_or_downwards_are_seen() -> None:
    bench = Bench(4)
    node = bench.nodes[1]
    one = bench.block(0, 1, bench.genesis, record(1))
    two = bench.block(0, 1, bench.genesis, record(2))
    checker = VoteDiscipline()
    checker.saw_message(node, bench.vote(1, one), 0)
    checker.saw_message(node, bench.vote(1, one), 0)
    with breaks("votes only climb"):
        checker.saw_message(node, bench.vote(1, two), 0)
    checker.saw_message(node, bench.timeout(1, 1, bench.genesis), 0)
    with breaks("no vote after a time-out"):
        checker.saw_message(node, bench.vote(1, one), 0)
    node.is_honest = False
    checker.saw_message(node, bench.vote(1, two), 0)


def test_two_proposals_are_seen() -> None:
    bench = Bench(4)
    checker = OneProposal()
    checker.saw_message(bench.nodes[0], bench.block(0, 1, bench.genesis, record(1)), 0)
    with breaks("one proposal"):
        checker.saw_message(bench.nodes[0], bench.block(0, 1, bench.genesis, record(2)), 0)


def test_unjustified_votes_are_seen() -> None:
    bench = Bench(4)
    checker = JustifiedVotes(bench.options)
    block = bench.block(1, 2, bench.genesis)
    checker.saw_message(bench.nodes[1], block, 0)
    with breaks("justified"):
        checker.saw_message(bench.nodes[2], bench.vote(2, block), 0)
    tc = bench.tc(1, *(bench.timeout(who, 1, bench.genesis) for who in (0, 1, 2)))
    checker.saw_message(bench.nodes[1], bench.block(1, 2, bench.genesis, tc=tc), 0)
    checker.saw_message(bench.nodes[2], bench.vote(2, block), 0)


def test_no_bug_of_the_logs_own_verifier_blinds_the_checkers() -> None:
    bench = Bench(4)
    (block,) = chain(bench, "one")
    few = replace(block, qc=replace(block.qc, signatures=block.qc.signatures[:2]))
    forged = tuple((number, bytes(64)) for number, _ in block.qc.signatures)
    unsigned = replace(block, qc=replace(block.qc, signatures=forged))
    with put_in([Patch(Verifier, "qc_holds", always(True))]):
        for each in (few, unsigned):
            assert Verifier(bench.options, bench.committee).qc_holds(each.qc)
            with breaks("a commit is proven"):
                CommitProofs(bench.options).saw_effect(bench.nodes[1], Committed((each,), ()), 0)
        CommitProofs(bench.options).saw_effect(bench.nodes[1], Committed((block,), ()), 0)


def test_forks_gaps_and_repetitions_of_the_log_are_seen() -> None:
    bench = Bench(4)
    checker = Agreement()
    one, two = chain(bench, "a", "b")
    checker.saw_effect(bench.nodes[0], Committed((one, two), ()), 0)
    with breaks("durable"):
        checker.saw_effect(bench.nodes[0], Committed((two,), ()), 0)
    with breaks("durable"):
        checker.saw_effect(bench.nodes[1], Committed((two,), ()), 0)
    with breaks("agreement"):
        checker.saw_effect(bench.nodes[2], Committed((chain(bench, "c")[0],), ()), 0)
    checker.check_roots(bench.nodes[0])
    bench.nodes[1].store.roots = [b"x" * 32]
    with breaks("equal state roots"):
        checker.check_roots(bench.nodes[1])


def test_who_leaps_ahead_of_all_is_held_to_it_later() -> None:
    bench = Bench(4)
    one, two, three = chain(bench, "a", "b", "c")
    other = chain(bench, "a", "b", "d")[2]
    for leap in (Leapt((three,), ()), Leapt((two,), ())):
        checker = Agreement()
        checker.saw_effect(bench.nodes[0], leap, 0)
        if leap.blocks[0] is two:
            checker.saw_effect(bench.nodes[0], Committed((three,), ()), 0)
        with breaks("agreement"):
            checker.saw_effect(bench.nodes[1], Leapt((other,), ()), 0)
        checker.saw_effect(bench.nodes[2], Committed((one, two), ()), 0)
        with breaks("agreement"):
            checker.saw_effect(bench.nodes[2], Committed((other,), ()), 0)


def test_unproven_commits_are_seen() -> None:
    bench = Bench(4)
    checker = CommitProofs(bench.options)
    [good] = chain(bench, "a")
    checker.saw_effect(bench.nodes[0], Committed((good,), ()), 0)
    few = bench.qc(good.block, 0, 1)
    with breaks("proven"):
        bad = CommittedBlock(good.block, good.hash, few, good.child, good.child_qc)
        checker.saw_effect(bench.nodes[0], Committed((bad,), ()), 0)
    child = bench.block(1, 2, good.qc)
    with breaks("proven"):
        cross = CommittedBlock(
            good.block, good.hash, good.qc, child.header, bench.qc(child, 0, 1, 2)
        )
        checker.saw_effect(bench.nodes[0], Committed((cross,), ()), 0)


def test_two_certificates_and_lost_commits_are_seen() -> None:
    bench = Bench(4)
    checker = Certificates(bench.options)
    node = bench.nodes[0]
    [good] = chain(bench, "a")
    checker.saw_message(node, QcNotice(good.qc, None), 0)
    twin = bench.block(0, 1, bench.genesis, record("twin"))
    with breaks("one certificate"):
        checker.saw_message(node, QcNotice(bench.qc(twin, 0, 1, 2), None), 0)
    checker.saw_effect(node, Committed((good,), ()), 0)
    fork = bench.block(1, 2, bench.genesis)
    checker.saw_message(node, fork, 0)
    with breaks("completeness"):
        checker.saw_message(node, QcNotice(bench.qc(fork, 0, 1, 2), None), 0)


def test_a_commit_below_a_higher_fork_is_seen_too() -> None:
    bench = Bench(4)
    checker = Certificates(bench.options)
    node = bench.nodes[0]
    fork = bench.block(1, 2, bench.genesis)
    checker.saw_message(node, fork, 0)
    checker.saw_message(node, QcNotice(bench.qc(fork, 0, 1, 2), None), 0)
    with breaks("completeness"):
        checker.saw_effect(node, Committed((chain(bench, "a")[0],), ()), 0)


def test_an_end_commits_from_the_first_of_its_last_two_blocks_on() -> None:
    bench = Bench(4)
    node = bench.nodes[0]
    stop = bench.block(0, 1, bench.genesis, record("stop"))
    blocks = [(stop, bench.qc(stop, 0, 1, 2))]
    for revealed in range(2):
        child = bench.block(2, 3, blocks[-1][1], revealed=revealed)
        blocks.append((child, bench.qc(child, 0, 1, 2)))
    links = tuple((block.header, qc) for block, qc in blocks)
    stopped = CommittedBlock(stop, links[0][1].hash, links[0][1], *links[1])
    ended = Committed((stopped,), (), end=EpochEnd(b"stop", links))
    for term, is_lost in ((2, False), (4, True)):
        fork = bench.block(term - 1, term, bench.genesis)
        checker = Certificates(bench.options)
        checker.saw_message(node, fork, 0)
        checker.saw_message(node, QcNotice(bench.qc(fork, 0, 1, 2), None), 0)
        with breaks("completeness") if is_lost else nullcontext():
            checker.saw_effect(node, ended, 0)


def test_convicted_honest_keys_are_seen() -> None:
    bench = Bench(4)
    checker = HonestAreInnocent(frozenset({bench.key(1)}))
    vote = bench.vote(1, bench.block(0, 1, bench.genesis))
    checker.saw_effect(bench.nodes[0], EvidenceFound(bench.key(0), EquivocalVotes(vote, vote)), 0)
    with breaks("never convicted"):
        found = EvidenceFound(bench.key(1), EquivocalVotes(vote, vote))
        checker.saw_effect(bench.nodes[0], found, 0)


def test_a_standstill_and_a_lost_record_are_seen() -> None:
    bench = Bench(1)
    bench.start()
    bench.run(1_000)
    check_progress([bench.nodes[0]], {bench.key(0): 0})
    check_nothing_lost([bench.nodes[0]])
    with breaks("commits resume"):
        check_progress([bench.nodes[0]], {bench.key(0): 1_000})
    bench.nodes[0].store.wanted[b"h"] = record(1)
    with breaks("wanted"):
        check_nothing_lost([bench.nodes[0]])
