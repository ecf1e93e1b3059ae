"""The nodes' conditions: every member says how it finds them, and no liar alone decides.

The last report of each member on each node is kept. A node stops taking work once f + 1 members
say so, one of whom must be honest; its numbers are the medians of what 2f + 1 or more say, which
lie between numbers of honest members (protocols/03 §3, REGISTRY).
"""

from typing import cast

from msgspec.structs import replace

from ambientd.ledger.assigning import next_deadline
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import NodeEntry, Slot, report_key
from ambientd.ledger.state import LedgerState
from ambientd.ledger.word_entries import Topic
from ambientd.model.base import NodeId
from ambientd.model.record import NodeReport, Record, Registry
from ambientd.model.task import SlotState
from ambientd.rules.verdicts import liars_max

GONE_LOOKED_AT_MAX = 64
SHORTENED_MAX = 256
"""Nodes that take no work, and leases of theirs, that a block looks at, and shortens, at most."""


def registry(draft: Draft, record: Record, body: Registry) -> str | None:
    """Take one member's word on the nodes."""
    member = record.author
    author = draft.node(member)
    if member not in draft.state.members or author is None or author.tombstoned:
        return "only committee members that were never convicted report the nodes' conditions"
    if not draft.speaks(Topic.NODES, member, body.observed_ms):
        return "the member has spoken since"
    changed: dict[NodeId, None] = {}
    for report in body.reports:
        if draft.node(report.node) is None or _is_out_of_range(report):
            return "a report on no known node, or outside its range"
        key = report_key(report.node, member)
        if draft.get(key) != report:
            draft.put(key, report)
            changed[report.node] = None
    for node in changed:
        _find(draft, node)
    return None


def _is_out_of_range(report: NodeReport) -> bool:
    return not (
        0 <= report.health_percent <= 100
        and 0 <= report.load_percent <= 100
        and 0 <= report.latency_ms <= 60_000
        and 0 <= report.carbon_g_per_kwh <= 10_000
        and 0 <= report.capacity <= 1024
        and 0 <= report.engine <= 255
    )


def _find(draft: Draft, node: NodeId) -> None:
    """Work out a node's condition anew."""
    before = draft.node(node)
    assert before is not None, "reports are on known nodes"
    after = _found(before, _reports(draft, node), liars_max(len(draft.state.members)))
    if after != before:
        draft.put_node(node, after)


def _reports(draft: Draft, node: NodeId) -> list[NodeReport]:
    """Give the last report of every member that was never convicted."""
    reports = []
    for member in draft.state.members:
        author = draft.node(member)
        if author is not None and not author.tombstoned:
            said = draft.get(report_key(node, member))
            if said is not None:
                reports.append(cast("NodeReport", said))
    return reports


def _found(entry: NodeEntry, reports: list[NodeReport], liars: int) -> NodeEntry:
    """Give a node's condition as the members' reports together have it."""
    gone = sum(not report.accepting for report in reports)
    safe = sum(report.safe_mode for report in reports)
    entry = replace(
        entry,
        accepting=gone <= liars and not entry.tombstoned,
        safe_mode=safe > liars,
    )
    if len(reports) <= 2 * liars:
        return entry
    return replace(
        entry,
        health_percent=_median([report.health_percent for report in reports]),
        load_percent=_median([report.load_percent for report in reports]),
        latency_ms=_median([report.latency_ms for report in reports]),
        carbon_g_per_kwh=_median([report.carbon_g_per_kwh for report in reports]),
        capacity=_median([report.capacity for report in reports]),
        engine=_told(entry.engine, [report.engine for report in reports], liars),
    )


def _median(values: list[int]) -> int:
    """Give the middle value, the lower one of two."""
    return sorted(values)[(len(values) - 1) // 2]


def _told(before: int, values: list[int], liars: int) -> int:
    """Give what most members say, if one of them must be honest; else what was known."""
    value = max(sorted(set(values)), key=values.count)
    return value if values.count(value) > liars else before


def shorten_leases(draft: Draft) -> None:
    """Let who takes no work any more keep its slots for one lease at most.

    A block looks at some such nodes, others with each block, and at so many of their slots.
    """
    until_ms = draft.running_ms + draft.state.genesis.rules.lease_ms
    start = draft.context.index * GONE_LOOKED_AT_MAX
    leases = draft.state.tasks_by.leases
    for worker, task in leases.overlong(until_ms, start, GONE_LOOKED_AT_MAX, SHORTENED_MAX):
        entry = draft.task(task)
        assert entry is not None, "an index names tasks that exist"
        slots = tuple(_shortened(slot, until_ms, worker) for slot in entry.slots)
        entry = replace(entry, slots=slots)
        draft.put_task(task, replace(entry, deadline_ms=next_deadline(entry)))


def are_overlong(state: LedgerState) -> bool:
    """Tell whether the next block has leases to shorten."""
    until_ms = state.meta.running_ms + state.genesis.rules.lease_ms
    return state.tasks_by.leases.are_overlong(until_ms)


def _shortened(slot: Slot, until_ms: int, worker: NodeId) -> Slot:
    if slot.worker == worker and slot.state is SlotState.ASSIGNED:
        return replace(slot, deadline_ms=min(slot.deadline_ms, until_ms))
    return slot
