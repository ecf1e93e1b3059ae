"""What every reader of bytes promises, as a fuzzer holds it against them."""

from collections.abc import Callable
from typing import TypeAlias

from ambientd.errors import AmbientError, LocalProtocolError

Target: TypeAlias = Callable[[bytes], object]
"""Reads bytes; whatever it raises but a REFUSAL is a find."""


class BrokenPromiseError(Exception):
    """A reader took what is not the one form of what it gave, or said two things of one input."""


def same(data: bytes, again: bytes) -> None:
    """Hold what was read against what is written of it."""
    if again != data:
        raise BrokenPromiseError(f"{data.hex()} was taken for {again.hex()}")


def is_refused(take: Target, data: bytes) -> bool:
    """Tell whether a reader refuses bytes, as the fault of whoever gave them."""
    try:
        take(data)
    except LocalProtocolError:
        raise
    except AmbientError:
        return True
    return False
