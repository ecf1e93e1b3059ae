"""What all stories are made of: lines in words and fields, and the short names of keys."""

from typing import TypeAlias

from ambientd.api.replies import EventKind

Fields: TypeAlias = dict[str, str | int | float | bool | list[str] | None]
Line: TypeAlias = tuple[EventKind, str, Fields]


def short(identity: bytes) -> str:
    """Give as much of a key or digest as people compare."""
    return identity.hex()[:12]
