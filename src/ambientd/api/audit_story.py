"""What becomes of answers that one worker gave alone, in words and fields."""

from typing import TypeAlias, assert_never

from ambientd.api.replies import EventKind
from ambientd.api.story_words import Fields, Line, short
from ambientd.ledger import events as ledger
from ambientd.ledger.audit_entries import AuditSource

AuditEvent: TypeAlias = (
    ledger.AuditOpened
    | ledger.AuditUndecided
    | ledger.PayLost
    | ledger.PayWaits
    | ledger.PremiumPaid
    | ledger.ResultConfirmed
    | ledger.ResultRevoked
    | ledger.ResultSuspected
)
_DRAWN = {
    AuditSource.COMMITTEE: "drawn by the committee's hash chain",
    AuditSource.BITCOIN: "drawn by a Bitcoin block",
    AuditSource.LIE: "who vouched for the answer is convicted",
    AuditSource.DISPUTE: "a dispute has left the answer of one worker",
}


def audit_line(event: AuditEvent) -> Line:
    """Put one such event into words."""
    fields: Fields = {"task": event.task.hex()}
    match event:
        case ledger.PayWaits(node=node, amount_msat=amount, due_ms=due_ms):
            text = f"{short(node)} has earned {amount} msat, which vest after the audit window"
            return EventKind.PAY_WAITS, text, fields | _of(node, amount) | {"due_ms": due_ms}
        case ledger.PayLost(node=node, amount_msat=amount):
            text = f"{short(node)} loses {amount} msat that had not vested"
            return EventKind.PAY_LOST, text, fields | _of(node, amount)
        case ledger.AuditOpened(audit=audit, source=source):
            text = f"audited as {short(audit)}: {_DRAWN[source]}"
            return EventKind.AUDIT_OPENED, text, fields | {"audit": audit.hex()}
        case ledger.ResultSuspected(worker=worker):
            text = f"suspect: {short(worker)}, who answered alone, is convicted; it is audited"
            return EventKind.RESULT_SUSPECTED, text, fields | {"node": worker.hex()}
        case ledger.ResultConfirmed(worker=worker):
            text = f"the audit has found what {short(worker)} answered"
            return EventKind.RESULT_CONFIRMED, text, fields | {"node": worker.hex()}
        case ledger.ResultRevoked(worker=worker, leaf=leaf):
            text = f"revoked: the answer of {short(worker)} is wrong, as the committee has found"
            return EventKind.RESULT_REVOKED, text, fields | {"node": worker.hex(), "leaf": leaf}
        case ledger.AuditUndecided():
            return EventKind.AUDIT_UNDECIDED, "the audit came to no result", fields
        case ledger.PremiumPaid(amount_msat=amount):
            text = f"{amount} msat go to the reserve that audits are paid from"
            return EventKind.PREMIUM_PAID, text, fields | {"amount_msat": amount}
        case _:
            assert_never(event)


def _of(node: bytes, amount_msat: int) -> Fields:
    return {"node": node.hex(), "amount_msat": amount_msat}
