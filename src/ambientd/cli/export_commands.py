"""ambientctl export: what a node knows, for other programs."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from ambientd.api.client import Client
from ambientd.cli.console import (
    CommonArguments,
    connect,
    data_dir_of,
    in_words,
    print_json,
    print_line,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import (
    check_new,
    check_writable,
    is_stream,
    report_beside,
    write_file,
)
from ambientd.config.places import Places
from ambientd.errors import UsageError

if TYPE_CHECKING:
    from ambientd.api.exporting import Format


class ExportArguments(CommonArguments, Protocol):
    """Options that every export has."""

    file: str
    format: str | None
    force: bool


class TasksArguments(ExportArguments, Protocol):
    """Options of `export tasks`."""

    state: str


class TelemetryArguments(ExportArguments, Protocol):
    """Options of `export telemetry`."""

    span: str


def tasks(arguments: TasksArguments) -> ExitCode:
    """Write the ledger's tasks."""
    from ambientd.api.exporting import export_tasks

    return _export(
        arguments, lambda node, path, form: export_tasks(node, path, form, arguments.state)
    )


def nodes(arguments: ExportArguments) -> ExitCode:
    """Write the cluster's nodes."""
    from ambientd.api.exporting import export_nodes

    return _export(arguments, export_nodes)


def telemetry(arguments: TelemetryArguments) -> ExitCode:
    """Write what nodes said of themselves."""
    from ambientd.api.exporting import export_telemetry

    return _export(
        arguments, lambda node, path, form: export_telemetry(node, path, form, arguments.span)
    )


def observations(arguments: ExportArguments) -> ExitCode:
    """Write what nodes signed of themselves, as this node keeps it; its daemon need not run."""
    from ambientd.api.exporting import export_observations

    folder = Places(data_dir_of(arguments)).telemetry
    return _export_file(arguments, lambda path, form: export_observations(folder, path, form))


def _export(
    arguments: ExportArguments, export: "Callable[[Client, Path, Format], int]"
) -> ExitCode:
    with connect(arguments) as client:
        return _export_file(arguments, lambda path, form: export(client, path, form))


def _export_file(arguments: ExportArguments, export: "Callable[[Path, Format], int]") -> ExitCode:
    form = _format_of(arguments)
    check_new(arguments.file, is_forced=arguments.force)
    check_writable(arguments.file)
    if is_stream(arguments.file):
        count = _export_to_stream(arguments.file, lambda path: export(path, form))
    else:
        count = export(Path(arguments.file), form)
    with report_beside(arguments.file):
        if arguments.as_json:
            print_json({"file": arguments.file, "format": form, "rows": count})
        else:
            print_line(f"{in_words(count, 'row')} in {arguments.file}")
    return ExitCode.DONE


def _export_to_stream(stream: str, export: Callable[[Path], int]) -> int:
    """Write a table whole, then into what is no file: a draft would take that one's place."""
    with TemporaryDirectory() as folder:
        table = Path(folder) / "table"
        count = export(table)
        write_file(stream, table.read_bytes())
    return count


def _format_of(arguments: ExportArguments) -> "Format":
    from ambientd.api.exporting import Format

    ending = Path(arguments.file).suffix.removeprefix(".").lower()
    known = [each.value for each in Format]
    if arguments.format is None and ending not in known:
        msg = f"{arguments.file}: its name does not say how to write it; give --format, one of "
        raise UsageError(msg + ", ".join(known))
    return Format(arguments.format or ending)
