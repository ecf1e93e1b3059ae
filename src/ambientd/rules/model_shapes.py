"""Names of models: `mlp:64,32,10`, a perceptron's layers; `cnn:8,8,10`, a side, filters, classes.

A model's numbers lie in order: of each layer the weights, rows by receiving unit, then its biases.
The convolution has filters of 3 x 3 over one channel without padding, then a maximum over 2 x 2.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Final

from ambientd.errors import ConfigError

COUNT_MAX: Final = 1 << 24
LAYERS_MAX: Final = 8
CLASSES_MAX: Final = 256
FILTER: Final = 3
_SIDE_MAX: Final = 64


class Kind(StrEnum):
    """A model's family."""

    MLP = "mlp"
    CNN = "cnn"


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights of one layer: so many receiving units, each with so many inputs and a bias."""

    units: int
    inputs: int

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return self.units * (self.inputs + 1)


@dataclass(frozen=True, slots=True)
class Model:
    """A model's shape."""

    kind: Kind
    sizes: tuple[int, ...]

    @property
    def inputs(self) -> int:
        """How many numbers a sample has."""
        return self.sizes[0] ** 2 if self.kind is Kind.CNN else self.sizes[0]

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return self.sizes[-1]

    @property
    def pooled(self) -> int:
        """The side of what a CNN's filters leave."""
        return (self.sizes[0] - FILTER + 1) // 2

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Give the layers from the input on."""
        if self.kind is Kind.MLP:
            return tuple(Layer(*pair) for pair in zip(self.sizes[1:], self.sizes, strict=False))
        _, filters, classes = self.sizes
        return (Layer(filters, FILTER**2), Layer(classes, filters * self.pooled**2))

    @property
    def count(self) -> int:
        """How many numbers the whole model has."""
        return sum(layer.count for layer in self.layers)


def parsed(name: str) -> Model:
    """Read a model's name.

    Raises:
        ConfigError: saying what is wrong with it.
    """
    family, _, rest = name.partition(":")
    words = rest.split(",")
    # A name comes from a study, so from anybody: few, short, plain digits.
    plain = all(word.isascii() and word.isdigit() and len(word) < 8 for word in words)
    if family not in set(Kind) or not plain or not 2 <= len(words) <= LAYERS_MAX:
        raise ConfigError(
            f"{name[:80]!r} names no model; say mlp:INPUTS,HIDDEN,...,CLASSES or "
            "cnn:SIDE,FILTERS,CLASSES"
        )
    model = Model(Kind(family), tuple(map(int, words)))
    if not 2 <= model.classes <= CLASSES_MAX or 0 in model.sizes:
        raise ConfigError(f"{name!r}: a model has 2 to {CLASSES_MAX} classes and no empty layer")
    if model.kind is Kind.CNN and (len(words) != 3 or not 4 <= model.sizes[0] <= _SIDE_MAX):
        raise ConfigError(f"{name!r}: say cnn:SIDE,FILTERS,CLASSES with a side of 4 to {_SIDE_MAX}")
    # Bounded before it is multiplied out in full: every factor has at most seven digits.
    if prod(model.sizes[:2]) > 4 * COUNT_MAX or model.count > COUNT_MAX:
        raise ConfigError(f"{name!r}: a model has at most {COUNT_MAX} numbers")
    return model
