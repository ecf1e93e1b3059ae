"""Reading the small files in which the kernel shows its sensors."""

import re
from pathlib import Path

FILE_BYTES_MAX = 65_536
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}\Z")


def read_text(path: Path) -> str | None:
    """Give a file's text without white space around it, or None when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX).decode("ascii", "replace").strip()
    except OSError:
        return None


def read_integer(path: Path) -> int | None:
    """Give a file's integer, or None when there is none to read, or one that nothing measures."""
    text = read_text(path)
    return int(text) if text is not None and _INTEGER.match(text) else None


def read_within(path: Path, lowest: int, highest: int) -> int | None:
    """Give a file's integer, or None when it is none that this sensor can mean."""
    value = read_integer(path)
    return value if value is not None and lowest <= value <= highest else None


def entries(root: Path, pattern: str) -> list[Path]:
    """Give what a folder holds whose whole name fits, in order; nothing when it cannot be read."""
    name = re.compile(pattern)
    try:
        return sorted(path for path in root.iterdir() if name.fullmatch(path.name))
    except OSError:
        return []


def driver_of(device: Path) -> str:
    """Give the name of the driver that a device is bound to, for a source."""
    for line in (read_text(device / "uevent") or "").splitlines():
        if line.startswith("DRIVER="):
            return label(line.removeprefix("DRIVER="))
    return "unnamed"


def label(text: str | None) -> str:
    """Give a sensor's name in the characters that a source may have."""
    kept = "".join(each if "!" <= each <= "~" else "-" for each in text or "")
    return kept[:40] or "unnamed"
