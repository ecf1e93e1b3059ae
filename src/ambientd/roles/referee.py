"""Referee: a committee member that executes what is disputed itself and says what came out.

It executes the whole of a task, or the one stretch that its parties narrowed their dispute down
to (protocols/12). What it owes follows from the ledger alone:  EXECUTING -> FOUND -> in the log.
Where a node has promised a proof of the stretch, it waits for that, for as long as the ledger does,
and verifies it; without one, or without a verifier here, it executes (18 §11).
"""

from dataclasses import dataclass, replace
from typing import Protocol

from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_proof_word, sign_segment, sign_verdict
from ambientd.ledger.dispute_entries import DisputeState, Game
from ambientd.ledger.events import (
    EpochBegan,
    LedgerEvent,
    ProofSpoke,
    RefereeSpoke,
    RoundBegan,
    SegmentReached,
    StepGivenUp,
    StepShown,
    TaskClosed,
    TaskDisputed,
    WholeWanted,
)
from ambientd.ledger.proof_entries import StepState
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.dispute import AT_BEGINNING, BEGINNING, KnownState, TracePoint
from ambientd.model.effect import (
    Abandon,
    Assignment,
    CheckStep,
    Execute,
    Propose,
    Purpose,
    RoleEffect,
    SegmentWanted,
)
from ambientd.model.proof import Finding
from ambientd.model.record import DisputeSegment, DisputeStep, StepFound
from ambientd.model.task import Result, TaskState
from ambientd.rules.executions import is_foreign

RETRY_MS = 2_000
INSIST_MS = 5_000

Said = DisputeStep | DisputeSegment | StepFound


class Judged(Protocol):
    """What verifying a proof of a stretch came to: `node.event.StepChecked`."""

    @property
    def finding(self) -> Finding:
        """Give whether it holds."""
        ...

    @property
    def cycles(self) -> int:
        """Give its cycles; 0 unless it holds."""
        ...

    @property
    def end(self) -> TracePoint | None:
        """Give where the stretch leads, if it holds."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """One finding that this member owes; `due_ms` is when it is tried or said again."""

    place: Assignment
    finding: Said | None = None
    due_ms: int | None = None
    tries: int = 0


class Referee:
    """One member's part in the disputes."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._id = NodeId(signer.public_key)
        self._works: dict[TaskId, Work] = {}
        self._unverified: set[tuple[TaskId, int]] = set()
        """The games whose proof this host cannot verify: it executes."""

    @property
    def next_deadline(self) -> int | None:
        """Give when something is tried or said again."""
        due = (work.due_ms for work in self._works.values() if work.due_ms is not None)
        return min(due, default=None)

    def resume(self, state: LedgerState) -> list[RoleEffect]:
        """Take up the disputes that wait for this member's finding."""
        tasks = [*self._works, *(task for task, _ in state.open_tasks())]
        return [effect for task in dict.fromkeys(tasks) for effect in self._look(task, state)]

    def on_ledger(self, event: LedgerEvent, state: LedgerState) -> list[RoleEffect]:
        """Begin with a dispute, end with its decision; a committee's end changes who decides."""
        match event:
            case EpochBegan():
                return self.resume(state)
            case TaskClosed(task=task):
                self._unverified = {each for each in self._unverified if each[0] != task}
                return self._drop(task)
            case (
                TaskDisputed(task=task)
                | RoundBegan(task=task)
                | SegmentReached(task=task)
                | WholeWanted(task=task)
                | RefereeSpoke(task=task)
                | StepShown(task=task)
                | StepGivenUp(task=task)
                | ProofSpoke(task=task)
            ):
                return self._look(task, state)
            case _:
                return []

    def on_result(self, task: TaskId, result: Result, now: int) -> list[RoleEffect]:
        """Sign and propose what the whole came to, and again until the ledger has it."""
        work = self._works.get(task)
        if work is None or work.finding is not None or work.place.purpose is not Purpose.REFEREE:
            return []
        return self._found(work, DisputeStep(sign_verdict(self._signer, task, result)), now)

    def on_segment(
        self, place: Assignment, end: TracePoint, state: LedgerState, now: int
    ) -> list[RoleEffect]:
        """Sign and propose where a stretch led, and again until the ledger has it."""
        work, game = self._works.get(place.task), _game(place.task, state)
        if work is None or work.place != place or work.finding is not None or game is None:
            return []
        verdict = sign_segment(self._signer, place.task, game.number, game.low, game.until_gas, end)
        return self._found(work, DisputeSegment(verdict=verdict), now)

    def on_step(
        self, place: Assignment, judged: Judged, state: LedgerState, now: int
    ) -> list[RoleEffect]:
        """Say what was found of a proof; that it holds says where the stretch leads as well."""
        work, game = self._works.get(place.task), _game(place.task, state)
        step = state.step(place.task)
        if work is None or work.place != place or work.finding is not None:
            return []
        if game is None or step is None:
            return []
        if judged.finding is Finding.MISSING and not _is_late(place.task, state):
            self._works[place.task] = replace(work, due_ms=now + RETRY_MS)
            return []
        verdict = None
        if judged.end is not None:
            number, low, until_gas = game.number, game.low, game.until_gas
            verdict = sign_segment(self._signer, place.task, number, low, until_gas, judged.end)
        word = sign_proof_word(
            self._signer, place.task, game.number, step.proof, judged.finding, judged.cycles
        )
        return self._found(work, StepFound(word=word, verdict=verdict), now)

    def on_unverified(self, place: Assignment, state: LedgerState) -> list[RoleEffect]:
        """Execute the stretch whose proof this host could not verify."""
        work = self._works.get(place.task)
        if work is None or work.place != place or work.finding is not None:
            return []
        self._unverified.add((place.task, place.slot))
        del self._works[place.task]
        return self._look(place.task, state)

    def on_aborted(self, task: TaskId, now: int, *, declined: bool = False) -> None:
        """Try again later what this host could not do, unless its owner does not want it."""
        work = self._works.get(task)
        if work is not None and work.finding is None and not declined:
            self._works[task] = replace(work, due_ms=now + RETRY_MS)

    def on_tick(self, state: LedgerState, now: int) -> list[RoleEffect]:
        """Begin again what is due, and say again what the ledger does not show yet."""
        effects: list[RoleEffect] = []
        for task, work in list(self._works.items()):
            if work.due_ms is None or now < work.due_ms:
                continue
            effects += self._look(task, state)
            if self._works.get(task) is not work:
                continue
            if work.finding is None:
                effects += self._begin(replace(work, due_ms=None, tries=work.tries + 1), state)
            else:
                self._works[task] = replace(work, due_ms=now + INSIST_MS)
                effects.append(Propose(work.finding))
        return effects

    def _look(self, task: TaskId, state: LedgerState) -> list[RoleEffect]:
        """Take up what the ledger wants of this member in a dispute, and drop what it does not."""
        place, work = self._owed(task, state), self._works.get(task)
        if work is not None and work.place == place:
            return []
        dropped = self._drop(task)
        return dropped if place is None else [*dropped, *self._begin(Work(place), state)]

    def _drop(self, task: TaskId) -> list[RoleEffect]:
        work = self._works.pop(task, None)
        return [] if work is None or work.finding is not None else [Abandon(work.place)]

    def _owed(self, task: TaskId, state: LedgerState) -> Assignment | None:
        """Give the finding that this member owes; None when it owes none."""
        entry, row = state.task(task), state.dispute(task)
        if self._id not in state.members or entry is None:
            return None
        if entry.state is not TaskState.DISPUTED:
            return None
        if is_foreign(signed.receipt.result for signed in entry.receipts):
            return None  # nobody is to be convicted by the rules of another version
        if row is None or row.state is DisputeState.WHOLE:
            spoken = entry.has_verdict_of(self._id)
            return None if spoken else Assignment(Purpose.REFEREE, task, 0, 0)
        game = _game(task, state)
        if game is None or any(each.referee == self._id for each in game.verdicts):
            return None
        step = state.step(task)
        if step is None or step.state is StepState.OVER:
            return Assignment(Purpose.SEGMENT, task, game.number, 0)
        if step.state is StepState.PROMISED:
            return None  # the ledger ends that, whatever its prover does
        is_spoken = any(word.referee == self._id for word in step.words)
        executes = is_spoken or (task, game.number) in self._unverified
        purpose = Purpose.SEGMENT if executes else Purpose.STEP
        return Assignment(purpose, task, game.number, 0)

    def _begin(self, work: Work, state: LedgerState) -> list[RoleEffect]:
        task = work.place.task
        self._works[task] = work
        entry, game = state.task(task), _game(task, state)
        assert entry is not None, "what is owed is owed on a task"
        workers = (slot.worker for slot in entry.slots if slot.worker)
        holders = (entry.submitter, *sorted(entry.barred), *workers)
        if work.place.purpose is Purpose.REFEREE or game is None:
            return [Execute(work.place, entry.spec, holders, entry.seed_task)]
        step = state.step(task)
        if work.place.purpose is Purpose.STEP and step is not None:
            holders = (step.prover, entry.submitter)
            low, until_gas = game.low, game.until_gas
            return [CheckStep(work.place, entry.spec, holders, step.proof, low, until_gas)]
        start = _offered(game, work.tries)
        until_gas, seed_task = game.until_gas, entry.seed_task
        return [SegmentWanted(work.place, entry.spec, holders, start, until_gas, seed_task)]

    def _found(self, work: Work, finding: Said, now: int) -> list[RoleEffect]:
        self._works[work.place.task] = replace(work, finding=finding, due_ms=now + INSIST_MS)
        return [Propose(finding)]


def _game(task: TaskId, state: LedgerState) -> Game | None:
    """Give the game whose segment the referees execute now."""
    row = state.dispute(task)
    return None if row is None or row.state is not DisputeState.SEGMENT else row.game


def _is_late(task: TaskId, state: LedgerState) -> bool:
    """Tell whether half of the time that members have for a proof is over."""
    entry = state.task(task)
    left_ms = 0 if entry is None else entry.deadline_ms - state.meta.running_ms
    return 2 * left_ms <= state.genesis.rules.dispute_ms


def _offered(game: Game, tries: int) -> KnownState:
    """Give the state that one of the parties shows, in turns: one of them may show a false one."""
    if game.low == BEGINNING:
        return AT_BEGINNING
    shown = [each for each in game.traces if each is not None]
    trace = shown[tries % len(shown)]
    return KnownState(point=game.low, state=trace.state, state_size_bytes=trace.state_size_bytes)
