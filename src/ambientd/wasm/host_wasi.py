"""The deterministic world of a WASI command (protocols/04 §9.2).

Standard input is the task's input, standard output the output, standard error the log; the clock
starts at zero and moves 1 ms a reading, or as far as the program waits; random bytes come from the
task's seed; the only argument is the program's name; there is no environment, no file, no network.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ambientd.codec.digest import tagged
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Value
from ambientd.model.execution import TrapReason
from ambientd.wasm.guest import (
    ExitError,
    Guest,
    HostTrapError,
    charge,
    check,
    pieces,
    put_numbers,
    transfer_gas,
)

# What serving one entry of an array takes, as CALL_GAS for a call.
VECTOR_GAS = 1_000
SUBSCRIPTION_GAS = 4_000
RANDOM_BLOCK_GAS = 1_000

STDIN, STDOUT, STDERR = 0, 1, 2
ARGUMENTS = b"module\0"  # programs may rely on their name being there, and nothing else
VECTORS_MAX = 1024
RANDOM_BLOCK_BYTES = 32
CLOCK_STEP_NS = 1_000_000
CLOCK_NS_MAX = (1 << 63) - 1  # so that programs may read a time as a signed number
CLOCKS = frozenset({0, 1, 2, 3})

SUCCESS = 0
BAD_DESCRIPTOR = 8
INVALID = 28
NOT_SUPPORTED = 58
NOT_SEEKABLE = 70

_RIGHT_READ = 1 << 1
_RIGHT_WRITE = 1 << 6
_RIGHT_STATUS = 1 << 21
_RIGHT_POLL = 1 << 27

_SUBSCRIPTION_BYTES, _EVENT_BYTES = 48, 32
_ON_CLOCK, _ON_READ, _ON_WRITE = 0, 1, 2
_ABSOLUTE = 1
_HANG_UP = 1
_WRITABLE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class _Subscription:
    """One thing that `poll_oneoff` waits for, and when it is ready."""

    user_data: int
    kind: int
    ready_ns: int
    errno: int = SUCCESS
    size_bytes: int = 0
    hang_up: bool = False

    def event(self) -> bytes:
        """Encode the event that tells of it."""
        return (
            self.user_data.to_bytes(8, "little")
            + self.errno.to_bytes(2, "little")
            + self.kind.to_bytes(6, "little")
            + self.size_bytes.to_bytes(8, "little")
            + (_HANG_UP if self.hang_up else 0).to_bytes(8, "little")
        )


def _number(data: bytes, at: int, size_bytes: int) -> int:
    return int.from_bytes(data[at : at + size_bytes], "little")


def _vectors(guest: Guest, address: int, count: int) -> list[tuple[int, int]]:
    """Read an array of (pointer, length), checking and charging all that it names."""
    charge(guest, count * VECTOR_GAS)
    check(guest, (address, 8 * count))
    table = guest.read(address, 8 * count)
    vectors = [(_number(table, at, 4), _number(table, at + 4, 4)) for at in range(0, 8 * count, 8)]
    check(guest, *vectors)
    return vectors


class WorldState(Value, frozen=True):
    """What a paused execution has read, written and seen so far (protocols/08 §4)."""

    input_read_bytes: int
    output: bytes
    log: bytes
    open: tuple[int, ...]  # sorted
    now_ns: int
    random: bytes  # drawn and not yet given
    random_blocks: int


class WasiWorld:
    """What one execution has read, written and seen so far."""

    def __init__(self, data: bytes, seed: bytes, output_bytes_max: int, log_bytes_max: int) -> None:
        self.output = bytearray()
        self.log = bytearray()
        self._input = memoryview(data)
        self._input_bytes = len(data)
        self._seed = seed
        self._output_bytes_max = output_bytes_max
        self._log_bytes_max = log_bytes_max
        self._open = {STDIN, STDOUT, STDERR}
        self._now_ns = 0
        self._random = b""
        self._random_blocks = 0

    def snapshot(self) -> WorldState:
        """Return all that a later call may depend on, besides input, seed and limits."""
        return WorldState(
            input_read_bytes=self._input_bytes - len(self._input),
            output=bytes(self.output),
            log=bytes(self.log),
            open=tuple(sorted(self._open)),
            now_ns=self._now_ns,
            random=self._random,
            random_blocks=self._random_blocks,
        )

    def restore(self, state: WorldState) -> None:
        """Go on from a snapshot, in a fresh world; raise RemoteProtocolError if it cannot be one.

        What it says is taken as it is: a false one gives another root.
        """
        descriptors = {STDIN, STDOUT, STDERR}
        if not (
            0 <= state.input_read_bytes <= self._input_bytes
            and len(state.output) <= self._output_bytes_max
            and len(state.log) <= self._log_bytes_max
            and descriptors.issuperset(state.open)
            and 0 <= state.now_ns <= CLOCK_NS_MAX
            and len(state.random) < RANDOM_BLOCK_BYTES
            and 0 <= state.random_blocks < 1 << 63
        ):
            msg = "the state's streams, clock or random position cannot be those of this task"
            raise RemoteProtocolError(msg)
        self._input = self._input[state.input_read_bytes :]
        self.output[:] = state.output
        self.log[:] = state.log
        self._open = set(state.open)
        self._now_ns = state.now_ns
        self._random, self._random_blocks = state.random, state.random_blocks

    def _fd_read(
        self, guest: Guest, descriptor: int, vectors_at: int, count: int, read_at: int
    ) -> int:
        if descriptor != STDIN or STDIN not in self._open:
            return BAD_DESCRIPTOR
        if count > VECTORS_MAX:
            return INVALID
        check(guest, (read_at, 4))
        vectors = _vectors(guest, vectors_at, count)
        wanted = sum(size_bytes for _, size_bytes in vectors)
        charge(guest, transfer_gas(min(wanted, len(self._input))))
        total = 0
        for start, size_bytes in vectors:
            piece = bytes(self._input[:size_bytes])
            self._input = self._input[size_bytes:]
            if piece:
                guest.write(start, piece)
            total += len(piece)
        put_numbers(guest, 4, [(read_at, total)])
        return SUCCESS

    def _fd_write(
        self, guest: Guest, descriptor: int, vectors_at: int, count: int, written_at: int
    ) -> int:
        if descriptor not in (STDOUT, STDERR) or descriptor not in self._open:
            return BAD_DESCRIPTOR
        if count > VECTORS_MAX:
            return INVALID
        check(guest, (written_at, 4))
        vectors = _vectors(guest, vectors_at, count)
        total = sum(size_bytes for _, size_bytes in vectors)
        if total > 0xFFFFFFFF:
            return INVALID
        charge(guest, transfer_gas(total))
        if descriptor == STDOUT and len(self.output) + total > self._output_bytes_max:
            raise HostTrapError(TrapReason.OUTPUT_TOO_LARGE)
        for start, size_bytes in vectors:
            if descriptor == STDOUT:
                for piece in pieces(guest, start, size_bytes):
                    self.output += piece
            elif kept := min(size_bytes, self._log_bytes_max - len(self.log)):
                # What does not fit is dropped, yet counts as written: a log never ends a program.
                self.log += guest.read(start, kept)
        put_numbers(guest, 4, [(written_at, total)])
        return SUCCESS

    def _clock_time_get(self, guest: Guest, clock: int, _precision: int, time_at: int) -> int:
        if clock not in CLOCKS:
            return INVALID
        check(guest, (time_at, 8))
        put_numbers(guest, 8, [(time_at, self._now_ns)])
        self._now_ns = min(self._now_ns + CLOCK_STEP_NS, CLOCK_NS_MAX)
        return SUCCESS

    def _clock_res_get(self, guest: Guest, clock: int, resolution_at: int) -> int:
        if clock not in CLOCKS:
            return INVALID
        check(guest, (resolution_at, 8))
        put_numbers(guest, 8, [(resolution_at, CLOCK_STEP_NS)])
        return SUCCESS

    def _poll_oneoff(
        self, guest: Guest, subscriptions_at: int, events_at: int, count: int, stored_at: int
    ) -> int:
        """Streams are always ready; when only clocks are waited for, time moves to the first."""
        if not 0 < count <= VECTORS_MAX:
            return INVALID
        charge(guest, count * SUBSCRIPTION_GAS)
        check(
            guest,
            (subscriptions_at, count * _SUBSCRIPTION_BYTES),
            (events_at, count * _EVENT_BYTES),
            (stored_at, 4),
        )
        table = guest.read(subscriptions_at, count * _SUBSCRIPTION_BYTES)
        waiting = []
        for at in range(0, len(table), _SUBSCRIPTION_BYTES):
            subscription = self._subscription(table[at : at + _SUBSCRIPTION_BYTES])
            if subscription is None:
                return INVALID
            waiting.append(subscription)
        self._now_ns = max(self._now_ns, min(entry.ready_ns for entry in waiting))
        events = [entry.event() for entry in waiting if entry.ready_ns <= self._now_ns]
        guest.write(events_at, b"".join(events))
        put_numbers(guest, 4, [(stored_at, len(events))])
        return SUCCESS

    def _subscription(self, entry: bytes) -> _Subscription | None:
        user_data, kind, subject = _number(entry, 0, 8), entry[8], _number(entry, 16, 4)
        if kind == _ON_CLOCK:
            timeout_ns, flags = _number(entry, 24, 8), _number(entry, 40, 2)
            if subject not in CLOCKS:
                return _Subscription(user_data, kind, 0, errno=INVALID)
            ready_ns = timeout_ns if flags & _ABSOLUTE else self._now_ns + timeout_ns
            return _Subscription(user_data, kind, min(ready_ns, CLOCK_NS_MAX))
        if kind not in (_ON_READ, _ON_WRITE):
            return None
        right = {STDIN} if kind == _ON_READ else {STDOUT, STDERR}
        if subject not in right & self._open:
            return _Subscription(user_data, kind, 0, errno=BAD_DESCRIPTOR)
        if kind == _ON_WRITE:
            return _Subscription(user_data, kind, 0, size_bytes=_WRITABLE_BYTES)
        left = len(self._input)
        return _Subscription(user_data, kind, 0, size_bytes=left, hang_up=left == 0)

    def _random_get(self, guest: Guest, address: int, size_bytes: int) -> int:
        check(guest, (address, size_bytes))
        missing = max(0, size_bytes - len(self._random))
        blocks = -(-missing // RANDOM_BLOCK_BYTES)
        charge(guest, transfer_gas(size_bytes) + blocks * RANDOM_BLOCK_GAS)
        end = address + size_bytes
        while address < end:
            if not self._random:
                number = self._random_blocks.to_bytes(8, "big")
                self._random = tagged("ambient/wasi-random/1", self._seed, number)
                self._random_blocks += 1
            piece, self._random = self._random[: end - address], self._random[end - address :]
            guest.write(address, piece)
            address += len(piece)
        return SUCCESS

    def _args_sizes_get(self, guest: Guest, count_at: int, bytes_at: int) -> int:
        check(guest, (count_at, 4), (bytes_at, 4))
        put_numbers(guest, 4, [(count_at, 1), (bytes_at, len(ARGUMENTS))])
        return SUCCESS

    def _args_get(self, guest: Guest, pointers_at: int, bytes_at: int) -> int:
        check(guest, (pointers_at, 4), (bytes_at, len(ARGUMENTS)))
        put_numbers(guest, 4, [(pointers_at, bytes_at)])
        guest.write(bytes_at, ARGUMENTS)
        return SUCCESS

    def _environ_sizes_get(self, guest: Guest, count_at: int, bytes_at: int) -> int:
        check(guest, (count_at, 4), (bytes_at, 4))
        put_numbers(guest, 4, [(count_at, 0), (bytes_at, 0)])
        return SUCCESS

    def _environ_get(self, _guest: Guest, _pointers_at: int, _bytes_at: int) -> int:
        return SUCCESS

    def _fd_fdstat_get(self, guest: Guest, descriptor: int, status_at: int) -> int:
        """Answer as for a pipe: a terminal would make programs flush, and pay, every line."""
        if descriptor not in self._open:
            return BAD_DESCRIPTOR
        check(guest, (status_at, 24))
        direction = _RIGHT_READ if descriptor == STDIN else _RIGHT_WRITE
        rights = direction | _RIGHT_STATUS | _RIGHT_POLL
        guest.write(status_at, bytes(8) + rights.to_bytes(8, "little") + bytes(8))
        return SUCCESS

    def _fd_fdstat_set_flags(self, _guest: Guest, descriptor: int, _flags: int) -> int:
        return NOT_SUPPORTED if descriptor in self._open else BAD_DESCRIPTOR

    def _fd_filestat_get(self, guest: Guest, descriptor: int, status_at: int) -> int:
        if descriptor not in self._open:
            return BAD_DESCRIPTOR
        check(guest, (status_at, 64))
        guest.write(status_at, bytes(64))
        return SUCCESS

    def _fd_close(self, _guest: Guest, descriptor: int) -> int:
        if descriptor not in self._open:
            return BAD_DESCRIPTOR
        self._open.remove(descriptor)
        return SUCCESS

    def _not_seekable(self, _guest: Guest, descriptor: int, *_: int) -> int:
        return NOT_SEEKABLE if descriptor in self._open else BAD_DESCRIPTOR

    def _proc_exit(self, _guest: Guest, code: int) -> int:
        raise ExitError(code)

    def _sched_yield(self, _guest: Guest) -> int:
        return SUCCESS


WASI_SERVED: dict[str, Callable[..., int]] = {
    "args_get": WasiWorld._args_get,
    "args_sizes_get": WasiWorld._args_sizes_get,
    "clock_res_get": WasiWorld._clock_res_get,
    "clock_time_get": WasiWorld._clock_time_get,
    "environ_get": WasiWorld._environ_get,
    "environ_sizes_get": WasiWorld._environ_sizes_get,
    "fd_close": WasiWorld._fd_close,
    "fd_fdstat_get": WasiWorld._fd_fdstat_get,
    "fd_fdstat_set_flags": WasiWorld._fd_fdstat_set_flags,
    "fd_filestat_get": WasiWorld._fd_filestat_get,
    "fd_read": WasiWorld._fd_read,
    "fd_seek": WasiWorld._not_seekable,
    "fd_tell": WasiWorld._not_seekable,
    "fd_write": WasiWorld._fd_write,
    "poll_oneoff": WasiWorld._poll_oneoff,
    "proc_exit": WasiWorld._proc_exit,
    "random_get": WasiWorld._random_get,
    "sched_yield": WasiWorld._sched_yield,
}
