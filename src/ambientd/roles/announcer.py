"""Announcer: says in the log which state version this member's program knows (ADR 73).

Once a quorum of the next committee's members knows the next version, an epoch begins with it. A
member that goes back to an older program before that takes its word back, as does one whose owner
does not let it speak any more.
"""

from ambientd.ledger.state import LedgerState
from ambientd.ledger.word_entries import Topic
from ambientd.model.base import NodeId
from ambientd.model.effect import Propose, RoleEffect
from ambientd.model.record import VersionKnown

AGAIN_MS = 5_000


class Announcer:
    """One member's word on what it knows."""

    def __init__(self, self_id: NodeId, *, may_speak: bool) -> None:
        self._id = self_id
        self._may_speak = may_speak
        self._due_ms = 0

    def next_deadline(self, state: LedgerState) -> int | None:
        """Give when to speak; not at all while the ledger has what is so."""
        return None if self._news(state) is None else self._due_ms

    def on_tick(self, state: LedgerState, now: int) -> list[RoleEffect]:
        """Say what is known, where the ledger has something else."""
        version = self._news(state)
        if version is None or now < self._due_ms:
            return []
        self._due_ms = now + AGAIN_MS
        # A clock that was set back must not silence this member.
        said_ms = max(now, state.last_word_ms(Topic.VERSIONS, self._id) + 1)
        return [Propose(VersionKnown(version=version, said_ms=said_ms))]

    def _news(self, state: LedgerState) -> int | None:
        """Give the version to name, of those that may be named; None when there is no news."""
        entry = state.node(self._id)
        if self._id not in state.members or entry is None or entry.tombstoned:
            return None
        present = state.epoch.state_version
        seat = state.seat(self._id)
        said = present if seat is None else max(seat.known_version, present)
        knows = min(state.versions.newest, present + 1) if self._may_speak else present
        return None if knows == said else knows
