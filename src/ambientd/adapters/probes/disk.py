"""The health of the disk that keeps this node's data, as far as its drivers let anybody read it."""

import os
from collections.abc import Sequence
from pathlib import Path

from ambientd.adapters.probes.sysfs import entries, read_text, read_within
from ambientd.model.telemetry import Measure, Observation

SYSFS_ROOT = Path("/sys")
_ERRORS_MAX = 2**32 - 1
# JEDEC: 0x01 is at most a tenth of the life, 0x0a at most all of it, 0x0b more than that.
_LIFE_TENTHS_MAX = 11


class DiskProbe:
    """Gives wear, of eMMC and UFS, and file-system errors, of ext4; SMART needs a privilege."""

    def __init__(self, path: Path, root: Path) -> None:
        self._root = root
        self._number = _number(path)

    def read(self) -> Sequence[Observation]:
        """Measure now."""
        block = self._block()
        wear, errors = None, None
        if block is not None:
            # A partition lies in the folder of its disk.
            disk = block.parent if (block / "partition").exists() else block
            wear = _wear(disk / "device")
            kept = self._root / "fs/ext4" / block.name / "errors_count"
            errors = read_within(kept, 0, _ERRORS_MAX)
        return [
            Observation(name=Measure.DISK_WEAR, value=wear, source="jedec"),
            Observation(
                name=Measure.DISK_ERRORS,
                value=None if errors is None else errors * 1000,
                source="ext4",
            ),
        ]

    def _block(self) -> Path | None:
        """Give the folder of the block device; none of a network share or a memory disk."""
        if self._number is None:
            return None
        try:
            return (self._root / "dev/block" / self._number).resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: links in a circle
            return None


def _number(path: Path) -> str | None:
    try:
        device = path.stat().st_dev
    except OSError:
        return None
    return f"{os.major(device)}:{os.minor(device)}"


def _wear(device: Path) -> int | None:
    """Give the used share of the life of the worse of both kinds of cells, in thousandths."""
    texts = [read_text(device / "life_time") or ""]
    for name in ("life_time_estimation_a", "life_time_estimation_b"):
        texts += [read_text(each / name) or "" for each in entries(device, "health_descriptor")]
    tenths = [_tenths(word) for text in texts for word in text.split()[:2]]
    known = [each for each in tenths if each is not None]
    return max(known) * 10_000 if known else None


def _tenths(word: str) -> int | None:
    try:
        value = int(word, 16) if len(word) <= 4 else 0
    except ValueError:
        return None
    return value if 0 < value <= _LIFE_TENTHS_MAX else None
