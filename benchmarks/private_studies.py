"""What private studies reach between real daemons, and what they cost: accuracy, epsilon, time.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.private_studies

Four daemons on one machine, each with a quarter of the digits, in one group of four. The model is
exported and tried on what each daemon has held out; epsilon is what `fl budget` says of one.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from ambientd.adapters.learning import networks, samples
from ambientd.api import learning_operations as operations
from ambientd.api.client import Client
from ambientd.api.learning_values import (
    ExportModel,
    GetBudget,
    JoinStudy,
    ListStudies,
    ShowStudy,
    StartStudy,
    StudyInfo,
)
from ambientd.config.places import socket_path_for
from ambientd.rules.learning import models, vectors
from benchmarks.mesh import machine, running_mesh

DAEMONS = 4
MODEL = "mlp:64,32,10"
LIMIT = 10_000.0
DEADLINE_S = 400.0


def asked(noise: float, rounds: int, *, is_private: bool = True) -> StartStudy:
    """Give the study."""
    return StartStudy(
        name=f"noise {noise:g}" if is_private else "open",
        model=MODEL,
        rounds=rounds,
        participants_min=3,
        wanted=DAEMONS,
        passes=8,
        batch=32,
        rate=0.2,
        private=is_private,
        clip=2.0 if is_private else 0.0,
        noise=noise,
        group=DAEMONS - 1 if is_private else 0,
        invite_s=120.0,
        train_s=60.0,
        step_s=20.0,
    )


def ended(client: Client, study: str) -> tuple[StudyInfo, int]:
    """Wait for a study's end; give it, and how many rounds it took."""
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        shown = client.call(operations.FL_SHOW, ShowStudy(study=study))
        if shown.study.state not in {"inviting", "running"}:
            return shown.study, shown.study.round
        time.sleep(0.5)
    raise SystemExit(f"study {study[:12]} did not end in {DEADLINE_S:.0f} s")


def accuracy(data: bytes, folder: Path) -> float:
    """Try an exported model on what every daemon has held out."""
    path = folder / "model.npz"
    path.write_bytes(data)
    arrays = np.load(path)
    parts = [arrays[name].ravel() for n in (1, 2) for name in (f"weights{n}", f"biases{n}")]
    numbers = vectors.from_floats(np.concatenate(parts))
    shape, correct, total = models.parsed(MODEL), 0, 0
    for number in range(1, DAEMONS + 1):
        _, held_out = samples.split(samples.read(f"digits:{number}/{DAEMONS}"))
        found = networks.scored(shape, numbers, held_out)
        correct, total = correct + found.correct, total + found.total
    return correct / total


def play(nodes: list[Path], request: StartStudy) -> str:
    """Play a study; give its line."""
    with Client(socket_path_for(nodes[0])) as first:
        study = first.call(operations.FL_START, request).study
        limit = LIMIT if request.private and request.noise else None
        for number, node in enumerate(nodes, start=1):
            with Client(socket_path_for(node)) as client:
                while study not in {
                    each.study for each in client.call(operations.FL_LIST, ListStudies()).studies
                }:
                    time.sleep(0.2)
                data = f"digits:{number}/{DAEMONS}"
                client.call(operations.FL_JOIN, JoinStudy(study=study, data=data, epsilon=limit))
        begun_s = time.monotonic()
        info, tried = ended(first, study)
        seconds = time.monotonic() - begun_s
        model = first.call(operations.FL_EXPORT, ExportModel(study=study))
        lines = first.call(operations.FL_BUDGET, GetBudget()).studies
        spent = next((each.epsilon for each in lines if each.study == study), None)
        said = "none claimed" if spent is None else f"{spent:.2f}"
        found = accuracy(model.data, nodes[0])
        return (
            f"{request.name}: {info.state}, {info.done} of {tried} rounds came to a model, "
            f"accuracy {found:.3f}, epsilon {said}, {seconds / tried:.1f} s a round"
        )


def main() -> None:
    """Print the figures, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--noise", type=float, nargs="*", default=[0.0, 0.5, 1.0, 2.0, 4.0])
    options = parser.parse_args()
    with running_mesh(DAEMONS) as nodes:
        print(play(nodes, asked(0.0, options.rounds, is_private=False)), flush=True)
        for noise in options.noise:
            print(play(nodes, asked(noise, options.rounds)), flush=True)
    print(machine(), *(f"{load:.1f}" for load in os.getloadavg()))


if __name__ == "__main__":
    main()
