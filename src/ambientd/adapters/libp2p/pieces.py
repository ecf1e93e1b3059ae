"""Questions about parts of blobs, one after the other on streams that are kept for the next.

/ambient/pieces/1   4-byte length and question -> 4-byte length and answer, as often as wished

A stream for each question costs more than most answers. Whoever asks nothing for a while is left,
and an answer of no bytes says that there is none now. What is in it, the runtime knows.
"""

import struct
from typing import Final

import trio

from ambientd.adapters.libp2p.bucket import TokenBucket
from ambientd.adapters.libp2p.exchanges import discard, read_exactly
from ambientd.adapters.libp2p.foreign import Host, Stream
from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.identity import node_id_of, peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.adapters.libp2p.slots import Slots
from ambientd.errors import LocalProtocolError, RemoteProtocolError
from ambientd.ports.transport import (
    PIECE_ANSWER_BYTES_MAX,
    PIECE_QUESTION_BYTES_MAX,
    NodeId,
    ServePiece,
    TransportOptions,
)

PIECES_PROTOCOL: Final = "/ambient/pieces/1"
LENGTH: Final = struct.Struct("!I")
IDLE_STREAMS_MAX: Final = 4
"""Kept for one peer; a stream is as good as new for half as long as the other end waits."""


class Pieces:
    """Both sides of the protocol."""

    def __init__(
        self, host: Host, options: TransportOptions, counters: Counters, serve: ServePiece
    ) -> None:
        self._host = host
        self._options = options
        self._counters = counters
        self._serve = serve
        self._asking = trio.Semaphore(options.blob_streams_max)
        self._asking_by_peer: dict[NodeId, trio.Semaphore] = {}
        self._idle: dict[NodeId, list[tuple[Stream, float]]] = {}
        self._slots = Slots(options)
        self._meters: dict[NodeId, TokenBucket] = {}

    def forget(self, peer: NodeId) -> None:
        """Drop what is kept about a peer that is no longer allowed; its connection ends."""
        self._asking_by_peer.pop(peer, None)
        self._idle.pop(peer, None)
        self._meters.pop(peer, None)

    def lost(self, peer: NodeId) -> None:
        """Know that a peer's streams have ended."""
        self._idle.pop(peer, None)

    async def request(self, peer: NodeId, question: bytes) -> bytes | None:
        """Ask; None for whatever keeps the answer from arriving in time."""
        if not 0 < len(question) <= PIECE_QUESTION_BYTES_MAX:
            raise LocalProtocolError(
                f"a question of {len(question)} bytes; at most {PIECE_QUESTION_BYTES_MAX}"
            )
        by_peer = self._asking_by_peer.setdefault(
            peer, trio.Semaphore(self._options.blob_streams_per_peer_max)
        )
        with trio.move_on_after(self._options.blob_deadline_s):
            try:
                async with by_peer, self._asking:
                    return await self._ask(peer, question) or None
            except RemoteProtocolError as error:
                self._counters.note("blob_refused", error=error, peer=peer.hex())
            except NETWORK_ERRORS as error:
                self._counters.note("blob_failed", error=error, peer=peer.hex())
            return None
        self._counters.note("blob_late", peer=peer.hex())
        return None

    async def _ask(self, peer: NodeId, question: bytes) -> bytes:
        stream = await self._take_idle(peer)
        if stream is None:
            stream = await self._host.new_stream(peer_id_of(peer), [PIECES_PROTOCOL])
        is_whole = False
        try:
            await stream.write(LENGTH.pack(len(question)) + question)
            answer = await _read(stream, PIECE_ANSWER_BYTES_MAX)
            is_whole = True
        finally:
            if not is_whole:
                await discard(stream)
        kept = self._idle.setdefault(peer, [])
        if len(kept) >= IDLE_STREAMS_MAX:
            await discard(stream)
        else:
            kept.append((stream, trio.current_time()))
        return answer

    async def _take_idle(self, peer: NodeId) -> Stream | None:
        """Give the stream that was used last, if the other end has it still."""
        kept = self._idle.get(peer)
        if not kept:
            return None
        stream, since_s = kept.pop()
        if trio.current_time() - since_s <= self._options.piece_idle_s / 2:
            return stream
        for old, _ in [(stream, since_s), *self._idle.pop(peer)]:
            await discard(old)
        return None

    async def serve(self, stream: Stream) -> None:
        """Answer an allowed peer until it asks no more."""
        peer = node_id_of(stream.muxed_conn.peer_id)
        assert peer is not None  # admission has seen it
        try:
            while await self._serve_one(peer, stream):
                pass
        except RemoteProtocolError as error:
            self._counters.note("piece_not_asked", error=error, peer=peer.hex())

    async def _serve_one(self, peer: NodeId, stream: Stream) -> bool:
        """Answer the next question; False when there is none in time, or nobody takes it."""
        with trio.move_on_after(self._options.piece_idle_s) as idle:
            question = await _read_or_end(stream)
        if idle.cancelled_caught or not question:
            return False
        with trio.move_on_after(self._options.blob_deadline_s) as deadline:
            await self._answer(peer, stream, question)
        if deadline.cancelled_caught:
            self._counters.note("blob_serving_late", peer=peer.hex())
        return not deadline.cancelled_caught

    async def _answer(self, peer: NodeId, stream: Stream, question: bytes) -> None:
        if not self._slots.has_room(peer):
            self._counters.note("blob_busy", peer=peer.hex())
            await stream.write(LENGTH.pack(0))
            return
        with self._slots.taken(peer):  # until it is sent: who reads slowly holds but so many
            answer = await self._serve(peer, question)
            if len(answer) > PIECE_ANSWER_BYTES_MAX:
                raise LocalProtocolError(
                    f"an answer of {len(answer)} bytes; at most {PIECE_ANSWER_BYTES_MAX}"
                )
            await trio.sleep(self._meter(peer).charge(len(answer), trio.current_time()))
            await stream.write(LENGTH.pack(len(answer)) + answer)

    def _meter(self, peer: NodeId) -> TokenBucket:
        meter = self._meters.get(peer)
        if meter is None:
            rate = self._options.piece_bytes_per_s
            meter = self._meters[peer] = TokenBucket(rate, rate)
        return meter


async def _read_or_end(stream: Stream) -> bytes:
    """Read a question; give nothing where the asker has ended the stream between two."""
    first = await stream.read(1)
    if not first:
        return b""
    (length,) = LENGTH.unpack(first + await read_exactly(stream, LENGTH.size - 1))
    if not 0 < length <= PIECE_QUESTION_BYTES_MAX:
        raise RemoteProtocolError(f"a question of {length} bytes announced")
    return await read_exactly(stream, length)


async def _read(stream: Stream, size_bytes_max: int) -> bytes:
    (length,) = LENGTH.unpack(await read_exactly(stream, LENGTH.size))
    if length > size_bytes_max:
        raise RemoteProtocolError(f"{length} bytes announced; at most {size_bytes_max}")
    return await read_exactly(stream, length)
