"""Frames of the local socket: a 4-byte big-endian length, then one MessagePack map."""

from enum import StrEnum
from typing import TypeVar

import msgspec

from ambientd.errors import RemoteProtocolError

FRAME_BYTES_MAX = 64 * 1024 * 1024
LENGTH_BYTES = 4

T = TypeVar("T")


class ReplyKind(StrEnum):
    """What a reply frame is."""

    DONE = "done"
    ITEM = "item"
    ERROR = "error"


class RequestFrame(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A call of one operation; under a `key`, of one that is done once however often it comes."""

    id: int
    op: str
    body: msgspec.Raw
    key: str = ""


class ReplyFrame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer, one item of a stream, the end of a stream, or an error."""

    id: int
    kind: ReplyKind
    body: msgspec.Raw


_encoder = msgspec.msgpack.Encoder()
_EMPTY = msgspec.Raw(_encoder.encode({}))


def pack(frame: RequestFrame | ReplyFrame) -> bytes:
    """Give a frame's bytes, length first; raise RemoteProtocolError when it is too large."""
    data = _encoder.encode(frame)
    if len(data) > FRAME_BYTES_MAX:
        msg = f"message has {len(data)} bytes, a frame holds at most {FRAME_BYTES_MAX}"
        raise RemoteProtocolError(msg)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def frame_size(prefix: bytes) -> int:
    """Read a length; raise RemoteProtocolError for one that no frame has."""
    size = int.from_bytes(prefix, "big")
    if not 0 < size <= FRAME_BYTES_MAX:
        msg = f"frame announces {size} bytes, 1 to {FRAME_BYTES_MAX} are allowed"
        raise RemoteProtocolError(msg)
    return size


def body_of(value: msgspec.Struct | None) -> msgspec.Raw:
    """Encode a request or response; None is an empty body."""
    return _EMPTY if value is None else msgspec.Raw(_encoder.encode(value))


def read(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Decode hostile bytes into a struct; raise RemoteProtocolError saying what is wrong."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        msg = f"message does not decode: {error}"
        raise RemoteProtocolError(msg) from error
