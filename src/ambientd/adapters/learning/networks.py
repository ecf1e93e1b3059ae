"""Perceptrons and a small convolution in NumPy floats: scores, losses, gradients, training."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ambientd.adapters.learning.samples import Samples
from ambientd.codec.digest import tagged
from ambientd.errors import ConfigError
from ambientd.ports.learning import never
from ambientd.rules.learning.models import FILTER, Kind, Model
from ambientd.rules.learning.vectors import from_floats, to_floats
from ambientd.rules.tolerances import work_a_sample

Floats = npt.NDArray[np.float64]
WORK_MAX: Final = 10**13
"""Products in a round's training: about an hour of one core."""
_SCORED_AT_ONCE: Final = 1024
NUMBERS_AT_ONCE: Final = 1 << 25
"""Numbers that samples take on their way through a model: 256 MiB of memory."""


@dataclass(frozen=True, slots=True)
class Training:
    """How a participant trains: passes over its data, batches, rate, and FedProx' pull.

    Training ends with a ConfigError before the batch at which `is_over` tells so.
    """

    passes: int
    batch: int
    rate: float
    prox: float = 0.0
    is_over: Callable[[], bool] = never


@dataclass(frozen=True, slots=True)
class Scored:
    """How a model does on samples."""

    correct: int
    total: int
    loss: float


def at_once(model: Model, samples: int) -> int:
    """Give how many of so many samples memory has room for at once; raise ConfigError if none."""
    each = sum(model.sizes)
    if model.kind is Kind.CNN:
        # Four places of each filter before the maximum, as much again beside it, and what they see.
        each += model.pooled**2 * (8 * model.sizes[1] + 8 * FILTER**2)
    if each > NUMBERS_AT_ONCE:
        raise ConfigError("one sample's way through the model takes more memory than is given")
    return min(samples, NUMBERS_AT_ONCE // each)


def _unpacked(model: Model, numbers: Floats) -> list[tuple[Floats, Floats]]:
    """Give views of each layer's weights and biases."""
    layers, at = [], 0
    for layer in model.layers:
        weights = numbers[at : at + layer.units * layer.inputs].reshape(layer.units, layer.inputs)
        at += layer.units * layer.inputs
        layers.append((weights, numbers[at : at + layer.units]))
        at += layer.units
    return layers


def _patches(model: Model, inputs: Floats) -> Floats:
    """Give what the filters look at: samples, pooled rows and columns, 2 x 2, 3 x 3."""
    side = model.sizes[0]
    images = inputs.reshape(-1, side, side)
    windows = np.lib.stride_tricks.sliding_window_view(images, (FILTER, FILTER), axis=(1, 2))
    pooled = model.pooled
    kept = windows[:, : 2 * pooled, : 2 * pooled]
    grouped = kept.reshape(len(images), pooled, 2, pooled, 2, FILTER * FILTER)
    return np.ascontiguousarray(grouped.transpose(0, 1, 3, 2, 4, 5)).reshape(
        len(images), pooled * pooled, 4, FILTER * FILTER
    )


class Network:
    """A model with its numbers as floats."""

    def __init__(self, model: Model, numbers: Floats) -> None:
        self.model = model
        self.numbers = numbers
        self._layers = _unpacked(model, numbers)

    def _forward(self, inputs: Floats) -> tuple[Floats, list[Floats]]:
        """Give scores, and what the way back needs."""
        kept = [inputs]
        layers = self._layers
        here = inputs
        if self.model.kind is Kind.CNN:
            weights, biases = layers[0]
            patches = _patches(self.model, inputs)
            scores = patches @ weights.T + biases
            best = scores.argmax(axis=2)
            pooled = np.take_along_axis(scores, best[:, :, None, :], axis=2)[:, :, 0, :]
            # By filter, then by place.
            here = np.maximum(pooled, 0).transpose(0, 2, 1).reshape(len(inputs), -1)
            kept = [patches, best.astype(np.float64), here]
            layers = layers[1:]
        for place, (weights, biases) in enumerate(layers):
            here = here @ weights.T + biases
            if place + 1 < len(layers):
                here = np.maximum(here, 0)
                kept.append(here)
        return here, kept

    def scores(self, inputs: Floats) -> Floats:
        """Give the scores of each class, before they are made chances."""
        return self._forward(inputs)[0]

    def gradient(
        self, inputs: Floats, labels: npt.NDArray[np.int64], into: Floats | None = None
    ) -> Floats:
        """Give the gradient of the mean cross-entropy, in the array that is given, if one is."""
        scores, kept = self._forward(inputs)
        error = _softmax(scores)
        error[np.arange(len(labels)), labels] -= 1
        error /= len(labels)
        found = np.empty_like(self.numbers) if into is None else into  # every slot is written
        slots = _unpacked(self.model, found)
        is_cnn = self.model.kind is Kind.CNN
        for place in range(len(self._layers) - 1, int(is_cnn) - 1, -1):
            below = kept[place + 1] if is_cnn else kept[place]
            np.matmul(error.T, below, out=slots[place][0])
            error.sum(axis=0, out=slots[place][1])
            if place:
                error = (error @ self._layers[place][0]) * (below > 0)
        if is_cnn:
            self._filters_gradient(error, kept, slots[0])
        return found

    def _filters_gradient(
        self, error: Floats, kept: list[Floats], slot: tuple[Floats, Floats]
    ) -> None:
        patches, best = kept[0], kept[1].astype(np.int64)
        filters = self.model.sizes[1]
        by_place = error.reshape(len(error), filters, -1).transpose(0, 2, 1)
        for number in range(filters):
            picked = np.take_along_axis(patches, best[:, :, number, None, None], axis=2)[:, :, 0]
            slot[0][number] = np.einsum("np,npk->k", by_place[:, :, number], picked)
            slot[1][number] = by_place[:, :, number].sum()

    def scored(self, samples: Samples) -> Scored:
        """Count what is right, and sum the losses."""
        correct, loss = 0, 0.0
        few = at_once(self.model, _SCORED_AT_ONCE)
        for at in range(0, len(samples.labels), few):
            labels = samples.labels[at : at + few]
            scores, _ = self._forward(samples.inputs[at : at + few].astype(np.float64))
            correct += int((scores.argmax(axis=1) == labels).sum())
            chances = _softmax(scores)[np.arange(len(labels)), labels]
            loss -= float(np.log(np.maximum(chances, 1e-12)).sum())
        return Scored(correct, len(samples.labels), loss)


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances: Floats = powers / powers.sum(axis=1, keepdims=True)
    return chances


def batches(count: int, how: Training, seed: bytes) -> Iterator[npt.NDArray[np.int64]]:
    """Give the places of each batch's samples, in the order that a round's seed leads to."""
    for number in range(how.passes):
        digest = tagged("fl-shuffle", seed, number.to_bytes(4, "big"))
        order = np.random.default_rng(int.from_bytes(digest, "big")).permutation(count)
        for at in range(0, count, how.batch):
            if how.is_over():
                raise ConfigError("training took longer than there is time for")
            yield order[at : at + how.batch]


def trained(model: Model, before: bytes, samples: Samples, how: Training, seed: bytes) -> bytes:
    """Give the model after training, in Q16; FedProx pulls towards what it was before.

    Raises:
        ConfigError: when that would take beyond measure.
    """
    check_work(model, len(samples), how)
    return from_floats(descended(model, to_floats(before), samples, how, seed))


def check_work(model: Model, samples: int, how: Training) -> None:
    """Raise ConfigError for training that would take beyond measure."""
    if how.passes * samples * work_a_sample(model) > WORK_MAX:
        raise ConfigError(
            f"{how.passes} passes over {samples} samples with {model.count} numbers are more "
            "than a node does in one round; name less data, or leave the study"
        )


def descended(model: Model, start: Floats, samples: Samples, how: Training, seed: bytes) -> Floats:
    """Give a model's numbers after training, in floats; raise ConfigError as `trained` does."""
    check_work(model, len(samples), how)
    network = Network(model, start.copy())
    # Too high a rate ends in infinities, which Q16 clamps; that is the study's own business.
    with np.errstate(all="ignore"):
        _descend(network, start, samples, how, seed)
    return network.numbers


def _descend(network: Network, start: Floats, samples: Samples, how: Training, seed: bytes) -> None:
    few = at_once(network.model, how.batch)
    step = np.empty_like(start)  # made once: the system clears each new array of a model's size
    for chosen in batches(len(samples.labels), how, seed):
        if len(chosen) <= few:
            inputs = samples.inputs[chosen].astype(np.float64)
            network.gradient(inputs, samples.labels[chosen], step)
        else:
            _in_parts(network, samples.at(chosen), few, step)
        if how.prox:
            step += how.prox * (network.numbers - start)
        step *= how.rate
        network.numbers -= step


def _in_parts(network: Network, batch: Samples, few: int, step: Floats) -> None:
    """Work out a batch's gradient in `step`, a few samples after the other."""
    step[:] = 0
    found = np.empty_like(step)
    for at in range(0, len(batch), few):
        labels = batch.labels[at : at + few]
        network.gradient(batch.inputs[at : at + few].astype(np.float64), labels, found)
        found *= len(labels) / len(batch)
        step += found


def scored(model: Model, numbers: bytes, samples: Samples) -> Scored:
    """Score a model in Q16."""
    return Network(model, to_floats(numbers)).scored(samples)
