"""Where a node's blobs lie: `adapters.blob_files.BlobFiles`, or a bucket."""

from typing import Protocol

from ambientd.codec.chunks import Outline
from ambientd.ports.retention import SweptFiles


class BlobReads(Protocol):
    """Content-addressed bytes on this device."""

    def get(self, digest: bytes) -> bytes | None:
        """Give a blob's verified bytes, or None."""
        ...

    def remembered(self, digest: bytes) -> bytes | None:
        """Give a blob's verified bytes if they are in memory, at once."""
        ...

    def size_of(self, digest: bytes) -> int | None:
        """Give how long a blob is that is kept, at once; its bytes are checked when read."""
        ...

    def put(self, data: bytes, *, is_synced: bool = True, name: bytes | None = None) -> bytes:
        """Keep a blob, durably unless others hold it as well, and give its SHA-256.

        `name` is that hash, where whoever brought the bytes has found them to have it.
        """
        ...

    def is_unsynced(self, digest: bytes) -> bool:
        """Tell whether a blob was put without being synced, and never synced since."""
        ...

    def is_fresh(self, digest: bytes) -> bool:
        """Tell whether a blob is in memory and was put just now."""
        ...


class ServedFiles(Protocol):
    """Blobs that are given to others a piece at a time."""

    def outline(self, digest: bytes) -> Outline | None:
        """Read a blob once and give its outline; None when it is not here, or damaged."""
        ...

    def piece(self, digest: bytes, start: int, count: int) -> bytes | None:
        """Give some bytes of a blob, which nobody has checked; None when it is not here."""
        ...


class Partial(Protocol):
    """A blob of which some chunks may be here."""

    def open(self, outline: Outline) -> frozenset[int]:
        """Take room for all of it, and say which chunks are here already.

        Raises:
            StoreError: there is no room, or the disk fails.
        """
        ...

    def take(self, index: int, data: bytes) -> bool:
        """Keep a chunk, unless the outline has another there."""
        ...

    def finish(self, *, is_synced: bool) -> bool:
        """Make it a blob; False, and nothing changes, when the whole has another name."""
        ...

    def close(self) -> None:
        """Leave it for the next time."""
        ...


class PartialFiles(Protocol):
    """Where blobs grow."""

    def partial(self, digest: bytes) -> Partial:
        """Give what there is of a blob; one at a time for each name."""
        ...


class Draft(Protocol):
    """A blob that is being written."""

    def write(self, piece: bytes) -> None:
        """Take a piece."""
        ...

    def keep(self, name: bytes) -> int:
        """Make it a blob and give its size; raise UsageError for bytes of another name."""
        ...

    def drop(self) -> None:
        """Leave nothing behind, unless it was kept."""
        ...


class DraftFiles(Protocol):
    """Where drafts are written."""

    def begin(self) -> Draft:
        """Begin one."""
        ...


class BlobStore(BlobReads, ServedFiles, PartialFiles, DraftFiles, SweptFiles, Protocol):
    """All that a daemon asks of where its blobs lie."""
