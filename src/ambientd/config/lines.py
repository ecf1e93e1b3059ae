"""Finds the lines of a config's keys, which tomllib does not tell."""


def line_of(text: str, names: tuple[str, ...]) -> int | None:
    """Find the line of a section or key; that of its section, or None, when it hides."""
    section: tuple[str, ...] = ()
    header: int | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if line.startswith("["):
            section = _dotted(line.strip("[] \t").split("#")[0].rstrip("] \t"))
            if section == names:
                return number
            if section == names[:1]:
                header = number
            continue
        key, equals, _ = line.partition("=")
        if not equals or line.startswith("#"):
            continue
        full = section + _dotted(key)
        if full[: len(names)] == names:
            return number
        if full == names[:1]:
            header = number
    return header


def _dotted(text: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in text.split("."))
