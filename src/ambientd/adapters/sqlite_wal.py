"""Find damage in a SQLite write-ahead log that SQLite itself would pass over in silence.

After a crash SQLite takes the longest undamaged prefix of the log and forgets the rest. That is
right for a transaction whose write was cut short, and wrong for one that was already durable:
the node would forget that it voted. A transaction was durable when a later one began, because
each is synced before the next is written. So: a damaged frame with a frame of a *later*
transaction behind it is damage; a damaged tail alone is an ordinary crash.
Format: https://www.sqlite.org/fileformat2.html section 4.
"""

import struct
from pathlib import Path

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = 0x377F0682
_FORMAT = 3007000


def _checksum(data: bytes, order: str, state: tuple[int, int]) -> tuple[int, int]:
    first, second = state
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for index in range(0, len(words), 2):
        first = (first + words[index] + second) & 0xFFFFFFFF
        second = (second + words[index + 1] + first) & 0xFFFFFFFF
    return first, second


def damage_in_log(path: Path) -> str | None:
    """Say what is wrong with the log of a database, or None when SQLite may recover from it."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if len(data) < _HEADER.size:
        return None
    magic, version, page_bytes, _, salt1, salt2, *kept = _HEADER.unpack_from(data)
    order = ">" if magic & 1 else "<"
    state = _checksum(data[:24], order, (0, 0))
    if magic & ~1 != _MAGIC or version != _FORMAT or state != tuple(kept):
        # A torn header comes from the first write to a log: then there is no frame behind it.
        return "its header is wrong" if len(data) > _HEADER.size else None
    if not 512 <= page_bytes <= 65536:
        return f"its page size is {page_bytes}"
    return _damage_in_frames(data, page_bytes, (salt1, salt2), order, state)


def _damage_in_frames(
    data: bytes, page_bytes: int, salts: tuple[int, int], order: str, state: tuple[int, int]
) -> str | None:
    """Walk the frames; the first bad one is damage when a later transaction follows it."""
    size = _FRAME.size + page_bytes
    broken: int | None = None
    committed = False
    for number in range((len(data) - _HEADER.size) // size):
        offset = _HEADER.size + number * size
        _, size_after, salt1, salt2, *kept = _FRAME.unpack_from(data, offset)
        same_log = (salt1, salt2) == salts
        if broken is None:
            page = data[offset + _FRAME.size : offset + size]
            state = _checksum(data[offset : offset + 8] + page, order, state)
            if same_log and state == tuple(kept):
                continue
            # The rest of an older log lies behind the last frame of this one: not damage. After
            # a power cut it may also stand where a frame of this log had not reached the disk.
            # Both salts differ there; a flipped bit changes one of them.
            broken = number
            is_older = salt1 != salts[0] and salt2 != salts[1]
            committed = size_after != 0 and not is_older
        elif same_log:
            if committed:
                return f"frame {broken} is wrong and a later transaction follows it"
            committed = size_after != 0
    return None
