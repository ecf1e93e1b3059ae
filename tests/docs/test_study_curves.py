"""The example of a federated study draws what its rounds came to."""

import sys
import xml.etree.ElementTree as ET
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from ambientd.api.learning_values import RoundInfo

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
