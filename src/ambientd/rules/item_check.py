"""Check the receipt of one item of a bundle: the task's, and two paths (protocols/19 §5)."""

from dataclasses import replace

from ambientd.codec.bundles import outcome_leaf
from ambientd.codec.canonical import decode
from ambientd.codec.digest import sha256
from ambientd.codec.merkle import root_from_inclusion
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import DIGEST_BYTES
from ambientd.model.bundle import Bundle, Extent, ItemReceipt, ItemResult
from ambientd.model.execution import OutcomeKind
from ambientd.model.receipt import ReceiptFile
from ambientd.model.task import TaskSpec
from ambientd.rules.file_checks import Check, version_fault
from ambientd.rules.receipt_check import FILE_BYTES_MAX, ReceiptReport
from ambientd.rules.receipt_text import PLAIN_CHARS_MAX, outcome_text, plain_fault

ITEM_VERSION = 1
ITEM_BYTES_MAX = FILE_BYTES_MAX + 4096


def read_item_receipt(data: bytes) -> ItemReceipt | None:
    """Read the receipt of an item; None where the bytes are none, so another file perhaps."""
    try:
        found: ItemReceipt = decode(data, ItemReceipt, ITEM_BYTES_MAX)
    except RemoteProtocolError:
        return None
    return found


def with_item_checked(
    report: ReceiptReport, file: ItemReceipt, output: bytes | None
) -> ReceiptReport:
    """Add to what was found of the bundle's receipt what its item's two paths say."""
    fault = version_fault(file.version, ITEM_VERSION)
    if fault is not None or report.file is None:
        found = [] if fault is None else [Check("format", False, fault)]
        return replace(report, checks=(*report.checks, *found))
    spec = report.file.spec
    outcome = f"{outcome_text(file.came.kind)}, {file.came.gas} gas"
    checks = [
        _checked(
            "item input",
            _path_fault(spec.input_size_bytes, file.given, file.item, file.given_path),
            f"item {file.item} of {spec.items}, leaf {file.given.hex()}",
        ),
        _checked("item outcome", _outcome_fault(report.file, file), outcome),
    ]
    if output is not None:
        digest, came = sha256(output), file.came
        is_same = digest == came.output and len(output) == came.output_size_bytes
        fault = f"the output has hash {digest.hex()}, the receipt says {came.output.hex()}"
        checks.append(
            _checked("output", None if is_same else fault, f"{digest.hex()}, {len(output)} bytes")
        )
    return replace(report, checks=(*report.checks, *checks))


def _outcome_fault(task: ReceiptFile, file: ItemReceipt) -> str | None:
    came, spec = file.came, task.spec
    fault = _came_fault(came, spec)
    if fault is not None:
        return fault
    extent = task.settlement.result.output_size_bytes
    if isinstance(extent, Bundle) and extent.items != spec.items:
        return f"the answer is of {extent.items} items, the task has {spec.items}"
    return _path_fault(extent, outcome_leaf(came), file.item, file.came_path)


def _came_fault(came: ItemResult, spec: TaskSpec) -> str | None:
    """Say why no execution of an item can have ended so: one worker alone may write anything."""
    fault = plain_fault("reason", came.reason, PLAIN_CHARS_MAX["reason"])
    if fault is not None:
        return fault
    if came.kind not in set(OutcomeKind) or not 0 <= came.gas <= spec.gas_max // max(1, spec.items):
        return f"{outcome_text(came.kind)} for {came.gas} gas is no outcome within the limits"
    size_bytes, is_completed = came.output_size_bytes, came.kind == OutcomeKind.COMPLETED
    if len(came.output) != DIGEST_BYTES:
        return f"the output's hash is not {DIGEST_BYTES} bytes long"
    if not 0 <= size_bytes <= (spec.output_bytes_max if is_completed else 0):
        return f"{outcome_text(came.kind)} with an output of {size_bytes} bytes is no outcome"
    if (size_bytes == 0) != (came.output == sha256(b"")):
        return f"an output of {size_bytes} bytes has not the hash {came.output.hex()}"
    return None


def _path_fault(extent: Extent, leaf: bytes, place: int, path: tuple[bytes, ...]) -> str | None:
    if not isinstance(extent, Bundle):
        return "the task's receipt is not that of a bundle"
    if len(leaf) != DIGEST_BYTES or any(len(step) != DIGEST_BYTES for step in path):
        return f"a step of the path is not {DIGEST_BYTES} bytes long"
    if root_from_inclusion(leaf, place, extent.items, path) != extent.root:
        return f"the path does not lead from item {place} to the root over {extent.items} items"
    return None


def _checked(name: str, fault: str | None, found: str) -> Check:
    return Check(name, fault is None, found if fault is None else fault)
