"""Models of federated learning: their shapes, and the numbers that a study begins with."""

from math import isqrt
from typing import Final

from ambientd.codec.agreement import derived, stream
from ambientd.rules.model_shapes import (
    CLASSES_MAX,
    COUNT_MAX,
    FILTER,
    LAYERS_MAX,
    Kind,
    Layer,
    Model,
    parsed,
)

__all__ = (
    "CLASSES_MAX",
    "COUNT_MAX",
    "FILTER",
    "LAYERS_MAX",
    "Kind",
    "Layer",
    "Model",
    "initial",
    "parsed",
)

_ONE: Final = 1 << 16


def initial(model: Model, seed: bytes) -> bytes:
    """Draw weights within +-1 / sqrt(inputs) of the layer, biases zero; the same everywhere."""
    parts = []
    for number, layer in enumerate(model.layers):
        weights = layer.units * layer.inputs
        words = stream(derived(seed, b"initial model" + bytes([number])), 4 * weights)
        half = _ONE // isqrt(layer.inputs)
        for at in range(0, len(words), 4):
            drawn = int.from_bytes(words[at : at + 4], "little") * (2 * half + 1) >> 32
            parts.append((drawn - half).to_bytes(4, "little", signed=True))
        parts.append(bytes(4 * layer.units))
    return b"".join(parts)
