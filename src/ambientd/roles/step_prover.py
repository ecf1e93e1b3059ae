"""Step prover: a node that promises to prove the stretch which a dispute leaves, and proves it.

What it owes follows from the ledger alone (protocols/18 §11):  a game is played: LOOKING, whether
its module can be proven at all ─► PROMISING ─► in the log ─► the stretch is known: PROVING ─►
NAMING ─► in the log. What cannot be proven here is given up at once: that costs no more than the
promise did, and being late does.
"""

from dataclasses import dataclass, replace

from ambientd.ledger.dispute_entries import DisputeState, Game
from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.events import (
    LedgerEvent,
    PartySpoke,
    RoundBegan,
    SegmentReached,
    StepGivenUp,
    StepPromised,
    StepShown,
    TaskClosed,
    WholeWanted,
)
from ambientd.ledger.proof_entries import StepState
from ambientd.ledger.state import LedgerState
from ambientd.ledger.step_rows import comes_late
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import BEGINNING, KnownState
from ambientd.model.effect import Abandon, Assignment, Propose, ProveStep, Purpose, RoleEffect
from ambientd.model.execution import AbortCause
from ambientd.model.proof import NO_PROOF, PROVER_LABEL, STEP_FEE_MSAT, STEP_WAITS_MAX
from ambientd.model.record import StepPromise, StepProof
from ambientd.rules.executions import is_foreign
from ambientd.rules.labels import value_of

INSIST_MS = 3_000
TRIES_MAX = 2
"""Both parties show the state at which a stretch begins, and one of them may show a false one."""


@dataclass(frozen=True, slots=True)
class StepTerms:
    """How long a stretch this node proves, and how long that may take; 0: none."""

    gas_max: int = 0
    wait_ms: int = 0


NO_STEPS = StepTerms()


@dataclass(frozen=True, slots=True)
class Work:
    """One promise, or the proof that was promised; `due_ms` is when it is said again.

    What cannot be proven is `hopeless`: it is remembered while its game lasts, and nothing is said.
    """

    place: Assignment
    is_promise: bool
    hopeless: bool = False
    wait_ms: int = 0
    said: StepPromise | StepProof | None = None
    due_ms: int | None = None
    tries: int = 0


class StepProver:
    """One node's part in proving what is disputed."""

    def __init__(self, self_id: NodeId, terms: StepTerms) -> None:
        self._id = self_id
        self._terms = terms
        self._works: dict[TaskId, Work] = {}

    @property
    def next_deadline(self) -> int | None:
        """Give when something is said again."""
        due = (work.due_ms for work in self._works.values() if work.due_ms is not None)
        return min(due, default=None)

    def resume(self, state: LedgerState) -> list[RoleEffect]:
        """Take up what was promised, and games without a promise."""
        tasks = [*self._works, *(task for task, _ in state.open_tasks())]
        return [effect for task in dict.fromkeys(tasks) for effect in self._look(task, state)]

    def on_ledger(self, event: LedgerEvent, state: LedgerState) -> list[RoleEffect]:
        """Follow the games that are played."""
        match event:
            case (
                RoundBegan(task=task)
                | PartySpoke(task=task)
                | SegmentReached(task=task)
                | WholeWanted(task=task)
                | StepPromised(task=task)
                | StepShown(task=task)
                | StepGivenUp(task=task)
                | TaskClosed(task=task)
            ):
                return self._look(task, state)
            case _:
                return []

    def on_made(self, place: Assignment, proof: Digest, now: int) -> list[RoleEffect]:
        """Name a proof, or promise one of what can be proven; again until the ledger has it."""
        work = self._works.get(place.task)
        if work is None or work.place != place or work.said is not None or work.hopeless:
            return []
        return self._promise(work, now) if work.is_promise else self._say(work, proof, now)

    def on_aborted(
        self, place: Assignment, cause: AbortCause, state: LedgerState, now: int
    ) -> list[RoleEffect]:
        """Try the state that the other party shows, once; say that there is no proof, else."""
        work = self._works.get(place.task)
        if work is None or work.place != place or work.said is not None or work.hopeless:
            return []
        if work.is_promise:
            self._works[place.task] = replace(work, hopeless=True)
            return []
        work = replace(work, tries=work.tries + 1)
        self._works[place.task] = work
        if cause is AbortCause.NOT_FETCHED and work.tries < TRIES_MAX:
            return self._prove(work, state)
        return self._say(work, NO_PROOF, now)

    def on_tick(self, state: LedgerState, now: int) -> list[RoleEffect]:
        """Say again what the ledger does not show yet."""
        effects: list[RoleEffect] = []
        for task, work in list(self._works.items()):
            if work.due_ms is None or now < work.due_ms:
                continue
            effects += self._look(task, state)
            if self._works.get(task) is work and work.said is not None:
                self._works[task] = replace(work, due_ms=now + INSIST_MS)
                effects.append(Propose(work.said))
        return effects

    def _look(self, task: TaskId, state: LedgerState) -> list[RoleEffect]:
        """Take up what is to be promised or proven, and drop what is not any more."""
        known = self._works.get(task)
        game = self._proves(task, state)
        is_promise = game is None
        if game is None:
            game = self._promises(task, state)
        place = None
        if game is not None:
            place = Assignment(Purpose.STEP_PROOF, task, game.number, 0 if is_promise else 1)
        if known is not None and known.place == place:
            return []
        effects: list[RoleEffect] = []
        if known is not None:
            del self._works[task]
            if known.said is None:
                effects.append(Abandon(known.place))
        if place is None:
            return effects
        wait_ms = min(self._terms.wait_ms, STEP_WAITS_MAX * state.genesis.rules.dispute_ms)
        work = Work(place, is_promise, wait_ms=wait_ms)
        self._works[task] = work
        if not is_promise:
            return [*effects, *self._prove(work, state)]
        entry = state.task(task)
        assert entry is not None, "a game is about a task"
        look = ProveStep(place, entry.spec, _holders(entry), None, 0, entry.seed_task)
        return [*effects, look]

    def _promise(self, work: Work, now: int) -> list[RoleEffect]:
        said = StepPromise(
            task=work.place.task,
            game=work.place.slot,
            gas_max=self._terms.gas_max,
            wait_ms=work.wait_ms,
        )
        self._works[work.place.task] = replace(work, said=said, due_ms=now + INSIST_MS)
        return [Propose(said)]

    def _promises(self, task: TaskId, state: LedgerState) -> Game | None:
        """Give the game that this node can promise a proof for: one at a time, so it has time."""
        entry, row, node = state.task(task), state.dispute(task), state.node(self._id)
        if not self._terms.gas_max or entry is None or row is None or row.game is None:
            return None
        if row.state is not DisputeState.TRACING or state.step(task) is not None:
            return None
        if node is None or node.tombstoned or not value_of(node.profile, 0, PROVER_LABEL):
            return None
        if state.balance_msat(self._id) < STEP_FEE_MSAT or any(
            other != task and not work.hopeless for other, work in self._works.items()
        ):
            return None
        if comes_late(self._terms.gas_max, row.game):
            return None
        if is_foreign(signed.receipt.result for signed in entry.receipts):
            return None  # of that version there is no pausable module here
        return row.game

    def _proves(self, task: TaskId, state: LedgerState) -> Game | None:
        """Give the game whose stretch this node has promised to prove, once it is known."""
        step, row = state.step(task), state.dispute(task)
        if step is None or step.prover != self._id or step.state is not StepState.PROMISED:
            return None
        if row is None or row.game is None or row.state is not DisputeState.SEGMENT:
            return None
        return row.game if row.game.low != BEGINNING else None

    def _prove(self, work: Work, state: LedgerState) -> list[RoleEffect]:
        entry, game = state.task(work.place.task), self._proves(work.place.task, state)
        assert entry is not None, "a game is about a task"
        if game is None:
            return []
        shown = [trace for trace in game.traces if trace is not None]
        trace = shown[work.tries % len(shown)]
        start = KnownState(
            point=game.low, state=trace.state, state_size_bytes=trace.state_size_bytes
        )
        place, spec, holders = work.place, entry.spec, _holders(entry)
        return [ProveStep(place, spec, holders, start, game.until_gas, entry.seed_task)]

    def _say(self, work: Work, proof: Digest, now: int) -> list[RoleEffect]:
        said = StepProof(task=work.place.task, game=work.place.slot, proof=proof)
        self._works[work.place.task] = replace(work, said=said, due_ms=now + INSIST_MS)
        return [Propose(said)]


def _holders(entry: TaskEntry) -> tuple[NodeId, ...]:
    """Give who has a task's module and input."""
    workers = (slot.worker for slot in entry.slots if slot.worker)
    return (entry.submitter, *sorted(entry.barred), *workers)
