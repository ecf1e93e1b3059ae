"""What needs no daemon and no network: checking a receipt file."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ambientd.rules.receipt_check import ReceiptReport

RECEIPT_BYTES_MAX = 16 * 1024 * 1024


def check_receipt(
    data: bytes, pinned: bytes | None = None, output: bytes | None = None
) -> "ReceiptReport":
    """Check a receipt file; a pinned fingerprint and the output are compared when given."""
    from ambientd.rules.receipt_check import check_receipt_file

    return check_receipt_file(data, pinned=pinned, output=output)
