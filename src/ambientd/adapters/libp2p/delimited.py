"""Protobuf messages with their length before them, as libp2p's protocols write them."""

from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from ambientd.adapters.libp2p.exchanges import read_exactly
from ambientd.adapters.libp2p.foreign import Stream
from ambientd.errors import RemoteProtocolError

M = TypeVar("M")


async def write_message(stream: Stream, message: Any) -> None:  # noqa: ANN401 - of any protobuf
    """Write one message."""
    data: bytes = message.SerializeToString()
    await stream.write(_length(len(data)) + data)


async def read_message(stream: Stream, kind: type[M], size_bytes_max: int) -> M:
    """Read one message.

    Raises:
        RemoteProtocolError: when it is none of this kind, or too long.
    """
    size = shift = 0
    while True:
        (byte,) = await read_exactly(stream, 1)
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
        if shift > 14:
            raise RemoteProtocolError("a message's length does not read")
    if size > size_bytes_max:
        raise RemoteProtocolError(f"a message of {size} bytes; at most {size_bytes_max}")
    message: M = kind()
    try:
        message.ParseFromString(await read_exactly(stream, size))  # type: ignore[attr-defined]
    except DecodeError as error:
        raise RemoteProtocolError("a message that does not read") from error
    return message


def _length(size: int) -> bytes:
    parts = bytearray()
    while size >= 0x80:
        parts.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*parts, size])
