"""Ties a proof, a module and a receipt together, offline (protocols/18 §9)."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ambientd.adapters.verifier_program import Told, ask_verifier, find_verifier
from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError, UsageError
from ambientd.model.base import Digest
from ambientd.model.blame import WrongProof
from ambientd.model.receipt import ReceiptFile
from ambientd.model.task import Verdict
from ambientd.rules.file_checks import Check
from ambientd.rules.proofs import UNIVERSAL_IMAGE, proof_fault, read_proof
from ambientd.rules.receipt_check import ReceiptReport
from ambientd.rules.receipt_trust import VERIFIED_BY_MEMBERS
from ambientd.wasm.prepare import Prepared, prepare

VERIFIER_WAIT_S = 60.0

IN_THE_CIRCUIT = (
    "RISC Zero's circuit and verifier, for the proof that was verified here, and the image that "
    "interprets modules: 97 bits as upstream conjectures, for each of its segments."
)
MODULE_LEFT = (
    "That the proof is of the task's module: give it with --module to see for yourself. All else "
    "that the receipt says of the execution is what was proven."
)


def with_proof_checked(
    report: ReceiptReport, proof: bytes, module: bytes | None, verifier: str
) -> ReceiptReport:
    """Add what is found of the proof that a receipt names; raise UsageError without verifier."""
    if report.file is None:
        return report
    fault, detail = _fault(report.file, proof, module, verifier)
    check = Check("proof", fault is None, fault or detail)
    left = [each for each in report.trust if each != VERIFIED_BY_MEMBERS]
    trust = (IN_THE_CIRCUIT, *((MODULE_LEFT,) if module is None else ()), *left)
    return replace(report, checks=(*report.checks, check), trust=trust)


def _fault(
    file: ReceiptFile, data: bytes, module: bytes | None, verifier: str
) -> tuple[str | None, str]:
    """Say what is wrong, and else what was found."""
    if file.settlement.verdict is not Verdict.PROVEN or len(file.receipts) != 1:
        return "the receipt is of no proven task", ""
    name = sha256(data)
    if name != file.receipts[0].receipt.nonce:
        return f"the receipt names another proof than this one, {name.hex()}", ""
    prepared: bytes | None = None
    if module is not None:
        if sha256(module) != file.spec.module:
            return f"the task is of another module than this one, {sha256(module).hex()}", ""
        made = prepare(module)
        if not isinstance(made, Prepared):
            return f"nobody executes this module: {made.reason}", ""
        prepared = made.module
    try:
        proof = read_proof(data)
        fault = proof_fault(proof, file.spec, file.settlement.result, prepared)
    except (RemoteProtocolError, OverflowError) as error:
        return str(error), ""
    if fault is not None:
        return fault, ""
    told = ask_of(data, UNIVERSAL_IMAGE, verifier)
    if not told.valid:
        return told.text.strip(), ""
    segments = f"{len(proof.powers)} segments, {proof.cycles} cycles"
    about = "this module" if module is not None else "some module"
    return None, f"{segments}: {about}, the task's input, outcome, gas and output"


def why_wrong(evidence: WrongProof, module: bytes | None) -> str | None:
    """Say what is wrong with a proof, nothing if it holds; None where that cannot be told here.

    Without the module a proof of another one looks right, and without the verifier each does.
    """
    result, spec = evidence.receipt.receipt.result, evidence.task.spec
    made = None if module is None else prepare(module)
    if made is not None and not isinstance(made, Prepared):
        return f"nobody executes this module: {made.reason}"
    try:
        fault = proof_fault(
            read_proof(evidence.proof), spec, result, None if made is None else made.module
        )
    except (RemoteProtocolError, OverflowError) as error:
        return str(error)
    if fault is not None:
        return fault
    try:
        told = ask_of(evidence.proof, UNIVERSAL_IMAGE, find_verifier())
    except UsageError:
        return None
    if not told.valid:
        return told.text.strip()
    return None if made is None else ""


def ask_of(data: bytes, image: Digest, verifier: str) -> Told:
    """Ask the program whether the seals of a proof of an image hold."""
    with TemporaryDirectory(prefix="ambient-proof-") as folder:
        (Path(folder) / "proof").write_bytes(data)
        command = [verifier, "proof", "--image", image.hex()]
        return ask_verifier(command, VERIFIER_WAIT_S, Path(folder))
