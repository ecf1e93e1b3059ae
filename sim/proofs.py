"""Proven tasks in simulated worlds: what a proof is there, who makes false ones, and who judges."""

from collections.abc import Collection

from msgspec.structs import replace

from ambientd.codec.digest import tagged
from ambientd.codec.statements import result_root
from ambientd.model.base import Digest
from ambientd.model.effect import Assignment, CheckProof
from ambientd.model.proof import Finding, ProofTerms
from ambientd.model.task import Result, TaskSpec
from ambientd.node.event import ProofChecked
from sim.vices import Vice, honest_answer

CYCLES = 1 << 13
TERMS = ProofTerms(cycles_max=CYCLES, price_msat_per_mcycle=50_000)
PROOF_VICES = (Vice.FALSE_PROOF, Vice.HIDDEN_PROOF)


def proven(spec: TaskSpec) -> TaskSpec:
    """Give a task that is to be proven."""
    return replace(spec, assurance=TERMS, replicas=1)


def made(place: Assignment, result: Result, vices: Collection[Vice]) -> Digest:
    """Give the name of the proof that a worker makes; what follows from it, its name tells."""
    kind = "proof"
    if Vice.FALSE_PROOF in vices:
        kind = "false-proof"
    elif Vice.HIDDEN_PROOF in vices:
        kind = "hidden-proof"
    return _named(kind, place, result)


def is_right(place: Assignment, spec: TaskSpec, result: Result, proof: Digest) -> bool:
    """Tell whether this is a proof of what every honest engine finds."""
    return result == honest_answer(spec) and proof == _named("proof", place, result)


def judged(effect: CheckProof, vices: Collection[Vice]) -> ProofChecked:
    """Give what a member finds of a proof, or the contrary."""
    place = effect.assignment
    finding = Finding.WRONG
    if effect.proof == _named("hidden-proof", place, effect.result):
        finding = Finding.MISSING
    elif is_right(place, effect.spec, effect.result, effect.proof):
        finding = Finding.HOLDS
    if set(vices) & set(PROOF_VICES):
        finding = Finding.WRONG if finding is Finding.HOLDS else Finding.HOLDS
    return ProofChecked(place, finding, CYCLES if finding is Finding.HOLDS else 0)


def _named(kind: str, place: Assignment, result: Result) -> Digest:
    attempt = place.attempt.to_bytes(4, "big")
    return Digest(tagged(f"sim/{kind}/1", place.task, attempt, result_root(result)))
