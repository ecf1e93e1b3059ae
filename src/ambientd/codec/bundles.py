"""Bundles as bytes, and the trees over them (protocols/19-bundles.md).

Every root is over the items themselves, so what one path leads to is one item and its place.
"""

from collections.abc import Sequence

from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import sha256
from ambientd.codec.merkle import inclusion_proof, leaf_hash, root
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest
from ambientd.model.bundle import Bundle, ItemOutcome, ItemResult, Items, Outcomes
from ambientd.model.execution import INPUT_BYTES_CEILING, OUTPUT_BYTES_CEILING, OutcomeKind

REASON_CHARS_MAX = 256


def encode_items(items: Sequence[bytes]) -> bytes:
    """Give the bytes of a bundle of inputs."""
    return encode(tuple(items))


def decode_items(data: bytes, bundle: Bundle) -> tuple[bytes, ...]:
    """Read a bundle of inputs; raise RemoteProtocolError unless it is the one that is named."""
    items: tuple[bytes, ...] = decode(data, Items, INPUT_BYTES_CEILING)
    if bundle_of_items(items, len(data)) != bundle:
        raise RemoteProtocolError("the bundle does not hold the items that it is named by")
    return items


def bundle_of_items(items: Sequence[bytes], size_bytes: int) -> Bundle:
    """Name a bundle of inputs by its size, its number of items and their root."""
    return Bundle(
        size_bytes=size_bytes, items=len(items), root=Digest(root(list(map(leaf_hash, items))))
    )


def encode_outcomes(outcomes: Sequence[ItemOutcome]) -> bytes:
    """Give the bytes of a bundle of outcomes."""
    return encode(tuple(outcomes))


def decode_outcomes(data: bytes, bundle: Bundle) -> tuple[ItemOutcome, ...]:
    """Read a bundle of outcomes; raise RemoteProtocolError unless it is the one that is named."""
    outcomes = read_outcomes(data, bundle.items)
    if bundle_of_outcomes(outcomes, len(data)) != bundle:
        raise RemoteProtocolError("the bundle does not hold the outcomes that it is named by")
    return outcomes


def read_outcomes(data: bytes, items: int) -> tuple[ItemOutcome, ...]:
    """Read outcomes whose bytes are vouched for; raise RemoteProtocolError unless of so many items.

    One worker alone is believed whatever bytes it gives.
    """
    outcomes: tuple[ItemOutcome, ...] = decode(data, Outcomes, OUTPUT_BYTES_CEILING)
    if len(outcomes) != items:
        msg = f"the bundle has {len(outcomes)} outcomes, and the task {items} items"
        raise RemoteProtocolError(msg)
    if not all(_is_outcome(each) for each in outcomes):
        raise RemoteProtocolError("an item of the bundle has no outcome that an execution can have")
    return outcomes


def bundle_of_outcomes(outcomes: Sequence[ItemOutcome], size_bytes: int) -> Bundle:
    """Name a bundle of outcomes by its size, its number of items and their root."""
    leaves = [outcome_leaf(item_result(each)) for each in outcomes]
    return Bundle(size_bytes=size_bytes, items=len(outcomes), root=Digest(root(leaves)))


def item_result(outcome: ItemOutcome) -> ItemResult:
    """Give an outcome with its output's digest in the place of the output."""
    return ItemResult(
        kind=outcome.kind,
        reason=outcome.reason,
        gas=outcome.gas,
        output=Digest(sha256(outcome.output)),
        output_size_bytes=len(outcome.output),
    )


def outcome_leaf(result: ItemResult) -> bytes:
    """Hash the leaf of one item's outcome."""
    return leaf_hash(encode(result))


def item_paths(
    items: Sequence[bytes], outcomes: Sequence[ItemOutcome], place: int
) -> tuple[tuple[Digest, ...], tuple[Digest, ...]]:
    """Give the paths from an item to the root of inputs, and from its outcome to theirs."""
    leaves = [outcome_leaf(item_result(each)) for each in outcomes]
    given = inclusion_proof(list(map(leaf_hash, items)), place)
    came = inclusion_proof(leaves, place)
    return tuple(map(Digest, given)), tuple(map(Digest, came))


def _is_outcome(outcome: ItemOutcome) -> bool:
    return (
        outcome.kind in set(OutcomeKind)
        and outcome.gas >= 0
        and len(outcome.reason) <= REASON_CHARS_MAX
        and outcome.reason.isascii()
        and outcome.reason.isprintable()
        and (outcome.kind == OutcomeKind.COMPLETED or not outcome.output)
    )
