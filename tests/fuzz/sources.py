"""Where modules come from; number n of a campaign is the same module wherever it is made."""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import wasmtime

from tests.fuzz.programs import WideProgram

ROOT = Path(__file__).parents[2]
# Not the corpus: it grows by the finds of the very campaign that draws from here.
REAL_FOLDERS = ("examples", "benchmarks", "tests/modules", "tests/programs")
REAL_BYTES_MAX = 400_000
CHANGES_MAX = 4


@cache
def real_modules() -> tuple[bytes, ...]:
    """Collect the compiled programs and the assembled sources of this repository."""
    paths = [
        path for folder in REAL_FOLDERS for path in sorted((ROOT / folder).glob("**/*.wa[st]*"))
    ]
    binaries = [path.read_bytes() for path in paths if path.suffix == ".wasm"]
    texts = [path.read_text("utf-8") for path in paths if path.suffix == ".wat"]
    assembled = [bytes(wasmtime.wat2wasm(text)) for text in texts]
    return tuple(m for m in binaries + assembled if len(m) <= REAL_BYTES_MAX)


def program(rng: random.Random) -> bytes:
    """A program of this repository's own generator."""
    return WideProgram(rng.getrandbits(64)).binary()


def smith(rng: random.Random) -> bytes:
    """A module by wasm-smith."""
    import ambientd_fuzz

    return bytes(ambientd_fuzz.generate(rng.randbytes(16)))


def _original(rng: random.Random) -> bytes:
    if rng.random() < 0.4:
        return rng.choice((program, smith))(rng)
    return rng.choice(real_modules())


def mutated(rng: random.Random) -> bytes:
    """A module changed by wasm-mutate, one small step after the other."""
    import ambientd_fuzz

    module = _original(rng)
    for _ in range(rng.randint(1, CHANGES_MAX)):
        module = ambientd_fuzz.mutate(module, rng.getrandbits(64)) or module
    return module


def damaged(rng: random.Random) -> bytes:
    """A module with a few bytes changed: mostly refused, sometimes another valid one."""
    module = bytearray(_original(rng))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        place = rng.randrange(8, len(module))
        match rng.randint(0, 5):
            case 0:
                module[place] = rng.randrange(256)
            case 1 | 2 | 3:  # the neighbour of an opcode is often one of the same type
                module[place] = (module[place] + rng.choice((-2, -1, 1, 2))) % 256
            case 4:
                module[place] ^= 1 << rng.randrange(8)
            case _:
                module[place : place + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 2))
    return bytes(module)


SOURCES: dict[str, tuple[Callable[[random.Random], bytes], int]] = {
    "program": (program, 40),
    "smith": (smith, 30),
    "mutated": (mutated, 20),
    "damaged": (damaged, 10),
}


def numbered(campaign: int, number: int) -> tuple[str, bytes, random.Random]:
    """Make module `number` of a campaign: its source, itself, and what decides its trials."""
    rng = random.Random(f"{campaign}/{number}")
    names = list(SOURCES)
    (name,) = rng.choices(names, [SOURCES[source][1] for source in names])
    return name, SOURCES[name][0](rng), rng
