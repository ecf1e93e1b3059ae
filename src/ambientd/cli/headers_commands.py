"""ambientctl headers: chains of Bitcoin headers in files."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ambientd.cli.console import CommonArguments, data_dir_of, print_json, print_line
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import check_writable, read_file, report_beside, write_file

if TYPE_CHECKING:
    from ambientd.rules.header_chain import HeaderChain


class CheckArguments(CommonArguments, Protocol):
    """Options of `headers check`."""

    file: str


class ExportArguments(CommonArguments, Protocol):
    """Options of `headers export`."""

    file: str


class SyncArguments(CommonArguments, Protocol):
    """Options of `headers sync`."""

    file: str
    network: str
    rpc: str
    login: str
    esplora: str
    whole: bool


def check(arguments: CheckArguments) -> ExitCode:
    """Check a file of headers, and show what other people's tip is to be compared with."""
    from ambientd.api.offline import HEADERS_BYTES_MAX, read_headers

    data = read_file(arguments.file, "header file", HEADERS_BYTES_MAX)
    _show(arguments, read_headers(data, arguments.file))
    return ExitCode.DONE


def export(arguments: ExportArguments) -> ExitCode:
    """Write the headers that this node's daemon keeps into a file for others."""
    from ambientd.api.header_sync import export_headers

    check_writable(arguments.file)
    chain, data = export_headers(data_dir_of(arguments))
    write_file(arguments.file, data)
    with report_beside(arguments.file):
        _show(arguments, chain)
    return ExitCode.DONE


def sync(arguments: SyncArguments) -> ExitCode:
    """Bring a file of headers to its network's tip."""
    from ambientd.api.header_sync import HeaderSource, sync_headers

    check_writable(arguments.file)
    source = HeaderSource(arguments.network, arguments.rpc, arguments.login, arguments.esplora)
    with _bar() as move:
        chain = sync_headers(Path(arguments.file), source, move, whole=arguments.whole)
    _show(arguments, chain)
    return ExitCode.DONE


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """Draw how far the headers have come, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _at, _end: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("headers", total=None)
        yield lambda at, end: progress.update(task, completed=at, total=end)


def _show(arguments: CommonArguments, chain: "HeaderChain") -> None:
    from ambientd.api.offline import tip_of

    tip = tip_of(chain)
    if arguments.as_json:
        print_json(
            {
                "network": chain.network.name,
                "base_height": chain.base_height,
                "height": chain.height,
                "tip": tip.hash,
                "time": tip.time,
            }
        )
    else:
        span = f"{chain.base_height} to {chain.height}"
        print_line(f"{chain.network.name}: every header from {span} is right")
        print_line(f"tip {tip.hash}, {tip.time}: compare it with what others see")
