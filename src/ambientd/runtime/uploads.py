"""Blobs that callers bring in pieces, and take away."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import trio

from ambientd.codec.chunks import Outline
from ambientd.errors import StoreError
from ambientd.model.base import Digest
from ambientd.model.chunk import CHUNK_BYTES
from ambientd.ports.blobs import BlobReads, DraftFiles, ServedFiles
from ambientd.runtime.blobs import EMPTY, SealedBlobs
from ambientd.runtime.outlines import Outlines


class UploadFiles(BlobReads, DraftFiles, ServedFiles, Protocol):
    """Where blobs are written, and read a piece at a time."""


@dataclass(frozen=True, slots=True)
class Served:
    """A blob that was read once, and found to have its name; it is read again as it is sent."""

    name: Digest
    outline: Outline
    outlines: Outlines

    @property
    def size_bytes(self) -> int:
        """Give how long it is."""
        return self.outline.size_bytes

    async def pieces(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Give the bytes of a stretch, a chunk at a time; raise StoreError for other bytes."""
        for index in range(start // CHUNK_BYTES, -(-stop // CHUNK_BYTES)):
            first = index * CHUNK_BYTES
            data = await self.outlines.chunk(self.outline, self.name, index)
            if data is None:
                raise StoreError(f"blob {self.name.hex()} has changed since it was checked")
            yield data[max(0, start - first) : stop - first]


class Uploads:
    """The blobs of this node for those who may ask it; what peers may not have yet stays here."""

    def __init__(self, files: UploadFiles, sealed: SealedBlobs) -> None:
        self._files = files
        self._sealed = sealed
        self._outlines = Outlines(files, sealed.reading)

    async def take(self, name: Digest, pieces: AsyncIterator[bytes]) -> int:
        """Keep the blob of this name as its pieces come, and give its size.

        Raises:
            UsageError: the bytes have another name, or are too many.
            StoreError: they do not fit.
        """
        draft = await trio.to_thread.run_sync(self._files.begin)
        try:
            async for piece in pieces:
                await trio.to_thread.run_sync(draft.write, piece)
            return await trio.to_thread.run_sync(draft.keep, name)
        finally:
            draft.drop()

    async def give(self, name: Digest) -> bytes | None:
        """Give a blob, or nothing if it is not here, or sealed."""
        return await self._sealed.give(name)

    async def open(self, name: Digest) -> Served | None:
        """Give a blob to be read a chunk at a time, each checked; nothing as `give`.

        All of it is read only where its outline is not in memory.
        """
        if name == EMPTY:
            return Served(name, Outline(0, b""), self._outlines)
        if self._sealed.is_sealed(name) or self._files.size_of(name) is None:
            return None
        outline = await self._outlines.find(name)
        return None if outline is None else Served(name, outline, self._outlines)
