"""The health score: four components, integer thousandths (protocols/07 section 6).

A component that is not known counts as 0, so that hiding a reading never pays: at any neutral
value above 0, a node with a slow link would gain by keeping silent about it. How much of the
score was known at all is given beside it.
"""

from dataclasses import dataclass

BANDWIDTH_WEIGHT = 400
LATENCY_WEIGHT = 300
COMPUTE_WEIGHT = 200
REPUTATION_WEIGHT = 100
FULL_BANDWIDTH_KBIT_PER_S = 1_000_000
ZERO_LATENCY_US = 100_000
PERMILLE = 1000


@dataclass(frozen=True, slots=True)
class HealthInputs:
    """What the score is made from; None is not known."""

    bandwidth_kbit_per_s: int | None = None
    latency_us: int | None = None
    cpu_load_permille: int | None = None
    memory_available_permille: int | None = None
    reputation_permille: int | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """A score of 0..1000, and the share of it that was known at all."""

    score_permille: int
    known_permille: int


def _clip(permille: int) -> int:
    return max(0, min(PERMILLE, permille))


def health(inputs: HealthInputs) -> Health:
    """Give 0.40 bandwidth + 0.30 latency + 0.20 compute + 0.10 reputation, each clipped."""
    parts: list[tuple[int, int]] = []
    if inputs.bandwidth_kbit_per_s is not None:
        share = inputs.bandwidth_kbit_per_s * PERMILLE // FULL_BANDWIDTH_KBIT_PER_S
        parts.append((BANDWIDTH_WEIGHT, share))
    if inputs.latency_us is not None:
        share = PERMILLE - inputs.latency_us * PERMILLE // ZERO_LATENCY_US
        parts.append((LATENCY_WEIGHT, share))
    if inputs.cpu_load_permille is not None:
        parts.append((COMPUTE_WEIGHT // 2, PERMILLE - inputs.cpu_load_permille))
    if inputs.memory_available_permille is not None:
        parts.append((COMPUTE_WEIGHT // 2, inputs.memory_available_permille))
    if inputs.reputation_permille is not None:
        parts.append((REPUTATION_WEIGHT, inputs.reputation_permille))
    return Health(
        score_permille=sum(weight * _clip(share) for weight, share in parts) // PERMILLE,
        known_permille=sum(weight for weight, _ in parts),
    )
