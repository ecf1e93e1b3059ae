"""What a node can measure about itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ambientd.model.telemetry import Observation


class Probe(Protocol):
    """One source of observations; what it cannot measure it reports as None, never as a guess."""

    def read(self) -> Sequence[Observation]:
        """Measure now; never raises for a sensor that is absent or refuses."""
        ...


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """Energy used since the meter started, in microjoules; None when nothing tells it.

    `busy_ms` is the processor time that all programs together have used by then.
    """

    energy_uj: int | None
    source: str
    at_ms: int = 0
    busy_ms: int = 0


@dataclass(frozen=True, slots=True)
class EnergyUsed:
    """What the whole device used between two readings."""

    energy_uj: int | None
    source: str
    elapsed_ms: int = 0
    busy_ms: int = 0


class EnergyMeter(Protocol):
    """A counter of energy that never goes back, whatever the hardware's counter does."""

    def read(self) -> EnergyReading:
        """Give the energy so far; two readings within a second are one, see ADR 51."""
        ...

    def since(self, mark: EnergyReading) -> EnergyUsed:
        """Give what was used since a reading; over the second before it if that is the latest."""
        ...


def energy_between(before: EnergyReading, after: EnergyReading) -> EnergyUsed:
    """Give what was used between two readings; unknown unless one source measured both."""
    if before.energy_uj is None or after.energy_uj is None or before.source != after.source:
        return EnergyUsed(None, "unknown")
    return EnergyUsed(
        after.energy_uj - before.energy_uj,
        after.source,
        after.at_ms - before.at_ms,
        after.busy_ms - before.busy_ms,
    )
