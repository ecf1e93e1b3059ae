"""Blobs that come chunk by chunk: what is here stays here, also when the daemon ends.

Nothing is noted beside the bytes. Which chunks are here is found by their hashes, so a crash in the
middle of a write costs the chunk that was written, and whatever an earlier outline led to stays
where it fits the next one.
"""

import hashlib
import os
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

from ambientd.codec.chunks import Outline
from ambientd.errors import StoreError
from ambientd.model.chunk import CHUNK_BYTES

PARTIALS_MAX = 16
"""That nobody works on; of more the oldest go."""

PARTIAL_KEPT_MS = 86_400_000


class Partials:
    """Which partial blobs there are; whoever calls holds the lock of their shelf."""

    def __init__(self, folder: Path) -> None:
        """Find those that an earlier process left."""
        self._folder = folder
        self._growing: set[bytes] = set()
        self._sizes: OrderedDict[bytes, int] = OrderedDict()
        found = []
        for file in folder.iterdir():
            status = file.lstat()
            if status.st_nlink > 1:  # a blob already: who writes here would write into that
                file.unlink()
                continue
            try:
                found.append((status.st_mtime_ns, bytes.fromhex(file.name), status.st_size))
            except ValueError:
                file.unlink()
        for _, name, size_bytes in sorted(found):
            self._sizes[name] = size_bytes
        self.trim()

    @property
    def size_bytes(self) -> int:
        """Give the room that all of them take."""
        return sum(self._sizes.values())

    def path(self, name: bytes) -> Path:
        """Give where one lies."""
        return self._folder / name.hex()

    def begin(self, name: bytes) -> int:
        """Begin work on one; give what room it had, which its caller gives back."""
        self._growing.add(name)
        return self._sizes.pop(name, 0)

    def grow(self, name: bytes, size_bytes: int) -> None:
        """Note the room that one has."""
        self._sizes[name] = size_bytes

    def end(self, name: bytes) -> int:
        """Know that nobody works on one; give what room is free for that."""
        self._growing.discard(name)
        try:
            return self.trim()
        except OSError:
            return 0  # whoever needs the room says why there is none

    def leave(self, name: bytes) -> None:
        """Know that it has become a blob."""
        self._sizes.pop(name, None)

    def trim(self) -> int:
        """Drop the oldest of too many; give their room."""
        freed = 0
        while len(self._sizes) - len(self._growing) > PARTIALS_MAX:
            freed += self.drop_one() or 0
        return freed

    def drop_one(self, noted_before_ms: int | None = None) -> int | None:
        """Drop the oldest that nobody works on; give its room, None where there is none."""
        name = next((each for each in self._sizes if each not in self._growing), None)
        if name is None:
            return None
        path = self.path(name)
        try:
            if (
                noted_before_ms is not None
                and path.stat().st_mtime_ns // 1_000_000 >= noted_before_ms
            ):
                return None
            path.unlink()
        except FileNotFoundError:
            pass
        return self._sizes.pop(name)


class PartialShelf(Protocol):
    """Where partial blobs become blobs."""

    def begin_partial(self, name: bytes, size_bytes: int) -> None:
        """Take room for all of it; raise StoreError when there is none."""
        ...

    def end_partial(self, name: bytes) -> None:
        """Know that nobody works on it."""
        ...

    def adopt(self, name: bytes, draft: Path, size_bytes: int, *, is_synced: bool = True) -> None:
        """Make the file a blob."""
        ...

    def forget_partial(self, name: bytes) -> None:
        """Know that it is no partial blob any more: the room is the blob's."""
        ...

    def regain_partial(self, name: bytes, size_bytes: int) -> None:
        """Know that it could not become a blob: the file is there still, and takes its room."""
        ...


class BlobPartial:
    """A file as long as its blob, with holes where chunks are missing."""

    def __init__(self, shelf: PartialShelf, path: Path, name: bytes) -> None:
        self._shelf = shelf
        self._path = path
        self._name = name
        self._outline: Outline | None = None
        self._handle = -1

    def open(self, outline: Outline) -> frozenset[int]:
        """Take room for all of it, and say which chunks are here already."""
        try:
            self._shelf.begin_partial(self._name, outline.size_bytes)
            if self._handle < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._handle = os.open(self._path, flags, 0o600)
            is_new = not os.fstat(self._handle).st_size
            os.ftruncate(self._handle, outline.size_bytes)
            self._outline = outline
            return frozenset(
                index
                for index in range(0 if is_new else outline.count)
                if outline.fits(index, self._read(index))
            )
        except OSError as error:
            raise self._failed(error) from error

    def _read(self, index: int) -> bytes:
        return os.pread(self._handle, CHUNK_BYTES, index * CHUNK_BYTES)

    def take(self, index: int, data: bytes) -> bool:
        """Keep a chunk, unless the outline has another there."""
        assert self._outline is not None, "opened before"
        if not self._outline.fits(index, data):
            return False
        view, place = memoryview(data), index * CHUNK_BYTES
        try:
            while view:
                written = os.pwrite(self._handle, view, place)
                view, place = view[written:], place + written
        except OSError as error:
            raise self._failed(error) from error
        return True

    def finish(self, *, is_synced: bool) -> bool:
        """Make it a blob; False, and nothing changes, when the whole has another name."""
        assert self._outline is not None, "opened before"
        try:
            whole = hashlib.sha256()
            for index in range(self._outline.count):
                whole.update(self._read(index))
            if whole.digest() != self._name:
                return False
            if is_synced:
                os.fsync(self._handle)
            os.close(self._handle)
            self._handle = -1
            # The room is the blob's before the file is: `adopt` gives it back where it fails.
            self._shelf.forget_partial(self._name)
            size_bytes = self._outline.size_bytes
            try:
                self._shelf.adopt(self._name, self._path, size_bytes, is_synced=is_synced)
            except BaseException:
                self._shelf.regain_partial(self._name, size_bytes)
                raise
        except OSError as error:
            raise self._failed(error) from error
        return True

    def close(self) -> None:
        """Leave it for the next time."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        self._shelf.end_partial(self._name)

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(
            f"cannot keep chunks in {self._path}: {error.strerror}; make room on its disk, "
            "or check it"
        )
