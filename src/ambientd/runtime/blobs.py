"""Blobs as the daemon uses them: kept on disk, fetched from whoever holds them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog
import trio

from ambientd.codec.digest import sha256
from ambientd.errors import StoreError
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.message import PARCEL_BYTES_MAX
from ambientd.runtime.parcels import Parcels

log = structlog.get_logger("ambientd.blobs")

BLOB_BYTES_MAX = 64 * 1024 * 1024
EMPTY = sha256(b"")
FETCH_ROUNDS = 3
FETCH_PAUSE_S = 0.25
PARCEL_PATIENCE_S = 0.1

RequestBlob = Callable[[NodeId, bytes, int], Awaitable[bytes | None]]


class BlobFiles(Protocol):
    """Content-addressed bytes on this device."""

    def get(self, digest: bytes) -> bytes | None:
        """Give a blob's verified bytes, or None."""
        ...

    def remembered(self, digest: bytes) -> bytes | None:
        """Give a blob's verified bytes if they are in memory, at once."""
        ...

    def size_of(self, digest: bytes) -> int | None:
        """Give how long a blob is that is kept, at once; its bytes are checked when read."""
        ...

    def put(self, data: bytes) -> bytes:
        """Keep a blob durably and give its SHA-256."""
        ...


class SealedBlobs:
    """What peers may not have yet: an answer that is sealed is not handed to who asks for it.

    Without this, a lazy worker could guess outputs and ask an honest one which of them it holds.
    """

    def __init__(self, files: BlobFiles) -> None:
        self._files = files
        self._sealed: dict[bytes, set[TaskId]] = {}

    def seal(self, task: TaskId, digest: bytes) -> None:
        """Keep a task's output back."""
        self._sealed.setdefault(digest, set()).add(task)

    def open(self, task: TaskId) -> None:
        """Let a task's output go: all answers are sealed, or the task has ended."""
        for digest, tasks in list(self._sealed.items()):
            tasks.discard(task)
            if not tasks:
                del self._sealed[digest]

    async def serve(self, digest: bytes) -> bytes | None:
        """Give a peer a blob, or None when it is not here or sealed."""
        if digest in self._sealed:
            return None
        return await trio.to_thread.run_sync(self._files.get, digest)


class Blobs:
    """The local store with a network behind it; one fetch at a time for each digest."""

    def __init__(
        self,
        files: BlobFiles,
        request: RequestBlob,
        peers: Callable[[], Sequence[NodeId]],
        sealed: SealedBlobs | None = None,
    ) -> None:
        self._files = files
        self.sealed = sealed or SealedBlobs(files)
        self._request = request
        self._peers = peers
        self._fetching: dict[bytes, trio.Event] = {}
        self.parcels = Parcels()

    def remembered(self, digest: bytes) -> bytes | None:
        """Give a blob that is in memory, at once."""
        return self._files.remembered(digest)

    async def get(self, digest: bytes) -> bytes | None:
        """Give a blob that is here."""
        found = self._files.remembered(digest)
        if found is not None:
            return found
        return await trio.to_thread.run_sync(self._files.get, digest)

    async def has(self, digest: bytes) -> bool:
        """Tell whether a blob is here: what peers may know already is no secret."""
        return await self.get(digest) is not None

    async def put(self, data: bytes) -> Digest:
        """Keep a blob and give its SHA-256."""
        return Digest(await trio.to_thread.run_sync(self._files.put, data))

    async def fetch(
        self, digest: Digest, size_bytes: int, holders: Sequence[NodeId] = ()
    ) -> bytes | None:
        """Give a blob from here, its holders, or any peer; None when nobody has it."""
        if digest == EMPTY:
            return b""
        while (waiting := self._fetching.get(digest)) is not None:
            await waiting.wait()
        # Claimed before anything is awaited: else two who looked at once would both fetch.
        done = self._fetching[digest] = trio.Event()
        try:
            found = await self.get(digest)
            if found is not None or size_bytes > BLOB_BYTES_MAX:
                return found
            found = await self._parcel(digest, size_bytes, holders)
            if found is not None:
                await self._keep(digest, found)
                return found
            return await self._fetch(digest, size_bytes, holders)
        finally:
            del self._fetching[digest]
            done.set()

    async def bring(
        self, digest: Digest, size_bytes: int, holders: Sequence[NodeId] = ()
    ) -> int | None:
        """Have a blob here, without reading it if it is; give its size, None when nobody has it."""
        here = self._files.size_of(digest)
        if here is not None:
            return here
        data = await self.fetch(digest, size_bytes, holders)
        return None if data is None else len(data)

    async def _parcel(
        self, digest: Digest, size_bytes: int, holders: Sequence[NodeId]
    ) -> bytes | None:
        """Give what the first holder sends by itself; it may be on its way still."""
        if size_bytes > PARCEL_BYTES_MAX:
            return None
        found = self.parcels.take(digest)
        if found is None and holders and holders[0] in self._peers():
            found = await self.parcels.await_one(digest, PARCEL_PATIENCE_S)
        return found

    async def _keep(self, digest: Digest, data: bytes) -> None:
        try:
            await self.put(data)
        except StoreError as error:
            # What others make this node bring must not end it when its disk is full.
            log.warning("blob not kept", digest=digest.hex()[:12], reason=str(error))

    async def _fetch(
        self, digest: Digest, size_bytes: int, holders: Sequence[NodeId]
    ) -> bytes | None:
        for attempt in range(FETCH_ROUNDS):
            if attempt:
                await trio.sleep(FETCH_PAUSE_S)
            asked = dict.fromkeys([*holders, *self._peers()])
            for peer in asked:
                data = await self._request(peer, digest, size_bytes)
                if data is not None:
                    await self._keep(digest, data)
                    return data
        return None
