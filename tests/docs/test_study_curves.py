"""The example of a federated study draws what its rounds came to."""

import io
import json
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from contextlib import nullcontext
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest

from ambientd.adapters.learning.learner import NumpyLearner
from ambientd.api.client import Client
from ambientd.api.learning_values import RoundInfo
from ambientd.errors import UsageError
from ambientd.model.learning import Plan
from ambientd.ports.learning import Contribution

EXAMPLE = Path(__file__).parents[2] / "examples" / "federated-mnist"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.delitem(sys.modules, "fetch", raising=False)
    spec = spec_from_file_location("federated_mnist_run", EXAMPLE / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def archive_of(pictures: Mapping[int, list[list[int]]]) -> bytes:
    """Give an archive as npm has it: for each digit the numbers of all its pictures in one list."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as files:
        for label in range(10):
            rows = pictures.get(label, [])
            data = json.dumps({"data": [value / 255 for row in rows for value in row]}).encode()
            entry = tarfile.TarInfo(f"package/src/digits/{label}.json")
            entry.size = len(data)
            files.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def test_pictures_of_the_package_become_data_that_ten_participants_train_the_examples_model_on(
    example: ModuleType, tmp_path: Path
) -> None:
    """The example's default study, in one process and on few pictures: a stroke for each digit."""
    few = {
        label: [
            [255 if at // 28 == 2 * label + 3 and at % 28 > shift % 20 else 0 for at in range(784)]
            for shift in range(40)
        ]
        for label in range(10)
    }
    inputs, labels = example.fetch.pictures(archive_of(few))
    assert inputs.shape == (400, 784)
    assert (inputs.dtype, int(inputs.max())) == (np.uint8, 255)
    assert list(labels[::40]) == list(range(10))
    np.savez_compressed(tmp_path / "mnist.npz", inputs=inputs, labels=labels)
    asked = example.study_of("mnist", 10, 10)
    plan = Plan(
        model=asked.model,
        trainer=asked.trainer,
        aggregation=asked.aggregation,
        seed=bytes(32),
        passes=asked.passes,
        batch=asked.batch,
        rate_micro=round(asked.rate * 1_000_000),
    )
    learner = NumpyLearner(tmp_path)
    assert learner.plan_fault(plan) is None
    parts = [f"mnist.npz:{number}/10" for number in range(1, 11)]
    assert [learner.data_fault(plan, part) for part in parts] == [None] * 10
    model = learner.initial(plan)
    for number in range(1, 6):
        made = [learner.train(plan, model, part, number) for part in parts]
        model = learner.aggregate(
            plan, model, [Contribution(each.update, each.samples) for each in made]
        ).model
    scores = [learner.score(plan, model, part) for part in parts]
    assert sum(each.correct for each in scores) > 0.9 * sum(each.total for each in scores)


def test_an_accuracy_that_is_not_reached_is_known(example: ModuleType) -> None:
    assert example.accuracy_of([ended(1, 50, 2.0), ended(2, 90, 1.0), ended(3, 0, None)]) == 0.9
    assert example.accuracy_of([ended(1, 0, None)]) == 0.0


def ended(number: int, correct: int, loss: float | None, survivors: int = 10) -> RoundInfo:
    return RoundInfo(
        round=number, state="done", participants=10, updates=10, survivors=survivors, left_out=[],
        correct=correct, total=100 if loss is not None else 0, loss=loss, model="", receipt="",
        began_ms=1, ended_ms=2, reason="",
    )  # fmt: skip


def test_accuracy_loss_and_participants_are_drawn_round_by_round(example: ModuleType) -> None:
    rounds = [ended(1, 50, 2.0), ended(2, 0, None, survivors=4), ended(3, 90, 0.5)]
    drawn = ET.fromstring(example.curves(rounds))
    lines = [each.get("points", "").split() for each in drawn.findall("{*}polyline")]
    heights = [[float(point.split(",")[1]) for point in line] for line in lines]
    low, high = example.HEIGHT - example.EDGE, example.EDGE
    share = [[round((low - y) / (low - high), 2) for y in line] for line in heights]
    assert share == [[0.5, 0.0, 0.9], [1.0, 0.4, 1.0], [1.0, 0.0, 0.25]]
    said = " ".join(text.text or "" for text in drawn.findall("{*}text"))
    assert "last 90.0%" in said
    assert "100 % being 2.00: last 0.50" in said


def test_a_single_round_that_nobody_scored_is_drawn_all_the_same(example: ModuleType) -> None:
    assert "last 0.0%" in example.curves([ended(1, 0, None, survivors=0)])


def test_a_study_that_cannot_be_carried_out_ends_with_a_line(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def over() -> int:
        raise UsageError("study 0a0b0c0d0e0f is over")

    monkeypatch.setattr(example, "run", over)
    assert example.main() == 1
    assert capsys.readouterr().err == "the study came to no end: study 0a0b0c0d0e0f is over\n"


def test_no_daemon_is_left_waiting_for_a_word_while_others_join(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon hangs up on whoever is silent for long, and ten joins of a busy machine are long."""
    connected: list[Path] = []
    joined: list[str] = []

    class OneClient(Client):
        def __enter__(self) -> Self:
            connected.append(self._path)
            return self

        def __exit__(self, *_: object) -> None:
            connected.remove(self._path)

        def call(self, operation: object, request: object, timeout_s: object = None) -> Any:
            assert connected == [self._path]
            return SimpleNamespace(study="0a0b")

    def join(node: Client, study: str, data: str) -> None:
        node.call(object(), object())  # type: ignore[arg-type]
        joined.append(data)

    monkeypatch.setattr(example, "LocalMesh", lambda *_, **__: nullcontext())
    monkeypatch.setattr(example, "Client", OneClient)
    monkeypatch.setattr(example, "join", join)
    no_rounds = SimpleNamespace(rounds=[], study=SimpleNamespace(reason="none"))
    monkeypatch.setattr(example, "followed", lambda *_: no_rounds)
    monkeypatch.setattr(sys, "argv", ["run.py", "--data", "digits", "--nodes", "3"])
    assert example.main() == 1
    assert joined == ["digits:1/3", "digits:2/3", "digits:3/3"]


def test_the_invitation_lasts_until_ten_nodes_of_a_busy_machine_have_joined(
    example: ModuleType,
) -> None:
    assert example.study_of("mnist", 10, 10).invite_s >= 10 * example.KNOWN_WITHIN_S


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--out", "nowhere/curves.svg"], "nowhere/curves.svg: cannot be written"),
        (["--receipt", "."], ".: cannot be written"),
        (["--rounds", "0"], "a study needs a node and a round"),
        (["--nodes", "0"], "a study needs a node and a round"),
    ],
)
def test_what_cannot_be_is_said_before_a_daemon_starts(
    example: ModuleType,
    asked: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["run.py", "--data", "digits", *asked])
    with pytest.raises(SystemExit) as refused:
        example.main()
    assert refused.value.code == 2
    assert said in capsys.readouterr().err
