"""Sound inputs to begin with: what the protocols' vectors hold, and values drawn of a type."""

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from hypothesis import Phase, given, seed, settings

from ambientd.codec.canonical import encode
from tests.model.values import values_of

VECTORS: Final = Path(__file__).parent.parent.parent / "protocols" / "vectors"
DRAWN: Final = 12


def drawn(kind: Any) -> list[bytes]:
    """Give some values of a type in canonical form, the same ones each time."""
    found: list[bytes] = []

    @seed(1)
    @settings(max_examples=DRAWN, database=None, deadline=None, phases=[Phase.generate])
    @given(values_of(kind))
    def draw(value: Any) -> None:
        found.append(encode(value))

    draw()
    return found


def bytes_in(value: Any) -> Iterator[bytes]:
    """Find what is bytes in hexadecimal, anywhere in a vector."""
    match value:
        case dict():
            for each in value.values():
                yield from bytes_in(each)
        case list():
            for each in value:
                yield from bytes_in(each)
        case str() if len(value) >= 16:
            with suppress(ValueError):
                yield bytes.fromhex(value)


@cache
def in_vectors() -> tuple[bytes, ...]:
    """Give all bytes that the protocols' vectors hold, smaller ones first."""
    found: set[bytes] = set()
    for path in sorted(VECTORS.glob("*.json")):
        found |= set(bytes_in(json.loads(path.read_text())))
    return tuple(sorted(found, key=lambda raw: (len(raw), raw)))
