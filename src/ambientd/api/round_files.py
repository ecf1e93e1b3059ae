"""The file that shows a stranger what a round of federated learning came to."""

from collections.abc import Sequence

from ambientd.codec.canonical import decode, encode
from ambientd.consensus.messages import EpochEnd
from ambientd.ledger.state import LedgerState
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.model.learning import RoundFile, RoundReceipt, StudyId
from ambientd.rules.round_check import ROUND_FILE_VERSION


def round_file(
    state: LedgerState, study: StudyId, number: int, kept: bytes, ends: Sequence[EpochEnd]
) -> RoundFile | str:
    """Put a round's file together of its kept receipt, or say why that cannot be done yet."""
    entry, row = state.study(study), state.round(study, number)
    if entry is None or row is None or not row.receipt:
        return "the round has not ended"
    if row.leaf < state.receipt_log_start():
        return "the receipt log has forgotten the round's leaf"
    closed = state.checkpoint_covering(row.leaf)
    if closed is None:
        return "the batch of the round's leaf is not closed yet"
    receipt: RoundReceipt = decode(kept, RoundReceipt)
    return RoundFile(
        version=ROUND_FILE_VERSION,
        genesis=state.genesis,
        plan=entry.plan,
        receipt=receipt,
        leaf_index=row.leaf,
        path=state.inclusion_path(row.leaf, closed.note.size),
        epochs=tuple(map(encode, ends[: closed.epoch - FIRST_EPOCH])),
        note=closed.note,
        anchor=closed.anchor,
    )
