"""examples/fixed-cnn written a second time, from its description, in Python's integers."""

import struct

from tests.worker.training import (
    ONE,
    Header,
    Layer,
    Random,
    clamp,
    power_of_half,
    rounded,
)


class Filters(Layer):
    """Filters of 3 x 3 with the largest of each 2 x 2; `inputs` of the header is the side."""

    def __init__(self, count: int, side: int) -> None:
        super().__init__(count, 9)
        self.side = side
        self.pooled = (side - 2) // 2

    def windows(self, pixels: list[int]) -> list[list[list[int]]]:
        """For each place after pooling, its four windows, from left to right, then down."""
        found = []
        for y in range(0, 2 * self.pooled, 2):
            for x in range(0, 2 * self.pooled, 2):
                corners = [(y + dy, x + dx) for dy in (0, 1) for dx in (0, 1)]
                found.append(
                    [
                        [pixels[(a + i) * self.side + b + j] for i in range(3) for j in range(3)]
                        for a, b in corners
                    ]
                )
        return found

    def pool(self, pixels: list[int]) -> list[tuple[int, list[int]]]:
        """The largest value of each filter and place, with the window it comes from."""
        found = []
        for unit in range(len(self.biases)):
            for four in self.windows(pixels):
                values = [self.forward(window)[unit] for window in four]
                best = values.index(max(values))
                found.append((max(0, values[best]), four[best]))
        return found


def train(data: bytes) -> bytes:
    """Give the trainer's output for its input."""
    header = Header(*struct.unpack_from("<12I", data))
    filters = Filters(header.hidden, header.inputs)
    places = filters.pooled**2
    dense = Layer(header.classes, header.hidden * places)
    at = 48
    if header.weights_given:
        count = len(filters.numbers()) + len(dense.numbers())
        numbers = list(struct.unpack_from(f"<{count}i", data, at))
        filters.load(numbers)
        dense.load(numbers)
        at += 4 * count
    else:
        random = Random(header.seed, 0)
        filters.draw(random)
        dense.draw(random)
    width = header.inputs**2 + 1
    samples = [data[start : start + width] for start in range(at, len(data), width)]

    def values_of(sample: bytes) -> tuple[list[tuple[int, list[int]]], list[int]]:
        hidden = filters.pool([byte << 16 - header.scale for byte in sample[:-1]])
        return hidden, dense.forward([value for value, _ in hidden])

    def learn(sample: bytes) -> None:
        hidden, scores = values_of(sample)
        parts = [power_of_half(max(scores) - score) for score in scores]
        errors = [
            part * ONE // sum(parts) - ONE * (label == sample[-1])
            for label, part in enumerate(parts)
        ]
        back = [
            clamp(rounded(sum(e * row[unit] for e, row in zip(errors, dense.weights, strict=True))))
            * (value > 0)
            for unit, (value, _) in enumerate(hidden)
        ]
        for number, sums in enumerate(filters.weight_sums):
            mine = range(number * places, (number + 1) * places)
            for i in range(9):
                sums[i] += (
                    clamp(rounded(sum(back[unit] * hidden[unit][1][i] for unit in mine))) * ONE
                )
            filters.bias_sums[number] += clamp(sum(back[unit] for unit in mine)) * ONE
        dense.add(errors, [value for value, _ in hidden])

    def right(chosen: list[bytes]) -> int:
        scored = [(values_of(sample)[1], sample[-1]) for sample in chosen]
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
                filters.step(header.rate)
                dense.step(header.rate)
    numbers = filters.numbers() + dense.numbers()
    return struct.pack(
        f"<2I{len(numbers)}i",
        right(samples[: header.train]),
        right(samples[header.train :]),
        *numbers,
    )
