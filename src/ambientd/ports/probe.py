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
    """Energy used since the meter started, in microjoules; None when nothing measures it."""

    energy_uj: int | None
    source: str


class EnergyMeter(Protocol):
    """A counter of energy that never goes back, whatever the hardware's counter does."""

    def read(self) -> EnergyReading:
        """Give the energy so far; the difference of two readings is what lay between."""
        ...


def energy_between(before: EnergyReading, after: EnergyReading) -> EnergyReading:
    """Give what was used between two readings; unknown unless one source measured both."""
    if before.energy_uj is None or after.energy_uj is None or before.source != after.source:
        return EnergyReading(None, "unknown")
    return EnergyReading(after.energy_uj - before.energy_uj, after.source)
