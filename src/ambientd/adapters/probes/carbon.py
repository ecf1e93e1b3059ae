"""Carbon intensity of the grid: as configured, or from a file that something else keeps fresh."""

from collections.abc import Sequence
from pathlib import Path

from ambientd.adapters.probes.sysfs import read_text
from ambientd.model.telemetry import Measure, Observation

G_PER_KWH_MAX = 5000


class CarbonProbe:
    """Gives `carbon_g_per_kwh`; a readable file wins over the configured number."""

    def __init__(self, g_per_kwh: int | None = None, path: Path | None = None) -> None:
        self._g_per_kwh = g_per_kwh
        self._path = path

    def read(self) -> Sequence[Observation]:
        """Read the file again."""
        value, source = self._g_per_kwh, "config"
        if self._path is not None:
            read = _number(read_text(self._path))
            if read is not None or value is None:
                value, source = read, "file"
        thousandths = None if value is None else value * 1000
        return [Observation(name=Measure.CARBON, value=thousandths, source=source)]


def _number(text: str | None) -> int | None:
    try:
        number = int(text or "")
    except ValueError:
        return None
    return number if 0 <= number <= G_PER_KWH_MAX else None
