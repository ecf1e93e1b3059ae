"""Coverage-guided fuzzing of module preparation: `python -m tests.fuzz.decoder --minutes N`.

Whatever the bytes: `prepare` never raises, ends, stays within memory, gives the same twice, refuses
what it prepared itself, and what it prepares is valid exactly if the submitted module is.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

import ambientd_fuzz
import atheris

with atheris.instrument_imports(include=["ambientd.wasm", "ambientd.codec"]):
    from ambientd.wasm.prepare import Prepared, prepare

MEMORY_MIB_MAX = 2048
CALL_S_MAX = 20
MODULE_BYTES_MAX = 4096  # small enough for some hundred calls a second
SEEDS = 400


class BrokenPromiseError(Exception):
    """Preparation did what protocols/04 says it never does."""


def examine(data: bytes) -> None:
    """Hold one input against the promises; raises whatever `prepare` raises."""
    outcome = prepare(data)
    if prepare(data) != outcome:
        raise BrokenPromiseError("the outcome differs the second time")
    if not isinstance(outcome, Prepared):
        return
    if isinstance(prepare(outcome.module), Prepared):
        raise BrokenPromiseError("a prepared module is prepared again")
    submitted, prepared = ambientd_fuzz.invalid(data), ambientd_fuzz.invalid(outcome.module)
    if (submitted is None) != (prepared is None):
        raise BrokenPromiseError(f"validity: submitted {submitted}, prepared {prepared}")


def _mutated(data: bytes, size_max: int, seed: int) -> bytes:
    """Change a module as a module now and then; bytes alone seldom stay one."""
    if seed % 2:
        changed = ambientd_fuzz.mutate(data, seed)
        if changed is not None and len(changed) <= size_max:
            return bytes(changed)
    return bytes(atheris.Mutate(data, size_max))


def _write_seeds(folder: Path) -> None:
    from tests.fuzz.sources import numbered, real_modules

    modules = [*real_modules(), *(numbered(0, number)[1] for number in range(SEEDS))]
    for number, module in enumerate(modules):
        if len(module) <= MODULE_BYTES_MAX:
            (folder / f"{number}").write_bytes(module)


def main() -> None:
    """Fuzz until the time is over; a broken promise ends it with the input in a file."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.decoder")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="ambient-decoder-") as folder:
        _write_seeds(Path(folder))
        options = [
            sys.argv[0], folder, f"-max_total_time={int(arguments.minutes * 60)}",
            f"-seed={arguments.seed}", f"-rss_limit_mb={MEMORY_MIB_MAX}", f"-timeout={CALL_S_MAX}",
            f"-max_len={MODULE_BYTES_MAX}", "-print_final_stats=1",
        ]  # fmt: skip
        atheris.Setup(options, examine, custom_mutator=_mutated)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
