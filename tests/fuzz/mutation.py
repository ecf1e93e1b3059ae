"""Bytes changed in some places, as a fuzzer does that nothing guides."""

import random

EDGES = (
    b"",
    b"\x00",
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"\x91" * 99,
    b"\x91" * 2_000,
    b"[" * 2_000,
)


def mutated(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Change bytes in one to four places, and now and then go on as other bytes do."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(changed))
        match rng.randrange(6):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                changed[at:at] = rng.choice(EDGES)
            case 3:
                changed[at : at + 4] = rng.choice(EDGES)
            case 4:
                changed[at:] = other[rng.randint(0, len(other)) :]
            case _:
                changed[at:at] = rng.randbytes(rng.randint(1, 64))
    return bytes(changed)
