"""The sensor files of four kinds of machines, as their kernels lay them out."""

import os
from collections.abc import Mapping
from pathlib import Path

PACKAGE_RANGE = 262_143_328_850

LAPTOP = {
    "class/powercap/intel-rapl:0/name": "package-0",
    "class/powercap/intel-rapl:0/energy_uj": "1000000",
    "class/powercap/intel-rapl:0/max_energy_range_uj": f"{PACKAGE_RANGE}",
    "class/powercap/intel-rapl:0:0/name": "core",
    "class/powercap/intel-rapl:0:0/energy_uj": "400000",
    "class/powercap/intel-rapl:0:0/max_energy_range_uj": f"{PACKAGE_RANGE}",
    "class/powercap/intel-rapl:1/name": "psys",
    "class/powercap/intel-rapl:1/energy_uj": "9000000",
    "class/powercap/intel-rapl:1/max_energy_range_uj": f"{PACKAGE_RANGE}",
    "class/powercap/intel-rapl-mmio:0/name": "package-0",
    "class/powercap/intel-rapl-mmio:0/energy_uj": "1000000",
    "class/powercap/intel-rapl-mmio:0/max_energy_range_uj": f"{PACKAGE_RANGE}",
    "class/power_supply/AC/type": "Mains",
    "class/power_supply/AC/online": "0",
    "class/power_supply/BAT0/type": "Battery",
    "class/power_supply/BAT0/status": "Discharging",
    "class/power_supply/BAT0/power_now": "8412000",
    "class/power_supply/hidpp_battery_0/type": "Battery",
    "class/power_supply/hidpp_battery_0/scope": "Device",
    "class/power_supply/hidpp_battery_0/status": "Discharging",
    "class/thermal/thermal_zone0/type": "acpitz",
    "class/thermal/thermal_zone0/temp": "27800",
    "class/thermal/thermal_zone9/type": "x86_pkg_temp",
    "class/thermal/thermal_zone9/temp": "61000",
    "class/drm/card1/device/vendor": "0x8086",
    "class/drm/card1-eDP-1/status": "connected",
    "class/drm/renderD128/device/vendor": "0x8086",
    "class/accel/accel0/device/uevent": "DRIVER=intel_vpu\nPCI_CLASS=120000",
    "block/nvme0n1/nvme0n1p2/partition": "2",
    "fs/ext4/nvme0n1p2/errors_count": "0",
}

SERVER = {
    **{
        f"class/powercap/intel-rapl:{number}/{name}": text
        for number, count in ((0, 5_000_000), (1, PACKAGE_RANGE - 1_000_000))
        for name, text in (
            ("name", f"package-{number}"),
            ("energy_uj", f"{count}"),
            ("max_energy_range_uj", f"{PACKAGE_RANGE}"),
        )
    },
    "class/hwmon/hwmon3/name": "coretemp",
    "class/hwmon/hwmon3/temp1_input": "54000",
    "class/hwmon/hwmon4/name": "coretemp",
    "class/hwmon/hwmon4/temp1_input": "58000",
    "class/hwmon/hwmon0/name": "nvme",
    "class/hwmon/hwmon0/temp1_input": "70850",
    "class/drm/card0/device/vendor": "0x1a03",
    "block/sda/sda1/partition": "1",
    "fs/ext4/sda1/errors_count": "3",
}

RASPBERRY = {
    "class/thermal/thermal_zone0/type": "cpu-thermal",
    "class/thermal/thermal_zone0/temp": "48686",
    "class/hwmon/hwmon1/name": "rpi_volt",
    "class/hwmon/hwmon1/in0_lcrit_alarm": "0",
    "class/drm/card0/device/uevent": "DRIVER=vc4-drm",
    "block/mmcblk0/device/life_time": "0x03 0x01",
    "block/mmcblk0/mmcblk0p2/partition": "2",
    "fs/ext4/mmcblk0p2/errors_count": "0",
}

DESKTOP = {
    "class/hwmon/hwmon2/name": "k10temp",
    "class/hwmon/hwmon2/temp1_input": "44250",
    "class/drm/card1/device/vendor": "0x1002",
    "class/drm/card1/device/gpu_busy_percent": "37",
    "class/drm/card1/device/mem_info_vram_total": f"{16 << 30}",
    "class/drm/card1/device/mem_info_vram_used": f"{4 << 30}",
    "class/drm/card1/device/hwmon/hwmon5/name": "amdgpu",
    "class/drm/card1/device/hwmon/hwmon5/temp1_input": "57000",
    "class/drm/card1/device/hwmon/hwmon5/power1_average": "112000000",
    "class/drm/card1-DP-1/status": "connected",
    "class/power_supply/hidpp_battery_1/type": "Battery",
    "class/power_supply/hidpp_battery_1/scope": "Device",
    "class/power_supply/hidpp_battery_1/status": "Discharging",
    "block/nvme0n1/nvme0n1p1/partition": "1",
}

DISKS = {
    "laptop": "nvme0n1/nvme0n1p2",
    "server": "sda/sda1",
    "raspberry": "mmcblk0/mmcblk0p2",
    "desktop": "nvme0n1/nvme0n1p1",
}
MACHINES: Mapping[str, Mapping[str, str]] = {
    "laptop": LAPTOP,
    "server": SERVER,
    "raspberry": RASPBERRY,
    "desktop": DESKTOP,
}


def lay(root: Path, files: Mapping[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def make(root: Path, machine: str) -> Path:
    """Make a machine's tree; the folder it lies in is on that machine's disk."""
    lay(root, MACHINES[machine])
    device = root.stat().st_dev
    link = root / "dev/block" / f"{os.major(device)}:{os.minor(device)}"
    link.parent.mkdir(parents=True)
    link.symlink_to(root / "block" / DISKS[machine])
    return root
