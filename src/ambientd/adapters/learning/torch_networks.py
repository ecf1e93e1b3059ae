"""The same models trained by PyTorch, in floats of 32 bits: the extra `torch`."""

import numpy as np
import torch
from torch.nn import functional

from ambientd.adapters.learning.networks import Floats, Training, at_once, batches, check_work
from ambientd.adapters.learning.samples import Samples
from ambientd.errors import ConfigError
from ambientd.rules.learning.models import FILTER, Kind, Model

Layers = list[tuple[torch.Tensor, torch.Tensor]]


def check() -> None:
    """Raise ConfigError where this PyTorch and this NumPy cannot hand numbers to each other."""
    try:
        torch.tensor(np.zeros(1, dtype=np.float32)).numpy()
    except RuntimeError as error:
        msg = (
            f"PyTorch {torch.__version__} was built for another NumPy than {np.__version__}: "
            "`pip install --upgrade torch` brings one for this"
        )
        raise ConfigError(msg) from error


def _layers(model: Model, numbers: Floats) -> Layers:
    """Give each layer's weights and biases, as leaves that gradients are kept of."""
    values = torch.tensor(numbers.astype(np.float32))
    layers, at = [], 0
    for layer in model.layers:
        end = at + layer.units * layer.inputs
        weights = values[at:end].reshape(layer.units, layer.inputs).clone().requires_grad_()
        biases = values[end : end + layer.units].clone().requires_grad_()
        layers.append((weights, biases))
        at = end + layer.units
    return layers


def _scores(model: Model, layers: Layers, inputs: torch.Tensor) -> torch.Tensor:
    here, rest = inputs, layers
    if model.kind is Kind.CNN:
        side, filters = model.sizes[:2]
        weights, biases = layers[0]
        seen = functional.conv2d(
            inputs.reshape(-1, 1, side, side), weights.reshape(filters, 1, FILTER, FILTER), biases
        )
        here = functional.relu(functional.max_pool2d(seen, 2)).flatten(1)
        rest = layers[1:]
    for place, (weights, biases) in enumerate(rest, start=1):
        here = functional.linear(here, weights, biases)
        if place < len(rest):
            here = functional.relu(here)
    return here


def descended(model: Model, start: Floats, samples: Samples, how: Training, seed: bytes) -> Floats:
    """Give a model's numbers after training; raise ConfigError for work beyond measure."""
    check_work(model, len(samples), how)
    torch.set_num_threads(1)  # as all training here: the device is for others, too
    layers, before = _layers(model, start), _layers(model, start)
    numbers = [each for layer in layers for each in layer]
    origins = [each for layer in before for each in layer]
    few = at_once(model, how.batch)
    for chosen in batches(len(samples), how, seed):
        for at in range(0, len(chosen), few):
            part = chosen[at : at + few]
            inputs = torch.tensor(samples.inputs[part].astype(np.float32))
            labels = torch.tensor(samples.labels[part].astype(np.int64))
            loss = functional.cross_entropy(_scores(model, layers, inputs), labels)
            (loss * (len(part) / len(chosen))).backward()
        with torch.no_grad():
            for each, origin in zip(numbers, origins, strict=True):
                assert each.grad is not None
                each.sub_(how.rate * (each.grad + how.prox * (each - origin)))
                each.grad = None
    flat = [each.detach().reshape(-1).numpy() for each in numbers]
    return np.concatenate(flat).astype(np.float64)
