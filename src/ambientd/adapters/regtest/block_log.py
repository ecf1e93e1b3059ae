"""The fsynced block log: the kernel flushes only when it is closed, so a kill must not cost blocks.

A record is a 4-byte length, a 4-byte CRC-32 and the bytes of one Bitcoin block.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_HEAD = struct.Struct("<II")
BLOCK_SIZE_MAX = 4_000_000


class BlockLog:
    """Appends Bitcoin blocks, and gives them back after a crash, short of a torn tail."""

    def __init__(self, path: Path) -> None:
        """Open the log, creating it when it is missing."""
        self._path = path
        self._file = path.open("a+b")

    def replay(self) -> Iterator[bytes]:
        """Give every whole record, then cut off what a crash left behind the last of them."""
        self._file.seek(0)
        whole = 0
        while len(head := self._file.read(_HEAD.size)) == _HEAD.size:
            size, checksum = _HEAD.unpack(head)
            if size > BLOCK_SIZE_MAX:
                break
            raw = self._file.read(size)
            if len(raw) != size or zlib.crc32(raw) != checksum:
                break
            whole += _HEAD.size + size
            yield raw
        if whole != self._path.stat().st_size:
            self._file.truncate(whole)
            os.fsync(self._file.fileno())
        self._file.seek(whole)

    def append(self, raw: bytes) -> None:
        """Add a record; it is safe only after `sync`."""
        self._file.write(_HEAD.pack(len(raw), zlib.crc32(raw)) + raw)

    def sync(self) -> None:
        """Bring what was appended to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
