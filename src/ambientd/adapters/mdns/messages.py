"""The little of DNS messages that multicast discovery needs (RFC 1035, 6762, 6763).

One question, for the instances of one service; and one answer, an instance with its text. Names
are compared without regard to case; what else a message has is passed over, and a malformed one is
nothing.
"""

import struct
from dataclasses import dataclass

MESSAGE_BYTES_MAX = 1_472
RECORDS_MAX = 32
STRINGS_MAX = 16
_LABELS_MAX = 32
_POINTERS_MAX = 8
_NAME_BYTES_MAX = 255
_HEADER = struct.Struct("!6H")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_ANSWER_FLAGS = 0x8400
_PTR, _TXT, _ANY = 12, 16, 255
_IN = 1
_FLUSH = 0x8000
TTL_S = 120


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody asks who offers the service."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the instances of the service say: the strings of their texts."""

    strings: tuple[bytes, ...]


def encode_question(service: str) -> bytes:
    """Ask who offers the service."""
    return _HEADER.pack(0, 0, 1, 0, 0, 0) + _name(service) + _QUESTION.pack(_PTR, _IN)


def encode_answer(service: str, instance: str, text: bytes) -> bytes:
    """Say that the instance, a label, offers the service, with one string of at most 255 bytes."""
    full = f"{instance}.{service}"
    pointer = _name(service) + _record(_PTR, _IN, _name(full))
    strings = bytes([len(text)]) + text
    return (
        _HEADER.pack(0, _ANSWER_FLAGS, 0, 2, 0, 0)
        + pointer
        + _name(full)
        + _record(_TXT, _IN | _FLUSH, strings)
    )


def decode(message: bytes, service: str) -> Asked | Told | None:
    """Read what a message says of the service; None when nothing, or when it is malformed."""
    if not _HEADER.size <= len(message) <= MESSAGE_BYTES_MAX:
        return None
    _, flags, questions, *counts = _HEADER.unpack_from(message)
    if questions + sum(counts) > RECORDS_MAX:
        return None
    wanted = _labels(service)
    try:
        if flags & 0x8000:
            return _told(message, wanted, questions, sum(counts))
        return Asked() if _is_asked(message, wanted, questions) else None
    except (IndexError, struct.error):
        return None


def _is_asked(message: bytes, wanted: tuple[bytes, ...], questions: int) -> bool:
    at = _HEADER.size
    for _ in range(questions):
        labels, at = _read_name(message, at)
        kind, _ = _QUESTION.unpack_from(message, at)
        at += _QUESTION.size
        if labels == wanted and kind in (_PTR, _ANY):
            return True
    return False


def _told(message: bytes, wanted: tuple[bytes, ...], questions: int, records: int) -> Told | None:
    at = _HEADER.size
    for _ in range(questions):
        at = _read_name(message, at)[1] + _QUESTION.size
    strings: list[bytes] = []
    for _ in range(records):
        labels, at = _read_name(message, at)
        kind, _, ttl_s, size = _RECORD.unpack_from(message, at)
        at += _RECORD.size
        if at + size > len(message):
            return None
        if kind == _TXT and ttl_s and labels[1:] == wanted:
            strings += _strings(message[at : at + size])
        at += size
    return Told(tuple(strings[:STRINGS_MAX])) if strings else None


def _strings(data: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(data) and len(found) < STRINGS_MAX:
        found.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return found


def _record(kind: int, group: int, data: bytes) -> bytes:
    return _RECORD.pack(kind, group, TTL_S, len(data)) + data


def _labels(name: str) -> tuple[bytes, ...]:
    return tuple(label.lower().encode("ascii") for label in name.rstrip(".").split("."))


def _name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in _labels(name)) + b"\0"


def _read_name(message: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    """Give the labels and where the name ends; pointers lead back only, so that it does end.

    Raises:
        IndexError: when it does not read.
    """
    labels: list[bytes] = []
    end, earliest, length, pointers = None, at, 0, 0
    while (size := message[at]) != 0:
        if size & 0xC0 == 0xC0:
            to = (size & 0x3F) << 8 | message[at + 1]
            end = at + 2 if end is None else end
            pointers += 1
            if to >= earliest or pointers > _POINTERS_MAX:
                raise IndexError("a pointer that does not lead back, or one of too many")
            at = earliest = to
            continue
        label = message[at + 1 : at + 1 + size]
        length += 1 + size
        if size & 0xC0 or len(label) < size or len(labels) >= _LABELS_MAX:
            raise IndexError("a label that does not read")
        if length > _NAME_BYTES_MAX:
            raise IndexError("a name that is too long")
        labels.append(label.lower())
        at += 1 + size
    return tuple(labels), at + 1 if end is None else end
