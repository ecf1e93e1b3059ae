"""Yamux with the bounds that the original leaves out.

What differs, each seen to go wrong:

- A cancelled write tears the noise session: the nonce is spent but the bytes never leave, and
  every later message fails to decrypt. Writes are therefore shielded, and a write that does
  not finish within the stall limit closes the connection.
- A peer that ignores its receive window makes the buffer grow without end; here the
  connection ends instead, as it does when all its buffers together hold too much.
- A stream that we reset kept what nobody will read for a minute more, and streams that are
  refused cost their sender nothing; here the buffer goes with the stream.
- Every read, however small, sent a window update of its own. Credit is now returned in halves
  of the window, as go-yamux does, which halves the packets of a small round trip.
- Locks and time limits cost as much where nothing is waited for: a write that fits the window
  needs no lock, and bytes that are here already no limit of the time in which to come.
"""

import struct
from collections.abc import Callable
from typing import Any

import trio
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux import yamux
from libp2p.transport.upgrader import TransportUpgrader

from ambientd.adapters.libp2p.foreign import Foreign, SecuredConnection, Stream
from ambientd.adapters.libp2p.guard import Counters, shielded
from ambientd.adapters.libp2p.identity import PeerId

# 16 MiB a stream by default; 2 MiB still fills a 1 Gbit/s link at 16 ms of round trip.
yamux.MAX_WINDOW_SIZE = 2 * 1024 * 1024
HEADER = struct.Struct(yamux.YAMUX_HEADER_FORMAT)
FRAME_BYTES_MAX = yamux.MAX_MESSAGE_SIZE - HEADER.size
BUFFERS_BYTES_MAX = 16 * 1024 * 1024
"""What all streams of a member's connection may hold unread, 16 MiB."""

STRANGER_BUFFERS_BYTES_MAX = 1024 * 1024
"""The same of a connection that may ask to join and no more, 1 MiB."""


class WindowOverrunError(trio.TooSlowError):
    """A peer sent beyond its window; TooSlowError is what makes Yamux close the connection."""


class _Buffer(bytearray):
    """A stream's receive buffer, which takes no more than the window that was granted."""

    def __init__(self, conn: "GuardedYamux", stream_id: int) -> None:
        super().__init__()
        self._conn = conn
        self._stream_id = stream_id

    def extend(self, data: Any) -> None:  # noqa: ANN401 - bytearray's own signature
        self._conn.check_window(self._stream_id, len(data))
        super().extend(data)


class _Buffers(dict[int, bytearray]):
    """Stream buffers by stream id, each bounded by its window."""

    def __init__(self, conn: "GuardedYamux") -> None:
        super().__init__()
        self._conn = conn

    def __setitem__(self, stream_id: int, buffer: bytearray) -> None:
        super().__setitem__(stream_id, _Buffer(self._conn, stream_id))


async def _return_credit(stream: Stream, *, bytes_read: int = 0) -> None:
    """Tell the sender of free window once at least half of it is free."""
    del bytes_read
    if stream.recv_closed:
        return
    buffered = len(stream.conn.stream_buffers.get(stream.stream_id, b""))
    free = stream.target_recv_window - (stream.recv_window + buffered)
    if free < stream.target_recv_window // 2:
        return
    credit = stream._grow_to_delta(buffered)
    if stream.conn.may_widen(stream):
        credit += stream._apply_autotune_epoch(buffered)
    await stream.send_window_update(credit)


_send_reset = yamux.YamuxStream.reset


async def _reset(stream: Stream) -> None:
    """Reset, and drop what the peer has sent: nobody reads it any more."""
    try:
        await _send_reset(stream)
    finally:
        await stream.conn.drop(stream)


yamux.YamuxStream._auto_tune_and_send_window_update = _return_credit
yamux.YamuxStream.reset = _reset


_write_in_turn = yamux.YamuxStream.write


async def _write(stream: Stream, data: bytes) -> None:
    """Write one frame if the window takes it: between look and take nobody else has a turn."""
    # The frame itself is shielded: without this, who is told to end would write on and on.
    await trio.lowlevel.checkpoint_if_cancelled()
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
        self,
        secured_conn: SecuredConnection,
        peer_id: PeerId,
        write_stall_s: float,
        counters: Counters,
        is_member: Callable[[PeerId], bool],
    ) -> None:
        super().__init__(secured_conn, peer_id, is_initiator=secured_conn.is_initiator)
        self._write_stall_s = write_stall_s
        self._counters = counters
        self._is_member = is_member
        self.stream_buffers = _Buffers(self)

    def check_window(self, stream_id: int, size_bytes: int) -> None:
        """End the connection of a peer that sends more on a stream than it was granted.

        Raises:
            WindowOverrunError: which ends it.
        """
        if size_bytes > self.streams[stream_id].recv_window:
            self._counters.note("window_overrun", peer=str(self.peer_id))
            raise WindowOverrunError(f"{size_bytes} bytes, beyond the window of a stream")

    def may_widen(self, stream: Stream) -> bool:
        """Tell whether a window may double: an honest peer's windows fit into the buffers.

        A fourth stays for streams to come: a peer may fill their first windows without asking.
        """
        granted = sum(each.target_recv_window for each in self.streams.values())
        return bool(granted + stream.target_recv_window <= self._buffers_bytes_max() * 3 // 4)

    async def drop(self, stream: Stream) -> None:
        """Forget a stream with what it holds unread, unless its number is another's by now."""
        async with self.streams_lock:
            if self.streams.get(stream.stream_id) is stream:
                self.stream_buffers[stream.stream_id].clear()
                self._finalize_stream_locked(stream, fully_closed=True)

    def _buffers_bytes_max(self) -> int:
        is_member = self._is_member(self.peer_id)
        return BUFFERS_BYTES_MAX if is_member else STRANGER_BUFFERS_BYTES_MAX

    async def _read_data_body(self, length: int) -> bytes:
        """Read a frame's body, unless what this peer has sent unread becomes too much.

        What is still to come must come within a time limit.
        """
        held = length + sum(map(len, self.stream_buffers.values()))
        if held > STRANGER_BUFFERS_BYTES_MAX and held > self._buffers_bytes_max():
            self._counters.note("buffers_overrun", peer=str(self.peer_id))
            raise WindowOverrunError(f"{held} bytes unread on one connection")
        session = self.secured_conn
        if session.high_watermark - session.low_watermark >= length:
            return bytes(await session.read(length))
        return bytes(await super()._read_data_body(length))

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

    async def open_stream(self) -> Foreign:
        """Open a stream; shielded, because a cancelled opening leaks its slot for good."""
        with shielded(self._write_stall_s):
            return await super().open_stream()
        raise MuxedStreamError("no free stream to the peer")


class GuardedUpgrader(TransportUpgrader):  # type: ignore[misc]
    """Noise, then `GuardedYamux`; the original names its Yamux class in the code."""

    def __init__(
        self,
        security: Foreign,
        write_stall_s: float,
        counters: Counters,
        is_member: Callable[[PeerId], bool],
    ) -> None:
        super().__init__(security, {yamux.PROTOCOL_ID: GuardedYamux})
        self._write_stall_s = write_stall_s
        self._counters = counters
        self._is_member = is_member

    async def upgrade_connection(self, conn: SecuredConnection, peer_id: PeerId) -> GuardedYamux:
        """Agree on Yamux and start it."""
        await self.muxer_multistream.select_transport(conn)
        return GuardedYamux(conn, peer_id, self._write_stall_s, self._counters, self._is_member)
