"""Whether a node takes part: what a load balancer, an update or a person waits for."""

from collections.abc import Iterator

from ambientd.api.doctor_daemon import LATE_MS
from ambientd.model.base import NodeId
from ambientd.runtime.service import Parts


def unready(own: NodeId, parts: Parts) -> Iterator[str]:
    """Give what keeps a node from taking part, beside troubles with its log."""
    node, ledger = parts.node, parts.node.ledger
    entry, is_member = ledger.node(own), own in ledger.members
    if entry is None:
        yield "the log has not taken it in yet"
    elif entry.tombstoned:
        yield "it is convicted"
    if is_member and node.log.is_first_start:
        yield "it asks the other members whether its key is new"
    if not ledger.applied_index:
        yield "it has no block yet"
    elif node.consensus.is_behind:
        yield "it reads what it has missed"
    else:
        yield from _late(node.committed_at_ms, parts.now())
    if node.coordinator is None:
        yield "its term has no coordinator"
    if not parts.transport.peers() and set(ledger.members) != {own}:
        yield "it is connected to nobody"


def _late(committed_at_ms: int | None, now: int) -> Iterator[str]:
    """Say since when nothing was committed here: at rest there is a block each 13 s."""
    if committed_at_ms is None:
        yield "no block has come since it started"
    elif now - committed_at_ms > LATE_MS:
        yield f"no block has come for {(now - committed_at_ms) // 1000} s"
