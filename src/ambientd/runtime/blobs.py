"""Blobs as the daemon uses them: kept on disk, fetched from whoever holds them."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Protocol

import structlog
import trio

from ambientd.codec.digest import sha256
from ambientd.errors import StoreError
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.chunk import CHUNK_BYTES, LARGE_BYTES_MAX
from ambientd.model.message import PARCEL_BYTES_MAX
from ambientd.ports.blobs import BlobReads, PartialFiles
from ambientd.runtime.asking import first_given
from ambientd.runtime.bringing import Bringer
from ambientd.runtime.parcels import Parcels

log = structlog.get_logger("ambientd.blobs")

BLOB_BYTES_MAX = 64 * 1024 * 1024
"""Of what is read as one whole."""

WHOLE_BYTES_MAX = 4 * CHUNK_BYTES
"""Of what one peer is asked for, and given, at once; more goes by chunks."""

EMPTY = sha256(b"")
FETCH_ROUNDS = 3
FETCH_PAUSE_S = 0.25
PARCEL_PATIENCE_S = 0.5

SERVED_AT_ONCE = 8
"""Reads for peers: a place that is slow shall not keep threads from all else."""

RequestBlob = Callable[[NodeId, bytes, int], Awaitable[bytes | None]]


class GivenFiles(Protocol):
    """Where lies what peers may have."""

    def get(self, digest: bytes) -> bytes | None:
        """Give a blob's verified bytes, or None."""
        ...

    def size_of(self, digest: bytes) -> int | None:
        """Give how long a blob is that is kept, at once."""
        ...


class SealedBlobs:
    """What peers may not have yet: an answer that is sealed is not handed to who asks for it.

    Without this, a lazy worker could guess outputs and ask an honest one which of them it holds.
    """

    def __init__(self, files: GivenFiles) -> None:
        self._files = files
        self._sealed: dict[bytes, set[TaskId]] = {}
        self.reading = trio.CapacityLimiter(SERVED_AT_ONCE)

    def seal(self, task: TaskId, digest: bytes) -> None:
        """Keep a task's output back."""
        self._sealed.setdefault(digest, set()).add(task)

    def open(self, task: TaskId) -> None:
        """Let a task's output go: all answers are sealed, or the task has ended."""
        for digest, tasks in list(self._sealed.items()):
            tasks.discard(task)
            if not tasks:
                del self._sealed[digest]

    def is_sealed(self, digest: bytes) -> bool:
        """Tell whether peers may not have a blob yet."""
        return digest in self._sealed

    async def serve(self, digest: bytes) -> bytes | None:
        """Give a peer a blob, or None when it is not here, sealed, or to be had by chunks alone.

        It is in memory until the peer has read it, which may take its time.
        """
        if (self._files.size_of(digest) or 0) > WHOLE_BYTES_MAX:
            return None
        return await self.give(digest)

    async def give(self, digest: bytes) -> bytes | None:
        """Give a blob, or None when it is not here, sealed, or too large for memory."""
        if digest == EMPTY:
            return b""
        if self.is_sealed(digest) or (self._files.size_of(digest) or 0) > BLOB_BYTES_MAX:
            return None
        return await trio.to_thread.run_sync(self._files.get, digest, limiter=self.reading)


class BlobWays(Protocol):
    """What is asked of a transport."""

    async def request_blob(self, peer: bytes, digest: bytes, size_bytes_max: int) -> bytes | None:
        """Fetch a blob from a peer as a whole."""
        ...

    async def request_piece(self, peer: bytes, question: bytes) -> bytes | None:
        """Ask a peer about a part of a blob."""
        ...

    def peers(self) -> frozenset[bytes]:
        """Give the connected peers."""
        ...


class GrowingStore(BlobReads, PartialFiles, Protocol):
    """Blobs that also come by chunks."""


def blobs_over(ways: BlobWays, files: GrowingStore, sealed: SealedBlobs) -> "Blobs":
    """Give the blobs of a node whose peers are reached by a transport."""

    def peers() -> list[NodeId]:
        return [NodeId(peer) for peer in sorted(ways.peers())]

    return Blobs(files, ways.request_blob, peers, sealed, Bringer(ways.request_piece, files))


class Blobs:
    """The local store with a network behind it; one fetch at a time for each digest."""

    def __init__(
        self,
        files: BlobReads,
        request: RequestBlob,
        peers: Callable[[], Sequence[NodeId]],
        sealed: SealedBlobs | None = None,
        bringer: Bringer | None = None,
    ) -> None:
        self._files = files
        self._bringer = bringer
        self.sealed = sealed or SealedBlobs(files)
        self._request = request
        self._peers = peers
        self._fetching: dict[bytes, trio.Event] = {}
        self.parcels = Parcels()

    def remembered(self, digest: bytes) -> bytes | None:
        """Give a blob that is in memory, at once."""
        return self._files.remembered(digest)

    async def get(self, digest: bytes) -> bytes | None:
        """Give a blob that is here, unless it is too large for memory."""
        if digest == EMPTY:
            return b""
        found = self._files.remembered(digest)
        size_bytes = self._files.size_of(digest)
        if found is not None or size_bytes is None or size_bytes > BLOB_BYTES_MAX:
            return found  # what is not kept needs no look at the disk
        return await trio.to_thread.run_sync(self._files.get, digest)

    async def has(self, digest: bytes) -> bool:
        """Tell whether a blob is here: what peers may know already is no secret."""
        return await self.get(digest) is not None

    async def put(self, data: bytes) -> Digest:
        """Keep a blob durably and give its SHA-256."""
        if len(data) <= PARCEL_BYTES_MAX:
            digest = Digest(sha256(data))
            if digest == EMPTY or self._files.is_fresh(digest):
                return digest
        return Digest(await trio.to_thread.run_sync(self._files.put, data))

    async def fetch(
        self,
        digest: Digest,
        size_bytes: int,
        holders: Sequence[NodeId] = (),
        *,
        is_synced: bool = True,
        is_alone: bool = True,
    ) -> bytes | None:
        """Give a blob from here, its holders, or any peer; None when nobody has it.

        It is kept: durably, or as well as the system does by itself where who sent it keeps it.
        Where it is small and need not come alone, nobody who fetches it in vain is waited for.
        """
        if digest == EMPTY:
            return b""
        waits = is_alone or size_bytes > WHOLE_BYTES_MAX
        async with self._claimed(digest) if waits else nullcontext():
            came = self.parcels.take(digest)
            if came is None:
                found = await self.get(digest)
                if found is not None and is_synced and self._files.is_unsynced(digest):
                    await self._keep(digest, found, is_synced=True)
                if found is not None or size_bytes > BLOB_BYTES_MAX:
                    return found
                came = await self._parcel(digest, size_bytes, holders)
            asked: Sequence[NodeId] | None = None
            if came is None and size_bytes > WHOLE_BYTES_MAX and self._bringer is not None:
                asked = await self._by_chunks(
                    self._bringer, digest, size_bytes, holders, is_synced=is_synced
                )
                if asked is None:
                    return await self.get(digest)
            if came is None:
                came = await self._fetch(digest, size_bytes, holders, asked)
            if came is not None:
                await self._keep(digest, came, is_synced=is_synced)
            return came

    @asynccontextmanager
    async def _claimed(self, digest: Digest) -> AsyncIterator[None]:
        """Wait until nobody else fetches a blob, and let nobody else until the end."""
        while (waiting := self._fetching.get(digest)) is not None:
            await waiting.wait()
        # Claimed before anything is awaited: else two who looked at once would both fetch.
        done = self._fetching[digest] = trio.Event()
        try:
            yield
        finally:
            del self._fetching[digest]
            done.set()

    async def bring(
        self,
        digest: Digest,
        size_bytes: int,
        holders: Sequence[NodeId] = (),
        *,
        is_synced: bool = True,
        is_alone: bool = True,
    ) -> int | None:
        """Have a blob here, without reading it if it is; give its size, None when nobody has it."""
        here = self._files.size_of(digest)
        # What a power cut left of a blob is shorter, or wrong: whoever reads it finds that out.
        if here == size_bytes and not (is_synced and self._files.is_unsynced(digest)):
            return here
        if size_bytes > BLOB_BYTES_MAX:
            return await self._bring_large(digest, size_bytes, holders)
        data = await self.fetch(digest, size_bytes, holders, is_synced=is_synced, is_alone=is_alone)
        return None if data is None else len(data)

    async def _bring_large(
        self, digest: Digest, size_bytes: int, holders: Sequence[NodeId]
    ) -> int | None:
        """Have a blob here that is never in memory as a whole; it is always kept durably."""
        async with self._claimed(digest):
            is_missing = self._files.size_of(digest) != size_bytes
            if is_missing and self._bringer is not None and size_bytes <= LARGE_BYTES_MAX:
                await self._by_chunks(self._bringer, digest, size_bytes, holders, is_synced=True)
        return self._files.size_of(digest)

    async def _by_chunks(
        self,
        bringer: Bringer,
        digest: Digest,
        size_bytes: int,
        holders: Sequence[NodeId],
        *,
        is_synced: bool,
    ) -> Sequence[NodeId] | None:
        """Have a blob here from several peers at once; else give who may have it as a whole."""
        silent: Sequence[NodeId] = ()
        for attempt in range(FETCH_ROUNDS):
            if attempt:
                await trio.sleep(FETCH_PAUSE_S)
            asked = list(dict.fromkeys([*holders, *self._peers()]))
            try:
                brought = await bringer.bring(digest, size_bytes, asked, is_synced=is_synced)
            except StoreError as error:
                # What others make this node bring must not end it when its disk is full.
                log.warning("blob not kept", digest=digest.hex()[:12], reason=str(error))
                return asked
            if brought.is_here:
                return None
            silent = brought.silent
            if not brought.came and len(silent) == len(asked):
                break  # nobody here gives chunks
        return silent

    async def _parcel(
        self, digest: Digest, size_bytes: int, holders: Sequence[NodeId]
    ) -> bytes | None:
        """Give what the first holder sends by itself; it may be on its way still."""
        if size_bytes > PARCEL_BYTES_MAX or not holders or holders[0] not in self._peers():
            return None
        return await self.parcels.await_one(digest, PARCEL_PATIENCE_S)

    async def _keep(self, digest: Digest, data: bytes, *, is_synced: bool) -> None:
        # The transport hashes what it brings, and a parcel was hashed when it came.
        put = functools.partial(self._files.put, data, is_synced=is_synced, name=digest)
        try:
            await trio.to_thread.run_sync(put)
        except StoreError as error:
            # What others make this node bring must not end it when its disk is full.
            log.warning("blob not kept", digest=digest.hex()[:12], reason=str(error))

    async def _fetch(
        self,
        digest: Digest,
        size_bytes: int,
        holders: Sequence[NodeId],
        only: Sequence[NodeId] | None = None,
    ) -> bytes | None:
        async def ask(peer: NodeId) -> bytes | None:
            return await self._request(peer, digest, size_bytes)

        for attempt in range(FETCH_ROUNDS if only is None or only else 0):
            if attempt:
                await trio.sleep(FETCH_PAUSE_S)
            asked = dict.fromkeys([*holders, *self._peers()] if only is None else only)
            data = await first_given(list(asked), ask, size_bytes)
            if data is not None:
                return data
        return None
