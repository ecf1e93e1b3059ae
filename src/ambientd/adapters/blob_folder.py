"""Where blobs lie on a disk: files named by their SHA-256, under `blobs/ab/cdef...`."""

import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ambientd.adapters.durable_files import sync_directory, sync_file, write_new
from ambientd.model.chunk import CHUNK_BYTES

DAMAGED_FILES_MAX = 32


class BlobPlace(Protocol):
    """Where whole blobs lie: a folder, or a bucket. Times are Unix milliseconds.

    FileNotFoundError says that there is no such blob, FileExistsError that there is one already.
    """

    def sizes(self) -> OrderedDict[bytes, int]:
        """List the blobs with their sizes, the longest unused first."""
        ...

    def write(self, name: bytes, data: bytes, draft: Path, *, is_synced: bool) -> None:
        """Keep a blob; the draft's path is free for it."""
        ...

    def adopt(self, name: bytes, draft: Path, *, is_synced: bool) -> None:
        """Make a whole file the blob of this name; the draft goes, unless that fails."""
        ...

    def sync(self, name: bytes) -> None:
        """Make durable what was kept without."""
        ...

    def read(self, name: bytes) -> bytes:
        """Give all bytes."""
        ...

    def piece(self, name: bytes, start: int, count: int) -> bytes:
        """Give some bytes, as far as there are."""
        ...

    def chunks(self, name: bytes) -> Iterator[bytes]:
        """Give all bytes, a chunk at a time."""
        ...

    def holds(self, name: bytes) -> bool:
        """Tell whether there is a blob of this name."""
        ...

    def remove(self, name: bytes) -> None:
        """Forget a blob, at once and without waiting for anything; an unknown one is no error."""
        ...

    def settle(self) -> None:
        """Do what removing has put off."""
        ...

    def set_aside(self, name: bytes) -> str:
        """Move wrong bytes out of the way and say where they are."""
        ...

    def noted_ms(self, name: bytes) -> int:
        """Give when a blob was needed last."""
        ...

    def note_ms(self, name: bytes, noted_ms: int | None = None) -> None:
        """Note when a blob was needed last: at a time, or now."""
        ...


class BlobFolder:
    """A folder as the place of blobs."""

    def __init__(self, root: Path) -> None:
        """Create it where it is not there."""
        self._root = root
        self._unsynced_folders: set[Path] = set()
        for folder in (root, root / "damaged"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_directory(root)  # a process that ended may have left folders without

    def path(self, name: bytes) -> Path:
        """Give where a blob is, if it is."""
        text = name.hex()
        return self._root / text[:2] / text[2:]

    def sizes(self) -> OrderedDict[bytes, int]:
        """List the blobs with their sizes, the longest unused first."""
        found = []
        for file in self._root.glob("[0-9a-f][0-9a-f]/*"):
            status = file.stat()
            try:
                name = bytes.fromhex(file.parent.name + file.name)
            except ValueError:
                continue
            found.append((status.st_mtime_ns, name, status.st_size))
        return OrderedDict((name, size) for _, name, size in sorted(found))

    def write(self, name: bytes, data: bytes, draft: Path, *, is_synced: bool) -> None:
        """Keep a blob, durably or as well as the system does by itself."""
        try:
            write_new(draft, data, is_synced=is_synced)
            self.adopt(name, draft, is_synced=is_synced)
        finally:
            draft.unlink(missing_ok=True)

    def adopt(self, name: bytes, draft: Path, *, is_synced: bool) -> None:
        """Put a draft under its name; the draft goes, unless that fails."""
        path = self.path(name)
        folder = path.parent
        if not folder.exists():
            self._unsynced_folders.add(folder)  # before it is there for others
            folder.mkdir(mode=0o700, exist_ok=True)
        try:
            os.link(draft, path)
        except FileExistsError:
            draft.unlink(missing_ok=True)
            raise
        draft.unlink(missing_ok=True)
        if is_synced:
            self._sync_names(folder)

    def sync(self, name: bytes) -> None:
        """Make durable what was kept without being forced to disk."""
        path = self.path(name)
        sync_file(path)
        self._sync_names(path.parent)

    def _sync_names(self, folder: Path) -> None:
        """Make a folder's names durable, and its own name, if nobody did before."""
        if folder in self._unsynced_folders:
            sync_directory(self._root)
            self._unsynced_folders.discard(folder)
        sync_directory(folder)

    def read(self, name: bytes) -> bytes:
        """Give all bytes."""
        return self.path(name).read_bytes()

    def piece(self, name: bytes, start: int, count: int) -> bytes:
        """Give some bytes, as far as there are."""
        with self.path(name).open("rb") as file:
            return os.pread(file.fileno(), count, start)

    def chunks(self, name: bytes) -> Iterator[bytes]:
        """Give all bytes, a chunk at a time."""
        with self.path(name).open("rb") as file:
            yield from iter(lambda: file.read(CHUNK_BYTES), b"")

    def holds(self, name: bytes) -> bool:
        """Tell whether there is a blob of this name."""
        return self.path(name).is_file()

    def remove(self, name: bytes) -> None:
        """Forget a blob."""
        self.path(name).unlink(missing_ok=True)

    def settle(self) -> None:
        """Do nothing: what was removed is gone."""

    def set_aside(self, name: bytes) -> str:
        """Move wrong bytes to the damaged ones, of which so many are kept."""
        place = self._root / "damaged" / name.hex()
        self.path(name).replace(place)
        damaged = sorted(place.parent.iterdir(), key=lambda file: file.stat().st_mtime)
        for file in damaged[:-DAMAGED_FILES_MAX]:
            file.unlink(missing_ok=True)
        return str(place)

    def noted_ms(self, name: bytes) -> int:
        """Give when a blob was needed last: its file says so."""
        return self.path(name).stat().st_mtime_ns // 1_000_000

    def note_ms(self, name: bytes, noted_ms: int | None = None) -> None:
        """Note when a blob was needed last."""
        if noted_ms is None:
            os.utime(self.path(name))
        else:
            os.utime(self.path(name), ns=(noted_ms * 1_000_000, noted_ms * 1_000_000))
