"""Pay that vests: of an answer that one worker gave alone, once its audit window is over.

Until then it can be lost: a convicted worker's goes to the reserve, from which audits are paid.
"""

from collections.abc import Sequence
from typing import cast

from ambientd.ledger.audit_entries import AuditEntry, AuditState, Unvested
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import Payment, audit_key, unvested_key
from ambientd.ledger.events import Paid, PayLost, PayWaits
from ambientd.model.base import NodeId, TaskId

DUE_LOOKED_AT_MAX = 64
"""Pay that is due and that a block looks at, at most; the next blocks look at the rest."""


def window_ms(draft: Draft) -> int:
    """Give how long an audit may still be drawn: never longer than tasks are kept."""
    rules = draft.state.genesis.rules
    return min(rules.audit_window_ms, rules.keep_ms)


def let_wait(draft: Draft, task: TaskId, payments: Sequence[Payment]) -> None:
    """Set pay aside until the audit window is over."""
    due_ms = draft.context.time_ms + window_ms(draft)
    for payment in payments:
        unvested = Unvested(amount_msat=payment.amount_msat, due_ms=due_ms)
        draft.put(unvested_key(payment.node, task), unvested)
        draft.tell(PayWaits(task, payment.node, payment.amount_msat, due_ms))


def release(draft: Draft) -> None:
    """Let pay vest whose window is over, unless the draw or the audit is still to come."""
    start = draft.context.index * DUE_LOOKED_AT_MAX
    due = draft.state.vesting.due(draft.context.time_ms, start, DUE_LOOKED_AT_MAX)
    for worker, task in due:
        about = cast("AuditEntry | None", draft.get(audit_key(task)))
        if about is None or about.state not in {AuditState.AWAITING, AuditState.OPEN}:
            vest(draft, worker, task)


def vest(draft: Draft, worker: NodeId, task: TaskId) -> None:
    """Give a worker its pay for a task, or the reserve, if the worker was convicted."""
    entry = draft.node(worker)
    if entry is None or entry.tombstoned:
        forfeit(draft, worker, task)
        return
    amount_msat = _taken(draft, worker, task)
    if amount_msat:
        draft.credit(worker, amount_msat)
        draft.tell(Paid(task, worker, amount_msat))


def forfeit(draft: Draft, worker: NodeId, task: TaskId) -> int:
    """Take from a convicted worker what has not vested of its pay for a task; say how much."""
    amount_msat = _taken(draft, worker, task)
    if amount_msat:
        draft.move_reserve(amount_msat)
        draft.tell(PayLost(task, worker, amount_msat))
    return amount_msat


def _taken(draft: Draft, worker: NodeId, task: TaskId) -> int:
    """Take what waits of a worker's pay for a task, once."""
    key = unvested_key(worker, task)
    found = cast("Unvested | None", draft.get(key))
    if found is None:
        return 0
    draft.drop(key)
    return found.amount_msat
