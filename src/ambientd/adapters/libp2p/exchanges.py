"""Single questions on streams of their own: a blob by its digest, and the way in.

/ambient/blob/1   32-byte digest -> 1 byte status, and for FOUND an 8-byte length and the blob
/ambient/join/1   4-byte length and payload -> 4-byte length and answer

Every stream has a deadline, counts against a cap on both sides, and is reset at the end: a
stream left half-open keeps its slot, and the 257th to one peer would block for ever.
"""

import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from enum import IntEnum
from hashlib import sha256
from typing import Final

import trio

from ambientd.adapters.libp2p.foreign import Foreign, Host, Stream
from ambientd.adapters.libp2p.guard import Counters, shielded
from ambientd.adapters.libp2p.identity import node_id_of, peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS, READ_BYTES
from ambientd.adapters.libp2p.slots import Slots
from ambientd.adapters.libp2p.strangers import JoinRate, origin_of
from ambientd.errors import LocalProtocolError, RemoteProtocolError, UnreachableError
from ambientd.ports.transport import (
    JOIN_BYTES_MAX,
    NodeId,
    PeerAddress,
    ServeBlob,
    ServeJoin,
    TransportOptions,
)

BLOB_PROTOCOL: Final = "/ambient/blob/1"
JOIN_PROTOCOL: Final = "/ambient/join/1"
DIGEST_BYTES = 32
BLOB_LENGTH = struct.Struct("!Q")
JOIN_LENGTH = struct.Struct("!I")
WRITE_BYTES = 256 * 1024
RESET_S = 1.0


class BlobStatus(IntEnum):
    """The first byte of a blob answer."""

    FOUND = 0
    ABSENT = 1
    BUSY = 2


async def read_exactly(stream: Stream, count: int) -> bytes:
    """Read `count` bytes.

    Raises:
        libp2p.exceptions.BaseLibp2pError: when the stream ends first.
    """
    parts = bytearray()
    while len(parts) < count:
        data = await stream.read(min(READ_BYTES, count - len(parts)))
        if not data:
            raise RemoteProtocolError(f"stream ended after {len(parts)} of {count} bytes")
        parts += data
    return bytes(parts)


async def discard(stream: Stream) -> None:
    """Reset a stream whatever state it is in, even while being cancelled."""
    with shielded(RESET_S):
        await stream.reset()


async def finish(stream: Stream) -> None:
    """Half-close after an answer and wait for the asker to hang up, so that it reads it all."""
    try:
        await stream.close_write()
        while await stream.read(READ_BYTES):
            pass
    except NETWORK_ERRORS:
        pass  # hung up: the ordinary end


class Blobs:
    """Both sides of the blob protocol."""

    def __init__(
        self,
        host: Host,
        options: TransportOptions,
        counters: Counters,
        serve: ServeBlob,
    ) -> None:
        self._host = host
        self._options = options
        self._counters = counters
        self._serve = serve
        self._asking = trio.Semaphore(options.blob_streams_max)
        self._asking_by_peer: dict[NodeId, trio.Semaphore] = {}
        self._slots = Slots(options)

    def forget(self, peer: NodeId) -> None:
        """Drop what is kept about a peer that is no longer allowed."""
        self._asking_by_peer.pop(peer, None)

    async def request(self, peer: NodeId, digest: bytes, size_bytes_max: int) -> bytes | None:
        """Fetch and verify; None for whatever keeps the blob from arriving in time."""
        if len(digest) != DIGEST_BYTES:
            raise LocalProtocolError(f"a blob digest has 32 bytes, not {len(digest)}")
        by_peer = self._asking_by_peer.setdefault(
            peer, trio.Semaphore(self._options.blob_streams_per_peer_max)
        )
        with trio.move_on_after(self._options.blob_deadline_s):
            try:
                async with by_peer, self._asking:
                    return await self._fetch(peer, digest, size_bytes_max)
            except RemoteProtocolError as error:
                self._counters.note("blob_refused", error=error, peer=peer.hex())
            except NETWORK_ERRORS as error:
                self._counters.note("blob_failed", error=error, peer=peer.hex())
            return None
        self._counters.note("blob_late", peer=peer.hex())
        return None

    async def _fetch(self, peer: NodeId, digest: bytes, size_bytes_max: int) -> bytes | None:
        stream = await self._host.new_stream(peer_id_of(peer), [BLOB_PROTOCOL])
        try:
            await stream.write(digest)
            status = (await read_exactly(stream, 1))[0]
            if status in (BlobStatus.ABSENT, BlobStatus.BUSY):
                return None
            if status != BlobStatus.FOUND:
                raise RemoteProtocolError(f"unknown blob status {status}")
            (length,) = BLOB_LENGTH.unpack(await read_exactly(stream, BLOB_LENGTH.size))
            if length > size_bytes_max:
                raise RemoteProtocolError(
                    f"blob of {length} bytes announced; at most {size_bytes_max} asked for"
                )
            return await _read_verified(stream, length, digest)
        finally:
            await discard(stream)

    async def serve(self, stream: Stream) -> None:
        """Answer one request of an allowed peer."""
        peer = node_id_of(stream.muxed_conn.peer_id)
        assert peer is not None  # admission has seen it
        with trio.move_on_after(self._options.blob_deadline_s) as deadline:
            digest = await read_exactly(stream, DIGEST_BYTES)
            if not self._slots.has_room(peer):
                self._counters.note("blob_busy", peer=peer.hex())
                await stream.write(bytes([BlobStatus.BUSY]))
                return await finish(stream)
            with self._slots.taken(peer):
                await self._answer(stream, digest)
        if deadline.cancelled_caught:
            self._counters.note("blob_serving_late", peer=peer.hex())
        return None

    async def _answer(self, stream: Stream, digest: bytes) -> None:
        blob = await self._serve(digest)
        if blob is None:
            await stream.write(bytes([BlobStatus.ABSENT]))
        else:
            await stream.write(bytes([BlobStatus.FOUND]) + BLOB_LENGTH.pack(len(blob)))
            view = memoryview(blob)
            for start in range(0, len(blob), WRITE_BYTES):
                await stream.write(bytes(view[start : start + WRITE_BYTES]))
        await finish(stream)


async def _read_verified(stream: Stream, length: int, digest: bytes) -> bytes:
    """Read the blob, hashing as it comes.

    Raises:
        RemoteProtocolError: when it is not the blob asked for.
    """
    parts = bytearray()
    hashed = sha256()
    while len(parts) < length:
        data = await stream.read(min(READ_BYTES, length - len(parts)))
        if not data:
            raise RemoteProtocolError(f"blob ended after {len(parts)} of {length} bytes")
        hashed.update(data)
        parts += data
    if hashed.digest() != digest:
        raise RemoteProtocolError("the blob's SHA-256 is not the digest asked for")
    return bytes(parts)


class Joining:
    """Both sides of the join protocol, the only one open to strangers."""

    def __init__(
        self,
        host: Host,
        options: TransportOptions,
        counters: Counters,
        serve: ServeJoin,
        waiting: Callable[[Foreign], AbstractContextManager[None]],
    ) -> None:
        self._host = host
        self._options = options
        self._counters = counters
        self._serve = serve
        self._waiting = waiting
        self._rate = JoinRate(options.joins_per_s, options.joins_burst)

    async def ask(self, address: PeerAddress, payload: bytes) -> bytes:
        """Send the payload over an existing connection and give the answer.

        Raises:
            UnreachableError: when no answer comes.
            RemoteProtocolError: when the answer is too long.
        """
        if len(payload) > JOIN_BYTES_MAX:
            raise LocalProtocolError(
                f"join request of {len(payload)} bytes; at most {JOIN_BYTES_MAX}"
            )
        at = f"{address.host}:{address.port}"
        try:
            async with self._asking(address.node_id) as stream:
                await stream.write(JOIN_LENGTH.pack(len(payload)) + payload)
                return await _read_join(stream)
        except NETWORK_ERRORS as error:
            raise UnreachableError(
                f"the node at {at} gave no answer to the join request: it may be busy or refuse "
                "newcomers; try again later or ask its operator"
            ) from error

    @asynccontextmanager
    async def _asking(self, node_id: NodeId) -> AsyncIterator[Stream]:
        stream = await self._host.new_stream(peer_id_of(node_id), [JOIN_PROTOCOL])
        try:
            yield stream
        finally:
            await discard(stream)

    async def serve(self, stream: Stream) -> None:
        """Answer one stranger."""
        node_id = node_id_of(stream.muxed_conn.peer_id)
        origin = origin_of(stream.muxed_conn)
        if node_id is None or not self._rate.take(origin, trio.current_time()):
            self._counters.note("join_over_rate", host=origin)
            return
        with trio.move_on_after(self._options.join_deadline_s) as deadline:
            payload = await _read_join(stream)
            with self._waiting(stream.muxed_conn):
                answer = await self._serve(node_id, payload)
            if len(answer) > JOIN_BYTES_MAX:
                raise LocalProtocolError(
                    f"join answer of {len(answer)} bytes; at most {JOIN_BYTES_MAX}"
                )
            await stream.write(JOIN_LENGTH.pack(len(answer)) + answer)
            await finish(stream)
        if deadline.cancelled_caught:
            self._counters.note("join_late", peer=node_id.hex())


async def _read_join(stream: Stream) -> bytes:
    (length,) = JOIN_LENGTH.unpack(await read_exactly(stream, JOIN_LENGTH.size))
    if length > JOIN_BYTES_MAX:
        raise RemoteProtocolError(
            f"join message of {length} bytes announced; at most {JOIN_BYTES_MAX}"
        )
    return await read_exactly(stream, length)
