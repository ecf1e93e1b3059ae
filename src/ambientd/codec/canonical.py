"""Canonical MessagePack: one value, one byte string (protocols/00-encoding.md).

A struct travels as an array whose index is the field number; numbers, strings and lengths take
their shortest form. A decoder encodes what it decoded and refuses a difference, so two byte
strings never mean the same value.
"""

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from ambientd.errors import RemoteProtocolError

T = TypeVar("T")

MESSAGE_BYTES_MAX = 16 * 1024 * 1024

_encoder = msgspec.msgpack.Encoder()


def encode(value: object) -> bytes:
    """Give the canonical bytes of a model value."""
    return _encoder.encode(value)


@cache
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:  # noqa: ANN401
    return msgspec.msgpack.Decoder(kind)


def decode(data: bytes, kind: type[T] | Any, size_bytes_max: int = MESSAGE_BYTES_MAX) -> T:  # noqa: ANN401
    """Read one value of `kind`; raise RemoteProtocolError unless `data` is its canonical form."""
    if len(data) > size_bytes_max:
        msg = f"message has {len(data)} bytes, at most {size_bytes_max} are allowed"
        raise RemoteProtocolError(msg)
    try:
        value: T = _decoder(cast("Hashable", kind)).decode(data)
        again = _encoder.encode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        msg = f"message does not decode: {error}"
        raise RemoteProtocolError(msg) from error
    if again != data:
        msg = "message is not in canonical form"
        raise RemoteProtocolError(msg)
    return value
