"""ambientctl proof: validity proofs, checked by the program that is built for it (protocols/18)."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from ambientd.cli.console import CommonArguments, print_json, print_line
from ambientd.cli.exit_codes import ExitCode
from ambientd.errors import UsageError

VERIFIER = "ambient-verify"
# It verifies in milliseconds; a machine that is this busy should be asked again.
_WAIT_S = 60
_NOT_VERIFIED = 4


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
    command = [_verifier(arguments.verifier), arguments.file]
    for option in ("image", "module", "input", "output", "salt"):
        value = getattr(arguments, option)
        if value is not None:
            command += [f"--{option}", value]
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
    if arguments.as_json:
        print_json({"valid": valid, "reason": done.stderr.strip(), **_fields(done.stdout)})
    else:
        for line in (done.stdout if valid else done.stderr).splitlines():
            print_line(line)
    return ExitCode.DONE if valid else ExitCode.NOT_VERIFIED


def _fields(told: str) -> dict[str, str]:
    pairs = (line.split(None, 1) for line in told.splitlines())
    names = ("image", "module", "input", "output", "outcome", "gas", "limits", "segments")
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and pair[0] in names}


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
