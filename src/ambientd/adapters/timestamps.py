"""Receipts and batches as OpenTimestamps files, for the stock client (opentimestamps.org).

Such a file leads from a document's SHA-256 to a Bitcoin block's Merkle root. The receipt log hashes
with a prefix (RFC 9162), so the document of a receipt is 0x00 and its settlement, that of a batch
0x01 and the two halves of its tree.
"""

from dataclasses import dataclass

from opentimestamps.core.notary import BitcoinBlockHeaderAttestation
from opentimestamps.core.op import OpAppend, OpPrepend, OpSHA256
from opentimestamps.core.serialize import BytesSerializationContext
from opentimestamps.core.timestamp import DetachedTimestampFile, Timestamp

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.merkle import sibling_sides
from ambientd.errors import UsageError
from ambientd.model.receipt import AnchorProof, ReceiptFile
from ambientd.rules.bitcoin import HASH_SIZE, decode_transaction

LEAF, BRANCH = b"\x00", b"\x01"


@dataclass(frozen=True, slots=True)
class Stamped:
    """A document, and the timestamp file that belongs to it."""

    document: bytes
    timestamp: bytes


def receipt_timestamp(file: ReceiptFile) -> Stamped:
    """Stamp a receipt's settlement.

    Raises:
        UsageError: when the receipt has no anchor yet.
    """
    document = LEAF + encode(file.settlement)
    steps = _steps(file)
    return _stamped(document, steps, _anchor(file))


def batch_timestamp(file: ReceiptFile) -> Stamped:
    """Stamp the batch that a receipt is in, by the two halves of its tree.

    Raises:
        UsageError: when the receipt has no anchor yet, or is alone in its batch.
    """
    steps = _steps(file)
    if not steps:
        raise UsageError("a batch of one receipt is that receipt: export it without --batch")
    current = sha256(LEAF + encode(file.settlement))
    for sibling, is_left in steps:
        document = BRANCH + (sibling + current if is_left else current + sibling)
        current = sha256(document)
    return _stamped(document, [], _anchor(file))


def _anchor(file: ReceiptFile) -> AnchorProof:
    if file.anchor is None:
        raise UsageError("the receipt is not in a Bitcoin block yet: get it again later")
    return file.anchor


def _steps(file: ReceiptFile) -> list[tuple[bytes, bool]]:
    """Give the receipt's path, each sibling with whether it stands on the left."""
    size = 0 if file.note is None else file.note.size
    sides = sibling_sides(file.leaf_index, size, len(file.path))
    if sides is None:
        raise UsageError("the receipt's path does not lead to its checkpoint: verify it first")
    return list(zip(file.path, sides, strict=True))


def _stamped(document: bytes, steps: list[tuple[bytes, bool]], anchor: AnchorProof) -> Stamped:
    start = Timestamp(sha256(document))
    current = start
    for sibling, is_left in steps:
        if not is_left:
            current = current.ops.add(OpAppend(sibling))
        current = current.ops.add(OpPrepend(BRANCH + sibling if is_left else BRANCH))
        current = current.ops.add(OpSHA256())
    base = decode_transaction(anchor.raw_tx).base
    before, found, behind = base.partition(current.msg)
    if not found:
        raise UsageError("the anchor does not commit to the receipt: verify it first")
    current = _twice(current.ops.add(OpPrepend(before)).ops.add(OpAppend(behind)))
    place = anchor.index
    for sibling in anchor.siblings:
        step = OpPrepend(sibling) if place & 1 else OpAppend(sibling)
        current, place = _twice(current.ops.add(step)), place >> 1
    current.attestations.add(BitcoinBlockHeaderAttestation(anchor.height))
    context = BytesSerializationContext()
    DetachedTimestampFile(OpSHA256(), start).serialize(context)
    assert len(start.msg) == HASH_SIZE
    return Stamped(document, context.getbytes())


def _twice(timestamp: Timestamp) -> Timestamp:
    return timestamp.ops.add(OpSHA256()).ops.add(OpSHA256())
