"""Bundles: many inputs of one module as one task, and what came of each (protocols/19)."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from ambientd.model.base import Digest, Value

ITEMS_MAX = 256
"""Of one bundle."""

PATH_MAX = 8
"""So high is a tree over as many."""


class Bundle(Value, frozen=True):
    """How large a bundle's bytes are, how many items they hold, and the root over those."""

    size_bytes: int
    items: int
    root: Digest


Extent: TypeAlias = int | Bundle
"""What a blob's bytes are: so many, or those of a bundle."""

Items: TypeAlias = Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=ITEMS_MAX)]


class ItemOutcome(Value, frozen=True):
    """How the execution of one item ended; a bundle of outcomes is a list of these."""

    kind: int
    reason: str
    gas: int
    output: bytes


Outcomes: TypeAlias = Annotated[tuple[ItemOutcome, ...], Meta(min_length=1, max_length=ITEMS_MAX)]


class ItemResult(Value, frozen=True):
    """An outcome without its output's bytes: a leaf of the tree over a bundle's outcomes."""

    kind: int
    reason: str
    gas: int
    output: Digest
    output_size_bytes: int


def size_of(extent: Extent) -> int:
    """Give how many bytes a blob has."""
    return extent.size_bytes if isinstance(extent, Bundle) else extent


class ItemReceipt(Value, frozen=True):
    """A bundle's receipt file with the paths of one item and of what came of it (`*.receipt`).

    `given` is the leaf hash of the item; a path is at most as long as a tree of so many is high.
    """

    version: int
    receipt: bytes
    item: int
    given: Digest
    given_path: Annotated[tuple[Digest, ...], Meta(max_length=PATH_MAX)]
    came: ItemResult
    came_path: Annotated[tuple[Digest, ...], Meta(max_length=PATH_MAX)]
