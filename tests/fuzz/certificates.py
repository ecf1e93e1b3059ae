"""Coverage-guided fuzzing of blame certificates: `python -m tests.fuzz.certificates --minutes N`.

Whatever the bytes: the check never raises, ends, stays within memory, and lets nothing pass under
the cluster of the seeds but the seeds themselves.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris
import msgspec

INSTRUMENTED = ["ambientd.rules", "ambientd.codec", "ambientd.wasm.state"]

with atheris.instrument_imports(include=INSTRUMENTED):
    from ambientd.codec.canonical import encode
    from ambientd.node.stops import culprit_of, follow_epochs
    from ambientd.rules.blame_check import check_blame_file
    from tests.rules import blames

MEMORY_MIB_MAX = 2048
CALL_S_MAX = 20
SIZE_BYTES_MAX = 1 << 17
SEEDS = {encode(file) for _, file in blames.scenes()}  # what holds, and what was made to fail


class BrokenPromiseError(Exception):
    """A certificate passed that nobody signed."""


def examine(data: bytes) -> None:
    """Hold one input against the promises; raises whatever the check raises."""
    report = check_blame_file(
        data, pinned=blames.CLUSTER.id, follow=follow_epochs, judge=culprit_of
    )
    if report.valid and data not in SEEDS:
        raise BrokenPromiseError([check.detail for check in report.checks])


def _mutated(data: bytes, size_max: int, seed: int) -> bytes:
    """Change a certificate as one now and then; bytes alone seldom stay one."""
    chance = random.Random(seed)
    if seed % 2:
        try:
            return msgspec.msgpack.encode(_bent(msgspec.msgpack.decode(data), chance))[:size_max]
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
            pass
    return bytes(atheris.Mutate(data, size_max))


def _bent(value: Any, chance: random.Random) -> Any:
    """Change one place of a plain value, somewhere."""
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [_bent(each, chance) if n == place else each for n, each in enumerate(value)]
    match value:
        case list():
            return value[:-1] if chance.random() < 0.5 else [*value, *value[-1:]]
        case bytes():
            return value[: chance.randrange(len(value) + 1)] + chance.randbytes(chance.randrange(3))
        case int():
            return chance.choice((0, -1, value + 1, value - 1, 1 << 63, -value))
        case _:
            return chance.choice((None, b"", "", 0, []))


def main() -> None:
    """Fuzz until the time is over; a broken promise ends it with the input in a file."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.certificates")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ambient-certificates-") as folder:
        for number, data in enumerate(sorted(SEEDS)):
            (Path(folder) / f"{number}").write_bytes(data)
        options = [
            sys.argv[0], folder, f"-max_total_time={int(arguments.minutes * 60)}",
            f"-seed={arguments.seed}", f"-rss_limit_mb={MEMORY_MIB_MAX}", f"-timeout={CALL_S_MAX}",
            f"-max_len={SIZE_BYTES_MAX}", "-print_final_stats=1",
        ]  # fmt: skip
        atheris.Setup(options, examine, custom_mutator=_mutated)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
