"""What a node still does whose program does not know the log's state version (protocols/05 §11)."""

from collections.abc import Iterator

from ambientd.ledger.rejections import rejection_of
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.node import event as node_events
from ambientd.node.effect import AllowNodes, NodeEffect, Told


def looking_on(
    event: node_events.Event, ledger: LedgerState, self_id: NodeId, why: str
) -> Iterator[NodeEffect]:
    """Keep to the nodes that are known; refuse at once what the owner wants of the log."""
    match event:
        case node_events.Started():
            yield AllowNodes(ledger.allowed_nodes())
        case node_events.BodiesProposed(bodies=bodies):
            for body in bodies:
                refused = rejection_of(self_id, body, why)
                yield Told(refused, ledger.applied_index, ledger.meta.time_ms)
        case _:
            pass
