"""ambientctl proof: validity proofs, checked by the program that is built for it (protocols/18)."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from ambientd.cli.console import CommonArguments, print_json, print_line
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import STANDARD_STREAM
from ambientd.errors import UsageError

VERIFIER = "ambient-verify"
# It verifies in milliseconds; a machine that is this busy should be asked again.
_WAIT_S = 60
_NOT_VERIFIED = 4
_REFUSED = "not verified:"
_HASH = re.compile("[0-9a-fA-F]{64}")
_FIELDS = ("image", "module", "input", "output", "outcome", "gas", "limits", "segments")


class VerifyArguments(CommonArguments, Protocol):
    """Options of `proof verify`."""

    file: str
    image: str | None
    module: str | None
    input: str | None
    output: str | None
    salt: str | None
    verifier: str | None


def verify(arguments: VerifyArguments) -> ExitCode:
    """Check a validity proof; no daemon, no network."""
    command = [_verifier(arguments.verifier), *_asked(arguments)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_WAIT_S, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        msg = f"{command[0]} does not work: {problem}. Build it with `make verifier`."
        raise UsageError(msg) from problem
    if done.returncode not in (0, _NOT_VERIFIED):
        raise UsageError(done.stderr.strip() or f"{command[0]} ended with {done.returncode}")
    valid = done.returncode == 0
    fields = _fields(done.stdout)
    if len(fields) < len(_FIELDS) if valid else not done.stderr.startswith(_REFUSED):
        msg = f"{command[0]} says nothing of a proof: it is no {VERIFIER}, or of another version"
        raise UsageError(msg)
    if arguments.as_json:
        print_json({"valid": valid, "reason": done.stderr.strip(), **fields})
    else:
        for line in (done.stdout if valid else done.stderr).splitlines():
            print_line(line)
    return ExitCode.DONE if valid else ExitCode.NOT_VERIFIED


def _asked(arguments: VerifyArguments) -> list[str]:
    """Give what the program is asked; raise UsageError for what it cannot even read."""
    asked = [_place(arguments.file, "proof")]
    for option in ("module", "input", "output"):
        if (path := getattr(arguments, option)) is not None:
            asked += [f"--{option}", _place(path, option)]
    if (image := arguments.image) is not None:
        asked += ["--image", image if _HASH.fullmatch(image) else _place(image, "image")]
    if (salt := arguments.salt) is not None:
        if not _HASH.fullmatch(salt):
            msg = f"--salt {salt!r} is no salt: 64 hexadecimal digits"
            raise UsageError(msg)
        asked += ["--salt", salt]
    return asked


def _place(path: str, what: str) -> str:
    """Give where a file is, for another program; raise UsageError if there is none to read."""
    if path == STANDARD_STREAM:
        return "/dev/stdin"
    # It is not opened here: what comes from a pipe comes once.
    place = Path(path)
    if place.is_dir() or not os.access(place, os.R_OK):
        fault = "it is a folder" if place.is_dir() else "it cannot be read"
        fault = fault if place.exists() else "there is no such file"
        msg = f"{path}: no {what}: {fault}; check the path"
        raise UsageError(msg)
    return f"./{path}" if path.startswith("-") else path


def _fields(told: str) -> dict[str, str]:
    pairs = (line.split(None, 1) for line in told.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and pair[0] in _FIELDS}


def _verifier(stated: str | None) -> str:
    """Find the program: where it is said to be, beside this Python, or on the search path."""
    if stated is not None:
        if not Path(stated).is_file():
            msg = f"{stated}: there is no verifier. Build it with `make verifier`."
            raise UsageError(msg)
        return str(Path(stated).absolute())
    beside = Path(sys.executable).parent / VERIFIER
    found = str(beside) if beside.is_file() else shutil.which(VERIFIER)
    if found is None:
        msg = (
            f"the program {VERIFIER} is not installed. In the sources, with Rust, say "
            "`make verifier`; or name it with --verifier PATH."
        )
        raise UsageError(msg)
    return found
