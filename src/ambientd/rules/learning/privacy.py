"""How much privacy a release costs: the Skellam mechanism's Rényi divergence, in integers.

A participant clips its update to an L2 norm and adds Skellam noise; a group's sum then holds at
least `survivors_min` such noises. For sensitivities L1, L2 in units and the sum's variance V,

    RDP(a) <= a L2^2 / 2V + min(((2a - 1) L2^2 + 6 L1) / 4V^2, 3 L1 / 2V)

(Agarwal, Kairouz, Liu: "The Skellam Mechanism for Differentially Private Federated Learning",
NeurIPS 2021, Theorem 3.5), orders a whole. Releases add up; epsilon follows by Canonne, Kamath,
Steinke 2020 (proposition 12). Neighbours differ by one participant. Nothing is gained from sampling
participants: who takes part is public. Everything is rounded up, and the same on every device.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from typing import Final

from ambientd.errors import ConfigError

ORDERS: Final = (*range(2, 65), 72, 80, 96, 128, 192, 256, 512, 1024)
DELTA_PPB: Final = 10_000
"""The delta that is spoken of: 1e-5."""
GROUP_SIZE_MAX: Final = 127
"""Groups of 64 are asked for at most, and what is left over joins them: less than twice as many."""
FRACTION_BITS: Final = 16
NOISE_MILLI_MAX: Final = 1_000_000

_NANO: Final = 10**9
_MICRO: Final = 10**6
_DEVIATION_MAX: Final = 4096
_CLIP_MICRO_MAX: Final = 256 * _MICRO
_CLIP_UNITS_MIN: Final = 16

Curve = tuple[int, ...]
"""Spent so far, by order: billionths of Rényi divergence."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a study asks of an update that is only seen in a sum.

    `clip_micro`: L2 norm in millionths; `noise_milli`: thousandths of it that the noise of
    `survivors_min` participants has as its standard deviation.
    """

    clip_micro: int
    noise_milli: int
    survivors_min: int

    def __post_init__(self) -> None:
        if not 1 <= self.clip_micro <= _CLIP_MICRO_MAX:
            raise ConfigError(
                "a private study needs a clip between 0.000001 and 256, not "
                f"{self.clip_micro / _MICRO:g}; set `clip` in the study"
            )
        if not 0 <= self.noise_milli <= NOISE_MILLI_MAX:
            raise ConfigError("the noise is between 0 and 1000 times the clip; set `noise`")
        if not 1 <= self.survivors_min <= GROUP_SIZE_MAX:
            raise ConfigError(f"between 1 and {GROUP_SIZE_MAX} members of a group survive")
        if self.bits < 0 or self.clip_units < _CLIP_UNITS_MIN:
            raise ConfigError(
                "clip times noise is too large for the numbers of a sum; lower one of them"
            )

    @property
    def bits(self) -> int:
        """How many bits a unit lies below 1.0; the same for all groups of a study."""
        scale = self.noise_milli * self.clip_micro
        if not scale:
            return FRACTION_BITS
        fits = (_DEVIATION_MAX * 1000 * _MICRO) // scale
        return min(FRACTION_BITS, fits.bit_length() - 1)

    @property
    def clip_units(self) -> int:
        """The norm that an update is clipped to, in units."""
        return (self.clip_micro << self.bits) // _MICRO

    @property
    def variance(self) -> int:
        """The variance of one participant's noise, in squared units."""
        asked = (self.noise_milli * self.clip_units) ** 2
        return -(-asked // (1000 * 1000 * self.survivors_min))


def divergence(terms: Terms, order: int) -> Fraction:
    """Give the bound on one release's Rényi divergence."""
    variance = terms.variance * terms.survivors_min
    squared = terms.clip_units**2
    # Of whole numbers, the sum of the magnitudes is at most the sum of the squares.
    l1 = squared
    first = Fraction((2 * order - 1) * squared + 6 * l1, 4 * variance**2)
    return Fraction(order * squared, 2 * variance) + min(first, Fraction(3 * l1, 2 * variance))


def cost(terms: Terms) -> Curve | None:
    """Give what one release costs; None where no noise is added, and no privacy is claimed."""
    if not terms.noise_milli:
        return None
    return tuple(-(-divergence(terms, order) * _NANO // 1) for order in ORDERS)


def composed(*curves: Curve) -> Curve:
    """Give what several releases cost together."""
    return tuple(sum(column) for column in zip(*curves, strict=True))


@functools.lru_cache(maxsize=16)
def _conversion(delta_ppb: int) -> tuple[Decimal, ...]:
    """Give what is added at each order: ln((a - 1) / a) - (ln delta + ln a) / (a - 1)."""
    context = Context(prec=40, rounding=ROUND_CEILING)
    delta = context.divide(Decimal(delta_ppb), Decimal(_NANO))
    added = []
    for order in map(Decimal, ORDERS):
        first = context.ln(context.divide(order - 1, order))
        both = context.add(context.ln(delta), context.ln(order))
        added.append(context.subtract(first, context.divide(both, order - 1)))
    return tuple(added)


def epsilon_micro(curve: Sequence[int], delta_ppb: int = DELTA_PPB) -> int:
    """Give epsilon in millionths, rounded up."""
    if not any(curve):
        return 0
    least = min(
        Decimal(nano) / _NANO + added
        for nano, added in zip(curve, _conversion(delta_ppb), strict=True)
    )
    # One more than the ceiling covers what the logarithms were rounded by.
    return max(0, int((least * _MICRO).to_integral_value(ROUND_CEILING)) + 1)


def in_thousandths(epsilon_micro: int) -> str:
    """Write an epsilon rounded up: what was spent is never more than what is read."""
    return f"{-(-epsilon_micro // 1_000) / 1_000:.3f}"


@dataclass(frozen=True, slots=True)
class Spent:
    """What a participant has given away; no epsilon means that no bound is claimed."""

    epsilon_micro: int | None
    delta_ppb: int


@functools.lru_cache(maxsize=1024)
def spent(terms: Terms, releases: int) -> Spent:
    """Give what so many releases under the same terms cost."""
    if not releases:
        return Spent(0, DELTA_PPB)
    if (once := cost(terms)) is None:
        return Spent(None, DELTA_PPB)
    return Spent(epsilon_micro(tuple(releases * nano for nano in once)), DELTA_PPB)


def releases_max(terms: Terms, budget_micro: int, already: Curve | None = None) -> int:
    """Give how many releases fit into a budget of epsilon, beside what was spent already."""
    if (once := cost(terms)) is None:
        return 0
    before = already or (0,) * len(ORDERS)
    low, high = 0, 1

    def fits(count: int) -> bool:
        after = tuple(b + count * nano for b, nano in zip(before, once, strict=True))
        return epsilon_micro(after) <= budget_micro

    while fits(high) and high < _MICRO:
        low, high = high, 2 * high
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
