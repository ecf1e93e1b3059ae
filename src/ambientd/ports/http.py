"""HTTP as the front end sees it: a request that comes, the answer that goes."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

Headers: TypeAlias = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end: an address, and the name in its certificate, if it showed one.

    Where a trusted proxy stands between, the address and the `scheme` are what it says.
    """

    address: str
    certificate: str | None = None
    scheme: str | None = None


class Upload(Protocol):
    """The body of a request, which is read at most once."""

    def chunks(self, size_bytes_max: int) -> AsyncGenerator[bytes, None]:
        """Give the bytes as they come; raise BodyTooLargeError above so many.

        CallerGoneError ends them when the rest does not come.
        """
        ...

    def caller_stays(self) -> AbstractAsyncContextManager[None]:
        """Cancel the block when the caller leaves; for answers that take their time."""
        ...


class CallerGoneError(Exception):
    """Nobody is there to read an answer, or to send the rest of a request."""


class BodyTooLargeError(Exception):
    """More bytes than this resource takes."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request; `path` and `query` as they came, still encoded, header names in lower case."""

    method: str
    path: str
    query: str
    headers: Headers
    caller: Caller
    upload: Upload

    def all(self, name: str) -> list[str]:
        """Give every value of a header."""
        return [value for key, value in self.headers if key == name]

    def first(self, name: str) -> str:
        """Give the first value of a header, or nothing."""
        return next((value for key, value in self.headers if key == name), "")


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer; a body that comes in pieces is closed by whoever sends it.

    `sent` is called once when the answer has left, or cannot leave.
    """

    status: int
    body: bytes | AsyncGenerator[bytes, None] = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    sent: Callable[[], None] = _nothing


Answering: TypeAlias = Callable[[HttpRequest], Awaitable[HttpAnswer]]


class Started(Protocol):
    """Where `nursery.start` hears which port was opened."""

    def started(self, port: int) -> None:
        """Tell it."""
        ...
