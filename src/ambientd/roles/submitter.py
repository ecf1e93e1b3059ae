"""Submitter: keep the outputs of this node's own tasks while their workers are up.

It also remembers what workers said of executions that they could not finish. Nothing follows from
that, it is for the person who waits. Only who has the slot is heard: a worker may see its
assignment before this node does, so what it says waits until the log has it here.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from ambientd.ledger.events import LedgerEvent, SlotAssigned, TaskFinal
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.bundle import size_of
from ambientd.model.effect import FetchBlob, RoleEffect
from ambientd.model.execution import AbortCause
from ambientd.model.message import AbortSent, JobMessage
from ambientd.model.task import Verdict
from ambientd.rules.proofs import PROOF_BYTES_MAX

K = TypeVar("K")
V = TypeVar("V")

ABORTS_KEPT_MAX = 1_000  # heard, and as many again that wait for the log


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
        self._early: OrderedDict[tuple[TaskId, int, NodeId], tuple[int, AbortCause]] = OrderedDict()

    def last_abort(self, task: TaskId) -> HeardAbort | None:
        """Tell why a task was last not executed, if a worker said so since this node's start."""
        return self._aborts.get(task)

    def on_message(self, sender: NodeId, message: JobMessage, state: LedgerState) -> None:
        """Note what the worker of an own task's slot says."""
        if not isinstance(message, AbortSent):
            return
        task = message.task
        entry = state.task(task)
        if entry is None or entry.submitter != self._id:
            return
        slot = next((slot for slot in entry.slots if slot.slot == message.slot), None)
        if slot is None:
            return
        known = message.cause in {int(cause) for cause in AbortCause}
        cause = AbortCause(message.cause) if known else AbortCause.OTHER
        if slot.worker == sender:
            _keep(self._aborts, task, HeardAbort(sender, cause))
        elif slot.attempt < message.attempt:
            _keep(self._early, (task, slot.slot, sender), (message.attempt, cause))

    def on_ledger(self, event: LedgerEvent, state: LedgerState) -> list[RoleEffect]:
        """Fetch an own task's output, and proof, once it is final; hear who came before the log."""
        if isinstance(event, SlotAssigned):
            early = self._early.pop((event.task, event.slot, event.worker), None)
            if early is not None and early[0] == event.attempt:
                _keep(self._aborts, event.task, HeardAbort(event.worker, early[1]))
            return []
        if not isinstance(event, TaskFinal) or event.settlement.submitter != self._id:
            return []
        result = event.settlement.result
        entry = state.task(event.task)
        if entry is None or entry.audits is not None:
            return []
        liars = event.settlement.liars
        holders = tuple(slot.worker for slot in entry.slots if slot.worker not in liars)
        wanted = [(result.output, size_of(result.output_size_bytes))]
        if event.settlement.verdict is Verdict.PROVEN:
            # The output's bytes are proven, how many they are is what the worker says.
            most = entry.spec.output_bytes_max if wanted[0][1] else 0
            wanted += [(result.output, most)] if most > wanted[0][1] else []
            wanted.append((entry.receipts[0].receipt.nonce, PROOF_BYTES_MAX))
        return [FetchBlob(name, most, holders) for name, most in wanted if most]


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    """Put a value last, and forget the first when there are too many."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > ABORTS_KEPT_MAX:
        kept.popitem(last=False)
