"""Courier: a task's small blobs travel with the word that makes them needed (protocols/11).

The input goes from the submitter to each worker when the log assigns a slot, the output from the
first slot's worker to the submitter when the log lets answers be opened. What does not arrive is
fetched as larger blobs are; so nothing depends on a parcel but time.
"""

from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.events import LedgerEvent, SlotAssigned
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.bundle import size_of
from ambientd.model.effect import RoleEffect, SendParcel, TakeParcel
from ambientd.model.message import PARCEL_BYTES_MAX, JobMessage, ParcelSent


class Courier:
    """One node's parcels."""

    def __init__(self, self_id: NodeId) -> None:
        self._id = self_id

    def on_ledger(self, event: LedgerEvent, state: LedgerState) -> list[RoleEffect]:
        """Send the input of an own task to the worker that it was just given to."""
        if not isinstance(event, SlotAssigned) or event.worker == self._id:
            return []
        entry = state.task(event.task)
        if entry is None or entry.submitter != self._id:
            return []
        spec = entry.spec
        if not 0 < size_of(spec.input_size_bytes) <= PARCEL_BYTES_MAX:
            return []
        return [SendParcel(event.worker, event.task, spec.input)]

    def on_message(
        self, sender: NodeId, message: JobMessage, state: LedgerState
    ) -> list[RoleEffect]:
        """Take what a task that is known here needs, or may need once it is known.

        Raises:
            RemoteProtocolError: the bytes are not those of the digest.
        """
        if not isinstance(message, ParcelSent):
            return []
        entry = state.task(message.task)
        if entry is not None and not self._needs(entry, sender, message):
            return []
        if sha256(message.data) != message.digest:
            msg = "the bytes of a parcel are not those of its digest"
            raise RemoteProtocolError(msg)
        return [TakeParcel(sender, message.digest, message.data)]

    def _needs(self, entry: TaskEntry, sender: NodeId, message: ParcelSent) -> bool:
        """Tell whether it is the input of a slot held here, or an output of an own task."""
        workers = {slot.worker for slot in entry.slots}
        if sender == entry.submitter and message.digest == entry.spec.input:
            return self._id in workers
        return entry.submitter == self._id and sender in workers
