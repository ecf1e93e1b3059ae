"""What a receipt says of a dispute, and what a bisected one must fulfil (06 section 3, 12)."""

from ambientd.codec.statements import result_root
from ambientd.model.receipt import ReceiptFile

SHOWN_CHARS = 16


def _liar_names(file: ReceiptFile) -> str:
    """Name the liars of a settlement, shortly."""
    return ", ".join(liar.hex()[:SHOWN_CHARS] for liar in file.settlement.liars) or "nobody"


def refereed_text(file: ReceiptFile) -> str:
    """Say what a dispute found whose referees executed the whole."""
    return f"{len(file.verdicts)} referees decided; lied: {_liar_names(file)}"


def bisected_text(file: ReceiptFile) -> str:
    """Say what a bisected dispute found."""
    return f"every other answer was traced to a false step; lied: {_liar_names(file)}"


def bisected_fault(file: ReceiptFile) -> str | None:
    """Every replica answered, and exactly who did not say what the settlement says lied."""
    if not file.spec.is_disputable or file.verdicts:
        return "a bisected dispute is of a replicated task, and no referee executed the whole"
    if len(file.receipts) < max(2, file.spec.replicas):
        return f"{len(file.receipts)} receipts are here, the task asked for {file.spec.replicas}"
    root = result_root(file.settlement.result)
    others = [s.receipt.worker for s in file.receipts if result_root(s.receipt.result) != root]
    if not 0 < len(others) < len(file.receipts):
        return "a bisected dispute is between receipts, and one at least says what was settled"
    if sorted(others) != sorted(file.settlement.liars):
        return "the liars that are named are not those whose receipts differ"
    return None
