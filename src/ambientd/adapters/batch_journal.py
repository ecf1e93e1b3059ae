"""Telemetry batches on disk, as their authors signed them, in the order in which they came.

An entry is `size (4 bytes) | crc-32 (4) | Unix ms of its arrival (8) | batch`, numbers big-endian.
It is on disk a second after it came; a power cut takes no more than that, a crash of the program
nothing. Files are `NUMBER.batches`; the oldest goes when all together
are too large.
"""

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ambientd.adapters.durable_files import sync_directory
from ambientd.errors import StoreError

FILE_BYTES_MAX = 16 << 20
FILES_MIN = 2
_HEAD = struct.Struct(">IIQ")
_ENTRY_BYTES_MAX = 4096
"""A batch has 1,024 bytes at most; what is longer is no entry."""
_CLOSED = -1


class KeptBatch(NamedTuple):
    """One batch, and when it came."""

    time_ms: int
    data: bytes


class BatchJournal:
    """Appends to the journal in one folder."""

    def __init__(
        self, folder: Path, *, bytes_max: int, file_bytes_max: int = FILE_BYTES_MAX
    ) -> None:
        """Open or begin the journal; what a power cut tore is cut off."""
        self._folder = folder
        self._file_bytes_max = min(file_bytes_max, max(1, bytes_max // FILES_MIN))
        self._files_max = max(FILES_MIN, bytes_max // self._file_bytes_max)
        self.is_dirty = False  # something was added that may not be on disk yet
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            names = _files(folder)
            path = names[-1] if names else _path(folder, 1)
            if names:
                os.truncate(path, sum(_size(each) for each in _entries(path)))
            self._open(path)
            sync_directory(folder)
        except OSError as error:
            msg = f"cannot keep telemetry in {folder}: {error.strerror}; check folder and disk"
            raise StoreError(msg) from error

    def _open(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._number = int(path.stem)

    def append(self, time_ms: int, data: bytes) -> None:
        """Add a batch; raise StoreError when the disk refuses, and leave nothing half written."""
        checksum = zlib.crc32(time_ms.to_bytes(8, "big") + data)
        entry = _HEAD.pack(len(data), checksum, time_ms) + data
        try:
            size = os.fstat(self._file).st_size
            if size and size + len(entry) > self._file_bytes_max:
                self._turn()
                size = 0
            if os.write(self._file, entry) != len(entry):
                os.ftruncate(self._file, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            msg = f"telemetry is not kept in {self._folder}: {error.strerror}"
            raise StoreError(msg) from error
        self.is_dirty = True

    def _turn(self) -> None:
        """Let the oldest file go, which makes room on a full disk, and begin another."""
        os.fdatasync(self._file)
        for path in _files(self._folder)[: 1 - self._files_max]:
            path.unlink(missing_ok=True)
        full = self._file
        # Closed after: what is not to be opened leaves this one, not a number that others get.
        self._open(_path(self._folder, self._number + 1))
        os.close(full)
        sync_directory(self._folder)  # else a power cut may take the whole new file

    def sync(self) -> None:
        """Force to disk what was added since the last time; a thread may, while batches come."""
        self.is_dirty = False
        file = os.dup(self._file)  # the journal may turn to another file meanwhile
        try:
            os.fdatasync(file)
        finally:
            os.close(file)

    def close(self) -> None:
        """Force everything to disk, and end; raise OSError when the disk refuses."""
        try:
            self.sync()
        finally:
            os.close(self._file)
            self._file = _CLOSED


def read_journal(folder: Path) -> Iterator[KeptBatch]:
    """Give all batches, the oldest first; of each file as far as it is whole."""
    for path in _files(folder):
        with suppress(FileNotFoundError):  # the daemon may let the oldest go meanwhile
            yield from _entries(path)


def _entries(path: Path) -> Iterator[KeptBatch]:
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            size, checksum, time_ms = _HEAD.unpack(head)
            if size > _ENTRY_BYTES_MAX:
                return
            data = file.read(size)
            if len(data) != size or zlib.crc32(head[8:] + data) != checksum:
                return
            yield KeptBatch(time_ms, data)


def _size(entry: KeptBatch) -> int:
    return _HEAD.size + len(entry.data)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:010}.batches"


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.batches"))
