"""All that reads bytes from outside, by name, and sound inputs for each to begin with."""

import random
from functools import cache
from types import MappingProxyType
from typing import Final

from ambientd.codec.canonical import encode
from tests.fuzz import from_files, from_peers, from_streams
from tests.fuzz.drawing import in_vectors
from tests.fuzz.promise import Target, is_refused
from tests.rules import blames

SIZE_BYTES_MAX = 1 << 16
ANY_MAX = 8
"""So many inputs of others each target begins with as well."""

TARGETS: Final[MappingProxyType[str, Target]] = MappingProxyType(
    from_peers.TARGETS | from_streams.TARGETS | from_files.TARGETS
)
_NAMES: Final = sorted(TARGETS)


def examine(data: bytes) -> None:
    """Hold one input against the promises; its first byte chooses who reads the rest."""
    if data:
        is_refused(TARGETS[_NAMES[data[0] % len(_NAMES)]], data[1:])


@cache
def seeds() -> tuple[bytes, ...]:
    """Give inputs for `examine`: for each target all that it takes, and some that others take."""
    raws = [*in_vectors(), *(encode(file) for _, file in blames.scenes())]
    raws = sorted({raw for raw in raws if len(raw) < SIZE_BYTES_MAX})
    found = set[bytes]()
    for name, raw in sound():
        found.add(chosen(name) + raw)
    for number, name in enumerate(_NAMES):
        found |= {chosen(name) + raw for raw in random.Random(number).sample(raws, ANY_MAX)}
    for name, take in (from_peers.TARGETS | from_files.IN_MEMORY).items():
        own = [raw for raw in raws if not is_refused(take, raw)]
        if len(own) < len(raws) // 2:  # else it answers what is wrong, and refuses nothing
            found |= {chosen(name) + raw for raw in own}
    return tuple(sorted(found))


def sound() -> list[tuple[str, bytes]]:
    """Give the inputs of all families that the protocols' vectors do not hold."""
    return [*from_peers.sound(), *from_streams.sound(), *from_files.sound()]


def chosen(name: str) -> bytes:
    """Give the first byte of an input for a target."""
    return bytes([_NAMES.index(name)])
