"""A bounded part of a long list, another one with each block, so that no block walks it all."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def part(kept: Sequence[Item], count: int, start: int, most: int) -> list[Item]:
    """Give so many of the first `count` items at most, from a place on, round and round."""
    first = start % count if count else 0
    most = min(most, count)
    around = max(0, first + most - count)
    return [*kept[first : first + most - around], *kept[:around]]
