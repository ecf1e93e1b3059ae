"""How far an accepted answer can be relied on, and what its receipt file carries against it."""

from ambientd.api.operation import OperationError
from ambientd.codec.statements import audit_id, result_root
from ambientd.ledger.audit_entries import AuditEntry, AuditState
from ambientd.ledger.entries import CheckpointEntry, TaskEntry, audit_key
from ambientd.ledger.state import LedgerState
from ambientd.model.base import TaskId
from ambientd.model.receipt import Doubt, Revocation
from ambientd.model.task import TaskState

NOTHING = ""
SUSPECT, REVOKED = "suspect", "revoked"
_WORDS = {
    AuditState.AWAITING: "unaudited, to be drawn",
    AuditState.PASSED: "unaudited",
    AuditState.OPEN: "under audit",
    AuditState.CONFIRMED: "audited",
    AuditState.UNDECIDED: "unaudited, as its audit came to no result",
}


def standing(state: LedgerState, task: TaskId) -> str:
    """Tell how an answer that one worker gave alone stands; nothing for any other."""
    about = _about(state, task)
    if about is None:
        return NOTHING
    if about.state is AuditState.REFUTED:
        return REVOKED
    return SUSPECT if _is_suspect(state, about) else _WORDS[about.state]


def check_receipted(task: TaskId, entry: TaskEntry) -> None:
    """Raise OperationError for a task that never has a receipt of its own."""
    if entry.audits is not None:
        hint = f"ask for that of the task that it audits: {entry.audits.task.hex()}"
        raise OperationError("rejected", "an audit has no receipt of its own", hint)
    if entry.state in {TaskState.CANCELLED, TaskState.EXPIRED}:
        msg = f"task {task.hex()[:12]} is {entry.state.name.lower()}, and has no receipt"
        raise OperationError("rejected", msg, "only a task that became final has one")


def batch_of(state: LedgerState, task: TaskId, leaf: int) -> CheckpointEntry | None:
    """Give the closed batch for a receipt file: one with the revocation in it, if there is one."""
    about = _about(state, task)
    revoked = None if about is None or about.revocation is None else about.revocation
    found = None if revoked is None else state.checkpoint_covering(revoked)
    return found or state.checkpoint_covering(leaf)


def doubt(state: LedgerState, task: TaskId, entry: TaskEntry, size: int) -> Doubt | None:
    """Give what speaks against a result, as the head over so many leaves can show it."""
    about = _about(state, task)
    if about is None or entry.leaf is None:
        return None
    if about.revocation is None:
        return Doubt() if _is_suspect(state, about) else None
    audit = audit_id(task, about.round - 1)
    audited = state.task(audit)
    if about.revocation >= size or audited is None or audited.settlement is None:
        return Doubt()
    revocation = Revocation(
        task=task,
        worker=about.worker,
        leaf=entry.leaf,
        found=result_root(audited.settlement.result),
        audit=audit,
        revoked_ms=audited.ended_ms,
    )
    path = state.inclusion_path(about.revocation, size)
    return Doubt(revocation=revocation, leaf_index=about.revocation, path=path)


def _about(state: LedgerState, task: TaskId) -> AuditEntry | None:
    found = state.get(audit_key(task))
    return found if isinstance(found, AuditEntry) else None


def _is_suspect(state: LedgerState, about: AuditEntry) -> bool:
    nodes = map(state.node, about.vouchers)
    return all(node is not None and node.tombstoned for node in nodes)
