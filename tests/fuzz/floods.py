"""What a node that was let in can do to a daemon again and again, and honest traffic beside it."""

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from ambientd.adapters.libp2p.exchanges import BLOB_PROTOCOL, discard
from ambientd.adapters.libp2p.frames import FrameKind, encode_frame, encode_probe
from ambientd.adapters.libp2p.host import dial
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.adapters.libp2p.pieces import PIECES_PROTOCOL
from ambientd.adapters.libp2p.transport import FRAMES_PROTOCOL
from ambientd.model.base import Digest
from ambientd.model.chunk import ChunkAsked
from ambientd.model.message import PARCEL_BYTES_MAX
from ambientd.node.frames import LOG_FRAME
from ambientd.ports.transport import HostPort, TransportOptions
from ambientd.runtime.performer import TELEMETRY_TOPIC
from tests.adapters.libp2p.test_hostility import MESHSUB, rpc, signed_message
from tests.mesh.test_hostile_peers import ATTACKS, parcel, question

TURN_S = 0.05
TURN_S_MAX = 5.0
STREAMS_MAX = 60
WRITE_BYTES = 65_536
HANDSHAKE_BYTES = 300
HELLO = encode_probe(FrameKind.PING, 1)
LARGEST = encode_frame(
    FrameKind.DATA, LOG_FRAME + bytes(TransportOptions().frame_bytes_max - len(LOG_FRAME))
)
UNSPOKEN = b"\x13/multistream/1.0.0\n" + b"\x08/none/1\n" * 29_000
"""What fills a stream's first window, 256 KiB: names of a protocol that nobody speaks."""


@dataclass
class Target:
    """A daemon, the host that deals with it, a blob that it has, and how much has gone out."""

    host: Any
    node: bytes
    address: HostPort
    blob: bytes
    sent_bytes: int = 0
    _dialling: trio.Lock = field(default_factory=trio.Lock)

    async def dial(self) -> Any:
        """Connect once more."""
        return await dial(self.host, peer_id_of(self.node), self.address)

    async def connection(self) -> Any:
        """Give a connection that there is, or a new one."""
        async with self._dialling:
            for each in self.host.get_network().get_connections(peer_id_of(self.node)):
                return each
            return await self.dial()

    async def stream(self, protocol: str) -> Any:
        """Open a stream for a protocol."""
        await self.connection()
        return await self.host.new_stream(peer_id_of(self.node), [protocol])

    async def write(self, stream: Any, data: bytes) -> None:
        """Write, and count what has gone out even where the rest does not."""
        for start in range(0, len(data), WRITE_BYTES):
            part = data[start : start + WRITE_BYTES]
            await stream.write(part)
            self.sent_bytes += len(part)


Turn = Callable[[Target], Awaitable[None]]


@dataclass(frozen=True)
class Flood:
    """What is done again and again, and by how many at once."""

    turn: Turn
    at_once: int = 1

    async def run(self, target: Target) -> None:
        """Go on until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(self.at_once):
                nursery.start_soon(self._again_and_again, target)

    async def _again_and_again(self, target: Target) -> None:
        """Begin anew whatever happens; a turn that is held up is left."""
        while True:
            try:
                with trio.move_on_after(TURN_S_MAX):
                    await self.turn(target)
            except* NETWORK_ERRORS:
                pass  # cut off, as it may well be
            await trio.lowlevel.checkpoint()


async def _in_streams(protocol: str, data: bytes, target: Target) -> None:
    stream = await target.stream(protocol)
    await target.write(stream, data)
    with trio.move_on_after(0.02):
        await stream.read(1000)
    await stream.reset()


async def _on_one_stream(
    protocol: str, first: bytes, more: Callable[[Target], bytes], target: Target
) -> None:
    stream = await target.stream(protocol)
    try:
        await target.write(stream, first)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drain, stream)
            while True:
                await target.write(stream, more(target))
    finally:
        await discard(stream)


async def _drain(stream: Any) -> None:
    with suppress(*NETWORK_ERRORS):
        while await stream.read(WRITE_BYTES):
            pass


async def _unread(protocol: str, ask: Callable[[Target], bytes], target: Target) -> None:
    """Ask as much as goes out, and read no answer."""
    stream = await target.stream(protocol)
    try:
        while True:
            await target.write(stream, ask(target))
            await trio.sleep(TURN_S)
    finally:
        await discard(stream)


async def _unspoken(target: Target) -> None:
    stream = await (await target.connection()).muxed_conn.open_stream()
    await target.write(stream, UNSPOKEN)
    await stream.reset()


async def _connected(target: Target) -> None:
    await target.dial()
    target.sent_bytes += HANDSHAKE_BYTES


async def _connected_and_full(target: Target) -> None:
    """Connect once more, and leave there what takes long to read."""
    connection = await target.dial()
    for _ in range(STREAMS_MAX):
        await target.write(await connection.muxed_conn.open_stream(), UNSPOKEN)


async def _half_open(target: Target) -> None:
    stream = await trio.open_tcp_stream(target.address.host, target.address.port)
    async with stream:
        await stream.send_all(UNSPOKEN[:20])
        target.sent_bytes += 20
        with trio.move_on_after(1):
            while await stream.receive_some(1000):
                pass


def _gossip(target: Target) -> bytes:
    """Give telemetry that is none, each message with the author's signature."""
    messages = []
    for _ in range(20):
        message = signed_message(target.host, os.urandom(200), os.urandom(8))
        message.topicIDs[:] = [TELEMETRY_TOPIC]
        messages.append(message)
    return rpc(*messages)


def _chunks(target: Target) -> bytes:
    return question(ChunkAsked(digest=Digest(target.blob), index=0)) * 100


def _parcel(size_bytes: int) -> bytes:
    """Give a frame as members send it for a small input."""
    return encode_frame(FrameKind.DATA, parcel(os.urandom(size_bytes)))


def honest(bytes_per_s: float) -> Flood:
    """Give a member that sends parcels over its one link, so many bytes a second."""

    async def turn(target: Target) -> None:
        size_bytes = int(min(PARCEL_BYTES_MAX, max(1, bytes_per_s * TURN_S)))
        stream = await target.stream(FRAMES_PROTOCOL)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drain, stream)
            await target.write(stream, HELLO)
            begun_s, sent_bytes = trio.current_time(), 0
            while True:
                while sent_bytes < bytes_per_s * (trio.current_time() - begun_s):
                    data = _parcel(size_bytes)
                    await target.write(stream, data)
                    sent_bytes += len(data)
                await trio.sleep(TURN_S)

    return Flood(turn)


def attacks() -> Iterator[tuple[str, Flood]]:
    """Give each attack that is known, by name, as a flood."""
    for name, (protocol, data) in ATTACKS.items():
        # There is one link: of several, each would end the one before.
        yield name, Flood(partial(_in_streams, protocol, data), 1 if "frames" in protocol else 8)

    def linked(more: Callable[[Target], bytes]) -> Flood:
        return Flood(partial(_on_one_stream, FRAMES_PROTOCOL, HELLO, more))

    yield "parcels without end", linked(lambda _: _parcel(4_000))
    yield "the largest frames", linked(lambda _: LARGEST)
    yield "signed gossip without end", Flood(partial(_on_one_stream, MESHSUB, b"", _gossip))
    chunks = partial(_unread, PIECES_PROTOCOL, _chunks)
    yield "chunks asked for, never read", Flood(chunks, STREAMS_MAX)
    blobs = partial(_unread, BLOB_PROTOCOL, lambda target: target.blob)
    yield "blobs asked for, never read", Flood(blobs, STREAMS_MAX)
    yield "protocols that nobody speaks", Flood(_unspoken, STREAMS_MAX)
    yield "connections without end", Flood(_connected, 8)
    yield FULL_CONNECTIONS, Flood(_connected_and_full, 8)
    yield "handshakes that end half-way", Flood(_half_open, 100)


FULL_CONNECTIONS = "connections without end, each full"
