"""Ties a proof, a module and a receipt together, offline (protocols/18 §9)."""

from dataclasses import dataclass, replace
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
from ambientd.rules.proofs import UNIVERSAL_IMAGE, image_fault, proof_fault, read_proof
from ambientd.rules.receipt_check import ReceiptReport
from ambientd.rules.receipt_trust import VERIFIED_BY_MEMBERS
from ambientd.wasm.prepare import Prepared, prepare

VERIFIER_WAIT_S = 60.0

_CIRCUIT = "RISC Zero's circuit and verifier, for the proof that was verified here"
_BITS = "97 bits as upstream conjectures, for each of its segments."
IN_THE_CIRCUIT = f"{_CIRCUIT}, and the image that interprets modules: {_BITS}"
TRANSLATED = f"{_CIRCUIT}, and the translation of modules into images: {_BITS}"
BY_YOURSELF = "Yourself, who named the image that the module becomes."
WHOSE_IMAGE = (
    "if it is the module's own, say whose word that is: --images FILE, as `ambientctl image show "
    "MODULE -o FILE` writes it, or --image with the one that you made of the module yourself"
)
MODULE_LEFT = (
    "That the proof is of the task's module: give it with --module to see for yourself. All else "
    "that the receipt says of the execution is what was proven."
)


@dataclass(frozen=True, slots=True)
class OwnImage:
    """What the task's module becomes, and whose word that is."""

    image: Digest
    trust: str = BY_YOURSELF


@dataclass(frozen=True, slots=True)
class _Found:
    """What came of a proof, and what is left to be trusted where it holds."""

    ok: bool
    detail: str
    trust: tuple[str, ...] = ()


def with_proof_checked(
    report: ReceiptReport,
    proof: bytes,
    module: bytes | None,
    verifier: str,
    own: OwnImage | None = None,
) -> ReceiptReport:
    """Add what is found of the proof that a receipt names; raise UsageError without verifier."""
    if report.file is None:
        return report
    found = _found(report.file, proof, module, verifier, own)
    left = [each for each in report.trust if each != VERIFIED_BY_MEMBERS]
    check = Check("proof", found.ok, found.detail)
    return replace(report, checks=(*report.checks, check), trust=(*found.trust, *left))


def _found(
    file: ReceiptFile, data: bytes, module: bytes | None, verifier: str, own: OwnImage | None
) -> _Found:
    if file.settlement.verdict is not Verdict.PROVEN or len(file.receipts) != 1:
        return _Found(False, "the receipt is of no proven task")
    name = sha256(data)
    if name != file.receipts[0].receipt.nonce:
        return _Found(False, f"the receipt names another proof than this one, {name.hex()}")
    prepared: bytes | None = None
    if module is not None:
        if sha256(module) != file.spec.module:
            text = f"the task is of another module than this one, {sha256(module).hex()}"
            return _Found(False, text)
        made = prepare(module)
        if not isinstance(made, Prepared):
            return _Found(False, f"nobody executes this module: {made.reason}")
        prepared = made.module
    own_image = None if own is None else own.image
    try:
        proof = read_proof(data)
        fault = proof_fault(proof, file.spec, file.settlement.result, prepared, own_image)
    except (RemoteProtocolError, OverflowError) as error:
        return _Found(False, str(error))
    if fault is not None:
        is_open = own is None and image_fault(proof.image, own_image) is not None
        return _Found(False, f"{fault}; {WHOSE_IMAGE}" if is_open else fault)
    told = ask_of(data, proof.image, verifier)
    if not told.valid:
        return _Found(False, told.text.strip())
    segments = f"{len(proof.powers)} segments, {proof.cycles} cycles"
    if proof.image != UNIVERSAL_IMAGE and own is not None:
        detail = f"{segments}, by the image {proof.image.hex()}: this module"
        left: tuple[str, ...] = (TRANSLATED, own.trust)
    else:
        detail = f"{segments}: {'some' if module is None else 'this'} module"
        left = (IN_THE_CIRCUIT, *((MODULE_LEFT,) if module is None else ()))
    return _Found(True, f"{detail}, the task's input, outcome, gas and output", left)


def why_wrong(
    evidence: WrongProof, module: bytes | None, own_image: Digest | None = None
) -> str | None:
    """Say what is wrong with a proof, nothing if it holds; None where that cannot be told here.

    Without the module a proof of another one looks right, and without the verifier each does. So
    does one by an image that its prover called the module's, unless members say that another is;
    where they say that this one is, they may have said so later than they judged the proof.
    """
    result, spec = evidence.receipt.receipt.result, evidence.task.spec
    made = None if module is None else prepare(module)
    if made is not None and not isinstance(made, Prepared):
        return f"nobody executes this module: {made.reason}"
    try:
        proof = read_proof(evidence.proof)
        prepared = None if made is None else made.module
        fault = proof_fault(proof, spec, result, prepared, own_image or proof.image)
    except (RemoteProtocolError, OverflowError) as error:
        return str(error)
    if fault is not None:
        return fault
    try:
        told = ask_of(evidence.proof, proof.image, find_verifier())
    except UsageError:
        return None
    if not told.valid:
        return told.text.strip()
    return None if made is None or proof.image != UNIVERSAL_IMAGE else ""


def ask_of(data: bytes, image: Digest, verifier: str) -> Told:
    """Ask the program whether the seals of a proof of an image hold."""
    with TemporaryDirectory(prefix="ambient-proof-") as folder:
        (Path(folder) / "proof").write_bytes(data)
        command = [verifier, "proof", "--image", image.hex()]
        return ask_verifier(command, VERIFIER_WAIT_S, Path(folder))
