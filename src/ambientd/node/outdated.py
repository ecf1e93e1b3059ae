"""What a node still does whose program does not know the log's state version (protocols/05 §11)."""

from collections.abc import Iterator

from ambientd.codec.statements import task_id
from ambientd.ledger.events import RecordRejected
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.record import Admit, Body
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
                about, said_ms = _task(self_id, body), getattr(body, "said_ms", 0)
                refused = RecordRejected(self_id, _kind(body), why, about, said_ms)
                yield Told(refused, ledger.applied_index, ledger.meta.time_ms)
        case _:
            pass


def _kind(body: Body) -> str:
    return type(body).__name__.lower()


def _task(self_id: NodeId, body: Body) -> TaskId | None:
    return task_id(self_id, body.nonce, body.spec) if isinstance(body, Admit) else None
