"""The program that verifies validity proofs (protocols/18): where it is, and what it says."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import trio

from ambientd.errors import UsageError
from ambientd.model.base import Digest

VERIFIER = "ambient-verify"
FIELDS = ("image", "module", "input", "output", "outcome", "gas", "limits", "segments")
STEP_FIELDS = ("image", "start", "until", "end", "output", "outcome", "gas", "segments")
_NOT_VERIFIED = 4
_REFUSED = "not verified:"


class NoVerifierError(UsageError):
    """The program is not there, or does not work here: nothing is said of any proof."""


class Told(NamedTuple):
    """What the program found; `text` is for people, `fields` what a proof that holds is about."""

    valid: bool
    text: str
    fields: dict[str, str]


def ask_verifier(command: Sequence[str], wait_s: float, folder: Path | None = None) -> Told:
    """Run the program; raise UsageError where it says nothing of a proof.

    Raises:
        NoVerifierError: it does not work here, or is no verifier of this version.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=wait_s,
            errors="replace",
            cwd=folder,
            env={},  # a daemon's may hold keys, which are nothing to who reads strangers' files
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        msg = f"{command[0]} does not work: {problem}. Build it with `make verifier`."
        raise NoVerifierError(msg) from problem
    if done.returncode not in (0, _NOT_VERIFIED):
        raise UsageError(done.stderr.strip() or f"{command[0]} ended with {done.returncode}")
    valid = done.returncode == 0
    fields = _fields(done.stdout)
    if (
        tuple(fields) not in (FIELDS, STEP_FIELDS)
        if valid
        else not done.stderr.startswith(_REFUSED)
    ):
        msg = f"{command[0]} says nothing of a proof: it is no {VERIFIER}, or of another version"
        raise NoVerifierError(msg)
    return Told(valid, done.stdout if valid else done.stderr, fields)


def find_verifier(stated: str | None = None) -> str:
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
        raise NoVerifierError(msg)
    return found


def _fields(told: str) -> dict[str, str]:
    known = {*FIELDS, *STEP_FIELDS}
    pairs = (line.split(None, 1) for line in told.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and pair[0] in known}


class VerifierProgram:
    """Verifies proofs for the daemon, in a process of the program."""

    def __init__(self, program: str, wait_s: float = 60.0) -> None:
        self._program = program
        self._wait_s = wait_s

    async def holds(self, proof: bytes, image: Digest) -> bool | None:
        """Tell whether the seals of a proof of this image hold; None where that did not work."""
        try:
            return await trio.to_thread.run_sync(self._ask, proof, image)
        except (UsageError, OSError):  # a full disk, too, says nothing of a proof
            return None

    def _ask(self, proof: bytes, image: Digest) -> bool:
        with TemporaryDirectory(prefix="ambient-proof-") as name:
            folder = Path(name)
            (folder / "proof").write_bytes(proof)
            command = [self._program, "proof", "--image", image.hex()]
            return ask_verifier(command, self._wait_s, folder).valid


def image_id(program: str, image: Path) -> str:
    """Give the id of an image; raise UsageError where it is none, or the program does not work."""
    try:
        done = subprocess.run(
            [program, "image", str(image)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            errors="replace",
            env={},
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        msg = f"{program} does not work: {problem}. Build it with `make verifier`."
        raise UsageError(msg) from problem
    if done.returncode != 0:
        raise UsageError(done.stderr.strip() or f"{program} ended with {done.returncode}")
    return done.stdout.strip()
