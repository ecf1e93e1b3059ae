"""The receipt log's newest head, for those who watch it."""

from ambientd.api import replies, requests
from ambientd.api.operations import OperationError
from ambientd.codec.canonical import encode
from ambientd.ledger.state import LedgerState
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.model.witness import LogUpdate, Prefix, SignedHead
from ambientd.rules.witnessing import UPDATE_VERSION
from ambientd.runtime.persistence import ends_of
from ambientd.runtime.service import Parts


class LogUpdates:
    """Answers witnesses; it needs no trust, as they check what they are given."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._state = parts.node.ledger

    async def update(self, request: requests.GetLogUpdate) -> replies.LogUpdateReply:
        """Give the newest head that a quorum cosigned, and the proof that leads to it."""
        ends = await self._parts.pump.writer.call(ends_of)
        closed = self._state.checkpoint(self._state.checkpoint_size())
        if closed is None:
            hint = "it comes when the first batch of receipts is closed"
            raise OperationError("not_ready", "the receipt log has no checkpoint note yet", hint)
        epochs = tuple(encode(end) for end in ends[: closed.epoch - FIRST_EPOCH])
        update = LogUpdate(
            version=UPDATE_VERSION,
            genesis=self._state.genesis,
            head=SignedHead(epochs=epochs, note=closed.note),
            prefix=prefix_of(self._state, *sorted((request.since, closed.note.size))),
        )
        return replies.LogUpdateReply(size=closed.note.size, update=encode(update))


def prefix_of(state: LedgerState, small: int, large: int) -> Prefix | None:
    """Prove what the first receipts of a head are; None when they are not known here."""
    if not 0 < small < large <= state.receipt_log_size():
        return None
    try:
        root = state.receipt_log_root(small)
        return Prefix(size=small, root=root, path=state.consistency_path(small, large))
    except ValueError:
        return None  # those receipts are forgotten
