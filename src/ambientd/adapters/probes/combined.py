"""All probes of a device as one, built as its owner has configured them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from ambientd.adapters.probes.battery import BatteryPower
from ambientd.adapters.probes.carbon import CarbonProbe, CarbonSources
from ambientd.adapters.probes.disk import DiskProbe
from ambientd.adapters.probes.graphics import GraphicsProbe
from ambientd.adapters.probes.neural import NeuralProbe
from ambientd.adapters.probes.nvml import LIBRARY, Nvml
from ambientd.adapters.probes.power import (
    Counter,
    ModelCounter,
    PowerProbe,
    SteadyMeter,
    processor_busy_ms,
)
from ambientd.adapters.probes.psutil_probe import PsutilProbe
from ambientd.adapters.probes.rapl import RaplMeter
from ambientd.adapters.probes.thermal import ThermalProbe
from ambientd.config.options import Config
from ambientd.config.telemetry_options import TelemetryOptions
from ambientd.config.urls import parse_url
from ambientd.model.telemetry import Observation
from ambientd.ports.clock import Clock
from ambientd.ports.probe import EnergyMeter, Probe

log = structlog.get_logger("ambientd.probes")

# Means over the servers of a large cloud, as Cloud Carbon Footprint's methodology has them.
IDLE_MW_A_CORE = 740
BUSY_MW_A_CORE = 3_500


class CombinedProbe:
    """Reads several probes, one after the other; takes some milliseconds, so use a thread."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = tuple(probes)
        self._failed: set[int] = set()

    def read(self) -> Sequence[Observation]:
        """Measure everything now."""
        return [each for number in range(len(self._probes)) for each in self._of(number)]

    def _of(self, number: int) -> Sequence[Observation]:
        try:
            return self._probes[number].read()
        except Exception as error:  # noqa: BLE001 - a strange sensor must not end the daemon
            if number not in self._failed:
                self._failed.add(number)
                name = type(self._probes[number]).__name__
                log.warning("a probe failed and is left out", probe=name, error=repr(error))
            return ()


@dataclass(frozen=True, slots=True)
class Sensors:
    """What a node knows of its device: everything now, and energy from then to then."""

    probe: Probe
    meter: EnergyMeter


def device_sensors(data_dir: Path, config: Config, clock: Clock, nvml: str = LIBRARY) -> Sensors:
    """Give all that this device can measure, as far as its owner's configuration shows it."""
    sysfs = data_dir / config.telemetry.sysfs
    kinds = sysfs / "class"
    meter = SteadyMeter(_counter(config.telemetry, clock, kinds), clock, processor_busy_ms)
    probes = (
        PsutilProbe(data_dir, clock),
        ThermalProbe(kinds / "thermal", kinds / "hwmon"),
        PowerProbe(meter, BatteryPower(kinds / "power_supply")),
        GraphicsProbe(Nvml(nvml), clock, kinds / "drm"),
        NeuralProbe(kinds / "accel"),
        DiskProbe(data_dir, sysfs),
        CarbonProbe(_carbon(data_dir, config), clock),
    )
    return Sensors(CombinedProbe(probes), meter)


def _counter(options: TelemetryOptions, clock: Clock, kinds: Path) -> Counter:
    """Give the counter of the processors; where none can be read, the model."""
    rapl = RaplMeter(clock, kinds / "powercap")
    if rapl.counts or not options.power_model:
        return rapl
    cores = os.cpu_count() or 1
    idle_mw = options.power_idle_mw or IDLE_MW_A_CORE * cores
    busy_mw = options.power_busy_mw or BUSY_MW_A_CORE * cores
    return ModelCounter(idle_mw, busy_mw, cores, clock, processor_busy_ms)


def _carbon(data_dir: Path, config: Config) -> CarbonSources:
    options = config.telemetry
    return CarbonSources(
        url=parse_url(options.carbon_url) if options.carbon_url else None,
        field=options.carbon_field,
        file=data_dir / options.carbon_file if options.carbon_file else None,
        table=data_dir / options.carbon_table if options.carbon_table else None,
        region=config.node.region,
        g_per_kwh=options.carbon_g_per_kwh or None,
    )
