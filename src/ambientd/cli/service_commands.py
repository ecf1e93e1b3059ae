"""ambientctl service install, uninstall, status: a node that systemd starts and watches."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from ambientd.cli.console import CommonArguments, print_fields, print_json, print_line, tell, warn
from ambientd.cli.exit_codes import ExitCode
from ambientd.errors import UsageError

DATA = Path(__file__).parent / "service_data"
UNIT = "ambientd.service"
DATA_DIR = "/var/lib/ambient"
# What is shipped, and where it goes; uninstall removes these and nothing else.
FILES = (
    ("sysusers.conf", "etc/sysusers.d/ambient.conf"),
    ("tmpfiles.conf", "etc/tmpfiles.d/ambient.conf"),
    (UNIT, f"etc/systemd/system/{UNIT}"),
)
# What the unit's ProtectHome and PrivateTmp keep from the service.
_UNSEEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108
_RUNNING = Path("/run/systemd/system")
_ASKED = {
    "LoadState": "load",
    "ActiveState": "active",
    "SubState": "state",
    "UnitFileState": "enabled",
    "MainPID": "pid",
    "NRestarts": "restarts",
}


class FileArguments(CommonArguments, Protocol):
    """Options of `service install` and `service uninstall`."""

    root: str


def install(arguments: FileArguments) -> ExitCode:
    """Write the files, make user and folder; whether and when it starts is the owner's choice."""
    is_live = _is_live(arguments)
    program = _daemon(is_live=is_live)
    written = []
    for name, place in FILES:
        path = Path(arguments.root) / place
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (DATA / name).read_text("utf-8")
        path.write_text(text.replace("@AMBIENTD@", str(program)), "utf-8")
        path.chmod(0o644)
        written.append(str(path))
    if is_live:
        _run("systemd-sysusers", written[0])
        _run("systemd-tmpfiles", "--create", written[1])
        _run("systemctl", "daemon-reload")
    _answer(arguments, "written", written)
    if is_live:
        tell(
            f"the node's folder is {DATA_DIR}, of the user ambient; found or join a cluster there,"
        )
        tell(f"then: systemctl enable --now {UNIT}")
        return ExitCode.DONE
    root = str(Path(arguments.root).absolute())
    tell(f"the system below {root} makes the user ambient and {DATA_DIR} when it starts; to have")
    tell(f"the service start then, too: systemctl --root={shlex.quote(root)} enable {UNIT}")
    return ExitCode.DONE


def uninstall(arguments: FileArguments) -> ExitCode:
    """Stop the service and remove what `install` wrote; the node's folder stays."""
    is_live = _is_live(arguments)
    places = [Path(arguments.root) / place for _, place in FILES]
    present = [path for path in places if path.is_file()]
    if is_live and places[-1] in present:
        _run("systemctl", "disable", "--now", UNIT)
    for path in present:
        path.unlink()
    if is_live:
        _run("systemctl", "daemon-reload")
    else:
        _remove_empty(Path(arguments.root), present)
    _answer(arguments, "removed", list(map(str, present)))
    if not present:
        tell(f"nothing was installed below {arguments.root}, and nothing was removed")
        return ExitCode.DONE
    folder = DATA_DIR if is_live else str(Path(arguments.root) / DATA_DIR[1:])
    removing = f"rm -r {shlex.quote(folder)}"
    if is_live:
        tell(f"what stays: {folder} with the node's keys, and the user ambient; without them for")
        tell(f"good: {removing} && userdel ambient")
    elif Path(folder).exists():
        tell(f"what stays: {folder} with the node's keys; without them for good: {removing}")
    return ExitCode.DONE


def _remove_empty(root: Path, removed: list[Path]) -> None:
    """Remove folders of an image that held only what was removed."""
    for path in removed:
        for folder in path.relative_to(root).parents:
            place = root / folder
            if place == root or any(place.iterdir()):
                break
            place.rmdir()


def status(arguments: CommonArguments) -> ExitCode:
    """Print what systemd says; the code is 3 unless the service is active."""
    if not _RUNNING.is_dir():
        msg = "systemd does not run this machine; look at its node with `ambientctl doctor`"
        raise UsageError(msg)
    asked = ["show", UNIT, *(f"--property={name}" for name in _ASKED)]
    told = dict(line.split("=", 1) for line in _run("systemctl", *asked).splitlines())
    found = {ours: told.get(theirs, "") for theirs, ours in _ASKED.items()}
    if arguments.as_json:
        print_json(found)
    elif found["load"] == "not-found":
        print_line("not installed; `ambientctl service install` writes what systemd needs")
    else:
        print_fields(list(found.items()))
    return ExitCode.DONE if found["active"] == "active" else ExitCode.UNREACHABLE


def _is_live(arguments: FileArguments) -> bool:
    """Tell whether this machine itself is meant; raise UsageError where that cannot work."""
    if not arguments.root:
        msg = "--root is empty: name a folder, or leave it out for this machine itself"
        raise UsageError(msg)
    if not Path(arguments.root).is_dir():
        msg = f"--root {arguments.root}: there is no such folder; make it first, or check the path"
        raise UsageError(msg)
    if Path(arguments.root).resolve() != Path("/"):
        return False
    if not _RUNNING.is_dir():
        msg = "systemd does not run this machine; --root DIR only writes the files, below DIR"
        raise UsageError(msg)
    if os.geteuid() != 0:
        raise UsageError("the service is the machine's: say it as root, with sudo")
    return True


def _daemon(*, is_live: bool) -> Path:
    """Give the daemon that belongs to this ambientctl, where a service can see it."""
    program = Path(sys.executable).parent / "ambientd"
    seen = (program, Path(sys.executable).resolve())
    hidden = [path for path in seen if any(path.is_relative_to(place) for place in _UNSEEN)]
    if not hidden:
        return program
    msg = (
        f"{hidden[0]}: the service sees no home folders, and a /tmp of its own; "
        "install Ambient elsewhere, such as in /opt/ambient"
    )
    if is_live:
        raise UsageError(msg)
    warn(msg)
    return program


def _run(*command: str) -> str:
    """Run one of systemd's programs; raise UsageError with what it says against it."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        msg = f"{command[0]} is not here: systemd does not run this machine"
        raise UsageError(msg) from error
    if done.returncode:
        said = done.stderr.strip() or f"it ended with {done.returncode}"
        msg = f"{' '.join(command)}: {said}"
        raise UsageError(msg)
    return done.stdout


def _answer(arguments: CommonArguments, what: str, paths: list[str]) -> None:
    if arguments.as_json:
        print_json({what: paths})
        return
    for path in paths:
        print_line(f"{what}: {path}")
