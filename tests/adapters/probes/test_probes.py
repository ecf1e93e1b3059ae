"""psutil, carbon, and all probes together on the device the tests run on."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from ambientd.adapters.probes.combined import device_sensors
from ambientd.adapters.probes.psutil_probe import PsutilProbe
from ambientd.adapters.system_clock import SystemClock
from ambientd.config.options import Config
from ambientd.model.telemetry import Measure
from ambientd.telemetry.batch import FIRST_HASH, is_sound, sign_batch
from tests.adapters.probes.fixtures import HandClock
from tests.telemetry.builders import SIGNERS


def values(probe: PsutilProbe) -> dict[str, int | None]:
    return {each.name: each.value for each in probe.read()}


def test_everything_this_device_tells_is_sound_and_fits_in_a_batch(tmp_path: Path) -> None:
    probe = device_sensors(tmp_path, Config(), SystemClock()).probe
    probe.read()
    found = probe.read()
    assert all(is_sound(each) for each in found)
    assert len({each.name for each in found}) == len(found)
    assert set(sign_batch(SIGNERS[0], 1, 0, found, FIRST_HASH).observations) == set(found)
    known = {each.name: each.value for each in found}
    assert 0 < (known[Measure.MEMORY_AVAILABLE] or 0) <= 100_000
    assert known[Measure.DISK_FREE]


def test_rates_are_unknown_at_the_first_read(tmp_path: Path) -> None:
    clock = HandClock()
    probe = PsutilProbe(tmp_path, clock)
    first = values(probe)
    assert first[Measure.CPU_LOAD] is None
    assert first[Measure.NETWORK_RECEIVED] is None
    clock.now_ms = 1_000
    assert values(probe)[Measure.CPU_LOAD] is not None


def test_network_rates_leave_the_loopback_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    counts = {
        "lo": SimpleNamespace(bytes_recv=10**9, bytes_sent=10**9),
        "eth0": SimpleNamespace(bytes_recv=1_000, bytes_sent=5_000),
    }
    monkeypatch.setattr(psutil, "net_io_counters", lambda **_: counts)
    probe = PsutilProbe(tmp_path, clock)
    values(probe)
    counts["eth0"] = SimpleNamespace(bytes_recv=126_000, bytes_sent=4_000)
    clock.now_ms = 1_000
    found = values(probe)
    assert found[Measure.NETWORK_RECEIVED] == 1_000_000
    assert found[Measure.NETWORK_SENT] == 0
    del counts["eth0"]
    clock.now_ms = 2_000
    assert values(probe)[Measure.NETWORK_RECEIVED] is None


def test_the_fastest_card_that_is_up_gives_the_links_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = {
        "lo": SimpleNamespace(isup=True, speed=100_000),
        "eth0": SimpleNamespace(isup=True, speed=1_000),
        "eth1": SimpleNamespace(isup=False, speed=10_000),
        "wlan0": SimpleNamespace(isup=True, speed=0),
    }
    monkeypatch.setattr(psutil, "net_if_stats", lambda: cards)
    probe = PsutilProbe(tmp_path, HandClock())
    assert values(probe)[Measure.LINK_SPEED] == 1_000_000
    del cards["eth0"]
    assert values(probe)[Measure.LINK_SPEED] is None


def test_sensors_that_fail_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no such sensor")

    for name in ("net_io_counters", "net_if_stats", "sensors_battery", "disk_usage"):
        monkeypatch.setattr(psutil, name, fail, raising=False)
    found = values(PsutilProbe(tmp_path, HandClock()))
    unknown = (Measure.NETWORK_SENT, Measure.LINK_SPEED, Measure.BATTERY, Measure.DISK_FREE)
    assert [found[measure] for measure in unknown] == [None] * 4


def test_a_battery_is_read_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    charged = SimpleNamespace(percent=87.5)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: charged, raising=False)
    assert values(PsutilProbe(tmp_path, HandClock()))[Measure.BATTERY] == 87_500


def test_the_systems_clocks_run() -> None:
    clock = SystemClock()
    assert clock.monotonic_ms() <= clock.monotonic_ms()
    assert clock.unix_ms() > 1_700_000_000_000
