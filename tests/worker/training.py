"""examples/fixed-train written a second time, from its description, in Python's integers."""

import struct
from math import isqrt
from typing import NamedTuple

ONE = 1 << 16
RANGE = (1 << 23) - 1
MASK = (1 << 64) - 1


class Header(NamedTuple):
    """The twelve numbers in front."""

    inputs: int
    hidden: int
    classes: int
    train: int
    test: int
    pass_first: int
    passes: int
    batch: int
    rate: int
    scale: int
    seed: int
    weights_given: int


class Random:
    """splitmix64, its upper half scaled to a bound."""

    def __init__(self, seed: int, stream: int) -> None:
        self.state = seed << 32 | stream

    def below(self, bound: int) -> int:
        self.state = self.state + 0x9E3779B97F4A7C15 & MASK
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        return ((z ^ z >> 31) >> 32) * bound >> 32


def clamp(value: int) -> int:
    return max(-RANGE, min(RANGE, value))


def rounded(value: int, shift: int = 16) -> int:
    return value + (1 << shift - 1) >> shift


def power_of_half(x: int) -> int:
    whole, part = divmod(x, ONE)
    value = ONE - rounded(part * (44012 - rounded(part * 11244)))
    return value >> whole if whole <= 30 else 0


class Layer:
    """Weights by receiving unit, biases, and the gradient of both."""

    def __init__(self, units: int, inputs: int) -> None:
        self.weights = [[0] * inputs for _ in range(units)]
        self.biases = [0] * units
        self.forget()

    def forget(self) -> None:
        self.weight_sums = [[0] * len(row) for row in self.weights]
        self.bias_sums = [0] * len(self.biases)

    def draw(self, random: Random) -> None:
        half = ONE // isqrt(len(self.weights[0]))
        self.weights = [[random.below(2 * half + 1) - half for _ in row] for row in self.weights]

    def load(self, numbers: list[int]) -> None:
        for row in self.weights:
            row[:] = [numbers.pop(0) for _ in row]
        self.biases = [numbers.pop(0) for _ in self.biases]

    def numbers(self) -> list[int]:
        return [number for row in self.weights for number in row] + self.biases

    def forward(self, values: list[int]) -> list[int]:
        return [
            clamp(rounded(bias * ONE + sum(w * v for w, v in zip(row, values, strict=True))))
            for row, bias in zip(self.weights, self.biases, strict=True)
        ]

    def add(self, errors: list[int], values: list[int]) -> None:
        for unit, error in enumerate(errors):
            row = self.weight_sums[unit]
            row[:] = [total + error * value for total, value in zip(row, values, strict=True)]
            self.bias_sums[unit] += error * ONE

    def step(self, rate: int) -> None:
        for row, sums in zip(self.weights, self.weight_sums, strict=True):
            row[:] = [clamp(w - rounded(g, 16 + rate)) for w, g in zip(row, sums, strict=True)]
        self.biases = [
            clamp(b - rounded(g, 16 + rate))
            for b, g in zip(self.biases, self.bias_sums, strict=True)
        ]
        self.forget()


def train(data: bytes) -> bytes:
    """Give the trainer's output for its input."""
    header = Header(*struct.unpack_from("<12I", data))
    first, second = (
        Layer(header.hidden, header.inputs),
        Layer(header.classes, header.hidden),
    )
    at = 48
    if header.weights_given:
        count = len(first.numbers()) + len(second.numbers())
        numbers = list(struct.unpack_from(f"<{count}i", data, at))
        first.load(numbers)
        second.load(numbers)
        at += 4 * count
    else:
        random = Random(header.seed, 0)
        first.draw(random)
        second.draw(random)
    width = header.inputs + 1
    samples = [data[start : start + width] for start in range(at, len(data), width)]

    def values_of(sample: bytes) -> tuple[list[int], list[int], list[int]]:
        inputs = [byte << 16 - header.scale for byte in sample[:-1]]
        hidden = [max(0, value) for value in first.forward(inputs)]
        return inputs, hidden, second.forward(hidden)

    def learn(sample: bytes) -> None:
        inputs, hidden, scores = values_of(sample)
        parts = [power_of_half(max(scores) - score) for score in scores]
        errors = [
            part * ONE // sum(parts) - ONE * (label == sample[-1])
            for label, part in enumerate(parts)
        ]
        back = [
            clamp(
                rounded(sum(e * row[unit] for e, row in zip(errors, second.weights, strict=True)))
            )
            * (value > 0)
            for unit, value in enumerate(hidden)
        ]
        first.add(back, inputs)
        second.add(errors, hidden)

    def right(chosen: list[bytes]) -> int:
        scored = [(values_of(sample)[2], sample[-1]) for sample in chosen]
        return sum(scores.index(max(scores)) == label for scores, label in scored)

    for number in range(header.pass_first, header.pass_first + header.passes):
        order = list(range(header.train))
        random = Random(header.seed, number + 1)
        for last in range(header.train - 1, 0, -1):
            other = random.below(last + 1)
            order[last], order[other] = order[other], order[last]
        for done, index in enumerate(order, start=1):
            learn(samples[index])
            if done % header.batch == 0 or done == header.train:
                first.step(header.rate)
                second.step(header.rate)
    numbers = first.numbers() + second.numbers()
    return struct.pack(
        f"<2I{len(numbers)}i",
        right(samples[: header.train]),
        right(samples[header.train :]),
        *numbers,
    )
