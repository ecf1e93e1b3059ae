"""The framing of /ambient/frames/1, without I/O: length, kind, body.

4 bytes  length of the body, big-endian
1 byte   kind: 0 data, 1 ping, 2 pong
n bytes  body; ping and pong carry an 8-byte number
"""

import struct
from collections.abc import Iterator
from enum import IntEnum

from ambientd.errors import RemoteProtocolError

HEADER = struct.Struct("!IB")
PROBE = struct.Struct("!Q")


class FrameKind(IntEnum):
    """What a frame is for."""

    DATA = 0
    PING = 1
    PONG = 2


def encode_frame(kind: FrameKind, body: bytes) -> bytes:
    """Put the header before the body."""
    return HEADER.pack(len(body), kind) + body


def encode_probe(kind: FrameKind, number: int) -> bytes:
    """Make a ping or a pong."""
    return encode_frame(kind, PROBE.pack(number))


def decode_probe(body: bytes) -> int:
    """Give the number of a ping or a pong."""
    number: int = PROBE.unpack(body)[0]
    return number


class FrameDecoder:
    """Cuts a byte stream into frames; holds at most one frame and what came with it."""

    def __init__(self, frame_bytes_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[FrameKind, bytes]]:
        """Yield the frames that are complete now.

        Raises:
            RemoteProtocolError: at the first header that is not one of ours.
        """
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= HEADER.size:
                length, number = HEADER.unpack_from(self._buffer, at)
                kind = self._check(length, number)
                end = at + HEADER.size + length
                if len(self._buffer) < end:
                    break
                body = bytes(memoryview(self._buffer)[at + HEADER.size : end])
                at = end
                yield kind, body
        finally:
            del self._buffer[:at]

    def _check(self, length: int, number: int) -> FrameKind:
        """Validate a header before a byte of its body is awaited."""
        if number == FrameKind.DATA:
            if length > self._frame_bytes_max:
                raise RemoteProtocolError(
                    f"frame of {length} bytes announced; at most {self._frame_bytes_max} allowed"
                )
        elif number not in (FrameKind.PING, FrameKind.PONG):
            raise RemoteProtocolError(f"unknown frame kind {number}")
        elif length != PROBE.size:
            raise RemoteProtocolError(f"heartbeat of {length} bytes; it has {PROBE.size}")
        return FrameKind(number)
