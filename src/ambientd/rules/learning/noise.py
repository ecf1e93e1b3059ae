"""Clipping in integers, and Skellam noise drawn by inversion of an exact table (protocols/17).

A Skellam variable is the difference of two Poisson variables. Its probabilities come from the
recurrence of the modified Bessel functions, downwards (Miller), in integers of some 400 bits. A
draw of 64 bits decides; in the rare case that it does not, 128 more do. So what is drawn differs
from the distribution by less than 2^-160 in all, and floating point takes no part. The bits come
from a keyed stream: nobody without the seed can tell the noise.
"""

import functools
from bisect import bisect_right
from dataclasses import dataclass
from math import isqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from ambientd.codec.agreement import derived, stream
from ambientd.errors import RemoteProtocolError
from ambientd.rules.learning.privacy import FRACTION_BITS, Terms
from ambientd.rules.learning.vectors import RANGE, Wide, decoded

_DRAW_BITS: Final = 64
_MORE_BITS: Final = 128
_TABLE_BITS: Final = _DRAW_BITS + _MORE_BITS
_GUARD_BITS: Final = 192
_CHUNK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class _Table:
    """Cumulative probabilities of -reach, 1 - reach, ... reach, in 2^-192."""

    reach: int
    exact: tuple[int, ...]
    leading: npt.NDArray[np.uint64]


@functools.lru_cache(maxsize=4)
def _table(variance: int) -> _Table:
    reach = 17 * (isqrt(variance) + 1) + 64
    above, here = 0, 1 << _GUARD_BITS
    weights = [here]
    for number in range(reach, 0, -1):
        above, here = here, above + 2 * number * here // variance
        weights.append(here)
    total = 2 * sum(weights[:-1]) + weights[-1]
    exact, running = [], 0
    for weight in (*weights, *reversed(weights[:-1])):
        running += weight
        exact.append((running << _TABLE_BITS) // total)
    # The last entry is 2^192, which no draw reaches.
    del exact[-1]
    leading = np.array([entry >> _MORE_BITS for entry in exact], dtype=np.uint64)
    return _Table(reach, tuple(exact), leading)


def skellam(variance: int, count: int, seed: bytes) -> Wide:
    """Draw `count` numbers of mean zero and the given variance; the same again for a seed."""
    if not variance:
        return np.zeros(count, dtype=np.int64)
    table = _table(variance)
    draws = np.frombuffer(stream(derived(seed, b"skellam"), 8 * count), dtype=np.dtype("<u8"))
    places = np.searchsorted(table.leading, draws, side="left").astype(np.int64)
    ties = np.flatnonzero(table.leading[np.minimum(places, len(table.leading) - 1)] == draws)
    for index in map(int, ties):
        more = stream(derived(seed, b"skellam tie" + index.to_bytes(8, "big")), _MORE_BITS // 8)
        whole = int(draws[index]) << _MORE_BITS | int.from_bytes(more, "big")
        places[index] = bisect_right(table.exact, whole)
    drawn: Wide = places - table.reach
    return drawn


def squared_norm(values: Wide) -> int:
    """Give the exact sum of squares of numbers below 2^23."""
    parts = (values[at : at + _CHUNK] for at in range(0, len(values), _CHUNK))
    return sum(int(np.dot(part, part)) for part in parts)


def clipped(values: Wide, norm_max: int) -> Wide:
    """Scale numbers down to an L2 norm, rounding towards zero so that it holds."""
    squared = squared_norm(values)
    if squared <= norm_max**2:
        return values
    norm = isqrt(squared - 1) + 1
    # Floor of the magnitude, then the sign again: never beyond the norm.
    smaller: Wide = np.sign(values) * (np.abs(values) * norm_max // norm)
    return smaller


def quantised(terms: Terms, update: bytes, seed: bytes) -> bytes:
    """Give what is masked of an update: rounded to units, clipped, with its noise; int32.

    The same seed gives the same bytes; a seed must serve one update alone.
    """
    values = decoded(update).astype(np.int64)
    dropped = FRACTION_BITS - terms.bits
    if dropped:
        values = (values + (1 << (dropped - 1))) >> dropped
    values = clipped(values, terms.clip_units)
    values = values + skellam(terms.variance, len(values), seed)
    return values.astype(np.dtype("<i4")).tobytes()


def mean_of(terms: Terms, total: bytes, survivors: int) -> Wide:
    """Give a group's mean update in Q16 from its sum, rounded half up.

    Raises:
        RemoteProtocolError: for a sum that is no list of int32.
    """
    if len(total) % 4 or survivors < 1:
        raise RemoteProtocolError("a group's sum is no list of 32-bit numbers of survivors")
    sums = np.frombuffer(total, dtype=np.dtype("<i4")).astype(np.int64)
    scaled = sums << (FRACTION_BITS - terms.bits)
    mean: Wide = np.clip((2 * scaled + survivors) // (2 * survivors), -RANGE, RANGE)
    return mean
