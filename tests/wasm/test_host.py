"""The WASI subset: one deterministic world, every pointer checked, every call paid."""

import hashlib

import pytest

from ambientd.model.execution import TrapReason
from ambientd.wasm.guest import (
    CALL_GAS,
    ExitError,
    HostTrapError,
    OutOfGasError,
    charge,
    transfer_gas,
)
from ambientd.wasm.host import Host
from ambientd.wasm.host_crypto import CRYPTO_SERVED, HASH_GAS_PER_BYTE
from ambientd.wasm.host_wasi import (
    RANDOM_BLOCK_GAS,
    SUBSCRIPTION_GAS,
    VECTOR_GAS,
    WASI_SERVED,
)
from ambientd.wasm.imports import HOST_FUNCTIONS, WASI_FUNCTIONS
from ambientd.wasm.interface import GAS_EXPORT

BADF, INVAL, NOSYS, NOTSUP, SPIPE, NOTCAPABLE = 8, 28, 52, 58, 70, 76
MEMORY_BYTES = 1 << 16
GAS = 1 << 40


class Memory:
    """A guest with one page and a gas counter."""

    def __init__(self, gas: int = GAS) -> None:
        self.data = bytearray(MEMORY_BYTES)
        self.gas = gas

    def memory_bytes(self) -> int:
        return len(self.data)

    def read(self, address: int, size_bytes: int) -> bytes:
        assert 0 <= address <= address + size_bytes <= len(self.data)
        return bytes(self.data[address : address + size_bytes])

    def write(self, address: int, data: bytes) -> None:
        assert 0 <= address <= address + len(data) <= len(self.data)
        self.data[address : address + len(data)] = data

    def global_value(self, name: str) -> int:
        assert name == GAS_EXPORT
        return self.gas

    def set_global(self, name: str, value: int) -> None:
        assert name == GAS_EXPORT
        self.gas = value

    def number(self, address: int, size_bytes: int = 4) -> int:
        return int.from_bytes(self.read(address, size_bytes), "little")


def host(
    data: bytes = b"", *, gas: int = GAS, output_max: int = 1000, log_max: int = 10
) -> tuple[Host, Memory]:
    wasi = Host(data, bytes(32), output_max, log_max)
    memory = Memory(gas)
    wasi.guest = memory
    return wasi, memory


def vectors(memory: Memory, at: int, *entries: tuple[int, int]) -> None:
    for index, (address, size_bytes) in enumerate(entries):
        memory.write(
            at + 8 * index, address.to_bytes(4, "little") + size_bytes.to_bytes(4, "little")
        )


def test_every_importable_function_is_served_or_answers_always_the_same() -> None:
    served = {name for name, function in HOST_FUNCTIONS.items() if function.always is None}
    assert set(WASI_SERVED) | set(CRYPTO_SERVED) == served
    assert not set(WASI_SERVED) & set(CRYPTO_SERVED)


@pytest.mark.parametrize(
    "name", sorted(name for name, f in WASI_FUNCTIONS.items() if f.always is not None)
)
def test_what_there_is_not_fails_alike_whatever_it_is_given(name: str) -> None:
    wasi, memory = host()
    function = WASI_FUNCTIONS[name]
    assert function.always is not None
    assert wasi.call(name, *([-1] * len(function.params))) == function.always.value
    assert memory.gas == GAS - CALL_GAS


def test_reading_fills_the_vectors_in_order_until_the_input_ends() -> None:
    wasi, memory = host(b"hello world")
    vectors(memory, 0, (100, 4), (200, 4))
    assert wasi.call("fd_read", 0, 0, 2, 50) == 0
    assert (memory.read(100, 4), memory.read(200, 4)) == (b"hell", b"o wo")
    assert memory.number(50) == 8
    assert wasi.call("fd_read", 0, 0, 2, 50) == 0
    assert memory.number(50) == 3
    assert wasi.call("fd_read", 0, 0, 2, 50) == 0
    assert memory.number(50) == 0


@pytest.mark.parametrize("descriptor", [1, 2, 3, -1])
def test_only_standard_input_can_be_read(descriptor: int) -> None:
    assert host()[0].call("fd_read", descriptor, 0, 0, 50) == BADF


def test_standard_output_is_the_output_and_standard_error_the_log() -> None:
    wasi, memory = host()
    memory.write(100, b"answer, reason")
    vectors(memory, 0, (100, 6), (106, 0))
    assert wasi.call("fd_write", 1, 0, 2, 50) == 0
    assert memory.number(50) == 6
    vectors(memory, 0, (108, 6))
    assert wasi.call("fd_write", 2, 0, 1, 50) == 0
    assert (bytes(wasi.output), bytes(wasi.log)) == (b"answer", b"reason")
    assert wasi.call("fd_write", 0, 0, 1, 50) == BADF


def test_a_log_that_is_full_drops_the_rest_and_lets_the_program_go_on() -> None:
    wasi, memory = host(log_max=4)
    memory.write(100, b"abcdef")
    vectors(memory, 0, (100, 3), (103, 3))
    for _ in range(2):
        assert wasi.call("fd_write", 2, 0, 2, 50) == 0
        assert memory.number(50) == 6
    assert bytes(wasi.log) == b"abcd"


def test_output_beyond_the_limit_ends_the_execution() -> None:
    wasi, memory = host(output_max=5)
    vectors(memory, 0, (100, 5))
    assert wasi.call("fd_write", 1, 0, 1, 50) == 0
    vectors(memory, 0, (100, 1))
    with pytest.raises(HostTrapError) as caught:
        wasi.call("fd_write", 1, 0, 1, 50)
    assert caught.value.reason is TrapReason.OUTPUT_TOO_LARGE


def test_the_clock_advances_a_millisecond_a_reading_from_zero() -> None:
    wasi, memory = host()
    for reading, clock in enumerate((0, 1, 0, 3)):
        assert wasi.call("clock_time_get", clock, 1, 64) == 0
        assert memory.number(64, 8) == reading * 1_000_000
    assert wasi.call("clock_time_get", 4, 1, 64) == INVAL
    assert wasi.call("clock_res_get", 0, 64) == 0
    assert memory.number(64, 8) == 1_000_000
    assert wasi.call("clock_res_get", 4, 64) == INVAL


def test_random_bytes_are_one_stream_of_the_seed_however_they_are_asked_for() -> None:
    whole, memory = host()
    assert whole.call("random_get", 0, 100) == 0
    piecewise, pieces = host()
    for start, size_bytes in ((0, 1), (1, 0), (1, 31), (32, 33), (65, 35)):
        assert piecewise.call("random_get", start, size_bytes) == 0
    assert memory.read(0, 100) == pieces.read(0, 100)
    assert memory.read(0, 100) != bytes(100)
    assert memory.gas == GAS - CALL_GAS - 4 * RANDOM_BLOCK_GAS - transfer_gas(100)
    other = Host(b"", bytes(31) + b"\x01", 0, 0)
    other.guest = third = Memory()
    other.call("random_get", 0, 100)
    assert third.read(0, 100) != memory.read(0, 100)


def test_a_programs_only_argument_is_its_name_and_it_has_no_environment() -> None:
    wasi, memory = host()
    memory.write(0, b"\xff" * 16)
    assert wasi.call("args_sizes_get", 0, 4) == 0
    assert wasi.call("environ_sizes_get", 8, 12) == 0
    assert [memory.number(at) for at in (0, 4, 8, 12)] == [1, 7, 0, 0]
    assert wasi.call("args_get", 0, 100) == 0
    assert wasi.call("environ_get", 0, 200) == 0
    assert (memory.number(0), memory.read(100, 8)) == (100, b"module\0\0")


def test_the_three_streams_are_pipes_that_cannot_seek() -> None:
    wasi, memory = host()
    for descriptor, direction in ((0, 2), (1, 64), (2, 64)):
        memory.write(64, b"\xff" * 64)
        assert wasi.call("fd_fdstat_get", descriptor, 64) == 0
        rights = direction | 1 << 21 | 1 << 27
        assert [memory.number(at, 8) for at in (64, 72, 80)] == [0, rights, 0]
        assert wasi.call("fd_filestat_get", descriptor, 64) == 0
        assert memory.read(64, 64) == bytes(64)
        assert wasi.call("fd_seek", descriptor, 0, 0, 64) == SPIPE
        assert wasi.call("fd_tell", descriptor, 64) == SPIPE
        assert wasi.call("fd_fdstat_set_flags", descriptor, 4) == NOTSUP
    for name in ("fd_fdstat_get", "fd_filestat_get", "fd_tell", "fd_fdstat_set_flags"):
        assert wasi.call(name, 3, 64) == BADF


def test_a_closed_stream_is_gone() -> None:
    wasi, _ = host(b"x")
    for descriptor in (0, 1, 2):
        assert wasi.call("fd_close", descriptor) == 0
        assert wasi.call("fd_close", descriptor) == BADF
    assert wasi.call("fd_read", 0, 0, 0, 50) == BADF
    assert wasi.call("fd_write", 1, 0, 0, 50) == BADF


def test_yielding_does_nothing() -> None:
    assert host()[0].call("sched_yield") == 0


@pytest.mark.parametrize(("argument", "code"), [(0, 0), (7, 7), (-1, 0xFFFFFFFF)])
def test_exit_carries_its_code(argument: int, code: int) -> None:
    with pytest.raises(ExitError) as caught:
        host()[0].call("proc_exit", argument)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("fd_read", (0, MEMORY_BYTES - 7, 1, 50)),
        ("fd_read", (0, 0, 0, MEMORY_BYTES - 3)),
        ("fd_write", (1, -8, 1, 50)),
        ("fd_write", (1, 0, 0, -1)),
        ("clock_time_get", (0, 0, MEMORY_BYTES - 7)),
        ("random_get", (MEMORY_BYTES, 1)),
        ("random_get", (-1, -1)),
        ("args_sizes_get", (0, MEMORY_BYTES - 3)),
        ("fd_fdstat_get", (0, MEMORY_BYTES - 23)),
        ("fd_filestat_get", (0, MEMORY_BYTES - 63)),
    ],
)
def test_a_range_outside_the_memory_traps(name: str, arguments: tuple[int, ...]) -> None:
    wasi, memory = host(b"x")
    before = bytes(memory.data)
    with pytest.raises(HostTrapError) as caught:
        wasi.call(name, *arguments)
    assert caught.value.reason is TrapReason.HOST_CALL
    assert bytes(memory.data) == before


@pytest.mark.parametrize(("name", "descriptor"), [("fd_read", 0), ("fd_write", 1)])
def test_a_vector_outside_the_memory_traps_before_anything_moves(
    name: str, descriptor: int
) -> None:
    wasi, memory = host(b"xyz")
    vectors(memory, 0, (100, 1), (MEMORY_BYTES - 1, 2))
    with pytest.raises(HostTrapError):
        wasi.call(name, descriptor, 0, 2, 50)
    assert memory.read(100, 1) == b"\0"
    assert not wasi.output


def test_vectors_that_add_up_beyond_a_word_are_invalid() -> None:
    wasi, memory = host(gas=1 << 60)
    memory.data = bytearray(1 << 23)
    vectors(memory, 0, *[(0, 1 << 23)] * 512)
    assert wasi.call("fd_write", 2, 0, 512, 50) == INVAL
    assert wasi.call("fd_write", 2, 0, 511, 50) == 0


@pytest.mark.parametrize(("name", "descriptor"), [("fd_read", 0), ("fd_write", 1)])
def test_more_than_1024_vectors_are_invalid_and_cost_a_call(name: str, descriptor: int) -> None:
    wasi, memory = host()
    assert wasi.call(name, descriptor, 0, 1025, 50) == INVAL
    assert memory.gas == GAS - CALL_GAS
    assert wasi.call(name, descriptor, 0, 1024, 50) == 0
    assert memory.gas == GAS - 2 * CALL_GAS - 1024 * VECTOR_GAS


def test_a_call_is_paid_before_it_is_served() -> None:
    wasi, memory = host(b"abc", gas=CALL_GAS + VECTOR_GAS)
    vectors(memory, 0, (100, 3))
    with pytest.raises(OutOfGasError):
        wasi.call("fd_read", 0, 0, 1, 50)
    assert memory.read(100, 3) == bytes(3)
    assert memory.gas == -1


def test_an_absurd_price_does_not_wrap_around() -> None:
    memory = Memory(-(1 << 63) + 5)
    with pytest.raises(OutOfGasError):
        charge(memory, 1 << 62)
    assert memory.gas == -(1 << 63)


def subscription(user: int, kind: int, subject: int, timeout_ns: int = 0, flags: int = 0) -> bytes:
    numbers = ((user, 8), (kind, 8), (subject, 8), (timeout_ns, 8), (0, 8), (flags, 8))
    return b"".join(value.to_bytes(size, "little") for value, size in numbers)


def waited(wasi: Host, memory: Memory, *entries: bytes) -> list[tuple[int, int, int, int, int]]:
    """Poll; give user data, error, kind, size and flags of each event."""
    memory.write(0, b"".join(entries))
    memory.write(4096, b"\xff" * 32 * len(entries))
    assert wasi.call("poll_oneoff", 0, 4096, len(entries), 8192) == 0
    events = range(4096, 4096 + 32 * memory.number(8192), 32)
    fields = ((0, 8), (8, 2), (10, 6), (16, 8), (24, 8))
    return [
        tuple(memory.number(event + at, size) for at, size in fields)  # type: ignore[misc]
        for event in events
    ]


def now_ns(wasi: Host, memory: Memory) -> int:
    assert wasi.call("clock_time_get", 1, 0, 64_000) == 0
    return memory.number(64_000, 8)


def test_sleeping_moves_the_clock_and_costs_a_subscription() -> None:
    wasi, memory = host()
    assert waited(wasi, memory, subscription(9, 0, 1, 5_000_000_000)) == [(9, 0, 0, 0, 0)]
    assert memory.gas == GAS - CALL_GAS - SUBSCRIPTION_GAS
    assert now_ns(wasi, memory) == 5_000_000_000
    assert waited(wasi, memory, subscription(9, 0, 0, 1)) == [(9, 0, 0, 0, 0)]
    assert now_ns(wasi, memory) == 5_001_000_001


def test_the_earliest_clock_comes_alone_and_equal_ones_in_order() -> None:
    wasi, memory = host()
    clocks = [subscription(user, 0, 0, ns) for user, ns in ((1, 7), (2, 5), (3, 5), (4, 6))]
    assert [event[0] for event in waited(wasi, memory, *clocks)] == [2, 3]


def test_a_time_that_has_passed_does_not_turn_the_clock_back() -> None:
    wasi, memory = host()
    now_ns(wasi, memory)
    assert waited(wasi, memory, subscription(1, 0, 0, 3, flags=1)) == [(1, 0, 0, 0, 0)]
    assert now_ns(wasi, memory) == 1_000_000


def test_the_clock_stops_where_a_signed_number_does() -> None:
    wasi, memory = host()
    for timeout_ns in (2**64 - 1, 2**63):
        waited(wasi, memory, subscription(1, 0, 0, timeout_ns))
        assert now_ns(wasi, memory) == 2**63 - 1


def test_streams_are_ready_at_once_and_the_clock_stands() -> None:
    wasi, memory = host(b"abc")
    entries = (
        subscription(1, 0, 0, 1),
        subscription(2, 1, 0),
        subscription(3, 2, 1),
        subscription(4, 2, 2),
    )
    assert waited(wasi, memory, *entries) == [
        (2, 0, 1, 3, 0),
        (3, 0, 2, 65_536, 0),
        (4, 0, 2, 65_536, 0),
    ]
    assert now_ns(wasi, memory) == 0
    vectors(memory, 0, (100, 3))
    wasi.call("fd_read", 0, 0, 1, 50)
    assert waited(wasi, memory, subscription(2, 1, 0)) == [(2, 0, 1, 0, 1)]  # at its end: hung up


def test_what_cannot_be_waited_for_is_an_event_with_an_error() -> None:
    wasi, memory = host()
    wasi.call("fd_close", 2)
    entries = (
        subscription(1, 0, 4, 1),
        subscription(2, 1, 1),
        subscription(3, 2, 0),
        subscription(4, 2, 2),
        subscription(5, 1, 77),
    )
    assert [event[:3] for event in waited(wasi, memory, *entries)] == [
        (1, INVAL, 0),
        (2, BADF, 1),
        (3, BADF, 2),
        (4, BADF, 2),
        (5, BADF, 1),
    ]
    memory.write(0, subscription(1, 3, 0))
    assert wasi.call("poll_oneoff", 0, 4096, 1, 8192) == INVAL
    assert wasi.call("poll_oneoff", 0, 4096, 0, 8192) == INVAL


def test_hashes_are_those_of_the_standard_library() -> None:
    wasi, memory = host()
    memory.write(100, b"abc" * 1000)
    assert wasi.call("sha256", 100, 3000, 0) is None
    assert wasi.call("blake2b_256", 100, 3000, 32) is None
    assert memory.read(0, 32) == hashlib.sha256(b"abc" * 1000).digest()
    assert memory.read(32, 32) == hashlib.blake2b(b"abc" * 1000, digest_size=32).digest()
    assert memory.gas == GAS - 2 * (CALL_GAS + HASH_GAS_PER_BYTE * 3000)


def test_hashing_more_than_a_piece_is_hashing_it_whole() -> None:
    wasi, memory = host()
    memory.data = bytearray(bytes(range(251)) * 1000)
    whole = bytes(memory.data)
    assert wasi.call("sha256", 1, len(whole) - 1, 0) is None
    assert memory.read(0, 32) == hashlib.sha256(whole[1:]).digest()
