"""Giving peers blobs by chunks (protocols/20); what they can make this node hash has a cap."""

from collections import Counter
from collections.abc import Callable
from typing import Protocol

import trio

from ambientd.codec.canonical import encode
from ambientd.codec.chunks import Outline, decode_question
from ambientd.model.base import NodeId
from ambientd.model.chunk import (
    LARGE_BYTES_MAX,
    Answer,
    AskLater,
    ChunkAsked,
    ChunkGiven,
    NotHere,
    OutlineGiven,
    Question,
)
from ambientd.ports.blobs import ServedFiles
from ambientd.runtime.blobs import SealedBlobs
from ambientd.runtime.outlines import Outlines

HASHED_BYTES_MAX = 2 * LARGE_BYTES_MAX
"""That one peer can have hashed within a minute, for outlines that are not in memory."""

HASHED_MS = 60_000


class ServedStore(ServedFiles, Protocol):
    """What is asked of where the blobs lie."""

    def size_of(self, digest: bytes) -> int | None:
        """Give how long a blob is that is kept, at once."""
        ...


class ChunkServer:
    """One node's answers. No chunk goes out that does not fit: peers would take it for a lie."""

    def __init__(self, files: ServedStore, sealed: SealedBlobs, now_ms: Callable[[], int]) -> None:
        self._files = files
        self._sealed = sealed
        self._now_ms = now_ms
        self._outlines = Outlines(files, sealed.reading)
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
        data = await self._outlines.chunk(outline, digest, question.index)
        return NotHere() if data is None else ChunkGiven(data=data)

    async def _outline(self, peer: NodeId, digest: bytes) -> Outline | Answer:
        size_bytes = self._files.size_of(digest)
        if size_bytes is None or not 0 < size_bytes <= LARGE_BYTES_MAX:
            return NotHere()
        if (known := self._outlines.known(digest)) is not None:
            return known
        async with self._hashing:  # one at a time, and those that wait find it done
            if (known := self._outlines.known(digest)) is not None:
                return known
            if not self._may_hash(peer, size_bytes):
                return AskLater()
            return await self._outlines.make(digest) or NotHere()

    def _may_hash(self, peer: NodeId, size_bytes: int) -> bool:
        now_ms = self._now_ms()
        if not 0 <= now_ms - self._since_ms < HASHED_MS:
            self._hashed.clear()
            self._since_ms = now_ms
        if self._hashed[peer] + size_bytes > HASHED_BYTES_MAX:
            return False
        self._hashed[peer] += size_bytes
        return True
