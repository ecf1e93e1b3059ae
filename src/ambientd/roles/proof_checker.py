"""Proof checker: a committee member that verifies the proof which an opened answer names (18 §9).

What it owes follows from the ledger alone:  CHECKING -> FOUND -> in the log. A proof that cannot be
had is asked for again, until half of the time for it is over.
"""

from dataclasses import dataclass, replace

from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_proof_word
from ambientd.ledger.events import (
    EpochBegan,
    LedgerEvent,
    ProofSpoke,
    SlotReleased,
    SlotRevealed,
    TaskClosed,
)
from ambientd.ledger.images import doubted_image, own_image
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.effect import Abandon, Assignment, CheckProof, Propose, Purpose, RoleEffect
from ambientd.model.proof import Finding
from ambientd.model.record import ProofFound
from ambientd.rules.executions import is_foreign

RETRY_MS = 2_000
INSIST_MS = 5_000


@dataclass(frozen=True, slots=True)
class Work:
    """One word that this member owes; `due_ms` is when it is tried or said again."""

    place: Assignment
    word: ProofFound | None = None
    due_ms: int | None = None


class ProofChecker:
    """One member's part in judging proofs."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._id = NodeId(signer.public_key)
        self._works: dict[TaskId, Work] = {}

    @property
    def next_deadline(self) -> int | None:
        """Give when something is tried or said again."""
        due = (work.due_ms for work in self._works.values() if work.due_ms is not None)
        return min(due, default=None)

    def resume(self, state: LedgerState) -> list[RoleEffect]:
        """Take up the proofs that wait for this member's word."""
        tasks = [*self._works, *(task for task, _ in state.open_tasks())]
        return [effect for task in dict.fromkeys(tasks) for effect in self._look(task, state)]

    def on_ledger(self, event: LedgerEvent, state: LedgerState) -> list[RoleEffect]:
        """Begin when an answer is opened, end when it is judged; a committee's end changes who."""
        match event:
            case EpochBegan():
                return self.resume(state)
            case (
                SlotRevealed(task=task)
                | SlotReleased(task=task)
                | ProofSpoke(task=task)
                | TaskClosed(task=task)
            ):
                return self._look(task, state)
            case _:
                return []

    def on_checked(
        self, place: Assignment, finding: Finding, cycles: int, state: LedgerState, now: int
    ) -> list[RoleEffect]:
        """Sign and propose what was found, and again until the ledger has it."""
        work = self._works.get(place.task)
        entry = state.task(place.task)
        if work is None or work.place != place or work.word is not None or entry is None:
            return []
        if finding is Finding.MISSING and not self._is_late(place.task, state):
            self._works[place.task] = replace(work, due_ms=now + RETRY_MS)
            return []
        proof = entry.receipts[0].receipt.nonce
        word = sign_proof_word(self._signer, place.task, place.attempt, proof, finding, cycles)
        said = ProofFound(word=word)
        self._works[place.task] = replace(work, word=said, due_ms=now + INSIST_MS)
        return [Propose(said)]

    def on_aborted(self, place: Assignment, now: int) -> None:
        """Try again later what this host could not do."""
        work = self._works.get(place.task)
        if work is not None and work.place == place and work.word is None:
            self._works[place.task] = replace(work, due_ms=now + RETRY_MS)

    def on_tick(self, state: LedgerState, now: int) -> list[RoleEffect]:
        """Begin again what is due, and say again what the ledger does not show yet."""
        effects: list[RoleEffect] = []
        for task, work in list(self._works.items()):
            if work.due_ms is None or now < work.due_ms:
                continue
            if work.word is None:
                effects += self._begin(work.place, state)
            else:
                self._works[task] = replace(work, due_ms=now + INSIST_MS)
                effects.append(Propose(work.word))
        return effects

    def _look(self, task: TaskId, state: LedgerState) -> list[RoleEffect]:
        """Take up what the ledger wants of this member, and drop what it does not."""
        place, work = self._owed(task, state), self._works.get(task)
        if work is not None and work.place == place:
            return []
        effects: list[RoleEffect] = []
        if work is not None:
            del self._works[task]
            if work.word is None:
                effects.append(Abandon(work.place))
        return effects if place is None else [*effects, *self._begin(place, state)]

    def _owed(self, task: TaskId, state: LedgerState) -> Assignment | None:
        """Give the check that this member owes; None when it owes none."""
        entry, row = state.task(task), state.proof(task)
        if self._id not in state.members or entry is None or row is None:
            return None
        if any(word.referee == self._id for word in row.words):
            return None
        if is_foreign(signed.receipt.result for signed in entry.receipts):
            return None  # nobody is to be convicted by the rules of another version
        slot = entry.slots[0]
        return Assignment(Purpose.PROOF, task, slot.slot, slot.attempt)

    def _begin(self, place: Assignment, state: LedgerState) -> list[RoleEffect]:
        entry = state.task(place.task)
        assert entry is not None, "what is owed is owed on a task"
        self._works[place.task] = Work(place)
        receipt = entry.receipts[0].receipt
        holders = (receipt.worker, entry.submitter)
        images = own_image(state, entry.spec.module), doubted_image(state, entry.spec.module)
        return [CheckProof(place, entry.spec, holders, receipt.result, receipt.nonce, *images)]

    def _is_late(self, task: TaskId, state: LedgerState) -> bool:
        """Tell whether half of the time that members have for a proof is over."""
        entry = state.task(task)
        left_ms = 0 if entry is None else entry.deadline_ms - state.meta.running_ms
        return 2 * left_ms <= state.genesis.rules.dispute_ms
