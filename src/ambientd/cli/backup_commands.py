"""ambientctl backup create and restore: a node's log in a file, and back."""

import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from ambientd.api import operations, requests
from ambientd.api.backup_values import LookAtBackups
from ambientd.cli.console import (
    CommonArguments,
    Gauge,
    connect,
    counting,
    data_dir_of,
    print_json,
    print_line,
    tell,
    warn,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import STANDARD_STREAM
from ambientd.config.places import Places
from ambientd.errors import AmbientError, UsageError

S3 = "s3://"
LOOK_S = 0.2


class CreateArguments(CommonArguments, Protocol):
    """Options of `backup create`."""

    file: str
    to: list[str]


class VerifyArguments(CommonArguments, Protocol):
    """Options of `backup verify`."""

    file: str
    identity: str | None


class RestoreArguments(VerifyArguments, Protocol):
    """Options of `backup restore`."""

    height: int | None


class KeyArguments(CommonArguments, Protocol):
    """Options of `backup key`."""

    file: str


def create(arguments: CreateArguments) -> ExitCode:
    """Let the daemon write its log to a file."""
    if arguments.file == STANDARD_STREAM:
        raise UsageError("the daemon writes a backup itself, into a file: name one instead of -")
    path = arguments.file
    if not path.startswith(S3):
        path = str(Path(path).absolute())
    request = requests.CreateBackup(path=path, recipients=tuple(arguments.to))
    with (
        connect(arguments) as client,
        counting(f"writing the log to {arguments.file}", "rows") as gauge,
        _followed(arguments, path.rpartition("/")[2], gauge),
    ):
        made = client.call(operations.BACKUP_CREATE, request)
    if arguments.as_json:
        print_json(made)
    else:
        heights = f"heights {made.from_height} to {made.height}"
        sealed = ", sealed" if made.sealed else ""
        print_line(f"{made.path}: {made.size_bytes} bytes, {heights}{sealed}")
        tell(
            "NO KEY IS IN IT: keep copies of config.toml, node.key and, of a member of a peg, "
            "peg.key apart from the device; never a copy of peg.book"
        )
    return ExitCode.DONE


@contextmanager
def _followed(arguments: CreateArguments, name: str, gauge: Gauge) -> Iterator[None]:
    """Ask over another connection how far the copy is, as long as somebody looks."""
    if not gauge.is_seen:
        yield
        return
    is_over = threading.Event()

    def follow() -> None:
        with suppress(AmbientError), connect(arguments) as client:
            while not is_over.wait(LOOK_S):
                for copy in client.call(operations.BACKUP_LOOK, LookAtBackups()).copies:
                    if copy.name == name and copy.rows_total:
                        gauge.told(copy.rows, copy.rows_total)

    following = threading.Thread(target=follow, daemon=True)
    following.start()
    try:
        yield
    finally:
        is_over.set()
        following.join(LOOK_S)


def verify(arguments: VerifyArguments) -> ExitCode:
    """Check a backup as restoring it would, without a daemon and without a change."""
    from ambientd.api.restoration import verify_backup

    genesis = Places(data_dir_of(arguments)).genesis
    with counting("checking every block", "rows") as gauge:
        done = verify_backup(genesis, arguments.file, _identity_of(arguments), gauge.told)
    if arguments.as_json:
        print_json({"file": arguments.file, "height": done.height, "state_root": done.root.hex()})
    else:
        print_line(f"{arguments.file}: whole, block {done.height}, state root {done.root.hex()}")
    return ExitCode.DONE


def key(arguments: KeyArguments) -> ExitCode:
    """Draw a key pair for sealed backups."""
    from ambientd.api.restoration import draw_backup_key

    recipient = draw_backup_key(Path(arguments.file))
    if arguments.as_json:
        print_json({"file": arguments.file, "recipient": recipient})
    else:
        print_line(recipient)
        tell(f"{arguments.file} alone opens what is sealed to it: keep it apart from the node")
    return ExitCode.DONE


def _identity_of(arguments: VerifyArguments) -> Path | None:
    return Path(arguments.identity) if arguments.identity else None


def restore(arguments: RestoreArguments) -> ExitCode:
    """Make a node's store of a backup, without a daemon."""
    from ambientd.api.restoration import lost_chain, restore_node

    data_dir = data_dir_of(arguments)
    with counting("checking every block and restoring it", "rows") as gauge:
        identity = _identity_of(arguments)
        done = restore_node(data_dir, arguments.file, arguments.height, identity, gauge.told)
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
    if fault := lost_chain(data_dir):
        warn(fault)
    print_line(f"start it: ambientd --data-dir {shlex.quote(str(data_dir))}")
    return ExitCode.DONE
