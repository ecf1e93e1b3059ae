"""Prover announcer: says in the log how much this node proves, until the log has it so."""

from ambientd.ledger.proofs import APART_MS_MAX, PROVER_MS
from ambientd.ledger.state import LedgerState
from ambientd.ledger.word_entries import Topic
from ambientd.model.base import NodeId
from ambientd.model.effect import Propose, RoleEffect
from ambientd.model.proof import PROVER_LABEL
from ambientd.model.record import Prover
from ambientd.rules.labels import LABELS_MAX, value_of

AGAIN_MS = PROVER_MS


class ProverAnnouncer:
    """One node's word on what it proves."""

    def __init__(self, self_id: NodeId, cycles_max: int) -> None:
        self._id = self_id
        self._cycles_max = cycles_max
        self._due_ms = 0

    def next_deadline(self, state: LedgerState) -> int | None:
        """Give when to speak; not at all while the ledger has what is so."""
        return self._due_ms if self._differs(state) else None

    def on_tick(self, state: LedgerState, now: int) -> list[RoleEffect]:
        """Say what differs."""
        if now < self._due_ms or not self._differs(state):
            return []
        self._due_ms = now + AGAIN_MS
        # A clock that is wrong, or was set back, must not silence the owner.
        block_ms = state.meta.time_ms
        near_ms = now if abs(now - block_ms) <= APART_MS_MAX else block_ms
        said_ms = max(near_ms, state.last_word_ms(Topic.PROVERS, self._id) + PROVER_MS)
        return [Propose(Prover(cycles_max=self._cycles_max, said_ms=said_ms))]

    def _differs(self, state: LedgerState) -> bool:
        entry = state.node(self._id)
        if entry is None or entry.tombstoned:
            return False
        known = value_of(entry.profile, entry.engine, PROVER_LABEL)
        if not self._cycles_max:
            return bool(known)
        has_room = bool(known) or len(entry.profile.labels) < LABELS_MAX
        return has_room and known != str(self._cycles_max)
