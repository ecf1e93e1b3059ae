"""A proof's file and statement, read and compared; the committed proof is a real one."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest
from ambientd.model.bundle import Bundle
from ambientd.model.task import Result
from ambientd.rules.proofs import (
    DIGEST_BYTES,
    STATEMENT_BYTES,
    UNIVERSAL_IMAGE,
    ProofFile,
    image_fault,
    own_statement_of,
    proof_fault,
    read_proof,
    statement_of,
)
from tests.ledger.cluster import result, spec

VECTORS = Path(__file__).parents[2] / "protocols" / "vectors"
REAL = (VECTORS / "execution.proof").read_bytes()
PREPARED = b"a prepared module"
SPEC = spec()
RESULT = replace(result(), prepared=Digest(sha256(PREPARED)))


def proof_of(found: Result, prepared: bytes = PREPARED) -> ProofFile:
    statement = statement_of(SPEC, found, prepared)
    assert statement is not None
    return ProofFile(UNIVERSAL_IMAGE, statement, (16, 14))


def test_the_committed_proof_is_read_as_it_was_made() -> None:
    proof = read_proof(REAL)
    assert len(proof.statement) == STATEMENT_BYTES
    assert proof.statement[32:64] == sha256((VECTORS / "execution.input").read_bytes())
    assert proof.statement[64:96] == sha256((VECTORS / "execution.output").read_bytes())
    assert proof.cycles == sum(1 << power for power in proof.powers)


def test_cut_or_lengthened_proofs_and_impossible_cycles_are_refused() -> None:
    power = 12 + DIGEST_BYTES + STATEMENT_BYTES + 4 + 4 + 91 * 4
    wrong = REAL[:power] + (21).to_bytes(4, "little") + REAL[power + 4 :]
    for data in (b"", REAL[:-1], REAL + b"\0", b"X" + REAL[1:], wrong, REAL[:235], REAL[:240]):
        with pytest.raises(RemoteProtocolError):
            read_proof(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": "pay me more"},
        {"kind": 2, "reason": "late"},
        {"kind": 1, "reason": "exit_code:4294967297"},
        {"kind": 1, "reason": "exit_code:01"},
        {"kind": 1, "reason": "exit_code:"},
        {"kind": 1, "reason": "exit_code"},
        {"kind": 1, "reason": "unreachable:0"},
        {"kind": 1, "reason": "exit_code:" + "9" * 200},
    ],
)
def test_no_words_are_settled_as_proven_that_no_engine_says(changes: dict[str, object]) -> None:
    assert statement_of(SPEC, replace(RESULT, **changes), PREPARED) is None


def test_an_output_of_bytes_is_not_said_to_be_of_none_nor_the_other_way_round() -> None:
    assert proof_fault(proof_of(RESULT), SPEC, replace(RESULT, output_size_bytes=0)) is not None
    none = replace(RESULT, output=Digest(sha256(b"")))
    assert proof_fault(proof_of(none), SPEC, none) is not None
    assert proof_fault(proof_of(none), SPEC, replace(none, output_size_bytes=0)) is None


@given(st.binary(max_size=400), st.integers(0, 300))
def test_no_bytes_make_reading_raise_anything_else(data: bytes, kept: int) -> None:
    for tried in (data, REAL[:kept] + data):
        try:
            read_proof(tried)
        except RemoteProtocolError:
            continue


def test_a_proof_of_this_result_is_one_and_any_other_field_makes_it_another() -> None:
    proof = proof_of(RESULT)
    assert proof.cycles == (1 << 16) + (1 << 14)
    assert proof_fault(proof, SPEC, RESULT, PREPARED) is None
    assert proof_fault(proof, SPEC, RESULT) is None  # all but the module's name
    for changed in (
        replace(RESULT, gas=RESULT.gas + 1),
        replace(RESULT, output=Digest(bytes(32))),
        replace(RESULT, kind=2),
        replace(RESULT, kind=1, reason="unreachable"),
    ):
        assert proof_fault(proof, SPEC, changed, PREPARED) is not None
        assert proof_fault(proof, SPEC, changed) is not None
    for terms in (
        {"gas_max": SPEC.gas_max + 1},
        {"input": Digest(bytes(32))},
        {"memory_bytes_max": 1 << 21},
        {"output_bytes_max": 999},
    ):
        assert proof_fault(proof, replace(SPEC, **terms), RESULT, PREPARED) is not None
    assert proof_fault(proof, SPEC, RESULT, b"another") is not None
    other = replace(RESULT, prepared=Digest(sha256(b"another")))
    assert proof_fault(proof_of(RESULT, b"else"), SPEC, other, b"another") is not None
    named = ProofFile(Digest(bytes(32)), proof.statement, proof.powers)
    assert proof_fault(named, SPEC, RESULT, PREPARED) is not None


OWN = Digest(sha256(b"what members have found the module to become"))


def by_own_image(found: Result = RESULT) -> ProofFile:
    statement = own_statement_of(SPEC, found)
    assert statement is not None
    return ProofFile(OWN, statement, (14,))


def test_a_proof_by_the_image_that_members_decided_on_is_one_and_by_no_other() -> None:
    proof = by_own_image()
    assert proof.statement[:32] == SPEC.module
    assert proof_fault(proof, SPEC, RESULT, PREPARED, OWN) is None
    assert proof_fault(proof, SPEC, RESULT, None, OWN) is None
    for decided in (None, Digest(bytes(32)), UNIVERSAL_IMAGE):
        fault = proof_fault(proof, SPEC, RESULT, PREPARED, decided)
        assert fault is not None
        assert OWN.hex() in fault


@given(st.binary(min_size=32, max_size=32), st.sampled_from([None, OWN]))
def test_no_other_image_tells_anything_of_a_module(image: bytes, decided: Digest | None) -> None:
    """Its statement is just the one wanted, as its maker likes."""
    for claimed in (Digest(image), OWN):
        fault = image_fault(claimed, decided)
        assert (fault is None) == (claimed in {UNIVERSAL_IMAGE, decided})
        proof = ProofFile(claimed, by_own_image().statement, (14,))
        holds = proof_fault(proof, SPEC, RESULT, PREPARED, decided) is None
        assert holds == (claimed == decided)


def test_the_universal_image_stays_good_beside_a_modules_own() -> None:
    assert proof_fault(proof_of(RESULT), SPEC, RESULT, PREPARED, OWN) is None


def test_neither_image_may_state_what_the_other_one_does() -> None:
    """Each names the module otherwise, so that no proof passes for one by the other image."""
    own, universal = by_own_image(), proof_of(RESULT)
    for image, statement in ((OWN, universal.statement), (UNIVERSAL_IMAGE, own.statement)):
        mixed = ProofFile(image, statement, (14,))
        assert proof_fault(mixed, SPEC, RESULT, PREPARED, OWN) is not None
    # Members that lie together may call the universal image a module's: nothing is won by it.
    mixed = ProofFile(UNIVERSAL_IMAGE, own.statement, (14,))
    assert proof_fault(mixed, SPEC, RESULT, PREPARED, UNIVERSAL_IMAGE) is not None


def test_what_an_own_image_proves_is_this_module_input_and_result_alone() -> None:
    proof = by_own_image()
    for changed in (
        replace(RESULT, gas=RESULT.gas + 1),
        replace(RESULT, output=Digest(bytes(32))),
        replace(RESULT, kind=2),
        replace(RESULT, kind=3),
        replace(RESULT, output_size_bytes=0),
    ):
        assert proof_fault(proof, SPEC, changed, PREPARED, OWN) is not None
        assert proof_fault(proof, SPEC, changed, None, OWN) is not None
    other = replace(SPEC, module=Digest(bytes(32)))
    assert proof_fault(proof, other, RESULT, None, OWN) is not None
    assert proof_fault(proof, SPEC, RESULT, b"prepared otherwise", OWN) is not None


@pytest.mark.parametrize(
    "never",
    [
        replace(RESULT, kind=3),
        replace(RESULT, kind=1, reason="a reason of its own"),
        replace(RESULT, kind=1, reason="exit_code:x"),
        replace(RESULT, output_size_bytes=Bundle(size_bytes=1, items=1, root=Digest(bytes(32)))),
    ],
)
def test_some_outcomes_have_no_statement(never: Result) -> None:
    assert statement_of(SPEC, never, PREPARED) is None


def test_statements_are_those_of_the_vectors() -> None:
    cases = json.loads((VECTORS / "proofs.json").read_text())["statements"]
    assert {case["kind"] for case in cases} == {0, 1, 2}
    for case in cases:
        asked = replace(
            SPEC,
            module=Digest(bytes.fromhex(case["module"])),
            input=Digest(bytes.fromhex(case["input"])),
            gas_max=case["gas_max"],
            memory_bytes_max=case["memory_bytes_max"],
            output_bytes_max=case["output_bytes_max"],
        )
        found = replace(
            RESULT,
            kind=case["kind"],
            reason=case["reason"],
            gas=case["gas"],
            output=Digest(bytes.fromhex(case["output"])),
        )
        made = statement_of(asked, found, bytes.fromhex(case["prepared"]))
        assert made is not None
        assert made.hex() == case["statement"]
        own = own_statement_of(asked, found)
        assert own is not None
        assert own.hex() == case["own_statement"]
