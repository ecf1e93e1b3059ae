"""Energy of the processor packages, from the kernel's RAPL counters."""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ambientd.adapters.probes.sysfs import label, read_integer, read_text
from ambientd.model.telemetry import Measure, Observation
from ambientd.ports.clock import Clock
from ambientd.ports.probe import EnergyReading, energy_between

POWERCAP_ROOT = Path("/sys/class/powercap")
UNKNOWN = EnergyReading(None, "unknown")

# Sub-zones (intel-rapl:0:0) are parts of a package; the mmio twins count the same energy again.
_ZONE = re.compile(r"intel-rapl:\d+\Z")


@dataclass(slots=True)
class _Zone:
    """One package's counter, and what it counted since the meter started."""

    path: Path
    range_uj: int
    last_uj: int
    total_uj: int = 0

    def advance(self) -> bool:
        """Add what was used since the last look; a counter that fell has wrapped once."""
        now_uj = read_integer(self.path / "energy_uj")
        if now_uj is None or not 0 <= now_uj <= self.range_uj:
            return False
        used_uj = now_uj - self.last_uj
        if used_uj < 0:
            used_uj += self.range_uj + 1
        self.total_uj += used_uj
        self.last_uj = now_uj
        return True


class RaplMeter:
    """Sums all packages; unknown as a whole when one of them cannot be read.

    A counter wraps after minutes to hours under load, so read at least once a minute.
    """

    def __init__(self, root: Path = POWERCAP_ROOT) -> None:
        self._lock = threading.Lock()
        self._zones = _zones(root)
        names = "+".join(label(read_text(zone.path / "name")) for zone in self._zones)
        self._source = f"rapl:{names}"[:64]

    def read(self) -> EnergyReading:
        """Give the energy since the meter started."""
        with self._lock:
            if not self._zones or not all(zone.advance() for zone in self._zones):
                return UNKNOWN
            return EnergyReading(sum(zone.total_uj for zone in self._zones), self._source)


def _zones(root: Path) -> list[_Zone]:
    """Find the packages whose counter can be read; none when one of them cannot."""
    try:
        paths = sorted(path for path in root.iterdir() if _ZONE.match(path.name))
    except OSError:
        return []
    zones = []
    for path in paths:
        if not (read_text(path / "name") or "").startswith("package"):
            continue
        last_uj = read_integer(path / "energy_uj")
        range_uj = read_integer(path / "max_energy_range_uj")
        if last_uj is None or range_uj is None or not 0 <= last_uj <= range_uj:
            return []
        zones.append(_Zone(path, range_uj, last_uj))
    return zones


class PowerProbe:
    """The mean power between two reads, from any energy meter."""

    def __init__(self, meter: RaplMeter, clock: Clock) -> None:
        self._meter = meter
        self._clock = clock
        self._last = meter.read()
        self._last_ms = clock.monotonic_ms()

    def read(self) -> Sequence[Observation]:
        """Give the power since the last read."""
        now, now_ms = self._meter.read(), self._clock.monotonic_ms()
        used, elapsed_ms = energy_between(self._last, now), now_ms - self._last_ms
        self._last, self._last_ms = now, now_ms
        value = None
        if used.energy_uj is not None and elapsed_ms > 0:
            # Microjoules a millisecond are milliwatts.
            value = used.energy_uj // elapsed_ms
        source = "rapl" if now.energy_uj is None else now.source
        return [Observation(name=Measure.POWER, value=value, source=source)]
