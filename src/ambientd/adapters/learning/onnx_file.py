"""A model as an ONNX file (IR version 8, operators of opset 13), written field by field.

ONNX is a protobuf message; a model of ours needs six of its message types, so their few fields are
written here by their numbers in onnx.proto.
"""

from math import prod
from typing import Final

import numpy as np
import numpy.typing as npt

from ambientd.rules.learning.models import FILTER, Kind, Model
from ambientd.wasm.leb import encode_unsigned

_IR_VERSION: Final = 8
_OPSET: Final = 13
_FLOAT: Final = 1
_INT64: Final = 7
# AttributeProto.type
_KIND_INT: Final = 2
_KIND_INTS: Final = 7


def _number(field: int, value: int) -> bytes:
    return encode_unsigned(field << 3) + encode_unsigned(value)


def _bytes(field: int, value: bytes) -> bytes:
    return encode_unsigned(field << 3 | 2) + encode_unsigned(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode("ascii"))


def _attribute(name: str, value: int | tuple[int, ...]) -> bytes:
    if isinstance(value, int):
        body = _number(3, value) + _number(20, _KIND_INT)
    else:
        body = b"".join(_number(8, item) for item in value) + _number(20, _KIND_INTS)
    return _bytes(5, _text(1, name) + body)


def _step(operator: str, inputs: str, output: str, **settings: int | tuple[int, ...]) -> bytes:
    attributes = b"".join(_attribute(name, value) for name, value in sorted(settings.items()))
    names = b"".join(_text(1, name) for name in inputs.split())
    return _bytes(1, names + _text(2, output) + _text(4, operator) + attributes)


def _tensor(name: str, values: npt.NDArray[np.float32]) -> bytes:
    sizes = b"".join(_number(1, size) for size in values.shape)
    data = values.astype("<f4").tobytes()
    return _bytes(5, sizes + _number(2, _FLOAT) + _text(8, name) + _bytes(9, data))


def _value(field: int, name: str, width: int) -> bytes:
    """Describe an input or output: rows of any number, of so many numbers."""
    sizes = _bytes(1, _text(2, "samples")) + _bytes(1, _number(1, width))
    kind = _bytes(1, _number(1, _FLOAT) + _bytes(2, sizes))
    return _bytes(field, _text(1, name) + _bytes(2, kind))


def _shape(name: str, *sizes: int) -> bytes:
    words = b"".join(size.to_bytes(8, "little", signed=True) for size in sizes)
    return _bytes(
        5, _number(1, len(sizes)) + _number(2, _INT64) + _text(8, name) + _bytes(9, words)
    )


def written(model: Model, numbers: npt.NDArray[np.float32]) -> bytes:
    """Give the file: `samples` go in, `scores` come out, one row for each sample."""
    steps, tensors = [], []
    here, at = "samples", 0
    for place, layer in enumerate(model.layers, start=1):
        end = at + layer.units * layer.inputs
        weights = numbers[at:end]
        sizes: tuple[int, ...] = (layer.units, layer.inputs)
        biases = numbers[end : end + layer.units]
        at = end + layer.units
        is_last = place == len(model.layers)
        if model.kind is Kind.CNN and place == 1:
            side, filters = model.sizes[:2]
            sizes = (filters, 1, FILTER, FILTER)
            tensors += [_shape("image", -1, 1, side, side), _shape("row", -1, _row(model))]
            steps += [
                _step("Reshape", "samples image", "images"),
                _step("Conv", "images weights1 biases1", "filtered"),
                _step("MaxPool", "filtered", "pooled", kernel_shape=(2, 2), strides=(2, 2)),
                _step("Relu", "pooled", "kept"),
                _step("Reshape", "kept row", "hidden1"),
            ]
            here = "hidden1"
        else:
            output = "scores" if is_last else f"summed{place}"
            steps.append(_step("Gemm", f"{here} weights{place} biases{place}", output, transB=1))
            if not is_last:
                here = f"hidden{place}"
                steps.append(_step("Relu", output, here))
        tensors += [
            _tensor(f"weights{place}", weights.reshape(sizes)),
            _tensor(f"biases{place}", biases),
        ]
    graph = b"".join(steps) + _text(2, "model") + b"".join(tensors)
    graph += _value(11, "samples", model.inputs) + _value(12, "scores", model.classes)
    opset = _bytes(8, _text(1, "") + _number(2, _OPSET))
    return _number(1, _IR_VERSION) + _text(2, "ambientd") + _bytes(7, graph) + opset


def _row(model: Model) -> int:
    """Give how many numbers a CNN's filters leave of a sample."""
    return prod((model.sizes[1], model.pooled, model.pooled))
