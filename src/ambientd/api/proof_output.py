"""Gives the proof of a proven task, from here or from whoever has it."""

from ambientd.api.operations import OperationError
from ambientd.api.replies import Output
from ambientd.ledger.entries import TaskEntry
from ambientd.model.base import TaskId
from ambientd.model.task import Verdict
from ambientd.rules.proofs import PROOF_BYTES_MAX
from ambientd.runtime.blobs import Blobs


async def proof_output(blobs: Blobs, task: TaskId, entry: TaskEntry) -> Output:
    """Give the bytes that the receipt names; raise OperationError where there are none."""
    if entry.settlement is None or entry.settlement.verdict is not Verdict.PROVEN:
        msg = f"task {task.hex()[:12]} has no proof: it is {entry.state.name.lower()}"
        raise OperationError("not_ready", msg, f"it asks for assurance {entry.spec.assurance_name}")
    receipt = entry.receipts[0].receipt
    found = await blobs.fetch(receipt.nonce, PROOF_BYTES_MAX, (receipt.worker, entry.submitter))
    if found is None:
        msg = f"nobody who can be reached holds the proof of task {task.hex()[:12]}"
        raise OperationError("unavailable", msg, "ask again when its worker is up")
    return Output(task_id=task.hex(), data=found, sha256=receipt.nonce.hex())
