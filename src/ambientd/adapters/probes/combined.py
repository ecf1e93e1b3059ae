"""All probes of a device as one."""

from collections.abc import Sequence
from pathlib import Path

from ambientd.adapters.probes.carbon import CarbonProbe
from ambientd.adapters.probes.psutil_probe import PsutilProbe
from ambientd.adapters.probes.rapl import PowerProbe, RaplMeter
from ambientd.adapters.probes.thermal import ThermalProbe
from ambientd.model.telemetry import Observation
from ambientd.ports.clock import Clock
from ambientd.ports.probe import Probe


class CombinedProbe:
    """Reads several probes, one after the other; takes some milliseconds, so use a thread."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = tuple(probes)

    def read(self) -> Sequence[Observation]:
        """Measure everything now."""
        return [observation for probe in self._probes for observation in probe.read()]


def device_probe(
    data_dir: Path, clock: Clock, meter: RaplMeter, carbon: CarbonProbe
) -> CombinedProbe:
    """Give all that this device can measure."""
    power = PowerProbe(meter, clock)
    return CombinedProbe((PsutilProbe(data_dir, clock), ThermalProbe(), power, carbon))
