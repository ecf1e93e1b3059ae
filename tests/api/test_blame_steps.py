"""A proven step convicts whoever signed another end, and needs neither module nor input."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime
from msgspec.structs import replace

from ambientd.api.blame_replay import REPLAY, Replay, check_blame
from ambientd.api.blame_steps import check_blame_by_proof, step_check, words_of
from ambientd.api.module_pausing import PausingProcess
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.main import main
from ambientd.codec.canonical import decode, encode
from ambientd.errors import UsageError
from ambientd.model.base import Digest
from ambientd.model.blame import BlameFile, WrongStep
from ambientd.model.dispute import TracePoint
from ambientd.rules.steps import read_step
from tests.proofs.images import program
from tests.proofs.make_step_vectors import SOURCE, VECTORS, certificate
from tests.rules import blames

PROOF = (VECTORS / "step.proof").read_bytes()
BLAME = VECTORS / "step.blame"


@functools.cache
def blamed() -> BlameFile:
    file: BlameFile = decode(BLAME.read_bytes(), BlameFile)
    return file


def verifier() -> str:
    return str(program("ambient-verify"))


def step_of(file: BlameFile) -> WrongStep:
    assert isinstance(file.evidence, WrongStep)
    return file.evidence


def test_the_vectors_are_what_this_program_makes() -> None:
    made = certificate()
    assert encode(replace(made, module=None, input=None)) == BLAME.read_bytes()
    words = words_of(made, Replay(PausingProcess("wasmtime")))
    assert words == (VECTORS / "step.words").read_bytes()


def test_a_proof_takes_the_place_of_module_input_and_engine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    proof = ["--proof", str(VECTORS / "step.proof"), "--verifier", verifier()]
    pinned = ["--cluster", blames.CLUSTER.id.hex()]
    assert main(["blame", "verify", str(BLAME), *proof, *pinned]) == ExitCode.DONE
    told = capsys.readouterr().out
    assert "it is proven that the step leads to" in told
    assert "needed nobody's word" in told
    assert "for what the execution gives" not in told


def test_a_proof_of_what_the_culprit_said_convicts_nobody() -> None:
    step = step_of(blamed())
    right = decode(encode(step.verdicts[0].end), TracePoint)
    receipt = blames.receipt(replace(step.receipt.receipt.result, output=read_step(PROOF).output))
    check = step_check(replace(step, receipt=receipt), PROOF, verifier())
    assert not check.ok
    assert "as the blamed node said; but" in check.detail
    assert right.root.hex()[:16] in check.detail


def test_a_proof_of_what_nobody_said_convicts_nobody() -> None:
    step = step_of(blamed())
    other = TracePoint(gas_index=step.verdicts[0].end.gas_index, root=bytes(32))
    verdicts = tuple(replace(verdict, end=other) for verdict in step.verdicts)
    check = step_check(replace(step, verdicts=verdicts), PROOF, verifier())
    assert "neither said that; but" in check.detail


def test_a_lie_about_the_prepared_module_is_not_cleared_by_a_proof() -> None:
    whole = certificate()
    step = step_of(whole)
    found = replace(step.receipt.receipt.result, output=read_step(PROOF).output)
    for output in (found.output, Digest(b"\x02" * 32)):
        lie = replace(found, output=output, prepared=Digest(b"\x01" * 32))
        with blames.about(bytes(wasmtime.wat2wasm(SOURCE))):
            lied = replace(step, receipt=blames.receipt(lie))
        executed = check_blame(
            encode(replace(whole, evidence=lied)),
            blames.CLUSTER.id,
            Replay(PausingProcess("wasmtime")),
        )
        assert executed.valid, executed.checks
        check = step_check(lied, PROOF, verifier())
        assert not check.ok
        assert check.detail.endswith("check the certificate with --module and --input")


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("start", lambda at: replace(at, start=replace(at.start, root=bytes(32)))),
        ("start", lambda at: replace(at, start=replace(at.start, gas_index=1))),
        ("until_gas", lambda at: replace(at, until_gas=at.until_gas + 1)),
    ],
)
def test_a_proof_of_another_stretch_says_nothing(
    part: str, change: Callable[[object], object]
) -> None:
    step = step_of(blamed())
    changed = tuple(change(verdict) for verdict in step.verdicts)
    assert getattr(changed[0], part) != getattr(step.verdicts[0], part)
    check = step_check(replace(step, verdicts=changed), PROOF, verifier())
    assert check.detail == "the proof is of another stretch"


@pytest.mark.parametrize("at", [12, 188, 200, 10_000, len(PROOF) - 1])
def test_a_proof_with_a_byte_changed_leaves_the_certificate_unproven(at: int) -> None:
    changed = bytearray(PROOF)
    changed[at] ^= 1
    report = check_blame_by_proof(BLAME.read_bytes(), blames.CLUSTER.id, bytes(changed), verifier())
    assert not report.valid
    assert [check.name for check in report.checks if not check.ok] == [REPLAY]


def test_a_proof_of_an_execution_is_none_of_a_step() -> None:
    proof = (VECTORS / "execution.proof").read_bytes()
    check = step_check(step_of(blamed()), proof, verifier())
    assert "no proof of a step" in check.detail


def test_only_steps_from_a_state_are_written_for_the_image() -> None:
    for file in (blames.wrong_at_once(), blames.wrong_result()):
        with pytest.raises(UsageError, match="only what begins at one"):
            words_of(blames.with_blobs(file), Replay(PausingProcess("wasmtime")))
    with pytest.raises(UsageError, match="module and input are needed"):
        words_of(blamed(), Replay(PausingProcess("wasmtime")))


def test_a_proof_beside_a_certificate_of_no_step_is_a_mistake_and_no_finding() -> None:
    for file in (blames.wrong_result(), blames.contradiction("trace")):
        with pytest.raises(UsageError, match="about no step"):
            check_blame_by_proof(encode(file), blames.CLUSTER.id, PROOF, verifier())


def test_the_words_of_a_certificate_are_a_file(tmp_path: Path) -> None:
    place, made = tmp_path / "whole.blame", tmp_path / "step.words"
    place.write_bytes(encode(certificate()))
    assert main(["blame", "step", str(place), "-o", str(made)]) == ExitCode.DONE
    assert made.read_bytes() == (VECTORS / "step.words").read_bytes()
