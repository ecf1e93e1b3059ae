"""What needs no daemon and no network: checking a receipt file, checking a module."""

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from ambientd.rules.receipt_check import ReceiptReport

RECEIPT_BYTES_MAX = 16 * 1024 * 1024
MODULE_BYTES_MAX = 60 * 1024 * 1024


class ModuleReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether nodes take a module, and its hash after preparation."""

    accepted: bool
    prepared_sha256: str | None
    reason: str


def check_receipt(
    data: bytes, pinned: bytes | None = None, output: bytes | None = None
) -> "ReceiptReport":
    """Check a receipt file; a pinned fingerprint and the output are compared when given."""
    from ambientd.rules.receipt_check import check_receipt_file

    return check_receipt_file(data, pinned=pinned, output=output)


def check_module(module: bytes) -> ModuleReport:
    """Prepare a module the way every worker does, and say what came of it."""
    from ambientd.codec.digest import sha256
    from ambientd.wasm.prepare import Refused, prepare

    prepared = prepare(module)
    if isinstance(prepared, Refused):
        return ModuleReport(accepted=False, prepared_sha256=None, reason=prepared.reason)
    digest = sha256(prepared.module).hex()
    return ModuleReport(accepted=True, prepared_sha256=digest, reason="")
