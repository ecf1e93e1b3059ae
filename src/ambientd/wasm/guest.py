"""The module as its host sees it: memory, the gas counter, and the ways a host call ends it.

Every host call goes through these checks: pay, then look at the range, then touch it (protocols/04
§9). An execution ends in a host call by one of three exceptions and by no other.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from ambientd.model.execution import TrapReason
from ambientd.wasm.interface import GAS_EXPORT

# One gas is about a nanosecond; the price of a call is what serving it from Python takes.
CALL_GAS = 10_000
BYTES_PER_GAS = 8

_GAS_MIN = -(1 << 63)
_PIECE_BYTES = 64 << 10  # allocators take as much from what they have, faster than from the system


class Guest(Protocol):
    """The part of an instance that the host touches while serving a call."""

    def memory_bytes(self) -> int:
        """Return the present size of the linear memory."""
        ...

    def read(self, address: int, size_bytes: int) -> bytes:
        """Copy bytes out; the range has been checked."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """Copy bytes in; the range has been checked."""
        ...

    def global_value(self, name: str) -> int:
        """Read an exported integer global."""
        ...

    def set_global(self, name: str, value: int) -> None:
        """Write an exported i64 global."""
        ...


class OutOfGasError(Exception):
    """The execution cannot pay for what it asked of the host."""


class HostTrapError(Exception):
    """A host call ends the execution, on every engine alike."""

    def __init__(self, reason: TrapReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class ExitError(Exception):
    """The program ended itself with an exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


def transfer_gas(size_bytes: int) -> int:
    """Price copying bytes between host and module."""
    return -(-size_bytes // BYTES_PER_GAS)


def charge(guest: Guest, gas: int) -> None:
    """Take gas before the host does the work; raise OutOfGasError when it cannot be paid."""
    left = guest.global_value(GAS_EXPORT) - gas
    # The counter is an i64: an absurd price must not wrap around to a fortune.
    guest.set_global(GAS_EXPORT, max(left, _GAS_MIN))
    if left < 0:
        raise OutOfGasError


def check(guest: Guest, *ranges: tuple[int, int]) -> None:
    """Trap unless every (address, size) lies inside the memory; an empty one may lie at its end."""
    size_bytes_max = guest.memory_bytes()
    if any(address + size_bytes > size_bytes_max for address, size_bytes in ranges):
        raise HostTrapError(TrapReason.HOST_CALL)


def pieces(guest: Guest, address: int, size_bytes: int) -> Iterator[bytes]:
    """Read a range that has been checked, without ever holding a second copy of all of it."""
    end = address + size_bytes
    for start in range(address, end, _PIECE_BYTES):
        yield guest.read(start, min(_PIECE_BYTES, end - start))


def put_numbers(guest: Guest, size_bytes: int, pairs: Iterable[tuple[int, int]]) -> None:
    """Store little-endian numbers at their addresses, which have been checked."""
    for address, value in pairs:
        guest.write(address, value.to_bytes(size_bytes, "little"))
