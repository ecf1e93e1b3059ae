"""A page of a list: what comes after the last item that a caller has seen, in an order of keys."""

import heapq
from collections.abc import Callable, Iterable
from re import Pattern
from typing import TypeVar

from ambientd.api.operations import OperationError

T = TypeVar("T")


def page(
    items: Iterable[T], key: Callable[[T], str], limit: int, after: str
) -> tuple[list[T], str | None]:
    """Give so many items in the order of their keys, and where the next page begins, if one does.

    What is added or removed meanwhile moves no other item from one page to another.
    """
    left = (item for item in items if key(item) > after)
    return cut(heapq.nsmallest(limit + 1, left, key=key), limit, key)


def cut(found: list[T], limit: int, key: Callable[[T], str]) -> tuple[list[T], str | None]:
    """Give a page of what was found, which is one item longer where another page follows."""
    return found[:limit], key(found[limit - 1]) if len(found) > limit else None


def check_place(after: str, form: Pattern[str]) -> None:
    """Raise OperationError for what no page has given as the place of the next one."""
    if after and form.fullmatch(after) is None:
        msg = f"after = {after[:16]!r} is no place in this list"
        hint = "give what the page before said as `next`, or leave it away to begin anew"
        raise OperationError("invalid", msg, hint)
