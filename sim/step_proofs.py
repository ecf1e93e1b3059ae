"""Proofs of disputed stretches in simulated worlds: what one shows, its name and place tell."""

from collections.abc import Collection

from ambientd.codec.digest import tagged
from ambientd.model.base import Digest
from ambientd.model.dispute import TracePoint
from ambientd.model.effect import CheckStep, ProveStep
from ambientd.model.execution import AbortCause
from ambientd.model.proof import NO_PROOF, Finding
from ambientd.node.event import ExecutionEnded, StepChecked, StepMade
from ambientd.roles.step_prover import StepTerms
from sim.parties import true_run
from sim.proofs import CYCLES, PROOF_VICES
from sim.traces import follows
from sim.vices import Vice

STEP_TERMS = StepTerms(gas_max=50_000, wait_ms=3_000)


def step_made(effect: ProveStep, vices: Collection[Vice]) -> StepMade | ExecutionEnded:
    """Give the name of the proof that a prover makes, of a state that it was shown."""
    run, start = true_run(effect.spec), effect.start
    if start is None:
        return StepMade(effect.assignment, NO_PROOF)
    if follows(run, start, effect.until_gas) is None:
        reason, cause = "the state is not that of its root", AbortCause.NOT_FETCHED
        return ExecutionEnded(effect.assignment, effect.spec, None, reason, cause=cause)
    kind = "step"
    if Vice.FALSE_PROOF in vices:
        kind = "false-step"
    elif Vice.HIDDEN_PROOF in vices:
        kind = "hidden-step"
    return StepMade(effect.assignment, _named(kind, start.point, effect.until_gas))


def step_judged(effect: CheckStep, vices: Collection[Vice]) -> StepChecked:
    """Give what a member finds of a proof, and where the stretch leads, or the contrary."""
    run, place = true_run(effect.spec), effect.assignment
    finding = Finding.WRONG
    if effect.proof == _named("hidden-step", effect.start, effect.until_gas):
        finding = Finding.MISSING
    elif effect.proof == _named("step", effect.start, effect.until_gas):
        finding = Finding.HOLDS
    end = follows(run, run.known(effect.start), effect.until_gas)
    if set(vices) & set(PROOF_VICES):
        finding = Finding.WRONG if finding is Finding.HOLDS else Finding.HOLDS
        end = TracePoint(gas_index=effect.until_gas, root=tagged("sim/no-end/1", effect.proof))
    if finding is not Finding.HOLDS:
        return StepChecked(place, finding)
    return StepChecked(place, finding, CYCLES, end)


def _named(kind: str, start: TracePoint, until_gas: int) -> Digest:
    return Digest(tagged(f"sim/{kind}/1", start.root, until_gas.to_bytes(8, "big")))
