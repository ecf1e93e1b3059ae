"""Images built and executed beside an engine, and what each of them says."""

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ambientd.adapters.engines import open_engine
from ambientd.model.execution import ExecutionLimits, ExecutionResult
from ambientd.wasm.prepare import Prepared, prepare
from ambientd.worker.execution import execute
from tests.missing import missing

SEED = bytes(32)
GAVE_UP = re.compile(r"the image gave up with code (\d+)")
_TOLD = re.compile(
    r"outcome=(\w+)(?:\(([\w:]+)\))? gas=(\d+) output_bytes=\d+ user_cycles=(\d+) padded_cycles=\d+"
)
Outcome = tuple[str, str, bytes, int]


def program(name: str) -> Path:
    """Find a program that `make verifier` or `make proofs` puts beside this Python."""
    found = Path(os.environ.get("AMBIENT_PROOFS", Path(sys.executable).parent)) / name
    if not found.exists():
        missing(f"{found} is missing: say make verifier")
    return found


class GaveUpError(Exception):
    """The image ended without a statement; has its code."""


@dataclass(frozen=True)
class Executed:
    """What an image came to, and in how many cycles."""

    outcome: Outcome
    cycles: int


def by_image(
    image: bytes, data: bytes, limits: ExecutionLimits, folder: Path, *more: str
) -> Executed:
    """Execute an image; nothing is proven."""
    paths = {name: folder / name for name in ("image.elf", "input", "output")}
    paths["image.elf"].write_bytes(image)
    paths["input"].write_bytes(data)
    given = {
        "--gas": limits.gas_max,
        "--memory": limits.memory_bytes_max,
        "--output-max": limits.output_bytes_max,
        "--input": paths["input"],
        "--output": paths["output"],
        "--cycles-max": 200_000_000,
    }
    command = [str(program("ambient-execute")), "execute", str(paths["image.elf"])]
    done = subprocess.run(
        [*command, *(str(part) for pair in given.items() for part in pair), *more],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    gave_up = GAVE_UP.search(done.stderr)
    if gave_up:
        raise GaveUpError(int(gave_up[1]))
    assert done.returncode == 0, done.stderr
    told = _TOLD.match(done.stdout)
    assert told, done.stdout
    output = paths["output"].read_bytes()
    return Executed((told[1], told[2] or "", output, int(told[3])), int(told[4]))


def by_engine(module: bytes, data: bytes, limits: ExecutionLimits) -> Outcome:
    """Execute a submitted module on wasmtime."""
    prepared = prepare(module)
    assert isinstance(prepared, Prepared), prepared
    compiled = open_engine("wasmtime").compile(prepared.module)
    result = execute(compiled, data, limits, SEED)
    assert isinstance(result, ExecutionResult), result
    return (result.kind.name.lower(), result.reason, result.output, result.gas)


def sha256(data: bytes) -> str:
    """Name bytes as a proof does."""
    return hashlib.sha256(data).hexdigest()
