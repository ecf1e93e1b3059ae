"""Whatever a module asks of its host: three ways to end, gas never negative, work never unpaid."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.model.execution import TrapReason
from ambientd.wasm.guest import CALL_GAS, ExitError, HostTrapError, OutOfGasError
from ambientd.wasm.host import Host
from ambientd.wasm.imports import HOST_FUNCTIONS, WASI_FUNCTIONS
from ambientd.wasm.interface import GAS_EXPORT

MEMORY_BYTES = 1 << 16
GAS = 50_000_000
OUTPUT_BYTES_MAX, LOG_BYTES_MAX = 5_000, 1_000
ERRNOS = {0, 8, 28, 52, 58, 70, 76}
MIB = 1 << 20


class Watched:
    """A guest that fails the test at an access out of bounds, and counts the bytes moved."""

    def __init__(self, size_bytes: int = MEMORY_BYTES, gas: int = GAS) -> None:
        self.data = bytearray(size_bytes)
        self.gas = gas
        self.moved = 0

    def memory_bytes(self) -> int:
        return len(self.data)

    def read(self, address: int, size_bytes: int) -> bytes:
        assert self.gas >= 0
        assert 0 <= address <= address + size_bytes <= len(self.data)
        self.moved += size_bytes
        return bytes(self.data[address : address + size_bytes])

    def write(self, address: int, data: bytes) -> None:
        assert self.gas >= 0
        assert 0 <= address <= address + len(data) <= len(self.data)
        self.moved += len(data)
        self.data[address : address + len(data)] = data

    def global_value(self, name: str) -> int:
        assert name == GAS_EXPORT
        return self.gas

    def set_global(self, name: str, value: int) -> None:
        assert name == GAS_EXPORT
        assert -(1 << 63) <= value < 1 << 63
        self.gas = value


def host_of(guest: Watched, data: bytes = b"some input\n") -> Host:
    host = Host(data, bytes(32), OUTPUT_BYTES_MAX, LOG_BYTES_MAX)
    host.guest = guest
    return host


@dataclass(frozen=True)
class Pointer:
    """A function with good arguments, one of which is a pointer to this many bytes."""

    name: str
    arguments: tuple[int, ...]
    at: int
    size_bytes: int

    def call(self, host: Host, address: int) -> int | None:
        arguments = list(self.arguments)
        arguments[self.at] = address if address < 1 << 31 else address - (1 << 32)
        return host.call(self.name, *arguments)


POINTERS = [
    Pointer("args_sizes_get", (0, 8), 0, 4),
    Pointer("args_sizes_get", (0, 8), 1, 4),
    Pointer("args_get", (0, 8), 0, 4),
    Pointer("args_get", (0, 8), 1, 7),
    Pointer("environ_sizes_get", (0, 8), 0, 4),
    Pointer("environ_sizes_get", (0, 8), 1, 4),
    Pointer("clock_res_get", (0, 0), 1, 8),
    Pointer("clock_time_get", (0, 0, 0), 2, 8),
    Pointer("fd_fdstat_get", (0, 0), 1, 24),
    Pointer("fd_filestat_get", (0, 0), 1, 64),
    Pointer("fd_read", (0, 0, 2, 99), 1, 16),
    Pointer("fd_read", (0, 0, 0, 99), 1, 0),
    Pointer("fd_read", (0, 0, 2, 99), 3, 4),
    Pointer("fd_write", (1, 0, 2, 99), 1, 16),
    Pointer("fd_write", (2, 0, 0, 99), 1, 0),
    Pointer("fd_write", (1, 0, 2, 99), 3, 4),
    Pointer("poll_oneoff", (0, 200, 2, 99), 0, 96),
    Pointer("poll_oneoff", (0, 200, 2, 99), 1, 64),
    Pointer("poll_oneoff", (0, 200, 2, 99), 3, 4),
    Pointer("random_get", (0, 33), 0, 33),
    Pointer("random_get", (0, 0), 0, 0),
    Pointer("sha256", (0, 77, 99), 0, 77),
    Pointer("sha256", (0, 0, 99), 0, 0),
    Pointer("sha256", (0, 77, 99), 2, 32),
    Pointer("blake2b_256", (0, 77, 99), 0, 77),
    Pointer("blake2b_256", (0, 77, 99), 2, 32),
    Pointer("ed25519_verify", (0, 0, 5, 0), 0, 32),
    Pointer("ed25519_verify", (0, 0, 5, 0), 1, 5),
    Pointer("ed25519_verify", (0, 0, 0, 0), 1, 0),
    Pointer("ed25519_verify", (0, 0, 5, 0), 3, 64),
]
_NO_POINTERS = {
    "environ_get",
    "fd_close",
    "fd_fdstat_set_flags",
    "fd_seek",
    "fd_tell",
    "proc_exit",
    "sched_yield",
}


def test_every_served_function_with_a_pointer_is_in_the_table() -> None:
    served = {name for name, function in HOST_FUNCTIONS.items() if function.always is None}
    assert {pointer.name for pointer in POINTERS} == served - _NO_POINTERS


@pytest.mark.parametrize("pointer", POINTERS, ids=lambda p: f"{p.name}-{p.at}-{p.size_bytes}")
def test_a_range_may_end_where_the_memory_does_and_not_a_byte_later(pointer: Pointer) -> None:
    last = MEMORY_BYTES - pointer.size_bytes
    assert pointer.call(host_of(Watched()), last) in {None, 0}
    for address in (last + 1, MEMORY_BYTES + 1, 1 << 31, (1 << 32) - 1):
        guest = Watched()
        before = bytes(guest.data)
        with pytest.raises(HostTrapError) as caught:
            pointer.call(host_of(guest), address)
        assert caught.value.reason is TrapReason.HOST_CALL
        assert bytes(guest.data) == before
        assert guest.gas >= 0


LENGTHS = [
    ("fd_read", (0, 0, -1, 99), 28),
    ("fd_write", (1, 0, 1025, 99), 28),
    ("poll_oneoff", (0, 0, -1, 99), 28),
    ("poll_oneoff", (0, 0, 0, 99), 28),
    ("random_get", (0, -1), TrapReason.HOST_CALL),
    ("sha256", (1, -1, 99), TrapReason.HOST_CALL),
    ("blake2b_256", (0, MEMORY_BYTES + 1, 0), TrapReason.HOST_CALL),
    ("ed25519_verify", (0, 0, -1, 0), TrapReason.HOST_CALL),
]


@pytest.mark.parametrize(("name", "arguments", "answer"), LENGTHS)
def test_a_length_beyond_reason_costs_a_call_and_moves_nothing(
    name: str, arguments: tuple[int, ...], answer: int | TrapReason
) -> None:
    guest = Watched()
    host = host_of(guest)
    if isinstance(answer, TrapReason):
        with pytest.raises(HostTrapError) as caught:
            host.call(name, *arguments)
        assert caught.value.reason is answer
    else:
        assert host.call(name, *arguments) == answer
    assert (guest.gas, guest.moved) == (GAS - CALL_GAS, 0)


def test_a_message_longer_than_a_mib_is_for_hashing_first() -> None:
    guest = Watched(2 * MIB)
    assert host_of(guest).call("ed25519_verify", 0, 0, MIB, 0) == 0
    with pytest.raises(HostTrapError):
        host_of(guest).call("ed25519_verify", 0, 0, MIB + 1, 0)


EDGES = [0, 1, 2, 3, 4, 7, 8, 32, 64, 100, 1024, 1025, MEMORY_BYTES - 64, MEMORY_BYTES - 8]
EDGES += [MEMORY_BYTES - 1, MEMORY_BYTES, MEMORY_BYTES + 1, (1 << 31) - 1, -(1 << 31), -8, -1]


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, tuple[int, ...]]:
    name = draw(st.sampled_from(sorted(HOST_FUNCTIONS)))
    number = {
        "i": st.sampled_from(EDGES) | st.integers(-(1 << 31), (1 << 31) - 1),
        "l": st.sampled_from(EDGES) | st.integers(-(1 << 63), (1 << 63) - 1),
    }
    return name, tuple(draw(number[kind]) for kind in HOST_FUNCTIONS[name].params)


@given(
    st.lists(calls(), min_size=1, max_size=8),
    st.binary(max_size=300),
    st.integers(0, 3_000_000),
    st.binary(max_size=64),
)
def test_no_calls_whatever_break_the_host(
    asked: list[tuple[str, tuple[int, ...]]], content: bytes, gas: int, data: bytes
) -> None:
    guest = Watched(gas=gas)
    guest.data[: len(content)] = content
    guest.data[-len(content) - 64 : -64] = content
    host = host_of(guest, data)
    for name, arguments in asked:
        before, guest.moved = guest.gas, 0
        try:
            answer = host.call(name, *arguments)
        except OutOfGasError:
            assert guest.gas < 0
            return
        except (HostTrapError, ExitError):
            assert guest.gas >= 0
            return
        finally:
            paid = before - guest.gas
            assert paid >= CALL_GAS
            # What is moved without a price of its own is small for every call.
            assert guest.moved <= 8 * paid
            assert len(host.output) <= OUTPUT_BYTES_MAX
            assert len(host.log) <= LOG_BYTES_MAX
        assert guest.gas >= 0
        if name in WASI_FUNCTIONS:
            assert answer in ERRNOS
        elif name == "ed25519_verify":
            assert answer in {0, 1}
        else:
            assert answer is None


@given(st.data())
def test_the_same_calls_give_the_same_world(data: st.DataObject) -> None:
    asked = data.draw(st.lists(calls(), max_size=6))
    ends = []
    for _ in range(2):
        guest = Watched(gas=3_000_000)
        host = host_of(guest)
        answers: list[object] = []
        try:
            answers.extend(host.call(name, *arguments) for name, arguments in asked)
        except (OutOfGasError, HostTrapError, ExitError) as end:
            answers.append(repr(end))
        ends.append((answers, guest.gas, bytes(guest.data), host.output, host.log))
    assert ends[0] == ends[1]
