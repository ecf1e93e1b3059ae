"""What a battery gives while nothing charges it: the power of the whole device."""

from pathlib import Path

from ambientd.adapters.probes.sysfs import entries, label, read_text, read_within

_MICRO_MAX = 10**9  # 1 kW, 1 kA, 1 kV


class BatteryPower:
    """Sums the device's own batteries; those of mice and pens feed something else."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self) -> tuple[int, str] | None:
        """Give milliwatts and source; None unless each battery that discharges tells its power."""
        found = []
        for path in entries(self._root, r".+"):
            if read_text(path / "type") != "Battery" or read_text(path / "scope") == "Device":
                continue
            if read_text(path / "status") == "Discharging":
                power_uw = _power_uw(path)
                if power_uw is None:
                    return None
                found.append((power_uw, label(path.name)))
        if not found:
            return None
        names = "+".join(name for _, name in found)
        return sum(power_uw for power_uw, _ in found) // 1000, f"battery:{names}"[:64]


def _power_uw(path: Path) -> int | None:
    """Give a battery's power; some drivers give current and voltage instead, or a sign."""
    power_uw = read_within(path / "power_now", -_MICRO_MAX, _MICRO_MAX)
    if power_uw is not None:
        return abs(power_uw)
    current_ua = read_within(path / "current_now", -_MICRO_MAX, _MICRO_MAX)
    voltage_uv = read_within(path / "voltage_now", 0, _MICRO_MAX)
    if current_ua is None or voltage_uv is None:
        return None
    return abs(current_ua) * voltage_uv // 1_000_000
