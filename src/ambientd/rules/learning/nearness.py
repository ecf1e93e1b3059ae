"""How far one training is from another, exact in whole numbers (protocols/17 §8)."""

from typing import Final

import numpy as np

from ambientd.rules.learning.vectors import Numbers

ROUNDING: Final = 1
"""Two honest devices may round one float to neighbours; so much of a distance says nothing."""
MICRO: Final = 1_000_000
FAR_MICRO: Final = 1 << 62
"""Further than any tolerance: training moves nothing, and the update does."""


def distance_micro(update: Numbers, again: Numbers) -> int:
    """Give the largest difference of one number against the largest move, rounded up."""
    wide = again.astype(np.int64)
    apart = max(0, int(np.abs(wide - update).max()) - ROUNDING)
    moved = int(np.abs(wide).max())
    if not apart:
        return 0
    return -(-apart * MICRO // moved) if moved else FAR_MICRO
