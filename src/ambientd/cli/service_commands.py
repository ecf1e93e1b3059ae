"""ambientctl service install, uninstall, status: a node that systemd starts and watches."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from ambientd.cli.console import CommonArguments, print_fields, print_json, print_line, tell
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
_HOMES = tuple(map(Path, ("/home", "/root", "/run/user")))
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
    tell(f"the node's folder is {DATA_DIR}, of the user ambient; found or join a cluster there,")
    tell(f"then: systemctl enable --now {UNIT}")
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
    _answer(arguments, "removed", list(map(str, present)))
    if not present:
        tell(f"nothing was installed below {arguments.root}, and nothing was removed")
        return ExitCode.DONE
    tell(f"what stays: {DATA_DIR} with the node's keys, and the user ambient; without them for")
    tell(f"good: rm -r {DATA_DIR} && userdel ambient")
    return ExitCode.DONE


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
    hidden = [path for path in seen if any(path.is_relative_to(home) for home in _HOMES)]
    if is_live and hidden:
        msg = (
            f"{hidden[0]}: the service sees no home folders; install Ambient elsewhere, "
            "such as in /opt/ambient"
        )
        raise UsageError(msg)
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
