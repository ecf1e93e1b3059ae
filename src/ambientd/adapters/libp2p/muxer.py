"""Yamux with the bounds that the original leaves out.

What differs, each seen to go wrong:

- A cancelled write tears the noise session: the nonce is spent but the bytes never leave, and
  every later message fails to decrypt. Writes are therefore shielded, and a write that does
  not finish within the stall limit closes the connection.
- A peer that ignores its receive window makes the buffer grow without end; here the
  connection ends instead.
- Every read, however small, sent a window update of its own. Credit is now returned in halves
  of the window, as go-yamux does, which halves the packets of a small round trip.
- Locks and time limits cost as much where nothing is waited for: a write that fits the window
  needs no lock, and bytes that are here already no limit of the time in which to come.
"""

import struct
from typing import Any

import trio
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux import yamux
from libp2p.transport.upgrader import TransportUpgrader

from ambientd.adapters.libp2p.foreign import Foreign, SecuredConnection, Stream
from ambientd.adapters.libp2p.guard import shielded

# 16 MiB a stream by default; 2 MiB still fills a 1 Gbit/s link at 16 ms of round trip.
yamux.MAX_WINDOW_SIZE = 2 * 1024 * 1024
BUFFER_BYTES_MAX = 2 * yamux.MAX_WINDOW_SIZE
HEADER = struct.Struct(yamux.YAMUX_HEADER_FORMAT)
FRAME_BYTES_MAX = yamux.MAX_MESSAGE_SIZE - HEADER.size


class WindowOverrunError(trio.TooSlowError):
    """A peer sent beyond its window; TooSlowError is what makes Yamux close the connection."""


class _CappedBuffer(bytearray):
    """A stream's receive buffer that refuses to outgrow any window we grant."""

    def extend(self, data: Any) -> None:  # noqa: ANN401 - bytearray's own signature
        if len(self) + len(data) > BUFFER_BYTES_MAX:
            raise WindowOverrunError(f"more than {BUFFER_BYTES_MAX} bytes beyond the window")
        super().extend(data)


class _CappedBuffers(dict[int, bytearray]):
    """Stream buffers by stream id, each capped."""

    def __setitem__(self, stream_id: int, buffer: bytearray) -> None:
        super().__setitem__(stream_id, _CappedBuffer(buffer))


async def _return_credit(stream: Stream, *, bytes_read: int = 0) -> None:
    """Tell the sender of free window once at least half of it is free."""
    del bytes_read
    if stream.recv_closed:
        return
    buffered = len(stream.conn.stream_buffers.get(stream.stream_id, b""))
    free = stream.target_recv_window - (stream.recv_window + buffered)
    if free < stream.target_recv_window // 2:
        return
    credit = stream._grow_to_delta(buffered) + stream._apply_autotune_epoch(buffered)
    await stream.send_window_update(credit)


yamux.YamuxStream._auto_tune_and_send_window_update = _return_credit


_write_in_turn = yamux.YamuxStream.write


async def _write(stream: Stream, data: bytes) -> None:
    """Write one frame if the window takes it: between look and take nobody else has a turn."""
    size = len(data)
    is_closed = stream.closed or stream.send_closed
    if is_closed or not 0 < size <= min(stream.send_window, FRAME_BYTES_MAX):
        await _write_in_turn(stream, data)
        return
    stream.send_window -= size
    await stream.conn._write_frame(
        HEADER.pack(0, yamux.TYPE_DATA, 0, stream.stream_id, size) + data
    )


yamux.YamuxStream.write = _write


class GuardedYamux(yamux.Yamux):  # type: ignore[misc]
    """One connection's streams, bounded."""

    def __init__(
        self, secured_conn: SecuredConnection, peer_id: Foreign, write_stall_s: float
    ) -> None:
        super().__init__(secured_conn, peer_id, is_initiator=secured_conn.is_initiator)
        self._write_stall_s = write_stall_s
        self.stream_buffers = _CappedBuffers()

    async def _write_frame(self, data: bytes) -> None:
        """Write one frame whole, or close the connection."""
        with shielded(self._write_stall_s) as stall:
            async with self._write_lock:
                await self.secured_conn.write(data)
        if stall.cancelled_caught:
            self.event_shutting_down.set()
            with trio.CancelScope(shield=True):
                await self.secured_conn.close()
            raise MuxedStreamError("the peer takes no more bytes")

    async def _read_data_body(self, length: int) -> bytes:
        """Read a frame's bytes, within a time limit if they are still to come."""
        session = self.secured_conn
        if session.high_watermark - session.low_watermark >= length:
            return bytes(await session.read(length))
        return bytes(await super()._read_data_body(length))

    async def open_stream(self) -> Foreign:
        """Open a stream; shielded, because a cancelled opening leaks its slot for good."""
        with shielded(self._write_stall_s):
            return await super().open_stream()
        raise MuxedStreamError("no free stream to the peer")


class GuardedUpgrader(TransportUpgrader):  # type: ignore[misc]
    """Noise, then `GuardedYamux`; the original names its Yamux class in the code."""

    def __init__(self, security: Foreign, write_stall_s: float) -> None:
        super().__init__(security, {yamux.PROTOCOL_ID: GuardedYamux})
        self._write_stall_s = write_stall_s

    async def upgrade_connection(self, conn: SecuredConnection, peer_id: Foreign) -> GuardedYamux:
        """Agree on Yamux and start it."""
        await self.muxer_multistream.select_transport(conn)
        return GuardedYamux(conn, peer_id, self._write_stall_s)
