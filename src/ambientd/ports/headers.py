"""Headers: the node's own copy of its Bitcoin network's chain, checked header by header."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HeadersState:
    """How far the headers have come; `state` is "following", or says what keeps them."""

    state: str
    base_height: int
    height: int
    tip_hash: bytes


class Headers(Protocol):
    """Tells how the headers are."""

    def status(self) -> HeadersState:
        """Tell how far the headers have come, without asking anybody."""
        ...

    def newest(self, count: int) -> tuple[int, tuple[bytes, ...]]:
        """Give so many of the last headers, or fewer, and the first one's height."""
        ...
