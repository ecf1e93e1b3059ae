"""Reporter: every committee member says how it finds the nodes; the ledger believes no one alone.

Conditions change all the time, so they are told in coarse buckets, and only what differs from
the ledger has as this member's last word goes into the log.
"""

from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.effect import Propose, RoleEffect
from ambientd.model.record import NodeReport, Registry

REPORT_MS = 5_000


class Reporter:
    """One member's word on everybody's condition."""

    def __init__(self, self_id: NodeId) -> None:
        self._id = self_id
        self._due_ms = 0

    def next_deadline(self, state: LedgerState) -> int | None:
        """Give when to report."""
        return self._due_ms if self._id in state.members else None

    def hasten(self) -> None:
        """Report soon: somebody came or went."""
        self._due_ms = 0

    def is_due(self, state: LedgerState, now: int) -> bool:
        """Tell whether it is time to report."""
        return self._id in state.members and now >= self._due_ms

    def on_reports(
        self, reports: tuple[NodeReport, ...], state: LedgerState, now: int
    ) -> list[RoleEffect]:
        """Propose what differs from this member's last word, for nodes that can still work."""
        self._due_ms = now + REPORT_MS
        news = tuple(report for report in reports if self._is_news(report, state))
        return [Propose(Registry(reports=news, observed_ms=now))] if news else []

    def _is_news(self, report: NodeReport, state: LedgerState) -> bool:
        entry = state.node(report.node)
        if entry is None or entry.tombstoned:
            return False
        return state.report(report.node, self._id) != report
