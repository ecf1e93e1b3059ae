"""Numbers, as people read them."""

import pytest

from ambientd.api.counting import in_words, rounded_up


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


@pytest.mark.parametrize(
    ("epsilon", "written"),
    [(4.382229, "4.383"), (4.753, "4.753"), (0.0, "0.000"), (0.000001, "0.001"), (8.0, "8.000")],
)
def test_what_is_written_of_an_epsilon_has_room_for_it(epsilon: float, written: str) -> None:
    assert rounded_up(epsilon) == written
    assert float(written) >= epsilon
