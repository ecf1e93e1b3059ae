"""Outlines of blobs that are here, so that a part of one is checked without reading the whole."""

from collections import OrderedDict

import trio

from ambientd.codec.chunks import Outline
from ambientd.model.base import Digest
from ambientd.model.chunk import CHUNK_BYTES
from ambientd.ports.blobs import ServedFiles

OUTLINES_BYTES_MAX = 4 * 1024 * 1024
ENTRY_BYTES = 256
"""What one takes besides its leaf hashes, about."""


class Outlines:
    """The outlines that were asked for last, each made by reading its blob once."""

    def __init__(self, files: ServedFiles, reading: trio.CapacityLimiter) -> None:
        self._files = files
        self._reading = reading
        self._known: OrderedDict[bytes, Outline] = OrderedDict()
        self._size_bytes = 0
        self._making: dict[bytes, trio.Event] = {}

    def known(self, digest: bytes) -> Outline | None:
        """Give an outline that is in memory."""
        found = self._known.get(digest)
        if found is not None:
            self._known.move_to_end(digest)
        return found

    async def find(self, digest: bytes) -> Outline | None:
        """Give an outline, made if need be; who asks meanwhile waits instead of reading as well."""
        while (making := self._making.get(digest)) is not None:
            await making.wait()
        if (found := self.known(digest)) is not None:
            return found
        done = self._making[digest] = trio.Event()
        try:
            return await self.make(digest)
        finally:
            del self._making[digest]
            done.set()

    async def make(self, digest: bytes) -> Outline | None:
        """Read a blob and give its outline; None where it is not here, or is damaged."""
        made = await trio.to_thread.run_sync(self._files.outline, digest, limiter=self._reading)
        if made is not None:
            self.forget(digest)
            self._known[digest] = made
            self._size_bytes += _size_of(made)
            while self._size_bytes > OUTLINES_BYTES_MAX:
                self.forget(next(iter(self._known)))
        return made

    async def chunk(self, outline: Outline, digest: Digest, index: int) -> bytes | None:
        """Give a chunk that fits; None where the blob has gone, or is damaged."""
        data = await trio.to_thread.run_sync(
            self._chunk, outline, digest, index, limiter=self._reading
        )
        if data is None:
            self.forget(digest)
        return data

    def _chunk(self, outline: Outline, digest: Digest, index: int) -> bytes | None:
        data = self._files.piece(digest, index * CHUNK_BYTES, outline.extent(index))
        if data is not None and not outline.fits(index, data):
            self._files.outline(digest)  # which finds the damage, and moves it aside
            return None
        return data

    def forget(self, digest: bytes) -> None:
        """Make it anew when it is asked for again."""
        gone = self._known.pop(digest, None)
        if gone is not None:
            self._size_bytes -= _size_of(gone)


def _size_of(outline: Outline) -> int:
    return ENTRY_BYTES + len(outline.leaves)
