"""What a running module can ask of its host: the WASI subset, once for every engine (protocols/04).

A deterministic world: standard input is the task's input, standard output the output, standard
error the log; the clock advances 1 ms a reading from zero; random bytes come from the task's seed;
there are no arguments, no environment, no files and no network.
"""

from collections.abc import Callable
from typing import Protocol

from ambientd.codec.digest import tagged
from ambientd.model.execution import TrapReason
from ambientd.wasm.imports import WASI_FUNCTIONS
from ambientd.wasm.interface import GAS_EXPORT

# One gas is about a nanosecond; the price of a call is what serving it from Python takes.
CALL_GAS = 10_000
VECTOR_GAS = 1_000
RANDOM_BLOCK_GAS = 1_000
BYTES_PER_GAS = 8

STDIN, STDOUT, STDERR = 0, 1, 2
RANDOM_BLOCK_BYTES = 32
CLOCK_STEP_NS = 1_000_000
CLOCKS = frozenset({0, 1, 2, 3})

SUCCESS = 0
BAD_DESCRIPTOR = 8
INVALID = 28
NOT_IMPLEMENTED = 52
NOT_SUPPORTED = 58
NOT_SEEKABLE = 70

_CHARACTER_DEVICE = 2
_RIGHT_READ = 1 << 1
_RIGHT_WRITE = 1 << 6


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
    guest.set_global(GAS_EXPORT, max(left, -(1 << 63)))
    if left < 0:
        raise OutOfGasError


class WasiHost:
    """Serves the imports of one execution; `guest` is set once the instance exists."""

    def __init__(self, data: bytes, seed: bytes, output_bytes_max: int, log_bytes_max: int) -> None:
        self.guest: Guest
        self.output = bytearray()
        self.log = bytearray()
        self._input = memoryview(data)
        self._seed = seed
        self._output_bytes_max = output_bytes_max
        self._log_bytes_max = log_bytes_max
        self._open = {STDIN, STDOUT, STDERR}
        self._clock_readings = 0
        self._random = b""
        self._random_blocks = 0

    def call(self, name: str, *arguments: int) -> int | None:
        """Serve one import; every pointer is checked, every call is paid first."""
        function = WASI_FUNCTIONS[name]
        charge(self.guest, CALL_GAS)
        if function.always is not None:
            return function.always.value
        masks = (0xFFFFFFFF if kind == "i" else (1 << 64) - 1 for kind in function.params)
        return _SERVED[name](self, *(a & mask for a, mask in zip(arguments, masks, strict=True)))

    def _check(self, address: int, size_bytes: int) -> None:
        if address + size_bytes > self.guest.memory_bytes():
            raise HostTrapError(TrapReason.HOST_CALL)

    def _put(self, address: int, data: bytes) -> None:
        self._check(address, len(data))
        self.guest.write(address, data)

    def _put_numbers(self, size_bytes: int, *pairs: tuple[int, int]) -> int:
        """Store little-endian numbers; all ranges are checked before the first store."""
        for address, _ in pairs:
            self._check(address, size_bytes)
        for address, value in pairs:
            self.guest.write(address, value.to_bytes(size_bytes, "little"))
        return SUCCESS

    def _vectors(self, address: int, count: int) -> list[tuple[int, int]]:
        """Read an array of (pointer, length), checking and charging all that it names."""
        charge(self.guest, count * VECTOR_GAS)
        self._check(address, 8 * count)
        table = self.guest.read(address, 8 * count)
        vectors = [
            (
                int.from_bytes(table[at : at + 4], "little"),
                int.from_bytes(table[at + 4 : at + 8], "little"),
            )
            for at in range(0, len(table), 8)
        ]
        for start, size_bytes in vectors:
            self._check(start, size_bytes)
        return vectors

    def _fd_read(self, descriptor: int, vectors_at: int, count: int, read_at: int) -> int:
        if descriptor != STDIN or STDIN not in self._open:
            return BAD_DESCRIPTOR
        self._check(read_at, 4)
        vectors = self._vectors(vectors_at, count)
        wanted = sum(size_bytes for _, size_bytes in vectors)
        charge(self.guest, transfer_gas(min(wanted, len(self._input))))
        total = 0
        for start, size_bytes in vectors:
            piece = bytes(self._input[:size_bytes])
            self._input = self._input[size_bytes:]
            if piece:
                self.guest.write(start, piece)
            total += len(piece)
        return self._put_numbers(4, (read_at, total))

    def _fd_write(self, descriptor: int, vectors_at: int, count: int, written_at: int) -> int:
        if descriptor not in (STDOUT, STDERR) or descriptor not in self._open:
            return BAD_DESCRIPTOR
        self._check(written_at, 4)
        vectors = self._vectors(vectors_at, count)
        total = sum(size_bytes for _, size_bytes in vectors)
        if total > 0xFFFFFFFF:
            return INVALID
        charge(self.guest, transfer_gas(total))
        if descriptor == STDOUT and len(self.output) + total > self._output_bytes_max:
            raise HostTrapError(TrapReason.OUTPUT_TOO_LARGE)
        for start, size_bytes in vectors:
            if descriptor == STDOUT:
                self.output += self.guest.read(start, size_bytes)
            elif kept := min(size_bytes, self._log_bytes_max - len(self.log)):
                # What does not fit is dropped, yet counts as written: a log never ends a program.
                self.log += self.guest.read(start, kept)
        return self._put_numbers(4, (written_at, total))

    def _clock_time_get(self, clock: int, _precision: int, time_at: int) -> int:
        if clock not in CLOCKS:
            return INVALID
        now_ns = self._clock_readings * CLOCK_STEP_NS
        self._clock_readings += 1
        return self._put_numbers(8, (time_at, now_ns))

    def _clock_res_get(self, clock: int, resolution_at: int) -> int:
        if clock not in CLOCKS:
            return INVALID
        return self._put_numbers(8, (resolution_at, CLOCK_STEP_NS))

    def _random_get(self, address: int, size_bytes: int) -> int:
        self._check(address, size_bytes)
        missing = max(0, size_bytes - len(self._random))
        blocks = -(-missing // RANDOM_BLOCK_BYTES)
        charge(self.guest, transfer_gas(size_bytes) + blocks * RANDOM_BLOCK_GAS)
        end = address + size_bytes
        while address < end:
            if not self._random:
                number = self._random_blocks.to_bytes(8, "big")
                self._random = tagged("ambient/wasi-random/1", self._seed, number)
                self._random_blocks += 1
            piece, self._random = self._random[: end - address], self._random[end - address :]
            self.guest.write(address, piece)
            address += len(piece)
        return SUCCESS

    def _sizes_get(self, count_at: int, bytes_at: int) -> int:
        return self._put_numbers(4, (count_at, 0), (bytes_at, 0))

    def _strings_get(self, _pointers_at: int, _bytes_at: int) -> int:
        return SUCCESS

    def _fd_fdstat_get(self, descriptor: int, status_at: int) -> int:
        if descriptor not in self._open:
            return BAD_DESCRIPTOR
        rights = _RIGHT_READ if descriptor == STDIN else _RIGHT_WRITE
        status = bytes([_CHARACTER_DEVICE]) + bytes(7) + rights.to_bytes(8, "little") + bytes(8)
        self._put(status_at, status)
        return SUCCESS

    def _fd_fdstat_set_flags(self, descriptor: int, _flags: int) -> int:
        return NOT_SUPPORTED if descriptor in self._open else BAD_DESCRIPTOR

    def _fd_filestat_get(self, descriptor: int, status_at: int) -> int:
        if descriptor not in self._open:
            return BAD_DESCRIPTOR
        self._put(status_at, bytes(16) + bytes([_CHARACTER_DEVICE]) + bytes(47))
        return SUCCESS

    def _fd_close(self, descriptor: int) -> int:
        if descriptor not in self._open:
            return BAD_DESCRIPTOR
        self._open.remove(descriptor)
        return SUCCESS

    def _not_seekable(self, descriptor: int, *_: int) -> int:
        return NOT_SEEKABLE if descriptor in self._open else BAD_DESCRIPTOR

    def _proc_exit(self, code: int) -> int:
        raise ExitError(code)

    def _sched_yield(self) -> int:
        return SUCCESS

    def _refuse(self, *_: int) -> int:
        return NOT_IMPLEMENTED


_SERVED: dict[str, Callable[..., int]] = {
    "args_get": WasiHost._strings_get,
    "args_sizes_get": WasiHost._sizes_get,
    "clock_res_get": WasiHost._clock_res_get,
    "clock_time_get": WasiHost._clock_time_get,
    "environ_get": WasiHost._strings_get,
    "environ_sizes_get": WasiHost._sizes_get,
    "fd_close": WasiHost._fd_close,
    "fd_fdstat_get": WasiHost._fd_fdstat_get,
    "fd_fdstat_set_flags": WasiHost._fd_fdstat_set_flags,
    "fd_filestat_get": WasiHost._fd_filestat_get,
    "fd_read": WasiHost._fd_read,
    "fd_seek": WasiHost._not_seekable,
    "fd_tell": WasiHost._not_seekable,
    "fd_write": WasiHost._fd_write,
    "poll_oneoff": WasiHost._refuse,
    "proc_exit": WasiHost._proc_exit,
    "random_get": WasiHost._random_get,
    "sched_yield": WasiHost._sched_yield,
}
