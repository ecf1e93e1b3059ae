"""Header bringer: the coordinator brings the Bitcoin headers into the log that its ledger lacks."""

from ambientd.ledger.headers import costly_network, window_of
from ambientd.ledger.state import LedgerState
from ambientd.model.effect import Propose, RoleEffect
from ambientd.model.record import BitcoinHeaders
from ambientd.rules.header_window import HEADERS_KEPT, Window, extended

INSIST_MS = 10_000


class HeaderBringer:
    """One member's view of the network that its cluster anchors in."""

    def __init__(self) -> None:
        self._seen = Window()
        self._due_ms = 0

    def on_headers(self, seen: Window) -> None:
        """Learn what this node's own chain says, which was checked by all rules of the network."""
        self._seen = seen
        self._due_ms = 0

    def next_deadline(self, state: LedgerState, *, leads: bool) -> int | None:
        """Give when to bring headers, if there are any to bring."""
        return self._due_ms if leads and self._lacking(state) is not None else None

    def on_tick(self, state: LedgerState, now: int, *, leads: bool) -> list[RoleEffect]:
        """Propose what the ledger lacks, and again until it has it."""
        lacking = self._lacking(state) if leads and now >= self._due_ms else None
        if lacking is None:
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
        tip, known = self._seen.tip, window_of(state)
        is_ahead = tip is not None and (known.tip is None or tip > known.tip)
        if tip is None or not is_ahead or costly_network(state.genesis) is None:
            return None
        start = tip
        while start > self._seen.first and known.at(start - 1) != self._seen.at(start - 1):
            start -= 1
        headers = self._seen.headers[start - self._seen.first :][-HEADERS_KEPT:]
        return BitcoinHeaders(height=tip + 1 - len(headers), headers=headers)
