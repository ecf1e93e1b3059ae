"""Blobs that callers bring in pieces, and take away."""

from collections.abc import AsyncIterator

import trio

from ambientd.model.base import Digest
from ambientd.ports.blobs import DraftFiles
from ambientd.runtime.blobs import SealedBlobs


class Uploads:
    """The blobs of this node for those who may ask it; what peers may not have yet stays here."""

    def __init__(self, files: DraftFiles, sealed: SealedBlobs) -> None:
        self._files = files
        self._sealed = sealed

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
        return await self._sealed.serve(name)
