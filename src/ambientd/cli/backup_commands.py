"""ambientctl backup create and restore: a node's log in a file, and back."""

from pathlib import Path
from typing import Protocol

from ambientd.api import operations, requests
from ambientd.cli.console import (
    CommonArguments,
    connect,
    data_dir_of,
    print_json,
    print_line,
    tell,
    working,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import STANDARD_STREAM
from ambientd.errors import UsageError


class CreateArguments(CommonArguments, Protocol):
    """Options of `backup create`."""

    file: str


class RestoreArguments(CommonArguments, Protocol):
    """Options of `backup restore`."""

    file: str
    height: int | None


def create(arguments: CreateArguments) -> ExitCode:
    """Let the daemon write its log to a file."""
    if arguments.file == STANDARD_STREAM:
        raise UsageError("the daemon writes a backup itself, into a file: name one instead of -")
    path = str(Path(arguments.file).absolute())
    with connect(arguments) as client, working(f"writing the log to {arguments.file}"):
        made = client.call(operations.BACKUP_CREATE, requests.CreateBackup(path=path))
    if arguments.as_json:
        print_json(made)
    else:
        heights = f"heights {made.from_height} to {made.height}"
        print_line(f"{made.path}: {made.size_bytes} bytes, {heights}")
        tell(
            "NO KEY IS IN IT: keep copies of config.toml, node.key and, of a member of a peg, "
            "peg.key apart from the device; never a copy of peg.book"
        )
    return ExitCode.DONE


def restore(arguments: RestoreArguments) -> ExitCode:
    """Make a node's store of a backup, without a daemon."""
    from ambientd.api.restoration import restore_node

    data_dir = data_dir_of(arguments)
    with working("checking every block and restoring it"):
        done = restore_node(data_dir, Path(arguments.file), arguments.height)
    if arguments.as_json:
        print_json(
            {
                "data_dir": str(data_dir),
                "height": done.height,
                "of_height": done.of_height,
                "state_root": done.root.hex(),
            }
        )
        return ExitCode.DONE
    print_line(f"{data_dir}: restored to block {done.height} of {done.of_height}, all checked")
    print_line("this key may have voted since: it follows the log and never votes again")
    if (data_dir / "peg.key").exists():
        tell(
            "peg.key signs on with the peg.book that it had last, never with an older copy; "
            "without that: ambientctl key replace-peg"
        )
    print_line(f"start it: ambientd --data-dir {data_dir}")
    return ExitCode.DONE
