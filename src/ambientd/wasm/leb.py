"""LEB128 integers, and a reader that refuses instead of running past its end."""

from functools import lru_cache

from ambientd.wasm.refusal import REBUILD, SHRINK, RefusalError

_REMEMBERED = 1 << 12  # encodings of the numbers used last


@lru_cache(maxsize=_REMEMBERED)
def encode_unsigned(value: int) -> bytes:
    """Encode in the shortest unsigned form."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@lru_cache(maxsize=_REMEMBERED)
def encode_signed(value: int) -> bytes:
    """Encode in the shortest signed form."""
    out = bytearray()
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


def decode_unsigned(data: bytes, position: int = 0) -> tuple[int, int]:
    """Decode one integer known to be complete; returns it and the position behind it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


class Reader:
    """A cursor over `data[position:end]`; positions are offsets in the whole module."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self.data = data
        self.position = position
        self.end = end

    def done(self) -> bool:
        """Tell whether everything was read."""
        return self.position == self.end

    def byte(self) -> int:
        """Read one byte."""
        if self.position >= self.end:
            raise RefusalError("the module ends too early", REBUILD, self.position)
        self.position += 1
        return self.data[self.position - 1]

    def unsigned(self) -> int:
        """Read an unsigned 32-bit integer of at most five bytes."""
        start, value = self.position, 0
        if start < self.end and self.data[start] < 0x80:  # nearly always one byte
            self.position += 1
            return self.data[start]
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> 32:
                    break
                return value
        raise RefusalError("an integer does not fit 32 bits", REBUILD, start)

    def skip_signed(self, bytes_max: int) -> None:
        """Step over a signed integer of at most `bytes_max` bytes."""
        start, data = self.position, self.data
        for position in range(start, min(start + bytes_max, self.end)):
            if data[position] < 0x80:
                self.position = position + 1
                return
        if start + bytes_max > self.end:
            raise RefusalError("the module ends too early", REBUILD, self.end)
        raise RefusalError("an integer is too long", REBUILD, start)

    def count(self, what: str, limit: int, remedy: str = SHRINK) -> int:
        """Read the length of a list and hold it against its limit."""
        start, count = self.position, self.unsigned()
        if count > limit:
            raise RefusalError(
                f"{count} {what}, at most {limit} are allowed",
                remedy,
                start,
            )
        return count

    def take(self, size: int) -> bytes:
        """Read `size` bytes."""
        start = self.position
        if size > self.end - start:
            raise RefusalError("the module ends too early", REBUILD, start)
        self.position = start + size
        return self.data[start : self.position]

    def utf8(self, size: int) -> str:
        """Read a name of `size` bytes."""
        start = self.position
        try:
            return self.take(size).decode("utf-8")
        except UnicodeDecodeError:
            raise RefusalError("a name is not UTF-8", REBUILD, start) from None

    def sub(self, size: int) -> "Reader":
        """Return a reader of the next `size` bytes and step over them."""
        start = self.position
        if size > self.end - start:
            raise RefusalError("a size reaches past the end of its section", REBUILD, start)
        self.position = start + size
        return Reader(self.data, start, self.position)
