"""Anchorer: bring the newest checkpoint's root into Bitcoin, one transaction at a time.

A later root contains every earlier receipt, so only the newest one is ever anchored.
"""

from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest
from ambientd.model.effect import AnchorRoot, Propose, RoleEffect
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import Anchor

PROPOSE_AGAIN_MS = 5_000


class Anchorer:
    """One member's part in anchoring; only the coordinator acts."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._in_flight: int | None = None
        self._proven: Anchor | None = None
        self._propose_at_ms = 0

    def next_deadline(self, state: LedgerState, *, leads: bool) -> int | None:
        """Give when to look after the newest checkpoint; 0 is at once."""
        if self._proven is not None:
            return 0 if state.anchored_size() >= self._proven.size else self._propose_at_ms
        is_due = self._enabled and leads and self._in_flight is None
        return 0 if is_due and state.checkpoint_size() > state.anchored_size() else None

    def on_tick(self, state: LedgerState, now: int, *, leads: bool) -> list[RoleEffect]:
        """Begin with the newest checkpoint that is not anchored; insist on a finished proof."""
        if self._proven is not None:
            if state.anchored_size() >= self._proven.size:
                self._proven = None
                self._in_flight = None
            elif now >= self._propose_at_ms:
                self._propose_at_ms = now + PROPOSE_AGAIN_MS
                return [Propose(self._proven)]
            return []
        size = state.checkpoint_size()
        if not self._enabled or not leads or self._in_flight is not None:
            return []
        if size <= state.anchored_size():
            return []
        self._in_flight = size
        return [AnchorRoot(size=size, root=state.receipt_log_root(size))]

    def on_proven(self, size: int, root: Digest, proof: AnchorProof, now: int) -> list[RoleEffect]:
        """Bring a finished proof into the log."""
        self._proven = Anchor(size=size, root=root, proof=proof)
        self._propose_at_ms = now + PROPOSE_AGAIN_MS
        return [Propose(self._proven)]
