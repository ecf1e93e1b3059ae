"""Anchor watch: every member watches every anchor that the log has, whoever made it.

Whoever anchors for this node is told of each new or replaced anchor, and of the newest ones anew
after a start, after a leap over blocks, and with a seat. A member alone may bring an anchor into
the log, so a node without a seat is told of none (protocols/06-receipts.md section 10).
"""

from ambientd.ledger.events import BatchAnchored, LedgerEvent
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.effect import RoleEffect, SeatAnchors, WatchAnchor

WATCHED_MAX = 64


class AnchorWatch:
    """What whoever anchors for this node has to be told."""

    def __init__(self, self_id: NodeId, *, is_enabled: bool) -> None:
        self._id = self_id
        self._is_enabled = is_enabled
        self._members: tuple[NodeId, ...] = ()
        self._untold: set[int] = set()
        self._is_all_untold = True

    def resume(self) -> None:
        """Tell of all again: blocks were leapt over, or the process is new."""
        self._is_all_untold = True

    def on_ledger(self, event: LedgerEvent) -> None:
        """Notice a new anchor, or one that took another's place."""
        if isinstance(event, BatchAnchored):
            self._untold.add(event.size)
            if len(self._untold) > WATCHED_MAX:
                self._untold.discard(min(self._untold))

    def next_deadline(self, state: LedgerState) -> int | None:
        """Give 0 when there is something to tell."""
        is_due = self._is_all_untold or self._untold or state.members != self._members
        return 0 if self._is_enabled and is_due else None

    def on_tick(self, state: LedgerState) -> list[RoleEffect]:
        """Tell of this node's seat, and of anchors."""
        if self.next_deadline(state) is None:
            return []
        effects: list[RoleEffect] = []
        members, had_seat = state.members, self._id in self._members
        has_seat = self._id in members
        if self._is_all_untold or members != self._members:
            place = members.index(self._id) if has_seat else None
            effects.append(SeatAnchors(place, len(members)))
        sizes = self._untold
        if self._is_all_untold or not had_seat:
            sizes = set(state.anchored_sizes(WATCHED_MAX))
        for size in sorted(sizes) if has_seat else ():
            closed = state.checkpoint(size)
            if closed is not None and closed.anchor is not None:
                effects.append(WatchAnchor(size, closed.note.root, closed.anchor))
        self._members, self._untold, self._is_all_untold = members, set(), False
        return effects
