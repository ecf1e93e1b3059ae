"""The law of what is drawn, added up over all 2^192 draws: no sample has a part in it."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from math import isqrt

import numpy as np
import numpy.typing as npt
import pytest

from ambientd.codec.agreement import PIECE_BYTES
from ambientd.rules.learning import noise

CELL = 1 << (64 - noise._GUIDE_BITS)
MORE = 1 << 128
FINE_BITS = 320


def law(table: noise._Table) -> Counter[int]:
    """Give in how many of all draws each number comes: whole cells, and the rest one by one."""
    found: Counter[int] = Counter()
    for cell, value in enumerate(table.guide.tolist()):
        if value == noise._UNSURE:
            for other, draws in looked_at(table, cell * CELL):
                found[other] += draws
        else:
            found[value] += CELL * MORE
    return found


def looked_at(table: noise._Table, begin: int) -> Iterator[tuple[int, int]]:
    """Give numbers and how often they come, of draws whose first bits decide nothing."""
    at, end = begin * MORE, (begin + CELL) * MORE
    place = bisect_left(table.exact, at)
    while at < end:
        bound = min(table.exact[place], end) if place < len(table.exact) else end
        yield place - table.reach, bound - at
        at, place = bound, place + 1


def bessel(variance: int) -> tuple[list[int], int]:
    """Give multiples of I_k(variance) by 1,000 bits, from far beyond the table, and their sum."""
    reach = 40 * (isqrt(variance) + 1) + 400
    above, here = 0, 1 << 1_000
    found = [here]
    for number in range(reach, 0, -1):
        above, here = here, above + 2 * number * here // variance
        found.append(here)
    found.reverse()
    return found, found[0] + 2 * sum(found[1:])


@pytest.mark.parametrize("variance", [1, 7, 400, 65_536, 1 << 24])
def test_all_draws_together_have_the_law_of_skellam_to_two_to_the_minus_160(variance: int) -> None:
    """Up to the largest variance that terms can ask for."""
    drawn = law(noise._table(variance))
    assert sum(drawn.values()) == 1 << 192
    weights, total = bessel(variance)
    apart = 0
    for value in range(1 - len(weights), len(weights)):
        wanted = (weights[abs(value)] << FINE_BITS) // total
        apart += abs((drawn[value] << (FINE_BITS - 192)) - wanted)
    assert apart < 1 << (FINE_BITS - 160)


def test_first_bits_decide_nothing_where_a_boundary_is_their_first_draw_or_their_last() -> None:
    leading = np.array([5 * CELL, 8 * CELL - 1, 9 * CELL + 7], dtype=np.uint64)
    guide = noise._guide(leading, 0)[3:12].tolist()
    unsure = noise._UNSURE
    assert guide == [0, 0, unsure, 1, unsure, 2, unsure, 3, 3]


def test_the_bits_that_decide_a_tie_are_those_of_its_place_among_all_draws() -> None:
    table, at, seed = noise._table(400), 70, b"seed"
    decided = int(np.flatnonzero(table.guide != noise._UNSURE)[9]) * CELL + 1
    middle = len(table.leading) // 2
    ties = [int(table.leading[middle + step]) for step in range(-32, 32)]
    # Before each tie stands a draw that is none: so places among ties are other numbers.
    draws = np.array([each for tie in ties for each in (decided, tie)], dtype=np.uint64)
    found = noise._drawn(table, draws, at, seed)[1::2]
    for number, (tie, value) in enumerate(zip(ties, found.tolist(), strict=True)):
        place = (at + 2 * number + 1).to_bytes(8, "big")
        more = noise.stream(noise.derived(seed, b"skellam tie" + place), 16)
        whole = tie << 128 | int.from_bytes(more, "big")
        assert value + table.reach == noise.bisect_right(table.exact, whole)


def test_each_piece_of_noise_is_drawn_at_its_own_place(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[int] = []

    def noted(
        table: noise._Table, draws: npt.NDArray[np.uint64], at: int, seed: bytes
    ) -> npt.NDArray[np.int32]:
        del table, seed
        places.append(at)
        return np.zeros(len(draws), dtype=np.int32)

    monkeypatch.setattr(noise, "_drawn", noted)
    step = PIECE_BYTES // 8
    assert len(noise.skellam(3, 2 * step + 1, b"seed")) == 2 * step + 1
    assert places == [0, step, 2 * step]
