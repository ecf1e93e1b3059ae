"""Lists that come in pages, put together by whoever asks for them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

from msgspec.structs import replace

from ambientd.api.operation import Operation

Q = TypeVar("Q", bound=Any)
R = TypeVar("R", bound=Any)

PAGE_MAX = 1000


def pages(
    call: Callable[[Operation[Q, R], Q], R],
    operation: Operation[Q, R],
    request: Q,
    most: int | None = None,
) -> Iterator[R]:
    """Give the pages of a list, from where the request begins; `most` items of it at most.

    The request's own limit is the size of a page, as long as `most` says nothing.
    """
    left = most
    while True:
        if left is not None:
            request = replace(request, limit=min(left, PAGE_MAX))
            left -= request.limit
        answer = call(operation, request)
        yield answer
        if answer.next is None or left == 0:
            return
        request = replace(request, after=answer.next)


async def pages_async(
    call: Callable[[Operation[Q, R], Q], Awaitable[R]], operation: Operation[Q, R], request: Q
) -> AsyncIterator[R]:
    """Give the pages of a list, from where the request begins."""
    while True:
        answer = await call(operation, request)
        yield answer
        if answer.next is None:
            return
        request = replace(request, after=answer.next)


def whole(found: Iterator[R], *fields: str) -> R:
    """Put pages into one answer, which says where the list goes on, if it does."""
    every = list(found)
    joined = {
        name: tuple(item for answer in every for item in getattr(answer, name)) for name in fields
    }
    return replace(every[-1], **joined)
