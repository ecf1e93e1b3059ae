"""How people write which published module they mean: PUBLISHER/NAME@VERSION (protocols/15)."""

import re
from typing import NamedTuple

from ambientd.errors import UsageError
from ambientd.rules.versions import version_fault

_NAMED = re.compile(r"([^/@]{1,64})/([^/@]{1,63})(?:@([^/@]{1,32}))?")


class WrittenModule(NamedTuple):
    """A module as somebody wrote it; `version` is empty where none was written."""

    publisher: str
    name: str
    version: str

    def __str__(self) -> str:
        """Write it as it was written."""
        return f"{self.publisher}/{self.name}" + (f"@{self.version}" if self.version else "")


def written_module(text: str) -> WrittenModule:
    """Read a module's name; raise UsageError saying how one is written."""
    found = _NAMED.fullmatch(text)
    if found is None:
        msg = f"{text!r} names no module: write PUBLISHER/NAME@VERSION"
        raise UsageError(f"{msg}; `ambientctl module search` lists what is published")
    return WrittenModule(found[1], found[2], found[3] or "")


def exact_module(text: str) -> WrittenModule:
    """Read a module's name with its version; nothing is run that nobody wrote down."""
    written = written_module(text)
    if not written.version:
        msg = f"{text} names no version: write {text}@VERSION"
        raise UsageError(f"{msg}; `ambientctl module show {text}` lists them")
    return written


def is_module(text: str) -> bool:
    """Tell whether a text could name a published module, with a version or without."""
    return _NAMED.fullmatch(text) is not None


def could_be_pinned(text: str) -> bool:
    """Tell whether a text is a name without a version, which means what is pinned under it."""
    found = _NAMED.fullmatch(text)
    return found is not None and found[1] not in {".", ".."} and not found[3]


def is_exact_module(text: str) -> bool:
    """Tell whether a text is a published module's name with a version, and so hardly a file's."""
    found = _NAMED.fullmatch(text)
    if found is None or found[1] in {".", ".."}:
        return False
    return bool(found[3]) and version_fault(found[3]) is None
