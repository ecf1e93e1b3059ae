"""What preparing costs grows with the size of a module and with nothing else, whatever its shape.

Bounds are ratios of processor time in one process, so they hold on a slow or busy machine too.
"""

import time
from collections.abc import Callable

import pytest

from ambientd.wasm.context import _STEPS_MAX, Steps
from ambientd.wasm.leb import encode_unsigned
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.prepare import Prepared, Refused, prepare
from ambientd.wasm.sections import Module

SMALL_BYTES, FACTOR = 40_000, 6
GROWTH_MAX = 20.0  # a shape that costs the square of its size has 36; busy cores give 18 for 6
DEARER_MAX = 40.0  # times an ordinary body of the same size; the dearest seen has about 15

Shape = Callable[[int], bytes]


def section(number: int, content: bytes) -> bytes:
    return bytes((number,)) + encode_unsigned(len(content)) + content


def module_of(bodies: list[bytes]) -> bytes:
    """An ambient module with 16,384 globals and, as () -> (), functions with these bodies."""
    all_bodies = [b"\0\x42\0\x0b", b"\0\x41\0\x0b", *bodies]
    count = encode_unsigned(len(all_bodies))
    return (
        b"\0asm\x01\0\0\0"
        + section(1, b"\x03\x60\x02\x7f\x7f\x01\x7e\x60\x01\x7f\x01\x7f\x60\0\0")
        + section(3, count + b"\0\x01" + b"\x02" * len(bodies))
        + section(5, b"\x01\0\x01")
        + section(6, encode_unsigned(16_384) + b"\x7f\x01\x41\0\x0b" * 16_384)
        + section(7, b"\x03\x03run\0\0\x05alloc\0\x01\x06memory\x02\0")
        + section(10, count + b"".join(encode_unsigned(len(b)) + b for b in all_bodies))
    )


def repeated(instruction: bytes, *, locals_: bytes = b"\0") -> Shape:
    """One body that says the same over and over."""
    return lambda size: module_of([locals_ + instruction * (size // len(instruction)) + b"\x0b"])


def counted(make: Callable[[int], bytes], *, tail: bytes = b"") -> Shape:
    """One body in which no two instructions are equal."""

    def shape(size: int) -> bytes:
        return module_of(
            [b"\0" + b"".join(map(make, range(size // len(make(0))))) + tail + b"\x0b"]
        )

    return shape


def nested(opening: bytes) -> Shape:
    """Bodies as deep as is allowed."""

    def shape(size: int) -> bytes:
        deep = min(16_383, size // 3)
        body = b"\0" + opening * deep + b"\x0b" * (deep + 1)
        return module_of([body] * max(1, size // len(body)))

    return shape


def ordinary(size: int) -> bytes:
    """Sums and stores in a few blocks."""
    sum_ = b"\x20\0\x20\0\x28\x02\x08\x20\x01\x6a\x22\x01\x36\x02\x0c\x02\x40\x20\x01\x0d\0\x0b"
    return repeated(sum_, locals_=b"\x01\x02\x7f")(size)


SHAPES: dict[str, Shape] = {
    "distinct constants": counted(lambda i: b"\x41" + encode_unsigned(0x4000 + i)),
    "distinct globals": counted(lambda i: b"\x23" + encode_unsigned(0x80 + i % 16_000)),
    "distinct loads": counted(lambda i: b"\x28\0" + encode_unsigned(0x4000 + i)),
    "distinct constants, refused at the end": counted(
        lambda i: b"\x41" + encode_unsigned(0x4000 + i), tail=b"\x23\xff\xff\x7f"
    ),
    "empty loops": repeated(b"\x03\x40\x0b"),
    "empty conditions": repeated(b"\x04\x40\x0b"),
    "branches": repeated(b"\x0c\0"),
    "returns": repeated(b"\x0f"),
    "memory.grow": repeated(b"\x40\0"),
    "NaNs": repeated(b"\xbc"),
    "vectors": repeated(b"\xfd\xe4\x01"),
    "nested blocks": nested(b"\x02\x40"),
    "nested loops": nested(b"\x03\x40"),
    "branch tables just too long to be in line": repeated(b"\x0e\x80\x01" + bytes(129)),
    "branch tables with long labels": repeated(b"\x0e\x80\x02" + b"\x80\0" * 257),
    "what looks like a branch table": repeated(b"\x41\x0e\x41\x81\x01"),
    "bytes that fit nothing": repeated(b"\xff"),
    "bytes that fit nothing behind a long branch table": lambda size: module_of(
        [b"\0\x0e\x80\x01" + bytes(129) + b"\xff" * size + b"\x0b"]
    ),
    "empty functions": lambda size: module_of([b"\0\x0b"] * (size // 3)),
    "groups of locals": lambda size: module_of(
        [b"\x8f\x4e" + b"\x01\x7f" * 9_999 + b"\x0b"] * max(1, size // 20_000)
    ),
}
REFUSED_SHAPES = {name for name in SHAPES if "fit nothing" in name or "refused" in name}


# The shapes are to be worked through, not refused for their number of branches or operands.
ROOMY = PrepareLimits(operands_max=1 << 30, runs_max=1 << 30, locals_times_runs_max=1 << 50)


def cost(source: bytes) -> float:
    """Processor time of preparing, the least of five."""
    times = []
    for _ in range(5):
        begin = time.process_time()
        prepare(source, ROOMY)
        times.append(time.process_time() - begin)
    return min(times)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_no_shape_costs_more_than_its_size(name: str) -> None:
    shape = SHAPES[name]
    base = cost(module_of([]))  # its globals
    small, large = cost(shape(SMALL_BYTES)) - base, cost(shape(SMALL_BYTES * FACTOR)) - base
    assert large < GROWTH_MAX * max(small, 0.001)
    assert large < DEARER_MAX * (cost(ordinary(SMALL_BYTES * FACTOR)) - base)


@pytest.mark.parametrize("name", SHAPES)
def test_a_hostile_shape_is_what_it_says(name: str) -> None:
    wanted = Refused if name in REFUSED_SHAPES else Prepared
    assert isinstance(prepare(SHAPES[name](SMALL_BYTES), ROOMY), wanted)


def test_instructions_are_forgotten_before_there_are_too_many() -> None:
    steps = Steps(Module())
    most = 0
    for number in range(_STEPS_MAX + 10):
        assert steps[b"\x41" + encode_unsigned(number)] == steps[b"\x41\0"]
        most = max(most, len(steps))
    assert most == _STEPS_MAX
