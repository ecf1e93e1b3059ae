"""Counts in words."""

import pytest

from ambientd.api.counting import in_words


@pytest.mark.parametrize(
    ("count", "words", "told"),
    [
        (0, ("node",), "0 nodes"),
        (1, ("node",), "1 node"),
        (1_200, ("node",), "1,200 nodes"),
        (1, ("entry", "entries"), "1 entry"),
        (2, ("entry", "entries"), "2 entries"),
    ],
)
def test_one_is_no_plural(count: int, words: tuple[str, ...], told: str) -> None:
    assert in_words(count, *words) == told
