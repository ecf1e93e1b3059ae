"""Put a task's receipt file together from the ledger, signed by the member that hands it out."""

from msgspec.structs import replace

from ambientd.codec.signing import Signer
from ambientd.codec.statements import file_payload
from ambientd.errors import UsageError
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.receipt import ReceiptFile
from ambientd.rules.receipt_check import FILE_VERSION


def receipt_file(state: LedgerState, task: TaskId, signer: Signer) -> ReceiptFile:
    """Give the file of a final task; raise UsageError when there is none, or not from here."""
    entry = state.task(task)
    if entry is None:
        msg = f"no task {task.hex()} in this ledger; check the task's id and the cluster"
        raise UsageError(msg)
    if entry.settlement is None or entry.leaf is None:
        msg = f"task {task.hex()} is {entry.state.name.lower()} and has no receipt"
        raise UsageError(msg)
    issuer = NodeId(signer.public_key)
    if issuer not in state.members:
        msg = "only a founding member issues receipt files; ask one of them"
        raise UsageError(msg)
    closed = state.checkpoint_covering(entry.leaf)
    unsigned = ReceiptFile(
        version=FILE_VERSION,
        genesis=state.genesis,
        submitter=entry.submitter,
        nonce=entry.nonce,
        spec=entry.spec,
        admit_signature=entry.admit_signature,
        settlement=entry.settlement,
        receipts=tuple(slot.receipt for slot in entry.slots if slot.receipt is not None),
        verdicts=entry.verdicts,
        leaf_index=entry.leaf,
        path=() if closed is None else state.inclusion_path(entry.leaf, closed.note.size),
        note=None if closed is None else closed.note,
        anchor=None if closed is None else closed.anchor,
        issuer=issuer,
        signature=b"",
    )
    return replace(unsigned, signature=signer.sign("receipt-file", file_payload(unsigned)))
