"""What is trained on both sides of the comparison with Flower: model, data, seeds, scores.

A participant's data is a file of its own, which it reads in every round, holding a fifth back for
its own tries; another fifth of all pictures is held back for the comparison alone.
"""

import argparse
from pathlib import Path

import numpy as np

from ambientd.adapters.learning import networks, samples
from ambientd.adapters.learning.networks import Floats, Training
from ambientd.adapters.learning.samples import Samples
from ambientd.codec.digest import sha256, tagged
from ambientd.rules.learning import models
from ambientd.rules.learning.models import Model
from ambientd.rules.learning.vectors import to_floats

MODELS = {784: "mlp:784,126,10", 64: "mlp:64,1336,10"}
"""About 100,200 numbers each: 0.4 MB at four bytes."""
SEED = sha256(b"flower")
PASSES, BATCH, RATE_MICRO = 1, 32, 100_000
HELD_OUT = "held-out.npz"


def prepare(source: str, folder: Path, participants: int) -> None:
    """Write each participant's part (Dirichlet(1) by class), and what is held back."""
    training, held_out = samples.split(samples.read(source, Path.cwd()))
    for number in range(participants):
        part = samples.part_of(training, number + 1, participants)
        _write(folder / part_name(number), part)
    _write(folder / HELD_OUT, held_out)


def _write(path: Path, part: Samples) -> None:
    np.savez(path, inputs=part.inputs, labels=part.labels)


def part_name(number: int) -> str:
    """Name a participant's data."""
    return f"part-{number:03}.npz"


def model_for(folder: Path) -> str:
    """Name the model that the data are for."""
    return MODELS[samples.read(HELD_OUT, folder).inputs.shape[1]]


def first_numbers(name: str) -> Floats:
    """Give the model that both sides begin with."""
    return to_floats(models.initial(models.parsed(name), SEED))


def trained(model: Model, before: Floats, data: Samples, number: int) -> Floats:
    """Train in floats, with the batches in the order that a round's seed gives, as ours does."""
    how = Training(PASSES, BATCH, RATE_MICRO / 1e6)
    seed = tagged("fl-training", SEED, number.to_bytes(4, "big"))
    return networks.descended(model, before, data, how, seed)


def accuracy(model: Model, numbers: Floats, folder: Path) -> float:
    """Try a model on what was held out of all."""
    found = networks.Network(model, numbers).scored(samples.read(HELD_OUT, folder))
    return found.correct / found.total


def arguments(description: str) -> argparse.Namespace:
    """Read what either side is told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path, help="where the parts of the data are")
    parser.add_argument("--participants", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-scores", action="store_true", help="only train (Flower's side)")
    return parser.parse_args()
