"""Multi-Krum (Blanchard et al. 2017): keep the updates that have the closest neighbours.

Distances are exact. Numbers are split into 12 bits and the rest, so that products of matrices in
float64 hold whole numbers below 2^53: exact, and the same whatever the order of summation.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from ambientd.rules.learning.vectors import Numbers, Wide

_LOW_BITS: Final = 12
_NARROW: Final = 1 << 18
_STRIPE: Final = 1 << 15


def _products(updates: Sequence[Numbers]) -> npt.NDArray[np.object_]:
    """Give the scalar products of all pairs, as Python's integers."""
    size = len(updates)
    whole: Wide = np.zeros((size, size), dtype=np.int64)
    split: list[Wide] = [whole.copy() for _ in range(3)]
    for at in range(0, len(updates[0]), _STRIPE):
        stripe = np.stack([numbers[at : at + _STRIPE] for numbers in updates])
        if max(int(stripe.max()), -int(stripe.min())) < _NARROW:
            # 2^15 products below 2^36 each: exact as they are, and a quarter of the work.
            floats = stripe.astype(np.float64)
            whole += (floats @ floats.T).astype(np.int64)
            continue
        high = (stripe >> _LOW_BITS).astype(np.float64)
        low = (stripe & ((1 << _LOW_BITS) - 1)).astype(np.float64)
        # |high| <= 2^11, low < 2^12, 2^15 products each: below 2^39.
        for place, (left, right) in enumerate(((high, high), (high, low), (low, low))):
            split[place] += (left @ right.T).astype(np.int64)
    high_high, high_low, low_low = (total.astype(object) for total in split)
    found: npt.NDArray[np.object_] = (
        high_high * (1 << 2 * _LOW_BITS)
        + (high_low + high_low.T) * (1 << _LOW_BITS)
        + (low_low + whole)
    )
    return found


def chosen(updates: Sequence[Numbers], liars: int) -> list[int]:
    """Give the places of the updates to keep, at least one; `liars` of all are poisoned at most.

    An update's score is the sum of squared distances to its n - f - 2 nearest neighbours; the
    n - 2f - 2 updates of the least scores are kept, as far as the paper's bound goes.
    """
    count = len(updates)
    nearest = max(1, count - liars - 2)
    keep = max(1, count - 2 * liars - 2)
    products = _products(updates)
    norms = [products[place, place] for place in range(count)]
    scores = []
    for place in range(count):
        row = products[place]
        distances = sorted(
            norms[place] + norms[other] - 2 * row[other] for other in range(count) if other != place
        )
        scores.append((sum(distances[:nearest]), place))
    return sorted(place for _, place in sorted(scores)[:keep])
