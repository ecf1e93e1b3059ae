"""The hottest sensor of the device, from the kernel's thermal zones and processor sensors."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ambientd.adapters.probes.sysfs import entries, label, read_integer, read_text
from ambientd.model.telemetry import Measure, Observation

PROCESSOR_CHIPS = frozenset({"coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal"})

# Sensors that are not wired report nonsense such as -273 or 255 °C.
PLAUSIBLE_MILLI_CELSIUS = range(-40_000, 150_001)


class ThermalProbe:
    """Gives `temperature_celsius` of the hottest plausible sensor."""

    def __init__(self, thermal_root: Path, hwmon_root: Path) -> None:
        self._thermal_root = thermal_root
        self._hwmon_root = hwmon_root

    def read(self) -> Sequence[Observation]:
        """Measure now."""
        found = [
            (value, source)
            for value, source in (*self._zones(), *self._chips())
            if value is not None and value in PLAUSIBLE_MILLI_CELSIUS
        ]
        value, source = max(found, default=(None, "thermal"))
        return [Observation(name=Measure.TEMPERATURE, value=value, source=source)]

    def _zones(self) -> Iterator[tuple[int | None, str]]:
        for zone in entries(self._thermal_root, r"thermal_zone.*"):
            name = label(read_text(zone / "type"))
            yield read_integer(zone / "temp"), f"thermal:{name}"

    def _chips(self) -> Iterator[tuple[int | None, str]]:
        for chip in entries(self._hwmon_root, r"hwmon.*"):
            name = read_text(chip / "name")
            if name in PROCESSOR_CHIPS:
                for sensor in entries(chip, r"temp.*_input"):
                    yield read_integer(sensor), f"hwmon:{name}"
