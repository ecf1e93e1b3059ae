"""What every command needs: the daemon's socket, and three ways to print."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol

import msgspec

from ambientd.api.client import Client
from ambientd.api.counting import in_words as in_words  # noqa: PLC0414  (commands have it from here)
from ambientd.config.local_socket import socket_path_of
from ambientd.config.places import default_data_dir
from ambientd.errors import UsageError

SHORT_ID_CHARS = 12
_RED, _PLAIN = "\x1b[1;31m", "\x1b[0m"
_ROOM_MIN = 20
_WIDTH_UNKNOWN = 80


class CommonArguments(Protocol):
    """The options every command has."""

    data_dir: str | None
    as_json: bool
    quiet: bool


def data_dir_of(arguments: CommonArguments) -> Path:
    """Give the node's folder: the option, else the environment's, else the XDG one."""
    return Path(arguments.data_dir) if arguments.data_dir else default_data_dir()


def connect(arguments: CommonArguments) -> Client:
    """Give a client of the node's daemon; the connection opens with the first call."""
    data_dir = data_dir_of(arguments)
    path = socket_path_of(data_dir)

    told: set[str] = set()

    def say_why() -> None:
        from ambientd.cli.waiting import late_text

        text = late_text(path)
        if text not in told:
            tell(text)
        told.add(text)

    return Client(path, data_dir, say_why)


def print_json(value: object) -> None:
    """Print one value as one line of JSON."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def print_line(text: str = "") -> None:
    """Print one line of the answer."""
    sys.stdout.write(printable(text) + "\n")


_is_quiet: ContextVar[bool] = ContextVar("is_quiet", default=False)


def be_quiet(*, is_quiet: bool) -> None:
    """Decide whether progress is told in this run of a command."""
    _is_quiet.set(is_quiet)


def tell(text: str) -> None:
    """Tell progress, unless nobody wants to hear it; it never mixes with the answer."""
    if not _is_quiet.get():
        warn(text)


def warn(text: str) -> None:
    """Tell what has gone wrong, in one line, whoever listens."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def is_watched() -> bool:
    """Tell whether somebody looks at standard error, and wants to see that something goes on."""
    is_seen = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return is_seen and not _is_quiet.get()


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show that something goes on, and for how long, to whoever looks."""
    if not is_watched():
        yield
        return
    from ambientd.cli.bars import spinner

    with spinner(text):
        yield


@contextmanager
def sending(client: Client, text: str) -> Iterator[None]:
    """Show how much of a large request the node has taken, to whoever looks."""
    if not is_watched():
        yield
        return
    from ambientd.cli.bars import bar

    before = client.on_sent
    with bar(text) as told:
        client.on_sent = told
        try:
            yield
        finally:
            client.on_sent = before


class Gauge(Protocol):
    """Tells whoever looks how much is done, of how much."""

    is_seen: bool

    def told(self, done: int, total: int) -> None:
        """Tell it."""
        ...

    def aside(self) -> AbstractContextManager[None]:
        """Make room for a part of the answer, where that goes to the same screen."""
        ...


class _Unseen:
    """A gauge that nobody looks at."""

    is_seen = False

    def told(self, done: int, total: int) -> None:
        """Tell nobody."""

    def aside(self) -> AbstractContextManager[None]:
        """Be out of the way, as ever."""
        return nullcontext()


@contextmanager
def counting(text: str, unit: str) -> Iterator[Gauge]:
    """Show how many of all are done, to whoever looks."""
    if not is_watched():
        yield _Unseen()
        return
    from ambientd.cli.bars import counter

    with counter(text, unit) as gauge:
        yield gauge


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


def is_drawn() -> bool:
    """Tell whether somebody looks at standard output who sees colours and widths."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print names and values in two columns; on a terminal, as wide as it is."""
    width = max(len(name) for name, _ in fields)
    room = _terminal_width() - width - 2 if is_drawn() else 0
    has_colours = is_drawn() and not os.environ.get("NO_COLOR")
    for name, value in fields:
        label = f"{printable(name):<{width}}"
        if has_colours and name.isupper():
            label = f"{_RED}{label}{_PLAIN}"
        first, *others = _wrapped(printable(value), room)
        sys.stdout.write(f"{label}  {first}".rstrip() + "\n")
        for line in others:
            print_line(" " * (width + 2) + line)


def _terminal_width() -> int:
    chosen = os.environ.get("COLUMNS", "")
    if chosen.isascii() and chosen.isdigit():
        return int(chosen)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except OSError:
        return _WIDTH_UNKNOWN


def _wrapped(text: str, room: int) -> list[str]:
    """Break a text into lines, but no word; where there is hardly any room, into one."""
    if len(text) <= room or room < _ROOM_MIN:
        return [text]
    from textwrap import wrap

    return wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, plain columns for everything else."""
    if is_drawn():
        from ambientd.cli.drawing import draw
        from ambientd.cli.parts import Table

        draw([Table(columns, rows)])
        return
    cells = [[printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[number]) for row in cells) for number in range(len(columns))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print_line(line.rstrip())


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


def on_day(time_ms: int) -> str:
    """Write a day and its time, UTC, to the second."""
    from time import gmtime, strftime

    return strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(time_ms // 1000))


def at_time(time_ms: int) -> str:
    """Write a time of the day, UTC, to the millisecond."""
    from time import gmtime, strftime

    return f"{strftime('%H:%M:%S', gmtime(time_ms // 1000))}.{time_ms % 1000:03d}"
