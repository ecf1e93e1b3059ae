"""Referee: a committee member that executes a disputed task itself and says what came out."""

from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_verdict
from ambientd.ledger.events import EpochBegan, LedgerEvent, TaskClosed, TaskDisputed
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.effect import Abandon, Assignment, Execute, Propose, Purpose, RoleEffect
from ambientd.model.record import DisputeStep
from ambientd.model.task import Result, TaskState

RETRY_MS = 2_000
INSIST_MS = 5_000


class Referee:
    """One member's part in the disputes."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._id = NodeId(signer.public_key)
        self._open: dict[TaskId, Assignment] = {}
        self._retry_at_ms: dict[TaskId, int] = {}
        self._found: dict[TaskId, tuple[DisputeStep, int]] = {}

    @property
    def next_deadline(self) -> int | None:
        """Give when something is tried or said again."""
        insist = (due_ms for _, due_ms in self._found.values())
        return min((*self._retry_at_ms.values(), *insist), default=None)

    def resume(self, state: LedgerState) -> list[RoleEffect]:
        """Take up the disputes that wait for this member's finding."""
        effects: list[RoleEffect] = []
        for task, entry in state.open_tasks():
            is_under_way = task in self._open or task in self._found
            is_open = entry.state is TaskState.DISPUTED and not entry.has_verdict_of(self._id)
            if is_open and not is_under_way:
                effects += self._begin(task, state)
        return effects

    def _change(self, state: LedgerState) -> list[RoleEffect]:
        """Take up the open disputes with a seat in the committee, drop them without one."""
        if self._id in state.members:
            return self.resume(state)
        places = list(self._open.values())
        self._open.clear()
        self._retry_at_ms.clear()
        self._found.clear()
        return [Abandon(place) for place in places]

    def on_ledger(self, event: LedgerEvent, state: LedgerState) -> list[RoleEffect]:
        """Begin with a dispute, end with its decision; a committee's end changes who decides."""
        match event:
            case EpochBegan():
                return self._change(state)
            case TaskDisputed(task=task):
                return self._begin(task, state)
            case TaskClosed(task=task):
                self._retry_at_ms.pop(task, None)
                self._found.pop(task, None)
                place = self._open.pop(task, None)
                return [] if place is None else [Abandon(place)]
            case _:
                return []

    def on_result(self, task: TaskId, result: Result, now: int) -> list[RoleEffect]:
        """Sign and propose what came out here, and again until the ledger has it."""
        if self._open.pop(task, None) is None:
            return []
        finding = DisputeStep(verdict=sign_verdict(self._signer, task, result))
        self._found[task] = (finding, now + INSIST_MS)
        return [Propose(finding)]

    def on_aborted(self, task: TaskId, now: int, *, declined: bool = False) -> None:
        """Try again later what this host could not do, unless its owner does not want it."""
        if task in self._open and not declined:
            self._retry_at_ms[task] = now + RETRY_MS

    def on_tick(self, state: LedgerState, now: int) -> list[RoleEffect]:
        """Begin again what is due."""
        due = [task for task, at_ms in self._retry_at_ms.items() if now >= at_ms]
        effects: list[RoleEffect] = []
        for task in due:
            del self._retry_at_ms[task]
            effects += self._begin(task, state)
        for task, (finding, due_ms) in self._found.items():
            entry = state.task(task)
            if now >= due_ms:
                self._found[task] = (finding, now + INSIST_MS)
                if entry is not None and not entry.has_verdict_of(self._id):
                    effects.append(Propose(finding))
        return effects

    def _begin(self, task: TaskId, state: LedgerState) -> list[RoleEffect]:
        entry = state.task(task)
        if self._id not in state.members or entry is None:
            return []
        place = Assignment(Purpose.REFEREE, task, 0, 0)
        self._open[task] = place
        workers = (slot.worker for slot in entry.slots if slot.worker)
        holders = (entry.submitter, *sorted(entry.barred), *workers)
        return [Execute(place, entry.spec, holders)]
