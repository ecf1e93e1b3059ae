"""All probes together, on the sensor files of four machines, whole and broken."""

import contextlib
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from ambientd.adapters.probes.combined import CombinedProbe, device_sensors
from ambientd.config.options import Config
from ambientd.config.telemetry_options import TelemetryOptions
from ambientd.model.telemetry import Measure, Observation
from ambientd.rules.energy import is_modelled
from ambientd.telemetry.batch import FIRST_HASH, is_sound, sign_batch
from tests.adapters.probes.fixtures import HandClock
from tests.adapters.probes.machines import MACHINES, lay, make
from tests.telemetry.builders import SIGNERS

NO_NVML = "libnone-of-these.so.1"
MODEL = TelemetryOptions(power_idle_mw=3_000, power_busy_mw=7_000)


class Device:
    """One machine's tree and the probes on it."""

    def __init__(self, folder: Path, machine: str, options: TelemetryOptions = MODEL) -> None:
        self.sysfs = make(folder, machine)
        self.clock = HandClock()
        config = Config(telemetry=replace(options, sysfs=str(self.sysfs)))
        self.sensors = device_sensors(folder, config, self.clock, NO_NVML)

    def read(self, changed: Mapping[str, str] | None = None) -> dict[str, Observation]:
        """Let ten seconds pass, in which files may change, and read."""
        self.clock.now_ms += 10_000
        lay(self.sysfs, changed or {})
        return {each.name: each for each in self.sensors.probe.read()}


def told(found: Mapping[str, Observation], *measures: Measure) -> list[tuple[int | None, str]]:
    return [(found[each].value, found[each].source) for each in measures]


def test_a_laptop_on_battery_counts_its_package_once(tmp_path: Path) -> None:
    used = {"class/powercap/intel-rapl:0/energy_uj": f"{1_000_000 + 62_500_000}"}
    found = Device(tmp_path, "laptop").read(used)
    assert told(found, Measure.POWER, Measure.TEMPERATURE, Measure.NPU_COUNT) == [
        (6_250, "rapl:package-0"),
        (61_000, "thermal:x86_pkg_temp"),
        (1_000, "accel:intel_vpu"),
    ]
    assert told(found, Measure.GPU_COUNT, Measure.GPU_LOAD, Measure.DISK_ERRORS) == [
        (1_000, "drm:i915"),
        (None, "drm:i915"),
        (0, "ext4"),
    ]


def test_a_laptop_whose_counter_is_closed_tells_what_its_battery_gives(tmp_path: Path) -> None:
    (make(tmp_path, "laptop") / "class/powercap/intel-rapl:0/energy_uj").unlink()
    options = replace(MODEL, sysfs=str(tmp_path))
    sensors = device_sensors(tmp_path, Config(telemetry=options), HandClock(), NO_NVML)
    found = {each.name: each for each in sensors.probe.read()}
    assert told(found, Measure.POWER) == [(8_412, "battery:BAT0")]
    lay(tmp_path, {"class/power_supply/BAT0/status": "Charging"})
    found = {each.name: each for each in sensors.probe.read()}
    assert found[Measure.POWER].source == "model:3-7W"


def test_a_server_adds_up_its_packages_though_one_has_wrapped(tmp_path: Path) -> None:
    used = {
        "class/powercap/intel-rapl:0/energy_uj": f"{5_000_000 + 900_000_000}",
        "class/powercap/intel-rapl:1/energy_uj": f"{900_000_000 - 1_000_001}",
    }
    found = Device(tmp_path, "server").read(used)
    assert told(found, Measure.POWER, Measure.TEMPERATURE, Measure.DISK_ERRORS) == [
        (180_000, "rapl:package-0+package-1"),
        (58_000, "hwmon:coretemp"),
        (3_000, "ext4"),
    ]
    assert told(found, Measure.GPU_COUNT, Measure.NPU_COUNT) == [(0, "drm"), (0, "accel")]
    assert Measure.GPU_LOAD not in found


def test_a_board_without_counters_says_that_its_power_is_modelled(tmp_path: Path) -> None:
    device = Device(tmp_path, "raspberry")
    found = device.read()
    power = found[Measure.POWER]
    assert power.source == "model:3-7W"
    assert is_modelled(power.source)
    assert (power.value or 0) >= 3_000
    assert told(found, Measure.TEMPERATURE, Measure.DISK_WEAR) == [
        (48_686, "thermal:cpu-thermal"),
        (30_000, "jedec"),
    ]


def test_a_board_whose_owner_wants_no_model_knows_no_power(tmp_path: Path) -> None:
    found = Device(tmp_path, "raspberry", TelemetryOptions(power_model=False)).read()
    assert told(found, Measure.POWER) == [(None, "none")]


def test_a_desktop_tells_of_its_graphics_processor(tmp_path: Path) -> None:
    found = Device(tmp_path, "desktop").read()
    measures = (
        Measure.GPU_COUNT,
        Measure.GPU_LOAD,
        Measure.GPU_MEMORY_FREE,
        Measure.GPU_TEMPERATURE,
        Measure.GPU_POWER,
    )
    values = (1_000, 37_000, 12 * 1024 * 1000, 57_000, 112_000)
    assert told(found, *measures) == [(value, "drm:amdgpu") for value in values]
    assert told(found, Measure.TEMPERATURE) == [(44_250, "hwmon:k10temp")]


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_all_that_a_machine_tells_fits_into_a_batch(tmp_path: Path, machine: str) -> None:
    found = tuple(Device(tmp_path, machine).read().values())
    assert set(sign_batch(SIGNERS[0], 1, 0, found, FIRST_HASH).observations) == set(found)


BROKEN = ("", "-1", "-999999999999", "9" * 18, "9" * 5000, "0x", "nan", "\0", "1e9", "é", "1_0")


@pytest.mark.parametrize("machine", sorted(MACHINES))
@pytest.mark.parametrize("text", BROKEN)
def test_nonsense_in_any_file_is_unknown_or_sound(tmp_path: Path, machine: str, text: str) -> None:
    device = Device(tmp_path, machine)
    found = device.read(dict.fromkeys(MACHINES[machine], text))
    assert all(is_sound(each) for each in found.values())
    bounds = {Measure.TEMPERATURE: 150_000, Measure.GPU_LOAD: 100_000, Measure.POWER: 4_000_000}
    for measure, most in bounds.items():
        value = found[measure].value if measure in found else None
        assert value is None or -40_000 <= value <= most


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_files_that_vanish_turn_into_folders_or_loops_end_nothing(
    tmp_path: Path, machine: str
) -> None:
    device, dice = Device(tmp_path, machine), random.Random(7)
    for _ in range(8):
        for name in dice.sample(sorted(MACHINES[machine]), 3):
            path = device.sysfs / name
            with contextlib.suppress(OSError):
                path.unlink()
            with contextlib.suppress(OSError):
                path.mkdir() if dice.random() < 0.5 else path.symlink_to(path)
        assert all(is_sound(each) for each in device.read().values())


def test_a_counter_that_begins_anew_is_no_burst_of_energy(tmp_path: Path) -> None:
    device = Device(tmp_path, "server")
    began_anew = {"class/powercap/intel-rapl:0/energy_uj": "0"}
    assert device.read(began_anew)[Measure.POWER].value is None
    assert device.read()[Measure.POWER].value is None
    assert device.read()[Measure.POWER].value == 0


def test_a_probe_that_fails_leaves_the_others(tmp_path: Path) -> None:
    class Broken:
        def read(self) -> list[Observation]:
            raise ZeroDivisionError

    class Sound:
        def read(self) -> list[Observation]:
            return [Observation(name="a", value=1, source="b")]

    assert len(CombinedProbe((Broken(), Sound(), Broken())).read()) == 1
