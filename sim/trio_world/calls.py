"""A node's questions that wait for their answers."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Calls:
    """Questions by number; an answer that nobody waits for any more is dropped."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._answers: dict[int, tuple[trio.Event, list[bytes | None]]] = {}

    @contextmanager
    def open(self) -> Iterator[int]:
        """Give the number of a new question."""
        number = next(self._numbers)
        self._answers[number] = (trio.Event(), [])
        try:
            yield number
        finally:
            del self._answers[number]

    async def wait(self, number: int) -> bytes | None:
        """Wait for the answer."""
        done, answers = self._answers[number]
        await done.wait()
        return answers[0]

    def answered(self, number: int, data: bytes | None) -> None:
        """Take an answer in."""
        if number in self._answers:
            done, answers = self._answers[number]
            answers.append(data)
            done.set()
