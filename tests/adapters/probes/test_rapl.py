"""Energy counters: wraps, many packages, missing and refusing files."""

from pathlib import Path

import pytest

from ambientd.adapters.probes.rapl import UNKNOWN, RaplMeter
from ambientd.ports.probe import EnergyReading, EnergyUsed, energy_between
from tests.adapters.probes.fixtures import HandClock, write

RANGE_UJ = 1_000_000


def package(root: Path, number: int, energy_uj: object, name: str = "") -> Path:
    path = root / f"intel-rapl:{number}"
    name = name or f"package-{number}"
    return write(path, name=name, energy_uj=energy_uj, max_energy_range_uj=RANGE_UJ)


def test_energy_is_counted_from_the_meters_start(tmp_path: Path) -> None:
    zone = package(tmp_path, 0, 400)
    meter = RaplMeter(HandClock(), tmp_path)
    before = meter.read()
    assert before == EnergyReading(0, "rapl:package-0")
    write(zone, energy_uj=1_400)
    assert energy_between(before, meter.read()) == EnergyUsed(1_000, "rapl:package-0")


def test_a_counter_that_wraps_goes_on_counting(tmp_path: Path) -> None:
    zone = package(tmp_path, 0, RANGE_UJ - 10)
    meter = RaplMeter(HandClock(), tmp_path)
    for value, total in ((5, 16), (RANGE_UJ, RANGE_UJ + 11), (0, RANGE_UJ + 12)):
        write(zone, energy_uj=value)
        assert meter.read().energy_uj == total


def test_packages_are_summed_and_their_parts_are_not_counted_twice(tmp_path: Path) -> None:
    zones = [package(tmp_path, 0, 0), package(tmp_path, 1, 0)]
    write(tmp_path / "intel-rapl:0:0", name="core", energy_uj=0, max_energy_range_uj=RANGE_UJ)
    write(tmp_path / "intel-rapl-mmio:0", name="package-0", energy_uj=0, max_energy_range_uj=9)
    package(tmp_path, 2, 0, name="psys")
    meter = RaplMeter(HandClock(), tmp_path)
    write(tmp_path / "intel-rapl:0:0", energy_uj=500)
    write(tmp_path / "intel-rapl:2", energy_uj=500)
    for zone in zones:
        write(zone, energy_uj=100)
    assert meter.read() == EnergyReading(200, "rapl:package-0+package-1")


@pytest.mark.parametrize("broken", ["missing", "garbage", "range", "empty root", "no root"])
def test_what_cannot_be_read_is_unknown(tmp_path: Path, broken: str) -> None:
    package(tmp_path / "powercap", 0, 7)
    if broken == "missing":
        (package(tmp_path / "powercap", 1, 7) / "energy_uj").unlink()
    elif broken == "garbage":
        package(tmp_path / "powercap", 1, "many")
    elif broken == "range":
        package(tmp_path / "powercap", 1, RANGE_UJ + 1)
    root = {"empty root": tmp_path / "empty", "no root": tmp_path / "none"}.get(
        broken, tmp_path / "powercap"
    )
    (tmp_path / "empty").mkdir()
    assert RaplMeter(HandClock(), root).read() == UNKNOWN


def test_a_counter_that_vanishes_makes_the_energy_unknown_until_it_is_back(tmp_path: Path) -> None:
    zone = package(tmp_path, 0, 0)
    meter = RaplMeter(HandClock(), tmp_path)
    before = meter.read()
    (zone / "energy_uj").unlink()
    assert energy_between(before, meter.read()).energy_uj is None
    write(zone, energy_uj=RANGE_UJ + 5)
    assert meter.read() == UNKNOWN
    write(zone, energy_uj=50)
    assert energy_between(before, meter.read()).energy_uj == 50
