"""What every model value has in common: frozen, positional, strict about extra fields."""

from typing import NewType

import msgspec

NodeId = NewType("NodeId", bytes)
TaskId = NewType("TaskId", bytes)
Digest = NewType("Digest", bytes)
Millis = NewType("Millis", int)

DIGEST_BYTES = 32


class Value(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """A frozen value; its fields travel in order, and the index is the field number."""
