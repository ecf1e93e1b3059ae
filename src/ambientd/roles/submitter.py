"""Submitter: keep the outputs of this node's own tasks while their workers are up.

It also remembers what workers said of executions that they could not finish. Nothing follows from
that, it is for the person who waits.
"""

from collections import OrderedDict
from dataclasses import dataclass

from ambientd.ledger.events import LedgerEvent, TaskFinal
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.effect import FetchBlob, RoleEffect
from ambientd.model.execution import AbortCause
from ambientd.model.message import AbortSent, JobMessage

ABORTS_KEPT_MAX = 1_000


@dataclass(frozen=True, slots=True)
class HeardAbort:
    """What a worker said last of a task that it could not execute."""

    worker: NodeId
    cause: AbortCause


class Submitter:
    """One node's own tasks."""

    def __init__(self, self_id: NodeId) -> None:
        self._id = self_id
        self._aborts: OrderedDict[TaskId, HeardAbort] = OrderedDict()

    def last_abort(self, task: TaskId) -> HeardAbort | None:
        """Tell why a task was last not executed, if a worker said so since this node's start."""
        return self._aborts.get(task)

    def on_message(self, sender: NodeId, message: JobMessage, state: LedgerState) -> None:
        """Note what the worker of an own task's slot says."""
        if not isinstance(message, AbortSent):
            return
        entry = state.task(message.task)
        if entry is None or entry.submitter != self._id:
            return
        if not any(
            slot.slot == message.slot
            # Its attempt may be one that is not applied here yet.
            and (slot.worker == sender or slot.attempt < message.attempt)
            for slot in entry.slots
        ):
            return
        known = message.cause in {int(cause) for cause in AbortCause}
        cause = AbortCause(message.cause) if known else AbortCause.OTHER
        self._aborts.pop(message.task, None)
        self._aborts[message.task] = HeardAbort(sender, cause)
        if len(self._aborts) > ABORTS_KEPT_MAX:
            self._aborts.popitem(last=False)

    def on_ledger(self, event: LedgerEvent, state: LedgerState) -> list[RoleEffect]:
        """Fetch the output of an own task as soon as it is final."""
        if not isinstance(event, TaskFinal) or event.settlement.submitter != self._id:
            return []
        result = event.settlement.result
        entry = state.task(event.task)
        if entry is None or result.output_size_bytes == 0:
            return []
        liars = event.settlement.liars
        holders = tuple(slot.worker for slot in entry.slots if slot.worker not in liars)
        return [FetchBlob(result.output, result.output_size_bytes, holders)]
