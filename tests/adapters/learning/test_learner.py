import contextlib
import hashlib
import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnx.checker
import onnx.reference
import pytest
from msgspec.structs import replace

from ambientd.adapters.engines import installed, open_engine
from ambientd.adapters.learning import networks, npz_file
from ambientd.adapters.learning.learner import NumpyLearner, make_learner
from ambientd.adapters.learning.networks import Floats, Training
from ambientd.adapters.learning.samples import Samples
from ambientd.adapters.learning.trainers import Descend
from ambientd.codec.digest import tagged
from ambientd.errors import ConfigError, RemoteProtocolError
from ambientd.model.base import Digest, NodeId
from ambientd.model.execution import ExecutionLimits, ExecutionResult, OutcomeKind
from ambientd.model.learning import Lesson, Plan, StudyId, Terms
from ambientd.ports.learning import Contribution
from ambientd.rules.learning import vectors
from ambientd.rules.learning.models import Model, initial, parsed
from ambientd.rules.lessons import joined as lesson_input
from ambientd.rules.lessons import lesson_of
from ambientd.wasm.prepare import Prepared, prepare
from ambientd.worker.execution import execute

EXAMPLES = Path(__file__).parents[3] / "examples"
PLAN = Plan(
    model="mlp:64,32,10", trainer="numpy", aggregation="fedavg", seed=b"s" * 32, passes=2, batch=16,
    rate_micro=200_000,
)  # fmt: skip


def modules() -> dict[str, bytes]:
    return {
        "cnn:8,4,10": (EXAMPLES / "fixed-cnn" / "train.wasm").read_bytes(),
        "mlp:64,16,10": (EXAMPLES / "fixed-train" / "train.wasm").read_bytes(),
    }


def lesson_on(plan: Plan, model: bytes, rows: bytes) -> Lesson:
    node, samples = NodeId(b"n" * 32), len(rows) // 65
    terms = Terms(
        rounds=1, participants_min=1, wanted=1, invite_ms=1, train_ms=1, step_ms=1,
        module_size_bytes=1_000,
    )  # fmt: skip
    digests = (Digest(hashlib.sha256(each).digest()) for each in (model, rows))
    return lesson_of(StudyId(bytes(32)), 3, node, plan, terms, *digests, samples, 1)


def runner(engine_name: str):  # noqa: ANN201
    by_hash = {hashlib.sha256(module).digest(): module for module in modules().values()}
    engine = open_engine(engine_name)

    def run(module: Digest, data: bytes) -> bytes:
        prepared = prepare(by_hash[module])
        assert isinstance(prepared, Prepared)
        result = execute(engine.compile(prepared.module), data, ExecutionLimits(), bytes(32))
        assert isinstance(result, ExecutionResult)
        assert result.kind is OutcomeKind.COMPLETED, result
        return result.output

    return run


def test_ten_participants_learn_together_without_showing_their_data() -> None:
    learner = make_learner()
    assert learner.plan_fault(PLAN) is None
    model = learner.initial(PLAN)
    for number in range(8):
        updates = []
        for part in range(1, 11):
            trained = learner.train(PLAN, model, f"digits:{part}/10", number)
            updates.append(Contribution(trained.update, trained.samples))
        aggregated = learner.aggregate(PLAN, model, iter(updates))
        assert aggregated.left_out == ()
        model = aggregated.model
    scores = [learner.score(PLAN, model, f"digits:{part}/10") for part in range(1, 11)]
    total = sum(score.total for score in scores)
    assert total > 340
    assert sum(score.correct for score in scores) / total > 0.9


def test_training_again_gives_the_same_update_and_another_round_another() -> None:
    learner = make_learner()
    model = learner.initial(PLAN)
    first = learner.train(PLAN, model, "digits:1/10", 1)
    assert first == learner.train(PLAN, model, "digits:1/10", 1)
    assert first != learner.train(PLAN, model, "digits:1/10", 2)


def still(model: Model, start: Floats, samples: Samples, how: Training, seed: bytes) -> Floats:
    """Trains by moving every number by as much as it was told, and by the seed."""
    return start + how.rate * len(samples) + seed[0]


def test_the_trainer_that_a_plan_names_trains_from_the_rounds_seed() -> None:
    learner = NumpyLearner(None, {"numpy": networks_trainer, "torch": lambda: still})
    model = learner.initial(PLAN)
    own = learner.train(PLAN, model, "digits:1/10", 1)
    assert own == make_learner().train(PLAN, model, "digits:1/10", 1)
    plan = replace(PLAN, trainer="torch", rate_micro=1)
    assert learner.plan_fault(plan) is None
    found = learner.train(plan, model, "digits:1/10", 1)
    assert found.samples == own.samples
    moved = tagged("fl-training", plan.seed, (1).to_bytes(4, "big"))[0] + found.samples / 1e6
    expected = vectors.from_floats(vectors.to_floats(model) + moved)
    change = vectors.decoded(expected).astype(np.int64) - vectors.decoded(model)
    assert found.update == vectors.encoded(change)


def networks_trainer() -> Descend:
    return networks.descended


def no_torch() -> Descend:
    raise ConfigError("torch is not installed here")


def test_a_device_without_the_trainers_library_is_told_before_it_joins() -> None:
    learner = NumpyLearner(None, {"numpy": networks_trainer, "torch": no_torch})
    plan = replace(PLAN, trainer="torch")
    assert learner.plan_fault(plan) is None, "whoever begins a study need not train"
    assert learner.data_fault(plan, "digits") == "torch is not installed here"
    with pytest.raises(ConfigError, match="not installed"):
        learner.train(plan, learner.initial(plan), "digits", 1)
    foreign = replace(PLAN, trainer="keras")
    assert "keras" in (learner.data_fault(foreign, "digits") or "")


@pytest.mark.parametrize("name", sorted(modules()))
def test_every_engine_trains_the_same_update(name: str) -> None:
    module = Digest(hashlib.sha256(modules()[name]).digest())
    plan = replace(PLAN, model=name, trainer="wasm", module=module, passes=6)
    found = set()
    for engine in installed():
        learner = make_learner()
        assert learner.plan_fault(plan) is None
        model = learner.initial(plan)
        rows = learner.lesson_data(plan, "digits:3/10")
        lesson = lesson_on(plan, model, rows)
        output = runner(engine)(module, lesson_input(lesson.parts, model, rows))
        assert len(output) == lesson.spec.output_bytes_max
        after = learner.aggregate(plan, model, [Contribution(output, 1)]).model
        assert after == output[8:], "one update alone is the next model"
        before_score = learner.score(plan, model, "digits:3/10")
        assert learner.score(plan, after, "digits:3/10").correct > before_score.correct
        found.add(hashlib.sha256(output).hexdigest())
    assert len(found) == 1


@pytest.mark.parametrize(
    "changes",
    [
        *({"model": "mlp:1"}, {"trainer": "keras"}, {"passes": 0}, {"batch": 0}, {"batch": 5000}),
        *({"rate_micro": 0}, {"prox_micro": -1}, {"aggregation": "best"}, {"trainer": "wasm"}),
        {"is_private": True, "clip_micro": 0},
        {"is_private": True, "clip_micro": 200_000_000, "noise_milli": 500_000},
        {"trainer": "wasm", "module": bytes(31) + b"1", "model": "mlp:64,8,8,10"},
        {"trainer": "wasm", "module": bytes(31) + b"1", "model": "mlp:2000,8,10"},
        {"trainer": "wasm", "module": bytes(31) + b"1", "prox_micro": 1},
        {"trainer": "wasm", "module": bytes(31) + b"1", "batch": 2000},
        {"trainer": "wasm", "module": bytes(31) + b"1", "rate_micro": 1, "batch": 1000},
    ],
)
def test_a_plan_that_cannot_be_carried_out_says_why(changes: dict[str, object]) -> None:
    fault = make_learner().plan_fault(replace(PLAN, **changes))
    assert fault
    assert len(fault) < 200


def test_a_rule_that_is_none_is_answered_with_those_there_are() -> None:
    fault = make_learner().plan_fault(replace(PLAN, aggregation="mean")) or ""
    assert fault.endswith("say one of fedavg, fedprox, multi-krum, trimmed-mean, median")


def test_data_of_another_shape_and_bytes_of_another_model_are_refused(tmp_path: Path) -> None:
    learner = make_learner(tmp_path)
    (tmp_path / "a.csv").write_text("a,label\n1,0\n1,1\n")
    model = learner.initial(PLAN)
    with pytest.raises(ConfigError, match="name other data"):
        learner.train(PLAN, model, "a.csv", 0)
    with pytest.raises(RemoteProtocolError):
        learner.train(PLAN, model[4:], "digits", 0)
    with pytest.raises(RemoteProtocolError):
        learner.score(PLAN, b"", "digits")


def test_a_model_comes_out_as_arrays() -> None:
    learner = make_learner()
    model = learner.initial(PLAN)
    with np.load(io.BytesIO(learner.export(PLAN, model, "npz"))) as arrays:
        shapes = {name: arrays[name].shape for name in arrays}
        flat = np.concatenate([arrays[name].ravel() for name in arrays])
    assert shapes == {
        "weights1": (32, 64), "biases1": (32,), "weights2": (10, 32), "biases2": (10,),
    }  # fmt: skip
    assert vectors.from_floats(flat) == model
    assert npz_file.read(learner.export(PLAN, model, "npz")) == model
    with pytest.raises(ConfigError, match="fl export"):
        npz_file.read(b"no model")
    with pytest.raises(ConfigError, match="npz or onnx"):
        learner.export(PLAN, model, "h5")


@pytest.mark.parametrize("shape", [f"({1 << 50},)", f"({1 << 80},)", "(-5,)", "()", "(2, 2)"])
def test_an_array_that_claims_another_size_is_no_model(shape: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("weights1.npy", "biases1.npy"):
            header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
            body = header.ljust(117).encode() + b"\n"
            archive.writestr(name, b"\x93NUMPY\1\0" + struct.pack("<H", len(body)) + body)
    with pytest.raises(ConfigError, match="fl export"):
        npz_file.read(file.getvalue())


@pytest.mark.parametrize("is_told", [True, False])
def test_a_file_that_unpacks_to_more_than_any_model_is_refused_before_it_does(
    monkeypatch: pytest.MonkeyPatch, *, is_told: bool
) -> None:
    """Whether its list of contents says so, or says less than there is."""
    monkeypatch.setattr(npz_file, "_BYTES_MAX", 1 << 16)
    file, much = io.BytesIO(), 64 << 20
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights1.npy", bytes(much))
    data = file.getvalue()
    if not is_told:
        assert data.count(struct.pack("<I", much)) == 2
        data = data.replace(struct.pack("<I", much), struct.pack("<I", 100))
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError):
            npz_file.read(data)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_model_that_was_damaged_on_its_way_is_told_as_none() -> None:
    learner = make_learner()
    data = learner.export(PLAN, learner.initial(PLAN), "npz")
    for at in range(0, len(data), len(data) // 200):
        with contextlib.suppress(ConfigError):
            npz_file.read(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])


SHAPES = ("mlp:64,32,10", "mlp:9,7,5,3", "mlp:4,2", "cnn:8,8,10", "cnn:28,3,10", "cnn:7,2,3")


@pytest.mark.parametrize("name", SHAPES)
def test_a_model_comes_out_as_onnx_and_others_compute_our_scores_with_it(name: str) -> None:
    plan, shape = replace(PLAN, model=name), parsed(name)
    learner = make_learner()
    numbers = initial(shape, b"onnx")
    file = onnx.load_from_string(learner.export(plan, numbers, "onnx"))
    onnx.checker.check_model(file, full_check=True)
    inputs = np.random.default_rng(1).random((5, shape.inputs)).astype(np.float32)
    [found] = onnx.reference.ReferenceEvaluator(file).run(["scores"], {"samples": inputs})
    expected = networks.Network(shape, vectors.to_floats(numbers)).scores(inputs.astype(float))
    assert np.abs(expected).max() > 0.01
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "digest"), [("mlp:64,32,10", "a14a4e057510094a"), ("cnn:8,8,10", "df181dce6a6f4123")]
)
def test_an_onnx_file_is_the_same_bytes_as_ever(name: str, digest: str) -> None:
    """The digests are of files from which ONNX Runtime 1.31 computed our own scores."""
    plan = replace(PLAN, model=name)
    learner = make_learner()
    file = learner.export(plan, learner.initial(plan), "onnx")
    assert hashlib.sha256(file).hexdigest()[:16] == digest
