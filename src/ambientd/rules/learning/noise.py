"""Clipping in integers, and Skellam noise drawn by inversion of an exact table (protocols/17).

What is drawn is looked up by its first bits where those decide, which is most often the case, and
piece by piece, so that all of it stays in a processor's cache.

A Skellam variable is the difference of two Poisson variables. Its probabilities come from the
recurrence of the modified Bessel functions, downwards (Miller), in integers of some 400 bits. A
draw of 64 bits decides; in the rare case that it does not, 128 more do. So what is drawn differs
from the distribution by less than 2^-160 in all, and floating point takes no part. The bits come
from a keyed stream: nobody without the seed can tell the noise. It is not drawn in constant time
(protocols/17 section 5).
"""

import functools
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from ambientd.codec.agreement import derived, piece_place, stream, stream_pieces
from ambientd.errors import RemoteProtocolError
from ambientd.rules.learning.privacy import FRACTION_BITS, Terms
from ambientd.rules.learning.vectors import RANGE, Wide, decoded

_DRAW_BITS: Final = 64
_DRAW_BYTES: Final = _DRAW_BITS // 8
_MORE_BITS: Final = 128
_TABLE_BITS: Final = _DRAW_BITS + _MORE_BITS
_GUARD_BITS: Final = 192
_CHUNK: Final = 1 << 16
_GUIDE_BITS: Final = 17
_UNSURE: Final = -(1 << 31)


@dataclass(frozen=True, slots=True)
class _Table:
    """Cumulative probabilities of -reach, 1 - reach, ... reach, in 2^-192.

    `guide` has what the first bits of a draw decide, or _UNSURE.
    """

    reach: int
    exact: tuple[int, ...]
    leading: npt.NDArray[np.uint64]
    guide: npt.NDArray[np.int32]


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
    return _Table(reach, tuple(exact), leading, _guide(leading, reach))


def _guide(leading: npt.NDArray[np.uint64], reach: int) -> npt.NDArray[np.int32]:
    """Give what all draws that begin with the same bits come to, where it is the same."""
    first = np.arange(1 << _GUIDE_BITS, dtype=np.uint64) << np.uint64(_DRAW_BITS - _GUIDE_BITS)
    last = first | np.uint64((1 << (_DRAW_BITS - _GUIDE_BITS)) - 1)
    low = np.searchsorted(leading, first, side="left")
    # Whatever equals an entry is a tie, and looked at more closely: so it is counted here.
    high = np.searchsorted(leading, last, side="right")
    return np.where(low == high, low - reach, _UNSURE).astype(np.int32)


def _drawn(
    table: _Table, draws: npt.NDArray[np.uint64], at: int, seed: bytes
) -> npt.NDArray[np.int32]:
    """Give what some draws come to, of which the first is that of number `at`."""
    first = (draws >> np.uint64(_DRAW_BITS - _GUIDE_BITS)).astype(np.intp)
    found: npt.NDArray[np.int32] = table.guide.take(first)
    unsure = np.flatnonzero(found == _UNSURE)
    closer = draws[unsure]
    places = np.searchsorted(table.leading, closer, side="left")
    ties = np.flatnonzero(table.leading[np.minimum(places, len(table.leading) - 1)] == closer)
    for tie in map(int, ties):
        index = at + int(unsure[tie])
        more = stream(derived(seed, b"skellam tie" + index.to_bytes(8, "big")), _MORE_BITS // 8)
        whole = int(closer[tie]) << _MORE_BITS | int.from_bytes(more, "big")
        places[tie] = bisect_right(table.exact, whole)
    found[unsure] = places - table.reach
    return found


def _pieces_of_noise(variance: int, count: int, seed: bytes) -> Iterator[npt.NDArray[np.int32]]:
    """Draw numbers of mean zero and the given variance, some at a time."""
    table, at = _table(variance), 0
    for piece in stream_pieces(derived(seed, b"skellam"), _DRAW_BYTES * count, piece_place()):
        draws = np.frombuffer(piece, dtype=np.dtype("<u8"))
        yield _drawn(table, draws, at, seed)
        at += len(draws)


def skellam(variance: int, count: int, seed: bytes) -> Wide:
    """Draw `count` numbers of mean zero and the given variance; the same again for a seed."""
    if not variance or not count:
        return np.zeros(count, dtype=np.int64)
    return np.concatenate(list(_pieces_of_noise(variance, count, seed))).astype(np.int64)


def squared_norm(values: Wide | npt.NDArray[np.int32]) -> int:
    """Give the exact sum of squares of numbers below 2^23."""
    parts = (values[at : at + _CHUNK].astype(np.int64) for at in range(0, len(values), _CHUNK))
    return sum(int(np.dot(part, part)) for part in parts)


def _norm(values: Wide | npt.NDArray[np.int32]) -> int:
    """Give the norm, rounded up."""
    squared = squared_norm(values)
    return isqrt(squared - 1) + 1 if squared else 0


def _scaled(values: Wide, norm_max: int, norm: int) -> Wide:
    """Take the floor of each magnitude, then the sign again: never beyond the norm."""
    smaller: Wide = np.sign(values) * (np.abs(values) * norm_max // norm)
    return smaller


def clipped(values: Wide, norm_max: int) -> Wide:
    """Scale numbers down to an L2 norm, rounding towards zero so that it holds."""
    norm = _norm(values)
    return values if norm <= norm_max else _scaled(values, norm_max, norm)


def quantised(terms: Terms, update: bytes, seed: bytes) -> bytes:
    """Give what is masked of an update: rounded to units, clipped, with its noise; int32.

    The same seed gives the same bytes; a seed must serve one update alone.
    """
    values = decoded(update)
    dropped = FRACTION_BITS - terms.bits
    if dropped:
        values = values + (1 << (dropped - 1))  # within 2^24: it fits
        values >>= dropped
    else:
        values = values.copy()
    _clip(values, terms.clip_units)
    if terms.variance:
        at = 0
        for noise in _pieces_of_noise(terms.variance, len(values), seed):
            values[at : at + len(noise)] += noise
            at += len(noise)
    return values.astype(np.dtype("<i4"), copy=False).tobytes()


def _clip(values: npt.NDArray[np.int32], norm_max: int) -> None:
    """Scale numbers down to an L2 norm in place, as `clipped` does."""
    norm = _norm(values)
    if norm <= norm_max:
        return
    for at in range(0, len(values), _CHUNK):
        part = values[at : at + _CHUNK]
        part[:] = _scaled(part.astype(np.int64), norm_max, norm)


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
