"""What a device is fed by, what it reaches the world through, and what its wall clock says."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from ambientd.adapters.surroundings import DeviceSurroundings

MONDAY_NOON_MS = 1_700_481_600_000
FOUR = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
SIX = f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32}"


class Noon:
    def unix_ms(self) -> int:
        return MONDAY_NOON_MS

    def monotonic_ms(self) -> int:
        return 0


def four(card: str, metric: int, flags: str = "0003", mask: str = "00000000") -> str:
    return f"{card}\t00000000\t0101A8C0\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n"


def six(card: str, metric: int) -> str:
    return f"{SIX} {metric:08x} 00000001 00000000 00000003 {card}\n"


def metered(root: Path, by_four: str = "", by_six: str = "", named: tuple[str, ...] = ()) -> str:
    (root / "proc/net").mkdir(parents=True, exist_ok=True)
    (root / "proc/net/route").write_text(FOUR + by_four)
    (root / "proc/net/ipv6_route").write_text(by_six)
    for card, kind in (("wlan0", "wlan"), ("wwan0", "wwan")):
        (root / "sys/class/net" / card).mkdir(parents=True, exist_ok=True)
        (root / "sys/class/net" / card / "uevent").write_text(f"DEVTYPE={kind}\nIFINDEX=3\n")
    return DeviceSurroundings(Noon(), root).look("UTC", named).metered_link


def test_a_mobile_card_or_one_that_its_owner_names_is_metered_while_packets_leave_by_it(
    tmp_path: Path,
) -> None:
    assert metered(tmp_path) == "", "no way out at all"
    assert metered(tmp_path, four("wlan0", 600)) == ""
    assert metered(tmp_path, four("wwan0", 700)) == "wwan0"
    assert metered(tmp_path, by_six=six("wwan0", 1024)) == "wwan0"
    assert metered(tmp_path, four("wlan0", 600), named=("wlan0",)) == "wlan0"
    assert metered(tmp_path, four("wlan0", 600), named=("wwan0", "usb0")) == ""
    assert metered(tmp_path, four("wwan0", 700, flags="0002")) == "", "a route that is down"
    assert metered(tmp_path, four("wwan0", 700, mask="00FFFFFF")) == "", "to one network alone"
    assert metered(tmp_path, by_six=six("lo", 2**32 - 1), named=("lo",)) == ""


def test_a_mobile_card_that_only_waits_for_the_other_to_go_keeps_from_nothing(
    tmp_path: Path,
) -> None:
    both = four("wwan0", 700) + four("wlan0", 600)
    assert metered(tmp_path, both, six("wwan0", 700) + six("wlan0", 600)) == ""
    assert metered(tmp_path, both, six("wwan0", 700)) == "wwan0", "what goes by IPv6 is paid for"
    assert metered(tmp_path, four("wwan0", 600) + four("wlan0", 600)) == "wwan0"


def test_a_card_that_is_named_and_not_there_is_told(tmp_path: Path) -> None:
    metered(tmp_path)
    device = DeviceSurroundings(Noon(), tmp_path)
    assert device.look("UTC", ("wlan0", "wlan9", "a b")).absent_links == ("wlan9", "a b")
    nothing_tells = DeviceSurroundings(Noon(), tmp_path / "elsewhere")
    assert nothing_tells.look("UTC", ("wlan9",)).absent_links == ()


@pytest.mark.parametrize(
    ("plugged", "is_on_battery"), [(True, False), (False, True), (None, False)]
)
def test_a_battery_counts_once_the_plug_is_known_to_be_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugged: bool | None, is_on_battery: bool
) -> None:
    battery = SimpleNamespace(percent=50, secsleft=1, power_plugged=plugged)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    assert DeviceSurroundings(Noon(), tmp_path).look("UTC", ()).on_battery is is_on_battery


def test_a_device_whose_battery_does_not_read_works_as_one_that_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError(5, "input/output error")

    for read in (broken, lambda: None):
        monkeypatch.setattr(psutil, "sensors_battery", read, raising=False)
        assert not DeviceSurroundings(Noon(), tmp_path).look("UTC", ()).on_battery


def test_hours_are_of_the_zone_that_their_owner_names(tmp_path: Path) -> None:
    device = DeviceSurroundings(Noon(), tmp_path)
    assert device.look("UTC", ()).week_minute == 12 * 60
    assert device.look("Asia/Kolkata", ()).week_minute == 17 * 60 + 30
    assert device.look("Pacific/Kiritimati", ()).week_minute == 24 * 60 + 2 * 60, "it is Tuesday"
    assert "+05:30" in device.look("Asia/Kolkata", ()).zone
