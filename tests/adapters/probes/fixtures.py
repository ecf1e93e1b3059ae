"""A kernel's sensor files, made by hand, and a clock moved by hand."""

from pathlib import Path

from ambientd.model.base import Millis


class HandClock:
    """Shows what it was set to."""

    def __init__(self) -> None:
        self.now_ms = 0

    def monotonic_ms(self) -> Millis:
        return Millis(self.now_ms)

    def unix_ms(self) -> Millis:
        return Millis(self.now_ms)


def write(root: Path, **files: object) -> Path:
    """Make a folder with small text files."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / name).write_text(f"{content}\n")
    return root
