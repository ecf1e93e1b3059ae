"""Rules of aggregation over updates in the open, exact in integers (protocols/17).

Every rule ends with the same bytes on every device: sums are whole numbers below 2^63, rounded
once, half up; ties go to the earlier place. The weighted mean looks at one update at a time; the
others hold all updates, and work on a stripe of numbers at a time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from ambientd.errors import RemoteProtocolError
from ambientd.rules.learning.krum import chosen
from ambientd.rules.learning.noise import mean_of
from ambientd.rules.learning.privacy import Terms
from ambientd.rules.learning.vectors import NUMBER_BYTES, Numbers, Wide, applied, decoded

WEIGHT_MAX: Final = 1 << 20
UPDATES_MAX: Final = 1_000
HELD_BYTES_MAX: Final = 1 << 30
"""Updates together, for the rules that hold all of them: a study may have 16 GiB of them."""
_STRIPE: Final = 1 << 14


@dataclass(frozen=True, slots=True)
class Average:
    """What updates come to, and the places of those that have no part in it."""

    update: Wide
    left_out: tuple[int, ...]


def _mean(total: Wide, weight: int) -> Wide:
    """Divide, rounded half up."""
    mean: Wide = (2 * total + weight) // (2 * weight)
    return mean


def weighted_mean(updates: Iterable[tuple[bytes, int]], count: int) -> Average:
    """Give the mean by the number of samples (McMahan et al. 2017), one update at a time."""
    total: Wide = np.zeros(count, dtype=np.int64)
    weighted = np.empty_like(total)
    weight_sum, left_out = 0, []
    for place, (update, samples) in enumerate(updates):
        weight = min(samples, WEIGHT_MAX)
        try:
            numbers = decoded(update, count)
        except RemoteProtocolError:
            weight = 0
        if weight < 1 or place >= UPDATES_MAX:
            left_out.append(place)
            continue
        total += np.multiply(numbers, weight, out=weighted, dtype=np.int64)
        weight_sum += weight
    return Average(_mean(total, weight_sum) if weight_sum else total, tuple(left_out))


def _striped(updates: Sequence[Numbers], of_sorted: Callable[[Wide], Wide]) -> Wide:
    """Work out a number's value from what the updates say of it, in order of size."""
    found: Wide = np.empty(len(updates[0]), dtype=np.int64)
    for at in range(0, len(found), _STRIPE):
        stripe = np.stack([numbers[at : at + _STRIPE] for numbers in updates], axis=1)
        stripe.sort(axis=1)
        found[at : at + _STRIPE] = of_sorted(stripe.astype(np.int64))
    return found


def median(updates: Sequence[Numbers]) -> Wide:
    """Give each number's median (Yin et al. 2018); of two in the middle their mean."""
    low, high = (len(updates) - 1) // 2, len(updates) // 2
    return _striped(updates, lambda rows: _mean(rows[:, low] + rows[:, high], 2))


def trimmed_mean(updates: Sequence[Numbers], trimmed: int) -> Wide:
    """Give each number's mean without the `trimmed` smallest and largest (Yin et al. 2018)."""
    kept = slice(trimmed, len(updates) - trimmed)
    return _striped(
        updates, lambda rows: _mean(rows[:, kept].sum(axis=1), len(updates) - 2 * trimmed)
    )


def multi_krum(updates: Sequence[Numbers], liars: int) -> tuple[Wide, list[int]]:
    """Give the mean of the updates closest to their neighbours, and their places."""
    places = chosen(updates, liars)
    total: Wide = np.zeros(len(updates[0]), dtype=np.int64)
    for place in places:
        total += updates[place]
    return _mean(total, len(places)), places


def _liars(count: int, poisoned_permille: int) -> int:
    return -(-count * poisoned_permille // 1000)


def _robust(
    rule: str, updates: Iterable[tuple[bytes, int]], count: int, poisoned_permille: int
) -> Average:
    kept: list[tuple[int, Numbers]] = []
    left_out: list[int] = []
    for place, (update, _) in enumerate(updates):
        try:
            numbers = decoded(update, count)
        except RemoteProtocolError:
            left_out.append(place)
            continue
        if len(kept) == UPDATES_MAX:
            left_out.append(place)
            continue
        if NUMBER_BYTES * count * (len(kept) + 1) > HELD_BYTES_MAX:
            raise RemoteProtocolError(
                f"{rule} holds all updates, {HELD_BYTES_MAX} bytes at most: these are more"
            )
        kept.append((place, numbers))
    if not kept:
        return Average(np.zeros(count, dtype=np.int64), tuple(left_out))
    present = [numbers for _, numbers in kept]
    liars = _liars(len(present), poisoned_permille)
    if rule == "median":
        return Average(median(present), tuple(left_out))
    if rule == "trimmed-mean":
        trimmed = min(liars, (len(present) - 1) // 2)
        return Average(trimmed_mean(present, trimmed), tuple(left_out))
    mean, places = multi_krum(present, liars)
    refused = {place for place, _ in kept} - {kept[number][0] for number in places}
    return Average(mean, tuple(sorted(refused.union(left_out))))


_MEANS: Final = frozenset({"fedavg", "fedprox"})
_ROBUST: Final = frozenset({"multi-krum", "trimmed-mean", "median"})
RULES: Final = MappingProxyType(
    dict.fromkeys(sorted(_MEANS), "weighted by samples")
    | dict.fromkeys(sorted(_ROBUST), "stands some poisoned updates")
)


def average(
    rule: str, updates: Iterable[tuple[bytes, int]], count: int, poisoned_permille: int
) -> Average:
    """Aggregate (update, samples) in the order given; what is malformed is left out.

    FedProx differs in the training alone, by a term that pulls towards the model.
    """
    if rule in _MEANS:
        return weighted_mean(updates, count)
    assert rule in _ROBUST
    return _robust(rule, updates, count, poisoned_permille)


def model_of_groups(
    rule: str, terms: Terms, model: bytes, sums: Sequence[tuple[bytes, int]]
) -> bytes:
    """Give the next model from groups' sums and survivors: their mean, or the groups' median.

    Raises:
        RemoteProtocolError: for a sum that is none of this model's.
    """
    count = len(decoded(model))
    means = [mean_of(terms, total, survivors) for total, survivors in sums]
    if any(len(mean) != count for mean in means):
        raise RemoteProtocolError(f"a group's sum does not have the model's {count} numbers")
    if not means:
        return model
    if rule == "median":
        return applied(model, median([mean.astype(np.int32) for mean in means]))
    total: Wide = np.zeros(count, dtype=np.int64)
    for mean, (_, survivors) in zip(means, sums, strict=True):
        total += mean * survivors
    return applied(model, _mean(total, sum(survivors for _, survivors in sums)))
