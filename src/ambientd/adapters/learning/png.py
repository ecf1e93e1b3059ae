"""Pictures as PNG (ISO 15948): eight bits a channel, grey or in colours, not interlaced."""

import struct
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {0: 1, 2: 3, 4: 2, 6: 4}
"""By colour type: grey, red-green-blue, and either with how opaque it is."""

_COLOURS: Final = {0: 1, 2: 3, 4: 1, 6: 3}
_SIDE_MAX: Final = 4_096
_HEAD_BYTES: Final = 13

Pixels = npt.NDArray[np.uint8]


def read(data: bytes, pixels_max: int) -> Pixels:
    """Give a picture's values, row by row, channels beside one another; raise ValueError for none.

    How opaque it is is left out. What it unpacks to is bounded by what its head says, and that is.
    """
    if data[:8] != _SIGNATURE:
        raise ValueError("no PNG")
    chunks = _chunks(data)
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != _HEAD_BYTES:
        raise ValueError("a PNG begins with its size")
    width, height, depth, kind, packing, filters, interlaced = struct.unpack(">2I5B", chunks[0][1])
    if depth != 8 or kind not in _CHANNELS or packing or filters or interlaced:
        raise ValueError("eight bits a channel, no palette, not interlaced, is what is read")
    channels = _CHANNELS[kind]
    if not (0 < width <= _SIDE_MAX and 0 < height <= _SIDE_MAX) or (
        width * height * channels > pixels_max
    ):
        raise ValueError(f"{width} x {height} is too large")
    packed = b"".join(body for name, body in chunks if name == b"IDAT")
    size_bytes = height * (1 + width * channels)
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(packed, size_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"its pixels cannot be unpacked ({error})") from None
    if len(raw) != size_bytes or not unpacker.eof:
        raise ValueError("it has fewer pixels than its head says, or more")
    values = _unfiltered(np.frombuffer(raw, dtype=np.uint8).reshape(height, -1), channels)
    return values.reshape(height, width, channels)[:, :, : _COLOURS[kind]].reshape(-1)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Give the chunks up to the end, each held against its checksum."""
    found, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        name, body = data[at + 4 : at + 8], data[at + 8 : end - 4]
        if zlib.crc32(data[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError("a checksum does not hold")
        found.append((name, body))
        if name == b"IEND":
            return found
        at = end
    raise ValueError("it ends too early")


def _unfiltered(rows: Pixels, channels: int) -> Pixels:
    """Undo what each row was changed by, to be packed better (section 9)."""
    above = np.zeros(rows.shape[1] - 1, dtype=np.uint8)
    found = np.empty((len(rows), len(above)), dtype=np.uint8)
    for number, row in enumerate(rows):
        above = found[number] = _row(int(row[0]), row[1:], above, channels)
    return found


def _row(kind: int, row: Pixels, above: Pixels, channels: int) -> Pixels:
    match kind:
        case 0:
            return row
        case 1:  # from the left: sums of each channel, modulo 256
            each = np.cumsum(row.reshape(-1, channels), axis=0, dtype=np.uint8)
            return each.reshape(-1)
        case 2:
            return row + above
        case 3 | 4:
            return _by_neighbours(kind, row.tolist(), above.tolist(), channels)
        case _:
            raise ValueError(f"filter {kind} is none")


def _by_neighbours(kind: int, row: list[int], above: list[int], channels: int) -> Pixels:
    """Undo the filters by the mean of left and above, and by Paeth's guess."""
    done = [0] * len(row)
    for at, value in enumerate(row):
        left = done[at - channels] if at >= channels else 0
        up, corner = above[at], above[at - channels] if at >= channels else 0
        guess = (left + up) // 2 if kind == 3 else _paeth(left, up, corner)
        done[at] = (value + guess) & 0xFF
    return np.array(done, dtype=np.uint8)


def _paeth(left: int, up: int, corner: int) -> int:
    """Give the neighbour that is nearest to left + above - corner; among equals in this order."""
    guess = left + up - corner
    return min((left, up, corner), key=lambda each: abs(guess - each))
