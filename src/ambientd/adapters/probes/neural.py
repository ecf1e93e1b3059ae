"""Neural processors, by the kernel's class of accelerators; none of them tells its load there."""

from collections.abc import Sequence
from pathlib import Path

from ambientd.adapters.probes.sysfs import driver_of, entries
from ambientd.model.telemetry import Measure, Observation


class NeuralProbe:
    """Gives `npu_count`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self) -> Sequence[Observation]:
        """Count them."""
        found = entries(self._root, r"accel\d+")
        drivers = "+".join(dict.fromkeys(driver_of(each / "device") for each in found))
        source = f"accel:{drivers}"[:64] if found else "accel"
        return [Observation(name=Measure.NPU_COUNT, value=len(found) * 1000, source=source)]
