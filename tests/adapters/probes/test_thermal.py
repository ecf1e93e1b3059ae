"""Temperature: the hottest sensor that makes sense."""

from pathlib import Path

from ambientd.adapters.probes.thermal import ThermalProbe
from ambientd.model.telemetry import Measure, Observation
from tests.adapters.probes.fixtures import write


def reading(value: int | None, source: str) -> list[Observation]:
    return [Observation(name=Measure.TEMPERATURE, value=value, source=source)]


def test_the_hottest_plausible_sensor_counts(tmp_path: Path) -> None:
    thermal, hwmon = tmp_path / "thermal", tmp_path / "hwmon"
    write(thermal / "thermal_zone0", type="acpitz", temp=27_800)
    write(thermal / "thermal_zone1", type="x86_pkg_temp", temp=61_000)
    write(thermal / "thermal_zone2", type="broken", temp=-273_000)
    write(thermal / "thermal_zone3", type="broken", temp=255_000)
    write(thermal / "thermal_zone4", type="garbage", temp="hot")
    write(thermal / "thermal_zone5", type="no reading")
    write(thermal / "cooling_device0", type="Processor", temp=140_000)
    assert ThermalProbe(thermal, hwmon).read() == reading(61_000, "thermal:x86_pkg_temp")
    write(hwmon / "hwmon0", name="k10temp", temp1_input=70_500, temp2_input=64_000)
    write(hwmon / "hwmon1", name="nvme", temp1_input=90_000)
    assert ThermalProbe(thermal, hwmon).read() == reading(70_500, "hwmon:k10temp")


def test_a_device_without_sensors_says_so(tmp_path: Path) -> None:
    assert ThermalProbe(tmp_path / "a", tmp_path / "b").read() == reading(None, "thermal")


def test_a_sensors_odd_name_is_made_fit_to_travel(tmp_path: Path) -> None:
    write(tmp_path / "thermal_zone0", type="cpu \u00e4 zone", temp=1_000)
    write(tmp_path / "thermal_zone1", temp=500)
    (found,) = ThermalProbe(tmp_path, tmp_path).read()
    assert found.source.isascii()
    assert " " not in found.source
