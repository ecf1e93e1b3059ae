"""Blobs that come in pieces: none of them is held in memory, and nothing is left of a failure."""

import hashlib
import os
from pathlib import Path
from typing import Protocol

from ambientd.errors import StoreError, UsageError


class Shelf(Protocol):
    """Where drafts become blobs."""

    def reserve(self, size_bytes: int) -> None:
        """Take room; raise StoreError when there is none."""
        ...

    def release(self, size_bytes: int) -> None:
        """Give room back."""
        ...

    def adopt(self, name: bytes, draft: Path, size_bytes: int) -> None:
        """Make a draft, whose room is taken, a blob."""
        ...


class BlobDraft:
    """Bytes on their way into the store: counted, hashed and written as they come."""

    def __init__(self, shelf: Shelf, path: Path, size_bytes_max: int) -> None:
        self._shelf = shelf
        self._path = path
        self._size_bytes_max = size_bytes_max
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        self._file = path.open("xb")

    def write(self, piece: bytes) -> None:
        """Take a piece; raise UsageError above the cap, StoreError for a full quota or disk."""
        if self._size_bytes + len(piece) > self._size_bytes_max:
            msg = f"a blob has at most {self._size_bytes_max} bytes here; split it"
            raise UsageError(msg)
        self._shelf.reserve(len(piece))
        self._size_bytes += len(piece)
        self._hash.update(piece)
        try:
            self._file.write(piece)
        except OSError as error:
            msg = f"cannot write {self._path}: {error.strerror}; make room on its disk"
            raise StoreError(msg) from error

    def keep(self, name: bytes) -> int:
        """Make it the blob of this name and give its size; raise UsageError for other bytes."""
        found = self._hash.digest()
        if found != name:
            msg = f"the bytes are not {name.hex()}: their SHA-256 is {found.hex()}"
            raise UsageError(msg)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            size_bytes, self._size_bytes = self._size_bytes, 0  # the store has the room from here
            self._shelf.adopt(name, self._path, size_bytes)
        except OSError as error:
            msg = f"cannot keep {self._path}: {error.strerror}; make room on its disk"
            raise StoreError(msg) from error
        return size_bytes

    def drop(self) -> None:
        """Leave nothing behind, unless it was kept."""
        self._file.close()
        self._path.unlink(missing_ok=True)
        self._shelf.release(self._size_bytes)
        self._size_bytes = 0
