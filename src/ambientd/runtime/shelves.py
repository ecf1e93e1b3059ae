"""What peers may have: blobs, and states that are handed on, each in its own place."""

from typing import Protocol

from ambientd.codec.chunks import Outline
from ambientd.ports.blobs import ServedFiles
from ambientd.runtime.blobs import GivenFiles


class GivenStore(GivenFiles, ServedFiles, Protocol):
    """What peers may have, whole or by chunks."""


class Shelves:
    """What peers may have of two places: what is not in the first is looked for in the other."""

    def __init__(self, first: GivenStore, other: GivenStore | None) -> None:
        self._first = first
        self._other = other

    def _of(self, digest: bytes) -> GivenStore:
        other = self._other
        if other is None or self._first.size_of(digest) is not None:
            return self._first
        return self._first if other.size_of(digest) is None else other

    def get(self, digest: bytes) -> bytes | None:
        """Give a blob's verified bytes, or None."""
        return self._of(digest).get(digest)

    def size_of(self, digest: bytes) -> int | None:
        """Give how long a blob is that is kept, at once."""
        return self._of(digest).size_of(digest)

    def outline(self, digest: bytes) -> Outline | None:
        """Read a blob once and give its outline; None when it is not here, or damaged."""
        return self._of(digest).outline(digest)

    def piece(self, digest: bytes, start: int, count: int) -> bytes | None:
        """Give some bytes of a blob, which nobody has checked; None when it is not here."""
        return self._of(digest).piece(digest, start, count)
