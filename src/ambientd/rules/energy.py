"""Whether an energy figure can be true (protocols/07-telemetry.md section 9).

Only shown: pay follows verified gas, so nobody gains by a figure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

from ambientd.model.genesis import NodeKind
from ambientd.model.receipt import Receipt

MGAS = 1_000_000
TDP_WATT: Mapping[NodeKind, int] = MappingProxyType(
    {NodeKind.MOBILE: 15, NodeKind.EDGE: 65, NodeKind.GATEWAY: 125, NodeKind.COMPUTE: 800}
)
"""The most heat that devices of a kind are built to lose; two sockets of 400 W at the top."""
IDLE_MILLIWATT = 100
"""Less than this no device draws that executes anything."""
MODEL_SOURCE = "model:"
"""What the source of every figure begins with that nothing measured."""
SHARE_MARK = "/cpu"
"""What the source of a figure ends in that is an execution's share of its device's energy."""
SHORT_MS = 100
"""Counters tick each millisecond or so: of anything shorter the mean power says nothing."""
SAMPLES_MIN = 8
SAMPLES_MAX = 64
RESIDUAL_FACTOR = 8
"""Caches, clocks and neighbours move energy per gas by a few times, not by eight."""


class EnergyDoubt(Enum):
    """Why an energy figure cannot be true."""

    NEGATIVE = auto()
    ABOVE_POWER = auto()
    BELOW_IDLE = auto()
    OUT_OF_LINE = auto()


@dataclass(frozen=True, slots=True)
class EnergyUse:
    """One execution's figures: millijoules as its device says, milliseconds, verified gas."""

    energy_mj: int
    duration_ms: int
    gas: int
    is_share: bool = False

    @property
    def per_mgas(self) -> int | None:
        """Give microjoules a million gas; None where there is no gas to divide by."""
        return self.energy_mj * 1000 * MGAS // self.gas if self.gas > 0 else None


def energy_use(receipt: Receipt) -> EnergyUse | None:
    """Give what a receipt says of energy; None when its device cannot tell."""
    if receipt.energy_mj is None:
        return None
    duration_ms = max(0, receipt.finished_ms - receipt.began_ms)
    is_share = receipt.energy_source.endswith(SHARE_MARK)
    return EnergyUse(receipt.energy_mj, duration_ms, receipt.result.gas, is_share)


def is_modelled(source: str) -> bool:
    """Tell whether a figure was computed from a model rather than measured."""
    return source.startswith(MODEL_SOURCE)


def share_mj(energy_uj: int, elapsed_ms: int, busy_ms: int, cpu_ns: int) -> int:
    """Give an execution's share of what its device used, by processor time.

    What an idle core costs belongs to nobody: less than one core's time is never divided by.
    """
    whole_ns = max(elapsed_ms, busy_ms, 1) * 1_000_000
    return energy_uj * min(cpu_ns, whole_ns) // whole_ns // 1000


def doubt_of(
    use: EnergyUse, kind: NodeKind, others: Iterable[EnergyUse] = ()
) -> EnergyDoubt | None:
    """Say what speaks against a figure: its power, or the same node's `others`; None if nothing."""
    if use.energy_mj < 0:
        return EnergyDoubt.NEGATIVE
    # 1.5 TDP for as long as turbo clocks last; one tick more, as the counter's tick may fall in.
    if use.energy_mj * 2 > 3 * TDP_WATT[kind] * (use.duration_ms + SHORT_MS):
        return EnergyDoubt.ABOVE_POWER
    if use.duration_ms < SHORT_MS:
        return None
    # An execution that waited for a core has a share of nothing for that long.
    if not use.is_share and use.energy_mj * 1000 < IDLE_MILLIWATT * use.duration_ms:
        return EnergyDoubt.BELOW_IDLE
    return EnergyDoubt.OUT_OF_LINE if _is_out_of_line(use, others) else None


def _is_out_of_line(use: EnergyUse, others: Iterable[EnergyUse]) -> bool:
    """Hold energy per gas against the median of a node's other executions."""
    here = use.per_mgas
    long_enough = (other for other in others if other.duration_ms >= SHORT_MS)
    known = sorted(each for other in long_enough if (each := other.per_mgas) is not None)
    if here is None or len(known) < SAMPLES_MIN:
        return False
    median = known[(len(known) - 1) // 2]
    return here > RESIDUAL_FACTOR * median or here * RESIDUAL_FACTOR < median
