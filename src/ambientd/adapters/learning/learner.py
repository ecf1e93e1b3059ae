"""The port's learner: reads an owner's data, trains, scores, aggregates, exports."""

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np

from ambientd.adapters.learning import fixed, native_rows, networks, onnx_file, samples
from ambientd.adapters.learning.samples import Samples
from ambientd.adapters.learning.trainers import NATIVE, Descend
from ambientd.codec.digest import tagged
from ambientd.errors import ConfigError, RemoteProtocolError
from ambientd.model.base import NodeId
from ambientd.model.learning import NO_MODULE, Circle, Plan, Score
from ambientd.ports.learning import AggregatedModel, Contribution, TrainedUpdate, never
from ambientd.rules.learning import models
from ambientd.rules.learning.averaging import average
from ambientd.rules.learning.circles import SummedModel, Words
from ambientd.rules.learning.masking import Job, in_turn
from ambientd.rules.learning.models import Model
from ambientd.rules.learning.nearness import distance_micro
from ambientd.rules.learning.privacy import Terms
from ambientd.rules.learning.private_rounds import concealed, summed
from ambientd.rules.learning.vectors import applied, decoded, encoded, rounded, to_floats
from ambientd.rules.lessons import is_proven, trainer_fault
from ambientd.rules.studies import AGGREGATIONS
from ambientd.rules.tolerances import BATCH_MAX, PASSES_MAX, RATE_MICRO_MAX

THREADS_MAX: Final = 4


def _plan_fault(plan: Plan) -> str | None:
    model = models.parsed(plan.model)
    networks.at_once(model, 1)
    if plan.trainer != "wasm" and plan.trainer not in NATIVE:
        return _no_trainer(plan.trainer)
    if not 1 <= plan.passes <= PASSES_MAX or not 1 <= plan.batch <= BATCH_MAX:
        return f"passes lie between 1 and {PASSES_MAX}, a batch between 1 and {BATCH_MAX}"
    if not 1 <= plan.rate_micro <= RATE_MICRO_MAX or not 0 <= plan.prox_micro <= RATE_MICRO_MAX:
        return "the rate lies between 0.000001 and 100, and prox between 0 and 100"
    if plan.aggregation not in AGGREGATIONS:
        rules = ", ".join(AGGREGATIONS)
        return f"no rule of aggregation is called {plan.aggregation!r}; say one of {rules}"
    if plan.is_private:
        Terms(plan.clip_micro, plan.noise_milli, 1)
    if plan.trainer in NATIVE:
        return None if plan.module == NO_MODULE else "a module trains: say trainer = wasm"
    if plan.module == NO_MODULE or plan.is_private:
        return "the trainer wasm needs a module, and an open study: say module = FILE.wasm"
    return trainer_fault(plan)


def _no_trainer(name: str) -> str:
    return f"no trainer is called {name!r}; say {', '.join(NATIVE)} or wasm"


class NumpyLearner:
    """Trains on data in a folder; executes trainers in WebAssembly where the node can."""

    def __init__(
        self, folder: Path | None, native: Mapping[str, Callable[[], Descend]] = NATIVE
    ) -> None:
        self._folder = folder
        self._native = native

    def plan_fault(self, plan: Plan) -> str | None:
        """Say why a plan cannot be carried out; None when it can."""
        try:
            return _plan_fault(plan)
        except ConfigError as error:
            return str(error)

    def data_fault(self, plan: Plan, data: str) -> str | None:
        """Say why a plan cannot be carried out on an owner's data; None when it can."""
        try:
            self._data(models.parsed(plan.model), data)
            if not is_proven(plan):
                self._trainer(plan)
        except ConfigError as error:
            return str(error)
        return None

    def initial(self, plan: Plan) -> bytes:
        """Give the model that the plan's seed leads to."""
        return models.initial(models.parsed(plan.model), plan.seed)

    def _trainer(self, plan: Plan) -> Descend:
        """Open what a plan trains with; raise ConfigError where this device has none such."""
        if plan.trainer not in self._native:
            raise ConfigError(_no_trainer(plan.trainer))
        return self._native[plan.trainer]()

    def _data(self, model: Model, data: str) -> tuple[Samples, Samples]:
        found = samples.read(data, self._folder)
        if not len(found):
            raise ConfigError(f"{data}: there is no sample in this part; name another")
        if found.inputs.shape[1] != model.inputs or int(found.labels.max()) >= model.classes:
            raise ConfigError(
                f"{data}: {found.inputs.shape[1]} numbers a sample and labels up to "
                f"{found.labels.max()}, but the model takes {model.inputs} and "
                f"{model.classes} classes; name other data for this study"
            )
        return samples.split(found)

    def train(self, plan: Plan, model: bytes, data: str, number: int) -> TrainedUpdate:
        """Train a model on the data that the owner named, for the round of this number."""
        training, _ = self._data(models.parsed(plan.model), data)
        return self._trained(plan, model, training, number)

    def train_on(
        self,
        plan: Plan,
        model: bytes,
        rows: bytes,
        number: int,
        is_over: Callable[[], bool] = never,
    ) -> TrainedUpdate:
        """Train a model on such samples, natively, while there is time."""
        return self._trained(plan, model, native_rows.read(plan, rows), number, is_over)

    def is_near(self, plan: Plan, update: bytes, again: bytes) -> bool:
        """Tell whether an update is as near to what training again gave as the plan asks."""
        count = models.parsed(plan.model).count
        try:
            said = decoded(update, count)
        except RemoteProtocolError:
            return False
        return distance_micro(said, decoded(again, count)) <= plan.tolerance_micro

    def _trained(
        self,
        plan: Plan,
        model: bytes,
        training: Samples,
        number: int,
        is_over: Callable[[], bool] = never,
    ) -> TrainedUpdate:
        shape = models.parsed(plan.model)
        before = decoded(model, shape.count)
        how = networks.Training(
            plan.passes, plan.batch, plan.rate_micro / 1e6, plan.prox_micro / 1e6, is_over
        )
        seed = tagged("fl-training", plan.seed, number.to_bytes(4, "big"))
        after = rounded(self._trainer(plan)(shape, to_floats(model), training, how, seed))
        after -= before  # within twice the range: it fits
        return TrainedUpdate(encoded(after), len(training))

    def lesson_data(self, plan: Plan, data: str) -> bytes:
        """Give the samples of the owner's data to train on, as whoever repeats it takes them."""
        shape = models.parsed(plan.model)
        training, _ = self._data(shape, data)
        return fixed.rows(shape, training) if is_proven(plan) else native_rows.written(training)

    def score(
        self, plan: Plan, model: bytes, data: str, samples_max: int = samples.SAMPLES_MAX
    ) -> Score:
        """Try a model on the held-out part of the data that the owner named, or some of it."""
        shape = models.parsed(plan.model)
        decoded(model, shape.count)
        _, held_out = self._data(shape, data)
        found = networks.scored(shape, model, held_out.at(np.arange(len(held_out))[:samples_max]))
        return Score(
            correct=found.correct, total=found.total, loss_micro=round(found.loss * 1_000_000)
        )

    def aggregate(
        self, plan: Plan, model: bytes, updates: Iterable[Contribution]
    ) -> AggregatedModel:
        """Make the next model, with equal bytes on every device; the updates are read once."""
        shape = models.parsed(plan.model)
        pairs = _plain(plan, shape, model, updates)
        found = average(plan.aggregation, pairs, shape.count, plan.poisoned_permille)
        return AggregatedModel(applied(model, found.update), found.left_out)

    def conceal(
        self, plan: Plan, update: bytes, secret: bytes, me: NodeId, circle: Circle, rid: bytes
    ) -> bytes:
        """Clip, noise and mask an update for a circle; the same bytes again for equal arguments."""
        return concealed(plan, update, secret, me, circle, rid, in_threads)

    def sum_up(self, plan: Plan, model: bytes, circles: Iterable[Words], rid: bytes) -> SummedModel:
        """Take the masks off circles' sums and make the next model, with equal bytes everywhere."""
        decoded(model, models.parsed(plan.model).count)
        return summed(plan, model, circles, rid, in_threads)

    def export(self, plan: Plan, model: bytes, form: str) -> bytes:
        """Give a model as a file of the form `npz` or `onnx`."""
        shape = models.parsed(plan.model)
        decoded(model, shape.count)
        if form == "onnx":
            return onnx_file.written(shape, to_floats(model).astype(np.float32))
        if form != "npz":
            raise ConfigError(f"a model is exported as npz or onnx, not as {form!r}")
        file = io.BytesIO()
        arrays = {}
        numbers, at = to_floats(model), 0
        for place, layer in enumerate(shape.layers, start=1):
            end = at + layer.units * layer.inputs
            arrays[f"weights{place}"] = numbers[at:end].reshape(layer.units, layer.inputs)
            arrays[f"biases{place}"] = numbers[end : end + layer.units]
            at = end + layer.units
        np.savez_compressed(file, allow_pickle=False, **arrays)
        return file.getvalue()


def _plain(
    plan: Plan, shape: Model, model: bytes, updates: Iterable[Contribution]
) -> Iterator[tuple[bytes, int]]:
    """Give updates as differences; where training is proven they come as the trainer's output."""
    for item in updates:
        update = item.update
        if is_proven(plan):
            try:
                update = encoded(fixed.change(shape, model, update))
            except RemoteProtocolError:
                update = b""  # malformed, so it is left out
        yield update, item.samples


def in_threads(jobs: Sequence[Job]) -> None:
    """Do jobs at once: NumPy and the cipher let other threads run."""
    if len(jobs) == 1:
        in_turn(jobs)
        return
    with ThreadPoolExecutor(min(THREADS_MAX, os.cpu_count() or 1)) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result()


def make_learner(folder: Path | None = None) -> NumpyLearner:
    """Make a learner whose relative data lie in the folder."""
    return NumpyLearner(folder)
