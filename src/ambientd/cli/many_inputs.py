"""The inputs of `run --inputs`: the lines of a file, or the files of a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from ambientd.cli.console import in_words, tell
from ambientd.cli.files import STANDARD_STREAM, read_file
from ambientd.errors import UsageError

INPUTS_MAX = 1_000_000
_NAMED_MAX = 3

Input: TypeAlias = tuple[str, bytes]
"""What an input is called, and its bytes."""


def read_inputs(path: str) -> list[Input]:
    """Read the inputs with their names; raise UsageError where there are none, or too many."""
    folder = Path(path)
    if path != STANDARD_STREAM and folder.is_dir():
        found = [(each.name, read_file(str(each), "input")) for each in _files_of(folder)]
    else:
        lines = read_file(path, "inputs").split(b"\n")
        if lines[-1] == b"":  # behind the last line's end
            lines.pop()
        found = [(str(number), line) for number, line in enumerate(lines)]
    if not 1 <= len(found) <= INPUTS_MAX:
        raise UsageError(f"--inputs {path}: has {len(found)} inputs, not 1 to {INPUTS_MAX}")
    return found


def _files_of(folder: Path) -> Sequence[Path]:
    """Give a folder's own files by name; what is in it besides is left out, and named."""
    entries = sorted(folder.iterdir())
    files = [each for each in entries if each.is_file() and not each.name.startswith(".")]
    kept = set(files)
    left_out = [each.name for each in entries if each not in kept]
    if left_out:
        named = ", ".join(left_out[:_NAMED_MAX]) + (", ..." if len(left_out) > _NAMED_MAX else "")
        which = in_words(len(left_out), "entry", "entries")
        tell(f"{folder}: {which} left out, hidden or no file: {named}")
    return files
