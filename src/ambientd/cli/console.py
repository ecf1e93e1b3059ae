"""What every command needs: the daemon's socket, files, and three ways to print."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from ambientd.api.client import Client
from ambientd.config.places import Places, default_data_dir, socket_path_for
from ambientd.errors import UsageError

FILE_BYTES_MAX = 60 * 1024 * 1024
SHORT_ID_CHARS = 12


class CommonArguments(Protocol):
    """The options every command has."""

    data_dir: str | None
    as_json: bool


def data_dir_of(arguments: CommonArguments) -> Path:
    """Give the node's folder: the option, else the environment's, else the XDG one."""
    return Path(arguments.data_dir) if arguments.data_dir else default_data_dir()


def connect(arguments: CommonArguments) -> Client:
    """Give a client of the node's daemon; the connection opens with the first call."""
    data_dir = data_dir_of(arguments)
    return Client(socket_path_for(data_dir, _socket_option(data_dir)), data_dir)


def _socket_option(data_dir: Path) -> str:
    """Read [api] socket, but parse the file only when it seems to set one: TOML costs 13 ms."""
    try:
        text = Places(data_dir).config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    if not any("socket" in line.partition("#")[0] for line in text.splitlines()):
        return ""
    from ambientd.config.load import parse_config

    return parse_config(text, str(Places(data_dir).config)).api.socket


def read_file(path: str, what: str, size_bytes_max: int = FILE_BYTES_MAX) -> bytes:
    """Read a file, or standard input for "-"; raise UsageError naming it."""
    try:
        if path == "-":
            data = sys.stdin.buffer.read(size_bytes_max + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(size_bytes_max + 1)
    except OSError as error:
        msg = f"{path}: cannot read the {what}: {error.strerror}; check the path"
        raise UsageError(msg) from error
    if len(data) > size_bytes_max:
        msg = f"{path}: the {what} has more than {size_bytes_max} bytes; make it smaller"
        raise UsageError(msg)
    return data


def read_module(path: str) -> bytes:
    """Read a module; raise UsageError for a file that is none, or larger than any node takes."""
    from ambientd.wasm.limits import PrepareLimits

    module = read_file(path, "module", PrepareLimits().module_bytes_max)
    if module[:4] != b"\0asm":
        what = "no WebAssembly binary" if module else "empty"
        msg = f"{path}: is {what}; compile it to .wasm first"
        raise UsageError(msg)
    return module


def check_writable(path: str) -> None:
    """Refuse a path that cannot become a file, before anything is paid for."""
    target = Path(path)
    folder = target.parent
    if target.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        msg = f"{path}: cannot be written; name a file in a folder that exists and is writable"
        raise UsageError(msg)


def write_file(path: str, data: bytes) -> None:
    """Write a file whole or not at all; raise UsageError naming it."""
    target = Path(path)
    if target.exists() and not target.is_file():
        _write_in_place(target, data)  # a pipe or /dev/stdout is written, never replaced
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


def print_json(value: object) -> None:
    """Print one value as one line of JSON."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def print_line(text: str = "") -> None:
    """Print one line of the answer."""
    sys.stdout.write(printable(text) + "\n")


def print_bytes(data: bytes) -> None:
    """Print bytes as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def tell(text: str) -> None:
    """Tell progress; it never mixes with the answer."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def is_terminal() -> bool:
    """Tell whether somebody sits at standard input."""
    return sys.stdin.isatty()


def confirm(question: str, *, is_sure: bool) -> bool:
    """Ask before something that cannot be undone; raise UsageError where nobody can answer."""
    if is_sure:
        return True
    if not is_terminal():
        raise UsageError("standard input is no terminal to ask at; if you are sure, add --yes")
    sys.stderr.write(f"{printable(question)} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def printable(text: str) -> str:
    """Replace what is not printable, so that a peer's text stays in the line it is put into.

    Line breaks too: with one, a name or reason could forge a line of an answer. Who wants lines
    prints each by itself.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print names and values in two columns."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        print_line(f"{name:<{width}}  {value}".rstrip())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, plain columns for everything else."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        _draw_table(columns, rows)
        return
    cells = [[printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[number]) for row in cells) for number in range(len(columns))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print_line(line.rstrip())


def _draw_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(table)  # honours NO_COLOR


def short(identifier: str | None) -> str:
    """Give the start of an identifier, which is enough to name it."""
    return identifier[:SHORT_ID_CHARS] if identifier else "-"


def in_sat(amount_msat: int) -> str:
    """Write an amount in satoshi, exact to the millisatoshi."""
    sign = "-" if amount_msat < 0 else ""
    whole, rest = divmod(abs(amount_msat), 1000)
    fraction = f".{rest:03d}".rstrip("0") if rest else ""
    return f"{sign}{whole:,}{fraction} sat"


def in_sat_and_msat(amount_msat: int) -> str:
    """Write an amount of credits for people and as commands take it."""
    return f"{in_sat(amount_msat)} ({amount_msat} msat)"


def in_words(count: int, noun: str) -> str:
    """Write a count with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def on_day(time_ms: int) -> str:
    """Write a day and its time, UTC, to the second."""
    from time import gmtime, strftime

    return strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(time_ms // 1000))


def at_time(time_ms: int) -> str:
    """Write a time of the day, UTC, to the millisecond."""
    from time import gmtime, strftime

    return f"{strftime('%H:%M:%S', gmtime(time_ms // 1000))}.{time_ms % 1000:03d}"
