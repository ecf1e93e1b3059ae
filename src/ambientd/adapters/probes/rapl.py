"""Energy of the processor packages, from the kernel's RAPL counters."""

import threading
from dataclasses import dataclass
from pathlib import Path

from ambientd.adapters.probes.sysfs import entries, label, read_integer, read_text
from ambientd.ports.clock import Clock
from ambientd.ports.probe import EnergyReading

UNKNOWN = EnergyReading(None, "unknown")

# No package draws 2 kW: more than that means that the counter began anew, as after a suspend.
_UJ_PER_MS_MAX = 2_000_000
_SLACK_MS = 1_000
# Sub-zones (intel-rapl:0:0) are parts of a package; the mmio twins count the same energy again.
_ZONE = r"intel-rapl:\d+"


@dataclass(slots=True)
class _Zone:
    """One package's counter, and what it counted since the meter started."""

    path: Path
    range_uj: int
    last_uj: int
    total_uj: int = 0

    def advance(self, elapsed_ms: int) -> bool:
        """Add what was used since the last look; a counter that fell has wrapped once."""
        now_uj = read_integer(self.path / "energy_uj")
        if now_uj is None or not 0 <= now_uj <= self.range_uj:
            return False
        used_uj = now_uj - self.last_uj
        if used_uj < 0:
            used_uj += self.range_uj + 1
        self.last_uj = now_uj
        if used_uj > _UJ_PER_MS_MAX * (elapsed_ms + _SLACK_MS):
            return False
        self.total_uj += used_uj
        return True


class RaplMeter:
    """Sums all packages; unknown as a whole when one of them cannot be read.

    A counter wraps after minutes to hours under load, so read at least once a minute.
    """

    def __init__(self, clock: Clock, root: Path) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._zones = _zones(root)
        self._read_ms = clock.monotonic_ms()
        names = "+".join(label(read_text(zone.path / "name")) for zone in self._zones)
        # Room is left for the word that a share of it adds.
        self._source = f"rapl:{names}"[:56]

    @property
    def counts(self) -> bool:
        """Tell whether there is a counter that this process may read."""
        return bool(self._zones)

    def read(self) -> EnergyReading:
        """Give the energy since the meter started."""
        with self._lock:
            now_ms = self._clock.monotonic_ms()
            elapsed_ms, self._read_ms = now_ms - self._read_ms, now_ms
            # Each of them, even when one cannot be read: else it would wrap unseen.
            advanced = [zone.advance(elapsed_ms) for zone in self._zones]
            if not advanced or not all(advanced):
                return UNKNOWN
            return EnergyReading(sum(zone.total_uj for zone in self._zones), self._source)


def _zones(root: Path) -> list[_Zone]:
    """Find the packages whose counter can be read; none when one of them cannot."""
    zones = []
    for path in entries(root, _ZONE):
        if not (read_text(path / "name") or "").startswith("package"):
            continue
        last_uj = read_integer(path / "energy_uj")
        range_uj = read_integer(path / "max_energy_range_uj")
        if last_uj is None or range_uj is None or not 0 <= last_uj <= range_uj:
            return []
        zones.append(_Zone(path, range_uj, last_uj))
    return zones
