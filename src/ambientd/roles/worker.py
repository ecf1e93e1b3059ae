"""Worker: execute what the ledger assigns, seal the answer, open it when all have sealed.

State of one slot:  EXECUTING -> SEALED -> OPENED; a slot that the ledger takes away is dropped.
OPENED -> SHOWN where the log has the answer, and members check its proof.
While the node is to take no work, what the log assigns it all the same is UNWANTED, as is
at any time what asks for more than the owner allows: the log would let it lie here for its lease.
EXECUTING -> LEAVING -> UNWANTED, with a last mark, where states may be handed on (03 §12).
An answer travels to the coordinator; when it stays out of the log, the worker proposes it itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol

from ambientd.codec.canonical import encode
from ambientd.codec.digest import tagged
from ambientd.codec.signing import Signer
from ambientd.codec.statements import mark_hash, sign_answers, sign_mark, spec_hash
from ambientd.ledger.entries import Slot, TaskEntry
from ambientd.ledger.events import (
    LedgerEvent,
    SlotAssigned,
    SlotReleased,
    SlotRevealed,
    TaskClosed,
    TaskCommitted,
)
from ambientd.ledger.images import doubted_image, own_image
from ambientd.ledger.marks import all_keepers_of
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.bundle import size_of
from ambientd.model.dispute import KnownState
from ambientd.model.effect import (
    Abandon,
    Assignment,
    Execute,
    ExecutionReport,
    LeaveOff,
    PersistMark,
    Propose,
    Purpose,
    RoleEffect,
    SendJob,
    SendParcel,
)
from ambientd.model.execution import AbortCause
from ambientd.model.mark import FROM_BEGINNING, GoneOn, Mark
from ambientd.model.message import PARCEL_BYTES_MAX, AbortSent, CommitSent, RevealSent
from ambientd.model.offer import SlotName, Wish
from ambientd.model.receipt import Receipt, SignedReceipt
from ambientd.model.record import Commits, Marked, Settle
from ambientd.model.task import Commit, SlotState, TaskSpec, TaskState
from ambientd.rules.marks import is_worth_keeping, starts, stood_on

RESEND_MS = 500
SENDS_BEFORE_PROPOSING = 3
ABORTED_RETRY_MS = 2_000
NOT_PROVABLE_RETRY_MS = 600_000
"""What cannot be proven here now will hardly be soon; the lease ends, or its submitter cancels."""

OWED = frozenset({SlotState.ASSIGNED, SlotState.COMMITTED})


class Phase(Enum):
    """How far this node is with a slot."""

    EXECUTING = auto()
    ABORTED = auto()
    UNWANTED = auto()
    SEALED = auto()
    LEAVING = auto()
    OPENED = auto()
    SHOWN = auto()


RESTING = frozenset({Phase.EXECUTING, Phase.LEAVING, Phase.UNWANTED, Phase.SHOWN})
"""Phases in which there is nothing to send or to try again."""


UNDER_WAY = frozenset({Phase.EXECUTING, Phase.LEAVING})


class Reached(Protocol):
    """What the runtime tells of where an execution stands: `node.event.StateReached`."""

    @property
    def reached(self) -> KnownState | None:
        """Give the state, if there is a new one."""
        ...

    @property
    def start(self) -> Mark | None:
        """Give the mark that the execution went on from, if it did from one."""
        ...

    @property
    def is_last(self) -> bool:
        """Tell whether it has left off, as it was told."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """One slot that this node owes an answer for."""

    assignment: Assignment
    spec: TaskSpec
    holders: tuple[NodeId, ...]
    phase: Phase = Phase.EXECUTING
    receipt: SignedReceipt | None = None
    commit: Commit | None = None
    open_wanted: bool = False
    sends: int = 0
    due_ms: int = 0
    seed_task: TaskId | None = None
    marks: tuple[Mark, ...] = ()
    """The log's, and this node's own that may still come into it: one may go on from any."""

    keepers: tuple[NodeId, ...] = ()
    """Who may have their states besides their makers."""

    in_log: bool = False
    """Its seal is in the log from before a start: it is to be opened, whatever the owner wants."""

    own_image: Digest | None = None
    doubted_image: Digest | None = None
    """What members have found the module to become, where the execution is to be proven."""


class Worker:
    """One node's slots."""

    def __init__(self, signer: Signer, nonce_secret: bytes, said: Iterable[Mark] = ()) -> None:
        """Begin with the marks of this node that its store has: they may be in the log, or not."""
        self._said = {(mark.task, mark.slot): mark for mark in said}
        self._signer = signer
        self._id = NodeId(signer.public_key)
        self._nonce_secret = nonce_secret
        self._works: dict[tuple[TaskId, int], Work] = {}
        self._unsigned: list[Receipt] = []
        self._coordinator: NodeId | None = None
        self._is_closed = False

    @property
    def busy(self) -> int:
        """Count the slots in hand."""
        return len(self._works)

    @property
    def tasks(self) -> frozenset[TaskId]:
        """Give the tasks of the slots in hand."""
        return frozenset(task for task, _ in self._works)

    @property
    def said(self) -> tuple[Mark, ...]:
        """Give this node's last mark of each slot in hand, whether the log has it or not."""
        return tuple(self._said.values())

    @property
    def next_deadline(self) -> int | None:
        """Give when something is sent or tried again."""
        works = self._works.values()
        return min((w.due_ms for w in works if w.phase not in RESTING), default=None)

    @property
    def unwanted(self) -> tuple[SlotName, ...]:
        """Give the slots that the owner wants handed back."""
        places = [w.assignment for w in self._works.values() if w.phase is Phase.UNWANTED]
        return tuple(
            SlotName(task=place.task, slot=place.slot, attempt=place.attempt) for place in places
        )

    def on_wish(self, wish: Wish, kept: frozenset[TaskId] = frozenset()) -> list[RoleEffect]:
        """Take work or take none, as is wished; what is sealed is opened either way.

        What runs of the tasks that are `kept` goes on, also where all else stops.
        """
        self._is_closed = bool(wish.closed)
        effects: list[RoleEffect] = []
        for key, work in self._works.items():
            if work.in_log:
                continue
            if not wish.closed and work.phase is Phase.UNWANTED:
                self._works[key] = replace(work, phase=Phase.EXECUTING)
                effects.append(_execute(work))
            elif wish.closed and work.phase is Phase.ABORTED:
                self._works[key] = replace(work, phase=Phase.UNWANTED)
            elif key[0] in kept:
                continue
            elif wish.closed and wish.stops and work.phase is Phase.EXECUTING:
                if work.spec.marks_max:
                    # What it has done so far is the next worker's, once its mark is on its way.
                    self._works[key] = replace(work, phase=Phase.LEAVING)
                    effects.append(LeaveOff(work.assignment))
                    continue
                self._works[key] = replace(work, phase=Phase.UNWANTED)
                effects.append(Abandon(work.assignment))
        return effects

    def resume(self, state: LedgerState, now: int) -> list[RoleEffect]:
        """Take up the slots that the ledger says are ours, and go on with what is in hand of them.

        What it no longer says is let go: after a leap nobody tells how a task in hand has ended.
        """
        owed = {
            (task, slot.slot): (slot, entry)
            for task, entry in state.open_tasks()
            for slot in entry.slots
            if slot.worker == self._id and slot.state in OWED
        }
        attempts = {key: slot.attempt for key, (slot, _) in owed.items()}
        works = self._works.items()
        effects = self._drop([k for k, work in works if attempts.get(k) != work.assignment.attempt])
        effects += self._unsay([k for k, m in self._said.items() if attempts.get(k) != m.attempt])
        for (task, number), (slot, entry) in owed.items():
            if (task, number) not in self._works:
                effects += self._begin(task, slot, entry, state, now)
        for task, entry in state.open_tasks():
            if entry.state is TaskState.COMMITTED:
                self._want_open(task)
        return effects

    def on_ledger(self, event: LedgerEvent, state: LedgerState, now: int) -> list[RoleEffect]:
        """React to what the log has decided."""
        match event:
            case SlotAssigned(task=task, slot=number, attempt=attempt, worker=worker):
                if worker == self._id:
                    entry = state.task(task)
                    slot = Slot(slot=number, attempt=attempt)
                    return [] if entry is None else self._begin(task, slot, entry, state, now)
            case SlotReleased(task=task, slot=slot, worker=worker):
                if worker == self._id:
                    return self._drop([(task, slot)])
            case SlotRevealed(task=task, slot=slot, worker=worker):
                if worker == self._id and state.proof(task) is not None:
                    self._rest(task, slot)
            case TaskCommitted(task=task):
                self._want_open(task)
                return [*self._send_due(now), *self._hand_over(task, state)]
            case TaskClosed(task=task):
                return self._drop([key for key in self._works if key[0] == task])
            case _:
                pass
        return []

    def on_coordinator(self, coordinator: NodeId, now: int) -> list[RoleEffect]:
        """Tell a new coordinator what the one before may have lost."""
        self._coordinator = coordinator
        for key, work in self._works.items():
            if work.receipt is not None:
                self._works[key] = replace(work, due_ms=now)
        return self._send_due(now)

    def on_report(self, place: Assignment, report: ExecutionReport, telemetry: Digest) -> None:
        """Take a finished execution; `seal` signs it, together with others that end just now."""
        work = self._works.get((place.task, place.slot))
        if work is None or work.assignment != place or work.phase not in UNDER_WAY:
            return
        if work.spec.proof is not None and report.proof is None:
            return
        nonce = report.proof or tagged(
            "ambient/nonce/1", self._nonce_secret, place.task, encode((place.slot, place.attempt))
        )
        marks = stood_on(report.start, work.marks, place.attempt)
        receipt = Receipt(
            task=place.task,
            slot=place.slot,
            attempt=place.attempt,
            worker=self._id,
            spec=spec_hash(work.spec),
            module=work.spec.module,
            input=work.spec.input,
            result=report.result,
            engine=report.engine,
            engine_version=report.engine_version,
            nonce=Digest(nonce),
            started_ms=GoneOn(report.started_ms, marks) if marks else report.started_ms,
            finished_ms=report.finished_ms,
            telemetry=telemetry,
            energy_mj=report.energy_mj,
            energy_source=report.energy_source,
        )
        self._unsigned.append(receipt)

    def on_state(self, place: Assignment, reached: Reached, state: LedgerState) -> list[RoleEffect]:
        """Sign where an execution stands, for who has the slot next; hand back what left off."""
        work = self._works.get((place.task, place.slot))
        if work is None or work.assignment != place or work.phase not in UNDER_WAY:
            return []
        if reached.is_last:
            self._works[place.task, place.slot] = replace(work, phase=Phase.UNWANTED)
        seen, had = reached.reached, len(state.marks(place.task).marks)
        if seen is None or had >= work.spec.marks_max:
            return []
        if not is_worth_keeping(seen.state_size_bytes, work.spec):
            return []
        path = stood_on(reached.start, work.marks, place.attempt)
        follows = mark_hash(path[-1]) if path else FROM_BEGINNING
        unsigned = Mark(
            task=place.task,
            slot=place.slot,
            attempt=place.attempt,
            worker=self._id,
            point=seen.point,
            state=seen.state,
            state_size_bytes=seen.state_size_bytes,
            follows=follows,
            signature=b"",
        )
        mark = sign_mark(self._signer, unsigned)
        work = self._works[place.task, place.slot]
        self._works[place.task, place.slot] = replace(work, marks=(*work.marks, mark))
        self._said[place.task, place.slot] = mark
        return [PersistMark(place.task, place.slot, mark), Propose(Marked(mark=mark))]

    def seal(self, now: int) -> list[RoleEffect]:
        """Sign what was reported, all at once, and send the seals."""
        if not self._unsigned:
            return []
        reported, self._unsigned = self._unsigned, []
        wanted = {(each.task, each.slot): each for each in reported if self._is_wanted(each)}
        for signed, commit in sign_answers(self._signer, list(wanted.values())):
            key = (signed.receipt.task, signed.receipt.slot)
            work = self._works[key]
            phase = Phase.OPENED if work.open_wanted else Phase.SEALED
            self._works[key] = replace(
                work, phase=phase, receipt=signed, commit=commit, sends=0, due_ms=now
            )
        return self._send_due(now)

    def _is_wanted(self, receipt: Receipt) -> bool:
        """Tell whether a slot is still held, in this attempt, and its answer not signed yet."""
        work = self._works.get((receipt.task, receipt.slot))
        is_held = work is not None and work.assignment.attempt == receipt.attempt
        return is_held and work is not None and work.phase in UNDER_WAY

    def on_aborted(
        self, assignment: Assignment, cause: AbortCause, now: int, *, declined: bool = False
    ) -> list[RoleEffect]:
        """Tell the submitter why, and try again later; hand back what the owner never allows."""
        key = (assignment.task, assignment.slot)
        work = self._works.get(key)
        if work is None or work.assignment != assignment:
            return []
        if declined and work.in_log:
            del self._works[key]
        elif declined or (self._is_closed and not work.in_log):
            self._works[key] = replace(work, phase=Phase.UNWANTED)
        else:
            is_lasting = cause is AbortCause.NOT_PROVABLE
            wait_ms = NOT_PROVABLE_RETRY_MS if is_lasting else ABORTED_RETRY_MS
            self._works[key] = replace(work, phase=Phase.ABORTED, due_ms=now + wait_ms)
        task, slot, attempt = assignment.task, assignment.slot, assignment.attempt
        told = AbortSent(task=task, slot=slot, attempt=attempt, cause=int(cause))
        return [SendJob(work.holders[0], told)]

    def on_tick(self, now: int) -> list[RoleEffect]:
        """Send again what the log does not show yet."""
        return self._send_due(now)

    def _begin(
        self, task: TaskId, slot: Slot, entry: TaskEntry, state: LedgerState, now: int
    ) -> list[RoleEffect]:
        place = Assignment(Purpose.SLOT, task, slot.slot, slot.attempt)
        # Who answered first may have module and input when the submitter has gone.
        holders = (entry.submitter, *sorted(entry.barred))
        in_log = slot.state is SlotState.COMMITTED
        work = Work(
            place, entry.spec, holders, due_ms=now, seed_task=entry.seed_task, in_log=in_log
        )
        if self._is_closed and not in_log:
            work = replace(work, phase=Phase.UNWANTED)
        known = state.marks(task).marks
        if entry.spec.proof is not None:
            image = own_image(state, entry.spec.module)
            doubted = doubted_image(state, entry.spec.module)
            if in_log and image is None:  # what is sealed stays so, whoever stands by it by now
                image = doubted
            work = replace(work, own_image=image, doubted_image=doubted)
        said = self._said.get((task, slot.slot))
        again: list[RoleEffect] = []
        if said is not None and said.attempt == slot.attempt and said not in known:
            # Said before a start; it may come into the log at any time, and shall.
            known = (*known, said)
            again = [] if in_log else [Propose(Marked(mark=said))]
        if known:
            work = replace(work, marks=known, keepers=all_keepers_of(task, state))
        self._works[task, slot.slot] = work
        if work.phase is Phase.UNWANTED:
            return again
        return [*again, _execute(work)]

    def _want_open(self, task: TaskId) -> None:
        for key, work in self._works.items():
            if key[0] == task:
                opened = work.phase is Phase.SEALED
                self._works[key] = replace(
                    work,
                    open_wanted=True,
                    phase=Phase.OPENED if opened else work.phase,
                    sends=0 if opened else work.sends,
                    due_ms=0 if opened else work.due_ms,
                )

    def _rest(self, task: TaskId, slot: int) -> None:
        """Wait for what the members find of the proof; the log has all that they need."""
        work = self._works.get((task, slot))
        if work is not None:
            self._works[task, slot] = replace(work, phase=Phase.SHOWN)

    def _hand_over(self, task: TaskId, state: LedgerState) -> list[RoleEffect]:
        """Send a small output to the submitter beside the opened answer; one worker is enough."""
        entry = state.task(task)
        work = None if entry is None else self._works.get((task, entry.slots[0].slot))
        if entry is None or work is None or work.receipt is None or entry.submitter == self._id:
            return []
        result = work.receipt.receipt.result
        size_bytes = size_of(result.output_size_bytes)
        if entry.audits is not None or not 0 < size_bytes <= PARCEL_BYTES_MAX:
            return []
        return [SendParcel(entry.submitter, task, result.output)]

    def _drop(self, keys: list[tuple[TaskId, int]]) -> list[RoleEffect]:
        dropped = [self._works.pop(key) for key in keys if key in self._works]
        effects = self._unsay([key for key in keys if key in self._said])
        return effects + [Abandon(work.assignment) for work in dropped if work.phase in UNDER_WAY]

    def _unsay(self, keys: list[tuple[TaskId, int]]) -> list[RoleEffect]:
        """Forget marks of slots that are out of this node's hands."""
        for key in keys:
            del self._said[key]
        return [PersistMark(task, slot, None) for task, slot in keys]

    def _send_due(self, now: int) -> list[RoleEffect]:
        effects: list[RoleEffect] = []
        for key, work in self._works.items():
            if work.phase in RESTING or now < work.due_ms:
                continue
            if work.phase is Phase.ABORTED:
                self._works[key] = replace(work, phase=Phase.EXECUTING)
                effects.append(_execute(work))
                continue
            effects.append(self._delivery(work))
            self._works[key] = replace(work, sends=work.sends + 1, due_ms=now + RESEND_MS)
        return effects

    def _delivery(self, work: Work) -> RoleEffect:
        """Give the message for the coordinator, or the record when it seems not to listen."""
        assert work.receipt is not None
        assert work.commit is not None
        insist = work.sends >= SENDS_BEFORE_PROPOSING or self._coordinator is None
        if work.phase is Phase.OPENED:
            if insist:
                return Propose(Settle(task=work.assignment.task, receipts=(work.receipt,)))
            return SendJob(self._require_coordinator(), RevealSent(receipt=work.receipt))
        if insist:
            return Propose(Commits(commits=(work.commit,)))
        return SendJob(self._require_coordinator(), CommitSent(commit=work.commit))

    def _require_coordinator(self) -> NodeId:
        assert self._coordinator is not None
        return self._coordinator


def _execute(work: Work) -> Execute:
    return Execute(
        work.assignment,
        work.spec,
        work.holders,
        work.seed_task,
        starts(work.marks),
        work.own_image,
        work.keepers,
        work.doubted_image,
    )
