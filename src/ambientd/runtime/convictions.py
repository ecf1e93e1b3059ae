"""Convictions in the daemon's log, and what they take back, on every node alike."""

import structlog

from ambientd.ledger.entries import EvidenceEntry, Table
from ambientd.ledger.events import LiarNamed, NodeConvicted, ResultRevoked, ResultSuspected
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.node.effect import Told

log = structlog.get_logger("ambientd.convictions")


def warn_of_conviction(told: Told, ledger: LedgerState) -> None:
    """Log what convicts a node, or takes back what it answered; say nothing of anything else."""
    match told.event:
        case NodeConvicted(node=node, kind=kind):
            log.warning("node convicted", evidence=kind, **_who(node, ledger), index=told.index)
        case LiarNamed(node=node, task=task, evidence=name):
            found = ledger.get((Table.EVIDENCE, name))
            kind = found.kind if isinstance(found, EvidenceEntry) else "unknown"
            who = _who(node, ledger)
            log.warning(
                "node convicted", evidence=kind, task=task.hex()[:12], **who, index=told.index
            )
        case (
            ResultSuspected(task=task, submitter=submitter)
            | ResultRevoked(task=task, submitter=submitter)
        ):
            is_revoked = isinstance(told.event, ResultRevoked)
            log.warning(
                "result revoked" if is_revoked else "result suspect",
                task=task.hex()[:12],
                submitter=submitter.hex()[:12],
                index=told.index,
            )
        case _:
            pass


def _who(node: NodeId, ledger: LedgerState) -> dict[str, str]:
    entry = ledger.node(node)
    return {"node": node.hex()[:12], "name": "" if entry is None else entry.profile.name}
