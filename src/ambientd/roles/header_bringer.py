"""Header bringer: members bring the Bitcoin headers into the log that its ledger lacks.

The coordinator does at once, the others when it has not: it may have no chain, or know the blocks
that draw before the ledger does and keep them back.
"""

from ambientd.ledger.headers import costly_network, window_of
from ambientd.ledger.state import LedgerState
from ambientd.model.effect import Propose, RoleEffect
from ambientd.model.record import BitcoinHeaders
from ambientd.rules.header_window import HEADERS_KEPT, Window, extended

INSIST_MS = 10_000
PATIENCE_MS = 60_000
"""How long the others leave it to the coordinator."""


class HeaderBringer:
    """One member's view of the network that its cluster anchors in."""

    def __init__(self) -> None:
        self._seen = Window()
        self._due_ms = 0
        self._lacks_since_ms: int | None = None

    def on_headers(self, seen: Window) -> None:
        """Learn what this node's own chain says, which was checked by all rules of the network."""
        self._seen = seen
        self._due_ms = 0
        self._lacks_since_ms = None

    def next_deadline(self, state: LedgerState, *, leads: bool) -> int | None:
        """Give when to bring headers, if there are any to bring."""
        if self._lacking(state) is None:
            return None
        if leads or self._lacks_since_ms is None:
            return self._due_ms
        return max(self._due_ms, self._lacks_since_ms + PATIENCE_MS)

    def on_tick(self, state: LedgerState, now: int, *, leads: bool) -> list[RoleEffect]:
        """Propose what the ledger lacks, and again until it has it."""
        lacking = self._lacking(state)
        if lacking is None:
            self._lacks_since_ms = None
            return []
        if self._lacks_since_ms is None:
            self._lacks_since_ms = now
        patience_ms = 0 if leads else PATIENCE_MS
        if now < max(self._due_ms, self._lacks_since_ms + patience_ms):
            return []
        self._due_ms = now + INSIST_MS
        return [Propose(lacking)] if self._is_taken(lacking, state) else []

    @staticmethod
    def _is_taken(lacking: BitcoinHeaders, state: LedgerState) -> bool:
        """Tell whether they took more work than what they replace."""
        network = costly_network(state.genesis)
        known = window_of(state)
        return network is not None and isinstance(
            extended(known, network, lacking.height, lacking.headers), Window
        )

    def _lacking(self, state: LedgerState) -> BitcoinHeaders | None:
        """Give the headers above the last that both know; all that are seen when there is none."""
        seen = self._seen.headers
        if not seen or costly_network(state.genesis) is None:
            return None
        kept = window_of(state).headers
        if seen[-1] in kept[-1:]:
            return None  # as nearly always
        known = frozenset(kept)
        if seen[-1] in known:
            return None
        place = len(seen) - 1
        while place > 0 and seen[place - 1] not in known:
            place -= 1
        headers = seen[place:][-HEADERS_KEPT:]
        return BitcoinHeaders(height=self._seen.first + len(seen) - len(headers), headers=headers)
