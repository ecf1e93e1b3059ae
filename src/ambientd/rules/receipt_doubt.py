"""What a receipt file says against its own result (protocols/06 section 7)."""

from ambientd.codec.merkle import root_from_inclusion
from ambientd.codec.statements import revocation_leaf
from ambientd.model.base import DIGEST_BYTES
from ambientd.model.receipt import Doubt, ReceiptFile

PATH_MAX = 64


def doubt_fault(file: ReceiptFile, doubt: Doubt) -> str:
    """Say why the result is not to be relied on."""
    revocation, note = doubt.revocation, file.note
    if revocation is None:
        return "suspect: all who vouched for the answer were convicted, and it is not audited yet"
    if (revocation.task, revocation.leaf) != (file.settlement.task, file.leaf_index):
        return "the revocation in the file is of another result"
    is_path = len(doubt.path) <= PATH_MAX and all(len(step) == DIGEST_BYTES for step in doubt.path)
    if note is None or not is_path or not file.leaf_index < doubt.leaf_index < note.size:
        return "the revocation in the file has no place in the checkpoint"
    leaf = revocation_leaf(revocation)
    if root_from_inclusion(leaf, doubt.leaf_index, note.size, doubt.path) != note.root:
        return "the revocation in the file does not lead to the checkpoint's root"
    return (
        f"revoked: the referees found another result in audit {revocation.audit.hex()[:16]}, "
        f"leaf {doubt.leaf_index} of {note.size}"
    )
