"""The frames between nodes: those of the log, and those of jobs."""

from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

from ambientd.codec.canonical import encode
from ambientd.codec.signing import SIGNATURE_BYTES
from ambientd.consensus.messages import Message, encode_message
from ambientd.model.message import JobMessage

LOG_FRAME = b"\x01"
JOB_FRAME = b"\x02"
JOB_BYTES_MAX = 64 * 1024

APPEND, BLOCKS, FORWARD, IN_EPOCH, EPOCHS, OFFER, PAGES = 1, 6, 7, 9, 10, 11, 13
"""Tags of messages of the log (protocols/05-log.md section 3) that are looked at undecoded."""

RECORDS_A_FRAME_MAX = 65_536
RECORD_BYTES_MIN = SIGNATURE_BYTES + 32
"""A record is signed and names its author: what claims more records than that holds none."""

_UINT_BYTES = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}


class _RawBlock(Struct, array_like=True, tag=APPEND):
    header: Raw
    qc: Raw
    tc: Raw
    records: Raw
    signature: Raw


class _RawForward(Struct, array_like=True, tag=FORWARD):
    records: Raw


class _RawBlocks(Struct, array_like=True, tag=BLOCKS):
    blocks: list[_RawBlock]
    qc: Raw


_decoder = msgspec.msgpack.Decoder(_RawBlock | _RawForward | _RawBlocks)


def log_frame(message: Message) -> bytes:
    """Give the frame that carries a message of the log."""
    return LOG_FRAME + encode_message(message)


def job_frame(message: JobMessage) -> bytes:
    """Give the frame that carries a job message."""
    return JOB_FRAME + encode(message)


def peek(frame: bytes) -> tuple[int | None, int]:
    """Give the tag of a log frame's message, whatever its epoch, and where the message begins.

    None where it is none in canonical form.
    """
    start, tag = 1, _tag_at(frame, 1)
    if tag == IN_EPOCH:
        epoch = frame[3] if len(frame) > 3 else 0
        start = 4 + _UINT_BYTES.get(epoch, 0)
        tag = _tag_at(frame, start)
    return tag, start


def _tag_at(frame: bytes, start: int) -> int | None:
    """Give the first element of a short array; a tag and an array's head have one byte each."""
    head = frame[start : start + 2]
    return head[1] if len(head) == 2 and head[0] & 0xF0 == 0x90 and head[1] < 0x80 else None


def crowding(frame: bytes, tag: int | None, start: int) -> str | None:
    """Give why a log frame is not to be decoded: it claims more records than it can hold."""
    if tag not in (APPEND, BLOCKS, FORWARD):
        return None
    try:
        message = _decoder.decode(memoryview(frame)[start:])
    except (msgspec.MsgspecError, RecursionError) as error:
        return f"message does not decode: {error}"
    blocks: Iterable[_RawBlock | _RawForward]
    blocks = message.blocks if isinstance(message, _RawBlocks) else (message,)
    count = sum(_length(each.records) for each in blocks)
    if count > RECORDS_A_FRAME_MAX or count * RECORD_BYTES_MIN > len(frame):
        return f"a frame of {len(frame)} bytes claims {count} records"
    return None


def _length(array: Raw) -> int:
    """Give how many elements an array says that it has; 0 of what is none."""
    data = memoryview(array)
    if data[0] & 0xF0 == 0x90:
        return data[0] & 0x0F
    width = {0xDC: 2, 0xDD: 4}.get(data[0], 0)
    return int.from_bytes(data[1 : 1 + width])
