"""Reading the small files in which the kernel shows its sensors."""

from pathlib import Path


def read_text(path: Path) -> str | None:
    """Give a file's text without white space around it, or None when it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def read_integer(path: Path) -> int | None:
    """Give a file's integer, or None when there is none to read."""
    text = read_text(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def label(text: str | None) -> str:
    """Give a sensor's name in the characters that a source may have."""
    kept = "".join(each if "!" <= each <= "~" else "-" for each in text or "")
    return kept[:40] or "unnamed"
