"""Coordinator: gather sealed and opened answers and bring them into the log together.

Nothing here is needed for safety or even for progress: a worker that is not heard proposes its
answer itself. Gathering makes one record of what would be several, which is what makes it fast.
"""

from dataclasses import dataclass, field

from ambientd.ledger.admission import shape_fault
from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.events import LedgerEvent, SlotCommitted, TaskClosed
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.effect import Propose, RoleEffect
from ambientd.model.message import CommitSent, JobMessage, RevealSent
from ambientd.model.receipt import Receipt, SignedReceipt
from ambientd.model.record import Commits, Settle
from ambientd.model.task import Commit, SlotState, TaskState

GATHER_MS = 50
TASKS_HELD_MAX = 10_000


@dataclass(slots=True)
class Gathering:
    """What has arrived for one task and waits for the rest."""

    since_ms: int
    commits: dict[int, Commit] = field(default_factory=dict)
    receipts: dict[int, SignedReceipt] = field(default_factory=dict)


class Coordinator:
    """What a node does while it leads a term."""

    def __init__(self, self_id: NodeId) -> None:
        self._id = self_id
        self._leads = False
        self._gathering: dict[TaskId, Gathering] = {}
        self._proposed: dict[TaskId, dict[int, Commit]] = {}
        """Sealed answers on their way into the log: again, they would be another record."""

    @property
    def leads(self) -> bool:
        """Tell whether this node leads the current term."""
        return self._leads

    @property
    def next_deadline(self) -> int | None:
        """Give when what was gathered has waited long enough."""
        since_ms = min((each.since_ms for each in self._gathering.values()), default=None)
        return None if since_ms is None else since_ms + GATHER_MS

    def on_coordinator(self, coordinator: NodeId) -> None:
        """Take office or leave it; what was gathered before is sent again by the workers."""
        self._leads = coordinator == self._id
        self._gathering.clear()
        self._proposed.clear()

    def on_message(
        self, sender: NodeId, message: JobMessage, state: LedgerState, now: int
    ) -> list[RoleEffect]:
        """Take a worker's own answer; propose when the task's answers are complete."""
        if not self._leads:
            return []
        match message:
            case CommitSent(commit=commit):
                about: Commit | Receipt = commit
            case RevealSent(receipt=signed):
                about = signed.receipt
            case _:
                return []
        entry = state.task(about.task)
        # Nobody may put something of its own in the place of another's answer, and one malformed
        # answer would make the whole record inadmissible.
        if about.worker != sender or not _may_hold(entry, about.slot, sender):
            return []
        if shape_fault(message) is not None or self._is_proposed(message):
            return []
        gathering = self._gather(about.task, now)
        if gathering is None:
            return []
        if isinstance(message, CommitSent):
            gathering.commits[about.slot] = message.commit
        else:
            gathering.receipts[about.slot] = message.receipt
        return self._propose_if_complete(about.task, state)

    def on_ledger(self, event: LedgerEvent) -> None:
        """Forget what the log has taken."""
        match event:
            case TaskClosed(task=task):
                self._gathering.pop(task, None)
                self._proposed.pop(task, None)
            case SlotCommitted(task=task, slot=slot):
                self._proposed.get(task, {}).pop(slot, None)
                if (gathering := self._gathering.get(task)) is not None:
                    gathering.commits.pop(slot, None)
            case _:
                pass

    def on_tick(self, state: LedgerState, now: int) -> list[RoleEffect]:
        """Propose what waited long enough for the rest."""
        if not self._leads:
            return []
        effects: list[RoleEffect] = []
        for task, gathering in list(self._gathering.items()):
            if now >= gathering.since_ms + GATHER_MS:
                effects += self._propose(task, gathering, state)
                del self._gathering[task]
        return effects

    def _is_proposed(self, message: CommitSent | RevealSent) -> bool:
        """Tell whether a seal is on its way; what gets lost there, its worker proposes itself."""
        if not isinstance(message, CommitSent):
            return False
        commit = message.commit
        return self._proposed.get(commit.task, {}).get(commit.slot) == commit

    def _gather(self, task: TaskId, now: int) -> Gathering | None:
        found = self._gathering.get(task)
        if found is None and len(self._gathering) < TASKS_HELD_MAX:
            found = self._gathering[task] = Gathering(since_ms=now)
        return found

    def _propose_if_complete(self, task: TaskId, state: LedgerState) -> list[RoleEffect]:
        entry = state.task(task)
        gathering = self._gathering[task]
        if entry is None:
            return []
        commits_open = {s.slot for s in entry.slots if s.state is SlotState.ASSIGNED}
        opens_due = {s.slot for s in entry.slots if s.state is SlotState.COMMITTED}
        sealed = entry.state is TaskState.ASSIGNED and commits_open <= gathering.commits.keys()
        opened = entry.state is TaskState.COMMITTED and opens_due <= gathering.receipts.keys()
        if not sealed and not opened:
            return []
        effects = self._propose(task, gathering, state)
        gathering.commits.clear()
        if opened:
            gathering.receipts.clear()
        return effects

    def _propose(self, task: TaskId, gathering: Gathering, state: LedgerState) -> list[RoleEffect]:
        entry = state.task(task)
        if entry is None:
            return []
        effects: list[RoleEffect] = []
        if gathering.commits and entry.state in {TaskState.PENDING, TaskState.ASSIGNED}:
            commits = tuple(gathering.commits[slot] for slot in sorted(gathering.commits))
            self._proposed.setdefault(task, {}).update(gathering.commits)
            effects.append(Propose(Commits(commits=commits)))
        if gathering.receipts and entry.state is TaskState.COMMITTED:
            receipts = tuple(gathering.receipts[slot] for slot in sorted(gathering.receipts))
            effects.append(Propose(Settle(task=task, receipts=receipts)))
        return effects


def _may_hold(entry: TaskEntry | None, slot: int, worker: NodeId) -> bool:
    """Tell whether a slot is a worker's; of a task not seen here yet it may well be."""
    return entry is None or any(s.slot == slot and s.worker == worker for s in entry.slots)
