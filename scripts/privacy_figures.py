"""Write protocols/vectors/privacy.json: what dp-accounting says of the terms in it.

dp-accounting pins old versions of what we use, so this runs in a virtual environment of its own:

    python3 -m venv v && v/bin/pip install dp-accounting==0.6.0
    PYTHONPATH=src v/bin/python scripts/privacy_figures.py

For each clip, noise and number of releases: the epsilon that dp-accounting converts our Renyi curve
to, the one of its Gaussian mechanism by its RDP accountant, and the one of the exact Skellam
distribution in one dimension by privacy loss distributions, which lies below any true bound. The
grid is dp-accounting's whole path, from the mechanism to epsilon, beside ours.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.rdp import RdpAccountant, compute_epsilon
from scipy.special import ive

from ambientd.rules.learning.privacy import ORDERS, Terms, divergence, spent

OUT = Path(__file__).parent.parent / "protocols" / "vectors" / "privacy.json"
DELTA = 1e-5
CASES = [
    (500_000, 4_000, 11, 60),
    (500_000, 8_000, 11, 60),
    (500_000, 16_000, 6, 60),
    (1_000_000, 1_000, 6, 1),
    (250_000, 2_000, 8, 10),
    (5_000_000, 30_000, 11, 300),
]


GRID = [
    (clip, noise, survivors, releases)
    for noise in (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
    for releases in (1, 10, 60, 300, 1_000)
    for clip, survivors in ((50_000, 3), (4_000_000, 43))
]
"""Clips, noises, thresholds and numbers of rounds, as studies may have them."""

RANGE = [
    (noise, releases, delta_ppb)
    for noise in (1_000, 1_500, 2_000, 3_000, 4_000, 5_500, 8_000, 11_500, 16_000, 19_000, 32_000)
    for releases in (1, 10, 60, 300, 600, 1_000)
    for delta_ppb in (10_000, 100, 1)
]
SAMPLED = [(noise, 60, share) for noise in (1_000, 4_000, 16_000) for share in (0.5, 0.1)]
"""Noise, rounds, and the share of nodes that would be drawn in secret for each."""


def in_the_range(noise: int, releases: int, delta_ppb: int, share: float = 1.0) -> dict[str, Any]:
    """Give epsilon as dp-accounting says it unasked, at orders of its own, and at ours."""
    event = PoissonSampledDpEvent(share, GaussianDpEvent(noise / 1000))
    found = {}
    for name, orders in (("default", None), ("at_our_orders", list(ORDERS))):
        accountant = RdpAccountant(orders)
        accountant.compose(SelfComposedDpEvent(event, releases))
        found[name] = float(accountant.get_epsilon(delta_ppb / 1e9))
    return {
        "noise_milli": noise,
        "releases": releases,
        "delta_ppb": delta_ppb,
        "share": share,
        **found,
    }


def on_the_grid(clip: int, noise: int, survivors: int, releases: int) -> dict[str, Any]:
    """Give epsilon by dp-accounting's own path alone: the mechanism, everybody in, so many times.

    First at the whole orders that the Skellam bound is proven for, then at its own orders.
    """
    event = PoissonSampledDpEvent(1.0, GaussianDpEvent(noise / 1000))
    found = {}
    for name, orders in (("gaussian_at_our_orders", list(ORDERS)), ("gaussian", None)):
        accountant = RdpAccountant(orders)
        accountant.compose(SelfComposedDpEvent(event, releases))
        found[name] = float(accountant.get_epsilon(DELTA))
    return {
        "clip_micro": clip,
        "noise_milli": noise,
        "survivors_min": survivors,
        "releases": releases,
        **found,
    }


def one_dimension(terms: Terms, releases: int) -> float:
    """Give epsilon of the exact distribution, moved by the whole clip along one axis."""
    variance = terms.variance * terms.survivors_min
    reach = 14 * int(variance**0.5) + 50
    numbers = np.arange(-reach, reach + 1)
    probabilities = ive(np.abs(numbers), variance)
    lower = {int(k): float(np.log(p)) for k, p in zip(numbers, probabilities, strict=True) if p}
    upper = {k + terms.clip_units: p for k, p in lower.items()}
    loss = privacy_loss_distribution.from_two_probability_mass_functions(
        lower, upper, value_discretization_interval=1e-3
    )
    return float(loss.self_compose(releases).get_epsilon_for_delta(DELTA))


def figures(clip: int, noise: int, survivors: int, releases: int) -> dict[str, Any]:
    """Give one case with what dp-accounting says of it."""
    terms = Terms(clip, noise, survivors)
    curve = [releases * float(divergence(terms, order)) for order in ORDERS]
    gaussian = RdpAccountant()
    gaussian.compose(SelfComposedDpEvent(GaussianDpEvent(noise / 1000), releases))
    return {
        "clip_micro": clip,
        "noise_milli": noise,
        "survivors_min": survivors,
        "releases": releases,
        "bits": terms.bits,
        "clip_units": terms.clip_units,
        "variance": terms.variance,
        "epsilon_micro": spent(terms, releases).epsilon_micro,
        "dp_accounting": {
            "of_our_curve": float(compute_epsilon(ORDERS, curve, DELTA)[0]),
            "gaussian": float(gaussian.get_epsilon(DELTA)),
            "one_dimension": one_dimension(terms, releases),
        },
    }


def main() -> None:
    """Write the file."""
    content = {
        "source": f"dp-accounting {version('dp-accounting')}",
        "delta": DELTA,
        "cases": [figures(*case) for case in CASES],
        "grid": [on_the_grid(*case) for case in GRID],
        "range": [in_the_range(*case) for case in RANGE],
        "sampled": [in_the_range(noise, n, 10_000, share) for noise, n, share in SAMPLED],
    }
    OUT.write_text(json.dumps(content, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
