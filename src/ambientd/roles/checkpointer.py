"""Checkpointer: close a batch of receipts under a note that a quorum of members has cosigned.

The coordinator asks; every member compares the head with its own receipt log and cosigns; the
quorum's note goes into the log, where the ledger checks it once more.
"""

from ambientd.codec.signing import Signer, verify_note
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import BroadcastJob, Propose, RoleEffect, SendJob
from ambientd.model.message import CosignatureSent, CosignRequested, JobMessage
from ambientd.model.receipt import CheckpointNote, Cosignature
from ambientd.model.record import Checkpoint
from ambientd.rules.notes import note_text
from ambientd.rules.verdicts import quorum

ASK_AGAIN_MS = 2_000


class Checkpointer:
    """One member's part in closing batches."""

    def __init__(self, signer: Signer, batch_ms: int) -> None:
        self._signer = signer
        self._id = NodeId(signer.public_key)
        self._batch_ms = batch_ms
        self._waiting_since_ms: int | None = None
        self._asked: tuple[int, Digest] | None = None
        self._asked_at_ms = 0
        self._cosignatures: dict[NodeId, Cosignature] = {}

    def next_deadline(self, state: LedgerState, *, leads: bool) -> int | None:
        """Give when to look after the open batch; 0 is at once."""
        if not leads or state.receipt_log_size() <= state.checkpoint_size():
            return None
        if self._waiting_since_ms is None:
            return 0
        closes_ms = self._waiting_since_ms + self._batch_ms
        return (
            closes_ms if self._asked is None else max(closes_ms, self._asked_at_ms + ASK_AGAIN_MS)
        )

    def on_tick(self, state: LedgerState, now: int, *, leads: bool) -> list[RoleEffect]:
        """Ask for cosignatures once the oldest open receipt has waited a batch period."""
        head = state.receipt_log_size()
        if not leads or head <= state.checkpoint_size():
            self._waiting_since_ms = None
            return []
        if self._waiting_since_ms is None:
            self._waiting_since_ms = now
        is_asking = self._asked is not None and now < self._asked_at_ms + ASK_AGAIN_MS
        if is_asking or now < self._waiting_since_ms + self._batch_ms:
            return []
        self._asked_at_ms = now
        root = state.receipt_log_root(head)
        self._asked = (head, root)
        self._cosignatures = {self._id: self._cosign(head, root)}
        request = BroadcastJob(CosignRequested(size=head, root=root))
        return [request, *self._propose_if_quorum(state)]

    def on_message(
        self, sender: NodeId, message: JobMessage, state: LedgerState
    ) -> list[RoleEffect]:
        """Cosign another's head when it is ours too; collect cosignatures for our own."""
        if sender not in state.members or self._id not in state.members:
            return []
        match message:
            case CosignRequested(size=size, root=root):
                if not max(1, state.receipt_log_start()) <= size <= state.receipt_log_size():
                    return []
                if state.receipt_log_root(size) != root:
                    return []
                answer = CosignatureSent(size=size, root=root, cosignature=self._cosign(size, root))
                return [SendJob(sender, answer)]
            case CosignatureSent(size=size, root=root, cosignature=cosignature):
                if self._asked != (size, root) or cosignature.member != sender:
                    return []
                text = note_text(self._signer.cluster, size, root)
                if not verify_note(sender, text, cosignature.signature):
                    return []
                self._cosignatures[sender] = cosignature
                return self._propose_if_quorum(state)
            case _:
                return []

    def _cosign(self, size: int, root: Digest) -> Cosignature:
        text = note_text(self._signer.cluster, size, root)
        return Cosignature(member=self._id, signature=self._signer.sign_note(text))

    def _propose_if_quorum(self, state: LedgerState) -> list[RoleEffect]:
        # The committee may have changed since it was asked; the ledger counts its members alone.
        signers = [member for member in state.members if member in self._cosignatures]
        needed = quorum(len(state.members))
        if self._asked is None or len(signers) < needed:
            return []
        size, root = self._asked
        self._asked = None
        self._waiting_since_ms = None
        chosen = tuple(self._cosignatures[member] for member in signers[:needed])
        note = CheckpointNote(size=size, root=root, cosignatures=chosen)
        return [Propose(Checkpoint(note=note))]
