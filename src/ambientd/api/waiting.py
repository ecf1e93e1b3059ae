"""Tasks of this node that wait for the log: named, shown and taken back."""

from collections.abc import Iterator

import trio
from msgspec.structs import replace

from ambientd.api import replies
from ambientd.api.deciding import DEADLINE_S
from ambientd.api.materials import alike
from ambientd.api.naming import NAME_CHARS_MIN, TAKEN_BACK, WAITING, match_id
from ambientd.api.operations import OperationError
from ambientd.api.views import task_line, task_reply
from ambientd.api.why_replies import Why
from ambientd.ledger.entries import Slot, TaskEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.record import Admit
from ambientd.model.task import TaskState
from ambientd.node.event import TaskTakenBack
from ambientd.runtime.news import OwnTold
from ambientd.runtime.persistence import keeps_asked
from ambientd.runtime.service import Parts

ADMIT_MS = 600_000
_LOOK_S = 0.02
REACHED = (
    "a node that its record has reached may still bring it into the log: it is cancelled then, "
    "unless its answers are sealed by that time"
)


class Waiting:
    """Answers for what this node was asked to submit and the log has not decided on."""

    def __init__(self, own: NodeId, parts: Parts) -> None:
        self._id = own
        self._parts = parts
        self._state = parts.node.ledger

    def named(self, name: str) -> TaskId | None:
        """Give the task that a person means, if it waits; raise OperationError for two."""
        start = name.lower()
        found = [task.hex() for task in self._tasks() if task.hex().startswith(start)]
        if not found or len(name) < NAME_CHARS_MIN:
            return None
        known = (each.hex() for each in alike(self._state, start))
        meant = match_id(start, (*found, *known))
        return TaskId(bytes.fromhex(meant)) if meant in found else None

    def has(self, task: TaskId) -> bool:
        """Tell whether a task waits for the log."""
        is_asked_for = self._parts.node.asked.words_of(task) is not None
        return is_asked_for and self._state.task(task) is None

    def why(self, task: TaskId) -> Why:
        """Explain why the log has not taken it."""
        admit = self._parts.node.asked.waiting[task]
        return Why(
            task_id=task.hex(),
            state=WAITING,
            text="the log has not taken it yet; this node keeps it, and proposes it until then",
            waits_for="a quorum of the committee that this node reaches (`ambientctl nodes`)",
            until_ms=admit.until_ms,
        )

    def shown(self, task: TaskId, state: str = WAITING) -> replies.Task:
        """Tell everything about one that waits."""
        entry = self._entry(self._parts.node.asked.waiting[task])
        return replace(task_reply(self._state, task, entry, ()), state=state)

    async def take_back(self, task: TaskId) -> replies.Task:
        """Forget it, on disk and on its way; what has left this node is out of its hands."""
        shown = replace(self.shown(task, TAKEN_BACK), reason=REACHED)
        taken_back = TaskTakenBack(task)
        await self._parts.pump.post(taken_back)
        try:
            with trio.move_on_after(DEADLINE_S):
                while await self._is_here(task):  # noqa: ASYNC110  # a row that goes tells nobody
                    await trio.sleep(_LOOK_S)
                return shown
        finally:
            if self._parts.node.asked.was_taken_back(task):
                self._parts.news.tell(OwnTold(taken_back, self._parts.now()))
        msg = f"this node did not take the task back within {DEADLINE_S:.0f} s"
        raise OperationError("unavailable", msg, "`ambientctl status` tells what it lacks")

    async def _is_here(self, task: TaskId) -> bool:
        """Tell whether a start would propose it, or this process does."""
        if self._parts.node.asked.words_of(task) is not None:
            return True
        return await self._parts.pump.writer.call(lambda store: keeps_asked(store, task))

    def lines(self, most: int) -> replies.Tasks:
        """List what waits, what was asked for last first."""
        waiting = self._parts.node.asked.waiting
        lines = [
            replace(task_line(task, self._entry(waiting[task])), state=WAITING)
            for task in reversed(list(self._tasks()))
        ]
        return replies.Tasks(tasks=tuple(lines[:most]), total=len(lines))

    def _tasks(self) -> Iterator[TaskId]:
        waiting = self._parts.node.asked.waiting
        return (task for task in waiting if self._state.task(task) is None)

    def _entry(self, admit: Admit) -> TaskEntry:
        """Give what the ledger would have of it, had it been admitted when it was asked for."""
        return TaskEntry(
            submitter=self._id,
            nonce=admit.nonce,
            until_ms=admit.until_ms,
            admit_signature=b"",
            spec=admit.spec,
            state=TaskState.PENDING,
            admitted_ms=max(0, admit.until_ms - lasts_ms(self._state)),
            escrow_msat=0,
            slots=tuple(Slot(slot=number, attempt=0) for number in range(admit.spec.replicas)),
        )


def lasts_ms(state: LedgerState) -> int:
    """Give how long a task may wait for the log."""
    return min(ADMIT_MS, state.genesis.rules.keep_ms // 2)
