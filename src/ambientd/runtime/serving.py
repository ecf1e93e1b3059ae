"""Giving peers blobs by chunks (protocols/20); what they can make this node hash has a cap."""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Protocol

import trio

from ambientd.codec.canonical import encode
from ambientd.codec.chunks import Outline, decode_question
from ambientd.model.base import NodeId
from ambientd.model.chunk import (
    CHUNK_BYTES,
    LARGE_BYTES_MAX,
    Answer,
    AskLater,
    ChunkAsked,
    ChunkGiven,
    NotHere,
    OutlineGiven,
    Question,
)
from ambientd.ports.blobs import BlobReads, ServedFiles
from ambientd.runtime.blobs import SealedBlobs

OUTLINES_BYTES_MAX = 4 * 1024 * 1024
HASHED_BYTES_MAX = 2 * LARGE_BYTES_MAX
"""That one peer can have hashed within a minute, for outlines that are not in memory."""

HASHED_MS = 60_000


class ServedStore(BlobReads, ServedFiles, Protocol):
    """What is asked of where the blobs lie."""


class ChunkServer:
    """One node's answers. No chunk goes out that does not fit: peers would take it for a lie."""

    def __init__(self, files: ServedStore, sealed: SealedBlobs, now_ms: Callable[[], int]) -> None:
        self._files = files
        self._sealed = sealed
        self._now_ms = now_ms
        self._outlines: OrderedDict[bytes, Outline] = OrderedDict()
        self._outlines_bytes = 0
        self._hashing = trio.Lock()
        self._hashed: Counter[NodeId] = Counter()
        self._since_ms = 0

    async def serve(self, peer: bytes, question: bytes) -> bytes:
        """Answer a peer.

        Raises:
            RemoteProtocolError: it is no question.
        """
        return encode(await self._answer(NodeId(peer), decode_question(question)))

    async def _answer(self, peer: NodeId, question: Question) -> Answer:
        digest = question.digest
        if self._sealed.is_sealed(digest):
            return NotHere()
        outline = await self._outline(peer, digest)
        if not isinstance(outline, Outline):
            return outline
        if not isinstance(question, ChunkAsked):
            return OutlineGiven(size_bytes=outline.size_bytes, leaves=outline.leaves)
        if question.index >= outline.count:
            return NotHere()
        reading = self._sealed.reading
        data = await trio.to_thread.run_sync(
            self._chunk, outline, digest, question.index, limiter=reading
        )
        if data is None:
            self._forget(digest)
            return NotHere()
        return ChunkGiven(data=data)

    def _chunk(self, outline: Outline, digest: bytes, index: int) -> bytes | None:
        data = self._files.piece(digest, index * CHUNK_BYTES, outline.extent(index))
        if data is not None and not outline.fits(index, data):
            self._files.outline(digest)  # which finds the damage, and moves it aside
            return None
        return data

    async def _outline(self, peer: NodeId, digest: bytes) -> Outline | Answer:
        size_bytes = self._files.size_of(digest)
        if size_bytes is None or not 0 < size_bytes <= LARGE_BYTES_MAX:
            return NotHere()
        if (known := self._known(digest)) is not None:
            return known
        async with self._hashing:  # one at a time, and those that wait find it done
            if (known := self._known(digest)) is not None:
                return known
            if not self._may_hash(peer, size_bytes):
                return AskLater()
            found = await trio.to_thread.run_sync(
                self._files.outline, digest, limiter=self._sealed.reading
            )
            if found is None:
                return NotHere()
            self._remember(digest, found)
            return found

    def _may_hash(self, peer: NodeId, size_bytes: int) -> bool:
        now_ms = self._now_ms()
        if not 0 <= now_ms - self._since_ms < HASHED_MS:
            self._hashed.clear()
            self._since_ms = now_ms
        if self._hashed[peer] + size_bytes > HASHED_BYTES_MAX:
            return False
        self._hashed[peer] += size_bytes
        return True

    def _known(self, digest: bytes) -> Outline | None:
        known = self._outlines.get(digest)
        if known is not None:
            self._outlines.move_to_end(digest)
        return known

    def _remember(self, digest: bytes, outline: Outline) -> None:
        self._outlines[digest] = outline
        self._outlines_bytes += len(outline.leaves)
        while self._outlines_bytes > OUTLINES_BYTES_MAX:
            self._forget(next(iter(self._outlines)))

    def _forget(self, digest: bytes) -> None:
        known = self._outlines.pop(digest, None)
        if known is not None:
            self._outlines_bytes -= len(known.leaves)
