"""Submitter: keep the outputs of this node's own tasks while their workers are up."""

from ambientd.ledger.events import LedgerEvent, TaskFinal
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.effect import FetchBlob, RoleEffect


class Submitter:
    """One node's own tasks."""

    def __init__(self, self_id: NodeId) -> None:
        self._id = self_id

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
