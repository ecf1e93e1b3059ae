"""Answers that are kept for when the same is asked again soon: as many bytes of them, not more."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Answers by what was asked, in two generations: the older goes whole when the younger is full.

    So nothing is moved about for an answer that is used, and all that is kept is asked for in at
    most `bytes_max` bytes, however large or small the single questions are.
    """

    def __init__(self, bytes_max: int) -> None:
        self._generation_bytes = bytes_max // 2
        self._younger: dict[bytes, T] = {}
        self._older: dict[bytes, T] = {}
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)

    def find(self, asked: bytes) -> T | None:
        """Give the answer, if it is still there; one that is about to go stays longer."""
        found = self._younger.get(asked)
        if found is None:
            found = self._older.get(asked)
            if found is not None:
                self.keep(asked, found)
        return found

    def keep(self, asked: bytes, answer: T) -> None:
        """Keep an answer; what is too large for a generation is not worth the others."""
        if len(asked) > self._generation_bytes:
            return
        if self._size_bytes + len(asked) > self._generation_bytes:
            self._older, self._younger, self._size_bytes = self._younger, {}, 0
        self._size_bytes += len(asked)
        self._younger[asked] = answer
