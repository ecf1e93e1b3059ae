"""Offerer: says in the log what work this node's owner lets it take, and hands slots back.

The log is told what differs from what it has, at once, and again when that does not show there.
Only what a newcomer to a large cluster says first waits for the beat (`rules.pace`).
"""

from ambientd.ledger.offers import HANDED_BACK_A_RECORD
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.effect import Propose, RoleEffect
from ambientd.model.offer import NOTHING_SAID, SlotName, Wish
from ambientd.model.record import Offer
from ambientd.rules.pace import beat_ms, next_beat_ms

AGAIN_MS, AGAIN_MS_MAX = 2_000, 32_000
"""Longer than an offer stands at least, by block time that may lag behind.

Doubled each time in a large cluster until the ledger has a first one, which a newcomer may be
slow to see. What the owner wants instead, meanwhile, is said as if nothing had been.
"""


class Offerer:
    """One node's offer to the mesh."""

    def __init__(self, self_id: NodeId) -> None:
        self._id = self_id
        self._wish = NOTHING_SAID
        self._due_ms = self._newcomer_due_ms = 0
        self._again_ms = AGAIN_MS

    @property
    def wish(self) -> Wish:
        """Give what the owner wants."""
        return self._wish

    def on_wish(self, wish: Wish) -> None:
        """Take what the owner wants from now on."""
        if wish == self._wish:
            return
        self._wish = wish
        self._due_ms = self._newcomer_due_ms = 0
        self._again_ms = AGAIN_MS

    def next_deadline(self, state: LedgerState, unwanted: tuple[SlotName, ...]) -> int | None:
        """Give when to speak; not at all while the ledger has what the owner wants."""
        return self._due(state) if self._differs(state, unwanted) else None

    def on_tick(
        self, state: LedgerState, unwanted: tuple[SlotName, ...], now: int
    ) -> list[RoleEffect]:
        """Say what differs, and hand back what is not wanted."""
        if not self._differs(state, unwanted):
            return []
        if self._is_newcomer(state) and not self._newcomer_due_ms:
            self._newcomer_due_ms = next_beat_ms(now, len(state.nodes()))
        if now < self._due(state):
            return []
        self._due_ms, self._newcomer_due_ms = now + AGAIN_MS, now + self._again_ms
        self._again_ms = min(2 * self._again_ms, AGAIN_MS_MAX)
        body = Offer(
            closed=self._wish.closed,
            refuses=self._refuses(state),
            hands_back=unwanted[:HANDED_BACK_A_RECORD],
            # A clock that was set back must not silence the owner.
            said_ms=max(now, state.offer(self._id).said_ms + 1),
            memory_bytes_max=self._wish.memory_bytes_max,
        )
        return [Propose(body)]

    def _due(self, state: LedgerState) -> int:
        return self._newcomer_due_ms if self._is_newcomer(state) else self._due_ms

    def _is_newcomer(self, state: LedgerState) -> bool:
        """Tell whether this node has yet to say its first word to a large cluster."""
        return not state.offer(self._id).said_ms and beat_ms(len(state.nodes())) > 0

    def _refuses(self, state: LedgerState) -> tuple[str, ...]:
        entry = state.node(self._id)
        known = () if entry is None else entry.profile.refuses
        return known if self._wish.refuses is None else self._wish.refuses

    def _differs(self, state: LedgerState, unwanted: tuple[SlotName, ...]) -> bool:
        entry = state.node(self._id)
        if entry is None or entry.tombstoned:
            return False
        wish = self._wish
        if (wish.closed, wish.memory_bytes_max) != (entry.closed, entry.memory_bytes_max):
            return True
        return bool(unwanted) or self._refuses(state) != entry.profile.refuses
