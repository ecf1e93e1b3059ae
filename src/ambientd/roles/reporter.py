"""Reporter: every committee member says how it finds the nodes; the ledger believes no one alone.

Conditions change all the time, so they are told in coarse buckets, and only what differs from
the ledger has as this member's last word goes into the log. While no task is under way, what
was measured goes there once a minute, by all members together: the log rests in between.

A member's word in the ledger is also what tells that its key was used. So who does not know that of
its own key is silent until the log has decided it (protocols/05 section 4).

In a large cluster words wait for its beat, and what is measured for several (`rules.pace`).

One word is on its way at a time: until the ledger has it, all that is in it is news again. Of two
the older may arrive last, having been sent before the coordinator was connected; it is rejected.
"""

from msgspec.structs import replace

from ambientd.ledger.awaiting import awaited_ms
from ambientd.ledger.state import LedgerState
from ambientd.ledger.word_entries import Topic
from ambientd.model.base import NodeId
from ambientd.model.effect import Propose, RoleEffect
from ambientd.model.record import NodeReport, Registry
from ambientd.rules.pace import beat_ms, next_beat_ms

REPORT_MS = 5_000
NEWS_MS = 1_000
MEASURES_MS = 60_000
MEASURES_BEATS = 8
"""So many beats apart what is measured is told while tasks are under way."""

MEASURES = ("health_percent", "load_percent", "latency_ms", "carbon_g_per_kwh")


class Reporter:
    """One member's word on everybody's condition."""

    def __init__(self, self_id: NodeId, *, is_silent: bool = False) -> None:
        self._id = self_id
        self.is_silent = is_silent
        self._due_ms = 0
        self._measured_ms = 0
        self._said: NodeReport | None = None
        self._said_ms = 0

    def next_deadline(self, state: LedgerState) -> int | None:
        """Give when to report: not before the last word is in the log, or seems to be lost."""
        if self.is_silent or self._id not in state.members:
            return None
        said = self._said
        is_under_way = said is not None and state.report(said.node, self._id) != said
        return max(self._due_ms, self._said_ms + REPORT_MS) if is_under_way else self._due_ms

    def hasten(self, state: LedgerState, now: int) -> None:
        """Report soon: somebody came or went."""
        self._due_ms = min(self._due_ms, next_beat_ms(now, len(state.nodes())))

    def heard(self, report: NodeReport, state: LedgerState, now: int) -> None:
        """Report within a second what decides who works; a node can make that no more often."""
        if self._is_news(report, state, with_measures=False):
            soon_ms = max(now, self._said_ms + NEWS_MS)
            self._due_ms = min(self._due_ms, next_beat_ms(soon_ms, len(state.nodes())))

    def is_due(self, state: LedgerState, now: int) -> bool:
        """Tell whether it is time to report."""
        due_ms = self.next_deadline(state)
        return due_ms is not None and now >= due_ms

    def on_reports(
        self, reports: tuple[NodeReport, ...], state: LedgerState, now: int
    ) -> list[RoleEffect]:
        """Propose what differs from this member's last word, for nodes that can still work."""
        nodes = len(state.nodes())
        self._due_ms = next_beat_ms(now + REPORT_MS, nodes)
        with_measures = now // MEASURES_MS != self._measured_ms // MEASURES_MS
        if not 0 <= now - self._measured_ms < MEASURES_BEATS * beat_ms(nodes):
            with_measures = with_measures or awaited_ms(state) is not None
        if with_measures:
            self._measured_ms = now
        news = tuple(r for r in reports if self._is_news(r, state, with_measures=with_measures))
        if not news:
            return []
        self._said, self._said_ms = news[-1], now
        # A clock that was set back must not silence this member.
        observed_ms = max(now, state.last_word_ms(Topic.NODES, self._id) + 1)
        return [Propose(Registry(reports=news, observed_ms=observed_ms))]

    def _is_news(self, report: NodeReport, state: LedgerState, *, with_measures: bool) -> bool:
        entry = state.node(report.node)
        if entry is None or entry.tombstoned:
            return False
        said = state.report(report.node, self._id)
        if said is None or with_measures:
            return said != report
        measures = {name: getattr(said, name) for name in MEASURES}
        return replace(report, **measures) != said
