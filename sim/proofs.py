"""Proven tasks in simulated worlds: what a proof is there, who makes false ones, and who judges."""

from collections.abc import Collection

from msgspec.structs import replace

from ambientd.codec.digest import tagged
from ambientd.codec.statements import result_root
from ambientd.model.base import Digest
from ambientd.model.effect import Assignment, CheckProof, Execute
from ambientd.model.proof import Finding, ProofTerms
from ambientd.model.task import Result, TaskSpec
from ambientd.node.event import ExecutionEnded, ProofChecked
from ambientd.rules import proofs as rules
from ambientd.rules.images import TRANSLATION
from sim.faults import Fault
from sim.vices import Vice, honest_answer

CYCLES = 1 << 13
TERMS = ProofTerms(cycles_max=CYCLES, price_msat_per_mcycle=50_000)
PROOF_VICES = (Vice.FALSE_PROOF, Vice.HIDDEN_PROOF, Vice.FOREIGN_IMAGE)


def proof_vice(seed: int, faults: Collection[Fault]) -> Vice:
    """Give what the liars of a world do about proofs."""
    return PROOF_VICES[seed % 2 + (Fault.IMAGES in faults)]


def proven(spec: TaskSpec) -> TaskSpec:
    """Give a task that is to be proven."""
    return replace(spec, assurance=TERMS, replicas=1)


def true_image(module: bytes, translation: Digest = TRANSLATION) -> Digest:
    """Give what every honest node finds that translates a module so."""
    other = () if translation == TRANSLATION else (translation,)
    return Digest(tagged("sim/image/1", module, *other))


def false_image(module: bytes) -> Digest:
    """Give the image that liars made, and call the module's: it states what they like."""
    return Digest(tagged("sim/no-image/1", module))


def claimed(spec: TaskSpec, result: Result, vices: Collection[Vice]) -> Result:
    """Give what a worker says that a task came to: one that can prove anything says so."""
    if spec.proof is None or Vice.FOREIGN_IMAGE not in vices:
        return result
    return replace(result, gas=result.gas - 1 if result.gas > 1 else 2)


def made(effect: Execute, result: Result, vices: Collection[Vice]) -> Digest:
    """Give the name of the proof that a worker makes; what follows from it, its name tells."""
    place, module = effect.assignment, effect.spec.module
    kind = _by(effect.own_image or rules.UNIVERSAL_IMAGE)
    if Vice.FALSE_PROOF in vices:
        kind = "false-proof"
    elif Vice.HIDDEN_PROOF in vices:
        kind = "hidden-proof"
    elif Vice.FOREIGN_IMAGE in vices:
        kind = _by(false_image(module))
    return _named(kind, place, result)


def is_right(place: Assignment, spec: TaskSpec, result: Result, proof: Digest) -> bool:
    """Tell whether this is a proof of what every honest engine finds, by an image that is right."""
    image = image_of(place, spec, result, proof)
    return result == honest_answer(spec) and image not in (None, false_image(spec.module))


def image_of(place: Assignment, spec: TaskSpec, result: Result, proof: Digest) -> Digest | None:
    """Give the image that a proof names; None for no proof at all."""
    known = (rules.UNIVERSAL_IMAGE, true_image(spec.module), false_image(spec.module))
    return next((image for image in known if proof == _named(_by(image), place, result)), None)


def judged(effect: CheckProof, vices: Collection[Vice]) -> ProofChecked | ExecutionEnded:
    """Give what a member finds of a proof, or the contrary; nothing by an image that is doubted."""
    place = effect.assignment
    image = image_of(place, effect.spec, effect.result, effect.proof)
    is_liar = bool(set(vices) & set(PROOF_VICES))
    if image is not None and image == effect.doubted_image and not is_liar:
        return ExecutionEnded(place, effect.spec, None, "too few stand by its image")
    finding = Finding.WRONG
    if effect.proof == _named("hidden-proof", place, effect.result):
        finding = Finding.MISSING
    elif image is not None and rules.image_fault(image, effect.own_image) is None:
        is_shown = image == false_image(effect.spec.module)
        is_so = is_shown or effect.result == honest_answer(effect.spec)
        finding = Finding.HOLDS if is_so else Finding.WRONG
    if is_liar:
        finding = Finding.WRONG if finding is Finding.HOLDS else Finding.HOLDS
    return ProofChecked(place, finding, CYCLES if finding is Finding.HOLDS else 0)


def _by(image: Digest) -> str:
    """Give the kind of a proof by an image; its seals hold."""
    return "proof" if image == rules.UNIVERSAL_IMAGE else f"proof-by-{image.hex()}"


def _named(kind: str, place: Assignment, result: Result) -> Digest:
    attempt = place.attempt.to_bytes(4, "big")
    return Digest(tagged(f"sim/{kind}/1", place.task, attempt, result_root(result)))
