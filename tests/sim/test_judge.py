"""The judge of certificates agrees with the log's verifier, of whose code it has none."""

import ast
import inspect
from dataclasses import replace
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from ambientd.codec import ed25519
from ambientd.codec.digest import sha256, tagged
from ambientd.consensus.messages import Position, QuorumCertificate, block_hash
from ambientd.rules.verdicts import quorum
from sim import accountability, judge
from sim.judge import Judge, hashed, needed, verify
from tests.consensus.bench import Bench, record

SEED = sha256(b"seed")


@given(size=st.integers(1, 200))
def test_as_many_are_needed_as_the_protocol_says(size: int) -> None:
    assert needed(size) == quorum(size)


@given(parts=st.lists(st.binary(max_size=40), max_size=4))
def test_hashes_are_those_of_the_protocol(parts: list[bytes]) -> None:
    assert hashed("ambient/vote/1", *parts) == tagged("ambient/vote/1", *parts)


@given(message=st.binary(max_size=40), bit=st.integers(0, 511))
def test_signatures_are_those_of_the_daemon(message: bytes, bit: int) -> None:
    key, signature = ed25519.public_key(SEED), ed25519.sign(SEED, message)
    bent = bytearray(signature)
    bent[bit // 8] ^= 1 << bit % 8
    assert verify(key, message, signature)
    assert not verify(key, message, bytes(bent))
    assert not verify(key[:31], message, signature)


def test_coordinators_are_those_of_the_log() -> None:
    bench = Bench(7)
    found = [Judge(bench.options).coordinator(term) for term in range(1, 30)]
    assert found == [bench.committee.coordinator(term) for term in range(1, 30)]


def certified(bench: Bench) -> QuorumCertificate:
    return bench.qc(bench.block(0, 1, bench.genesis, record(1)), 0, 1, 2)


@pytest.mark.parametrize(
    "bend",
    [
        lambda qc: changed(qc, signatures=qc.signatures[:2]),
        lambda qc: changed(qc, signatures=(qc.signatures[0],) * 3),
        lambda qc: changed(qc, signatures=qc.signatures[::-1]),
        lambda qc: changed(qc, signatures=((9, qc.signatures[0][1]), *qc.signatures[1:])),
        lambda qc: changed(qc, signatures=((-1, qc.signatures[0][1]), *qc.signatures[1:])),
        lambda qc: changed(qc, hash=bytes(32)),
        lambda qc: changed(qc, parent_term=qc.parent_term + 1),
        lambda qc: changed(qc, position=Position(qc.position.term, qc.position.index + 1)),
        lambda qc: changed(qc, position=Position(0, 1)),
    ],
)
def test_what_is_no_certificate_is_none_to_both(bend: object) -> None:
    bench = Bench(4)
    good = certified(bench)
    bent = bend(good)  # type: ignore[operator]
    assert Judge(bench.options).qc_holds(good)
    assert bench.verifier.qc_holds(good)
    assert not Judge(bench.options).qc_holds(bent)
    assert not bench.verifier.qc_holds(bent)


def test_a_certificate_of_another_epoch_or_cluster_is_none() -> None:
    bench = Bench(4)
    for other in (replace(bench.options, epoch=1), replace(bench.options, cluster=b"x" * 32)):
        assert not Judge(other).qc_holds(certified(bench))


def test_time_out_certificates_hold_as_a_whole_only() -> None:
    bench = Bench(4)
    tc = bench.tc(1, *(bench.timeout(who, 1, bench.genesis) for who in (0, 1, 2)))
    late = changed(tc, term=2)
    few = changed(tc, entries=tc.entries[:2])
    higher = changed(tc, max_qc=certified(bench))
    assert Judge(bench.options).tc_holds(tc)
    for each in (late, few, higher):
        assert not Judge(bench.options).tc_holds(each)
        assert not bench.verifier.tc_holds(each)


def test_a_proposal_is_its_proposers() -> None:
    bench = Bench(4)
    block = bench.block(0, 1, bench.genesis, record(1))
    assert Judge(bench.options).is_proposed(block, block_hash(block.header))
    assert not Judge(bench.options).is_proposed(block, bytes(32))


def test_a_vote_and_a_time_out_are_their_members() -> None:
    bench = Bench(4)
    judged = Judge(bench.options)
    vote = bench.vote(1, bench.block(0, 1, bench.genesis, record(1)))
    assert judged.is_cast(vote)
    for bent in (
        changed(vote, member=2),
        changed(vote, member=9),
        changed(vote, hash=bytes(32)),
        changed(vote, parent_term=1),
        changed(vote, position=Position(1, 2)),
    ):
        assert not judged.is_cast(bent)
    timeout = bench.timeout(1, 3, bench.genesis)
    high, signature = timeout.high_position, timeout.signature
    assert judged.gave_up(1, 3, high, signature)
    for said in ((2, 3, high), (-1, 3, high), (1, 4, high), (1, 3, Position(1, 1))):
        assert not judged.gave_up(*said, signature)


def test_the_judge_shares_no_code_with_the_verifier() -> None:
    names = "Append", "Position", "QuorumCertificate", "TimeoutCertificate", "Vote"
    assert daemons_code(judge) == {
        *(("ambientd.consensus.messages", name) for name in names),
        ("ambientd.consensus.options", "ConsensusOptions"),
    }


def test_no_checker_of_forks_asks_the_verifier() -> None:
    modules = {module for module, _ in daemons_code(accountability)}
    assert "ambientd.consensus.certificates" not in modules


def daemons_code(module: ModuleType) -> set[tuple[str, str]]:
    """Give what a module imports from the daemon, wherever it does."""
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom):
            found |= {(str(node.module), each.name) for each in node.names}
        elif isinstance(node, ast.Import):
            found |= {(each.name, "") for each in node.names}
    return {(name, what) for name, what in found if name.split(".")[0] == "ambientd"}
