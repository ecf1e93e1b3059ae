"""ambientctl trail tail, verify, export: who asked this node to change something."""

from typing import Protocol

import msgspec

from ambientd.cli.console import (
    CommonArguments,
    data_dir_of,
    in_words,
    on_day,
    print_json,
    print_line,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import check_new, report_beside, write_file


class TailArguments(CommonArguments, Protocol):
    """Options of `trail tail`."""

    limit: int


class VerifyArguments(CommonArguments, Protocol):
    """Options of `trail verify`."""

    head: tuple[int, str] | None


class ExportArguments(CommonArguments, Protocol):
    """Options of `trail export`."""

    file: str
    force: bool


def tail(arguments: TailArguments) -> ExitCode:
    """Show the newest entries."""
    from ambientd.api.trail_reading import last_entries

    for entry in last_entries(data_dir_of(arguments), arguments.limit):
        if arguments.as_json:
            print_json(entry)
            continue
        told = "".join(f" {name}={value}" for name, value in entry.arguments.items())
        what = f"{entry.operation}{told}"
        when, times = on_day(entry.time_ms), entry.times or 1
        often = f", {times} times" if times > 1 else ""
        print_line(f"{entry.number}  {when}  {entry.caller}  {what}  {entry.outcome}{often}")
    return ExitCode.DONE


def verify(arguments: VerifyArguments) -> ExitCode:
    """Follow the chain of hashes."""
    from ambientd.api.trail_reading import check

    found = check(data_dir_of(arguments), arguments.head)
    if arguments.as_json:
        print_json(found)
    elif found.fault:
        print_line(f"broken after {in_words(found.entries, 'entry', 'entries')}: {found.fault}")
    else:
        print_line(
            f"{in_words(found.entries, 'entry', 'entries')} from number {found.first} on, "
            "each with the hash of the one before"
        )
        print_line(f"head {found.last}:{found.head}")
    return ExitCode.NOT_VERIFIED if found.fault else ExitCode.DONE


def export(arguments: ExportArguments) -> ExitCode:
    """Write all entries into one file, a line each."""
    from ambientd.api.trail_reading import all_entries

    check_new(arguments.file, is_forced=arguments.force)
    lines = [msgspec.json.encode(entry) + b"\n" for entry in all_entries(data_dir_of(arguments))]
    write_file(arguments.file, b"".join(lines))
    with report_beside(arguments.file):
        if arguments.as_json:
            print_json({"file": arguments.file, "entries": len(lines)})
        else:
            print_line(f"{in_words(len(lines), 'entry', 'entries')} in {arguments.file}")
    return ExitCode.DONE
