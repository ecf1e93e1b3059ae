"""A node's part in proofs beside its slots: what it says it proves, checks and proves."""

from ambientd.codec.signing import Signer
from ambientd.ledger.events import LedgerEvent
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import Assignment, RoleEffect
from ambientd.model.execution import AbortCause
from ambientd.model.proof import Finding
from ambientd.roles.proof_checker import ProofChecker
from ambientd.roles.prover import ProverAnnouncer
from ambientd.roles.step_prover import StepProver, StepTerms


class Proving:
    """The proof checker, the announcer and the step prover as one part of the node."""

    def __init__(self, signer: Signer, cycles_max: int, steps: StepTerms) -> None:
        self._steps = StepProver(NodeId(signer.public_key), steps)
        self._checker = ProofChecker(signer)
        self._announcer = ProverAnnouncer(NodeId(signer.public_key), cycles_max)

    def next_deadline(self, state: LedgerState) -> int | None:
        """Give when something is tried or said again."""
        due = (
            self._checker.next_deadline,
            self._announcer.next_deadline(state),
            self._steps.next_deadline,
        )
        return min((each for each in due if each is not None), default=None)

    def resume(self, state: LedgerState) -> list[RoleEffect]:
        """Take up the proofs that wait for this member's word, and those that this node owes."""
        return [*self._checker.resume(state), *self._steps.resume(state)]

    def on_ledger(self, event: LedgerEvent, state: LedgerState) -> list[RoleEffect]:
        """React to what the log has decided."""
        return [*self._checker.on_ledger(event, state), *self._steps.on_ledger(event, state)]

    def on_checked(
        self, place: Assignment, finding: Finding, cycles: int, state: LedgerState, now: int
    ) -> list[RoleEffect]:
        """Say what was found of a proof."""
        return self._checker.on_checked(place, finding, cycles, state, now)

    def on_aborted(self, place: Assignment, now: int) -> None:
        """Try again later what this host could not do."""
        self._checker.on_aborted(place, now)

    def on_step_made(self, place: Assignment, proof: Digest, now: int) -> list[RoleEffect]:
        """Name the proof of a disputed stretch."""
        return self._steps.on_made(place, proof, now)

    def on_step_aborted(
        self, place: Assignment, cause: AbortCause, state: LedgerState, now: int
    ) -> list[RoleEffect]:
        """Try a stretch once more, or give it up."""
        return self._steps.on_aborted(place, cause, state, now)

    def on_tick(self, state: LedgerState, now: int) -> list[RoleEffect]:
        """Do what is due."""
        return [
            *self._checker.on_tick(state, now),
            *self._announcer.on_tick(state, now),
            *self._steps.on_tick(state, now),
        ]
