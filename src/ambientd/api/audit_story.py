"""What becomes of answers that one worker gave alone, in words and fields."""

from typing import TypeAlias, assert_never

from ambientd.api.replies import EventKind
from ambientd.ledger import events as ledger

Fields: TypeAlias = dict[str, str | int | float | bool | list[str] | None]
AuditEvent: TypeAlias = ledger.PayWaits | ledger.PayLost | ledger.PremiumPaid


def audit_line(event: AuditEvent) -> tuple[EventKind, str, Fields]:
    """Put one such event into words."""
    fields: Fields = {"task": event.task.hex()}
    match event:
        case ledger.PayWaits(node=node, amount_msat=amount, due_ms=due_ms):
            text = f"{_short(node)} has earned {amount} msat, which vest after the audit window"
            return EventKind.PAY_WAITS, text, fields | _of(node, amount) | {"due_ms": due_ms}
        case ledger.PayLost(node=node, amount_msat=amount):
            text = f"{_short(node)} loses {amount} msat that had not vested"
            return EventKind.PAY_LOST, text, fields | _of(node, amount)
        case ledger.PremiumPaid(amount_msat=amount):
            text = f"{amount} msat go to the reserve that audits are paid from"
            return EventKind.PREMIUM_PAID, text, fields | {"amount_msat": amount}
        case _:
            assert_never(event)


def _of(node: bytes, amount_msat: int) -> Fields:
    return {"node": node.hex(), "amount_msat": amount_msat}


def _short(identity: bytes) -> str:
    return identity.hex()[:12]
