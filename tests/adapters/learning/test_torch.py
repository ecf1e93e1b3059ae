"""PyTorch's training beside NumPy's: how far apart they are, and what an audit makes of it.

These run where the extra `torch` is installed: some gigabytes for one of three trainers (ADR 68).
"""

import pytest
from msgspec.structs import replace

from ambientd.adapters.learning.learner import make_learner
from ambientd.model.learning import Plan, within
from ambientd.rules.learning.nearness import distance_micro
from ambientd.rules.learning.vectors import decoded
from ambientd.rules.model_shapes import parsed

pytest.importorskip("numpy")
pytest.importorskip("torch", reason="PyTorch is an extra: `pip install torch` and these tests run")

PLAN = within(
    Plan(
        model="mlp:64,32,10",
        trainer="torch",
        aggregation="median",
        seed=b"s" * 32,
        passes=5,
        batch=16,
        rate_micro=200_000,
    ),
    1_000,
)
MODELS = ("mlp:64,32,10", "mlp:64,16,12,10", "cnn:8,8,10")
APART_MICRO_MAX = 100
"""Measured are less than this; a tolerance of 1,000 leaves room."""


def changes_of(plan: Plan, data: str, number: int = 1) -> tuple[bytes, bytes]:
    """Train with PyTorch and with NumPy."""
    learner = make_learner()
    model = learner.initial(plan)
    theirs = learner.train(plan, model, data, number).update
    return theirs, learner.train(replace(plan, trainer="numpy"), model, data, number).update


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("prox_micro", [0, 500_000])
def test_both_come_to_the_same_within_far_less_than_a_tolerance(name: str, prox_micro: int) -> None:
    plan = replace(PLAN, model=name, prox_micro=prox_micro)
    count = parsed(name).count
    for part in range(1, 6):
        theirs, ours = (decoded(each, count) for each in changes_of(plan, f"digits:{part}/10"))
        assert distance_micro(theirs, ours) <= APART_MICRO_MAX
        assert distance_micro(ours, theirs) <= APART_MICRO_MAX


def test_a_pytorch_for_another_numpy_is_told_before_a_node_joins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen with Debian's PyTorch 1.13, which is built for NumPy 1, beside NumPy 2."""

    def refuses(*_: object, **__: object) -> None:
        raise RuntimeError("Could not infer dtype of numpy.float32")

    monkeypatch.setattr("torch.tensor", refuses)
    assert "was built for another NumPy" in (make_learner().data_fault(PLAN, "digits:1/10") or "")


@pytest.mark.parametrize("name", MODELS)
def test_an_aggregator_finds_true_training_near_and_anything_else_far(name: str) -> None:
    learner, plan = make_learner(), replace(PLAN, model=name)
    model = learner.initial(plan)
    rows = learner.lesson_data(plan, "digits:1/10")
    again = learner.train_on(plan, model, rows, 1).update
    theirs, ours = changes_of(plan, "digits:1/10")
    assert learner.is_near(plan, theirs, again)
    assert learner.is_near(plan, ours, again), "a device with other floats is honest as well"
    others, _ = changes_of(plan, "digits:2/10")
    assert not learner.is_near(plan, others, again)
    assert not learner.is_near(plan, learner.train(plan, model, "digits:1/10", 2).update, again)
    assert not learner.is_near(plan, bytes(len(again)), again)
