"""What federated learning reaches on the digits: alone, poisoned, and under privacy.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.learning

One process plays all participants, with the rules of aggregation, the clipping and the noise that
studies use; masks are left out, since they cancel exactly. Data are split by Dirichlet(1) by class;
a fifth is held out of all and scored at the end.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ambientd.adapters.learning import networks, samples
from ambientd.adapters.learning.networks import Training
from ambientd.adapters.learning.samples import Samples
from ambientd.rules.learning import models, vectors
from ambientd.rules.learning.averaging import average, model_of_groups
from ambientd.rules.learning.models import Model
from ambientd.rules.learning.noise import quantised
from ambientd.rules.learning.privacy import Terms, spent

CLIP_MICRO = 500_000


Update = tuple[bytes, int]
Step = Callable[[int, bytes, list[Update]], bytes]


def trained(shape: Model, model: bytes, part: Samples, how: Training, number: int) -> Update:
    """Give one participant's update and how many samples it is of."""
    if not len(part):
        return bytes(len(model)), 0
    after = networks.trained(shape, model, part, how, number.to_bytes(4, "big"))
    change = vectors.decoded(after).astype(np.int64) - vectors.decoded(model)
    return vectors.encoded(change), len(part)


def play(shape: Model, parts: list[Samples], rounds: int, how: Training, step: Step) -> bytes:
    """Play the rounds; give the last model."""
    model = models.initial(shape, b"benchmark")
    for number in range(rounds):
        updates = [trained(shape, model, part, how, number) for part in parts]
        model = step(number, model, updates)
    return model


def open_mode(rule: str, liars: int, poisoned_permille: int) -> Step:
    """Aggregate in the open; liars send ten times the honest mean, backwards."""

    def step(_number: int, model: bytes, updates: list[Update]) -> bytes:
        if liars:
            honest = [vectors.decoded(update).astype(np.int64) for update, _ in updates[liars:]]
            lie = vectors.encoded(-10 * sum(honest) // len(honest))
            updates = [(lie, 15)] * liars + updates[liars:]
        found = average(rule, updates, len(model) // 4, poisoned_permille)
        return vectors.applied(model, found.update)

    return step


def private_mode(rule: str, noise_milli: int, size: int) -> Step:
    """Aggregate groups' sums of clipped updates with noise."""

    def step(number: int, model: bytes, updates: list[Update]) -> bytes:
        order = np.random.default_rng(number).permutation(len(updates))
        count = max(1, len(updates) // size)
        sums = []
        for group in (order[place::count] for place in range(count)):
            terms = Terms(CLIP_MICRO, noise_milli, 2 * len(group) // 3 + 1)
            total = np.zeros(len(model) // 4, dtype=np.int64)
            for member in group:
                seed = b"%d %d" % (number, member)
                total += np.frombuffer(quantised(terms, updates[member][0], seed), "<i4")
            sums.append((total.astype("<i4").tobytes(), len(group)))
        terms = Terms(CLIP_MICRO, noise_milli, 1)
        return model_of_groups(rule, terms, model, sums)

    return step


def main() -> None:
    """Print the figures, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", help="digits, or a file (see adapters)")
    parser.add_argument("--model", default="mlp:64,32,10")
    parser.add_argument("--only", choices=("few", "poisoned", "private"))
    parser.add_argument("--group", type=int, default=8)
    options = parser.parse_args()
    shape = models.parsed(options.model)
    training, held_out = samples.split(samples.read(options.data, Path.cwd()))

    def show(what: str, parts: list[Samples], rounds: int, how: Training, step: Step) -> None:
        start = time.perf_counter()
        found = networks.scored(shape, play(shape, parts, rounds, how, step), held_out)
        seconds = time.perf_counter() - start
        print(f"{what}: {found.correct / found.total:.3f} in {seconds:.0f} s", flush=True)

    ten = [samples.part_of(training, part, 10) for part in range(1, 11)]
    hundred = [samples.part_of(training, part, 100) for part in range(1, 101)]
    some = Training(passes=3, batch=16, rate=0.1)
    pulled = Training(passes=3, batch=16, rate=0.1, prox=0.1)
    few = Training(passes=8, batch=64, rate=0.3)
    if options.only in {None, "few"}:
        show("all data in one place, 60 passes", [training], 20, some, open_mode("fedavg", 0, 0))
        for rounds in (5, 10, 20, 40):
            show(f"10 participants, {rounds} rounds, fedavg", ten, rounds, some,
                 open_mode("fedavg", 0, 0))  # fmt: skip
        show("10 participants, 20 rounds, fedprox 0.1", ten, 20, pulled, open_mode("fedavg", 0, 0))
    if options.only in {None, "poisoned"}:
        for liars in (0, 33):
            for rule in ("fedavg", "trimmed-mean", "median", "multi-krum"):
                show(f"100 participants, {liars} liars, 60 rounds, {rule}", hundred, 60, few,
                     open_mode(rule, liars, 330))  # fmt: skip
    if options.only in {None, "private"}:
        for noise in (0, 4_000, 8_000, 16_000):
            cost = spent(Terms(CLIP_MICRO, noise, 2 * options.group // 3 + 1), 60).epsilon_micro
            said = "none" if cost is None else f"{cost / 1e6:.2f}"
            for rule in ("fedavg", "median"):
                what = f"noise {noise / 1000:g}, {rule} of groups of {options.group}"
                step = private_mode(rule, noise, options.group)
                show(f"100 participants, 60 rounds, {what}, epsilon {said}", hundred, 60, few, step)
    print("load average", *(f"{load:.1f}" for load in os.getloadavg()))


if __name__ == "__main__":
    main()
