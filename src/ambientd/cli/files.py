"""Files and standard streams as commands read and write them; "-" is a stream everywhere."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from ambientd.errors import UsageError

FILE_BYTES_MAX = 60 * 1024 * 1024
STANDARD_STREAM = "-"
_PLAIN = frozenset("\n\r\t")
_MADE_HERE = frozenset({"module", "input", "inputs", "study", "config", "model"})
"""What whoever reads it can make smaller; of all else, one that is too large is none."""


def read_file(path: str, what: str, size_bytes_max: int = FILE_BYTES_MAX) -> bytes:
    """Read a file, or standard input for "-"; raise UsageError naming it."""
    try:
        if path == STANDARD_STREAM:
            data = sys.stdin.buffer.read(size_bytes_max + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(size_bytes_max + 1)
    except OSError as error:
        msg = f"{path}: cannot read the {what}: {error.strerror}; check the path"
        raise UsageError(msg) from error
    if len(data) > size_bytes_max:
        todo = "make it smaller" if what in _MADE_HERE else "too many for one: check the path"
        msg = f"{path}: the {what} has more than {size_bytes_max} bytes; {todo}"
        raise UsageError(msg)
    return data


def read_module(path: str) -> bytes:
    """Read a module; raise UsageError for a file that is none, or larger than any node takes."""
    from ambientd.wasm.limits import PrepareLimits

    try:
        module = read_file(path, "module", PrepareLimits().module_bytes_max)
    except UsageError as error:
        raise UsageError(f"{error}{_published(path)}") from error
    if module[:4] != b"\0asm":
        what = "no WebAssembly binary" if module else "empty"
        msg = f"{path}: is {what}; compile it to .wasm first"
        raise UsageError(msg)
    return module


def _published(path: str) -> str:
    """Tell whoever wrote a published module's name for a file how one is run, and what is amiss."""
    from ambientd.api.module_names import is_module
    from ambientd.rules.versions import version_fault

    name, at, version = path.partition("@")
    if not (at or is_module(path)) or Path(path).exists():
        return ""
    fault = version_fault(version) if at else None
    if fault is None and at and "/" not in name:
        fault = f"{name!r} lacks its PUBLISHER/"
    because = f", and {fault}" if fault else ""
    return f"; a published module is run by `ambientctl run PUBLISHER/NAME@VERSION`{because}"


def readable_place(path: str, what: str) -> str:
    """Give where a file is, for another program; raise UsageError if there is none to read."""
    if path == STANDARD_STREAM:
        return "/dev/stdin"
    # It is not opened here: what comes from a pipe comes once.
    place = Path(path)
    if place.is_dir() or not os.access(place, os.R_OK):
        fault = "it is a folder" if place.is_dir() else "it cannot be read"
        fault = fault if place.exists() else "there is no such file"
        if what == "image" and not place.exists():
            fault += ", and it is no id of 64 hexadecimal digits"
        msg = f"{path}: no {what}: {fault}; check the path"
        raise UsageError(msg)
    return f"./{path}" if path.startswith("-") else path


def check_writable(path: str) -> None:
    """Refuse a path that cannot become a file, before anything is paid for."""
    if path == STANDARD_STREAM:
        return
    target = Path(path)
    folder = target.parent
    if target.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        msg = f"{path}: cannot be written; name a file in a folder that exists and is writable"
        raise UsageError(msg)


def check_new(path: str, *, is_forced: bool) -> None:
    """Refuse to replace a file, unless that is wanted; pipes are written as they come."""
    if not is_forced and Path(path).is_file() and not is_stream(path):
        msg = f"{path}: is there already; name another file, or replace it with --force"
        raise UsageError(msg)


def is_stream(path: str) -> bool:
    """Tell whether a path is a pipe, a device or "-": written as it is, never replaced."""
    if path == STANDARD_STREAM:
        return True
    target = Path(path)
    if target.is_symlink() and target.is_relative_to("/dev"):
        return True  # /dev/stdout, also where that is a file
    return target.exists() and not target.is_file()


def write_file(path: str, data: bytes) -> None:
    """Write a file whole or not at all, or to standard output; raise UsageError naming it."""
    if path == STANDARD_STREAM:
        print_bytes(data, is_asked=True)
        return
    target = Path(path)
    if is_stream(path):
        _write_in_place(target, data)
        return
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        msg = f"{path}: cannot be written: {error.strerror}; free space or choose another path"
        raise UsageError(msg) from error


def _write_in_place(target: Path, data: bytes) -> None:
    try:
        with target.open("wb") as file:
            file.write(data)
    except OSError as error:
        msg = f"{target}: cannot be written: {error.strerror}; choose another path"
        raise UsageError(msg) from error


def print_bytes(data: bytes, *, is_asked: bool = False, instead: str = "") -> None:
    """Print bytes as they are; raise UsageError where they could disturb a terminal, unasked.

    `instead` says how to have them otherwise.
    """
    if not is_asked and sys.stdout.isatty() and not _is_text(data):
        msg = (
            f"the output is {len(data):,} bytes that are not text, which can disturb a terminal; "
            + (instead or "write it to a file with -o FILE, pipe it on, or insist with -o -")
        )
        raise UsageError(msg)
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return all(char in _PLAIN or char.isprintable() for char in text)


@contextmanager
def report_beside(path: str | None) -> Iterator[None]:
    """Send what is printed to standard error where standard output carries the bytes."""
    if path != STANDARD_STREAM:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield
