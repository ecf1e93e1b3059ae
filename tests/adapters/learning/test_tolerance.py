"""Native training repeated on other engines: how far honest devices are apart, and liars from them.

Engines are NumPy as it is, with sums in another order, in float32, and with other BLAS threads.
"""

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.adapters.learning import native_rows, networks
from ambientd.adapters.learning.learner import NumpyLearner, make_learner
from ambientd.adapters.learning.networks import Floats, Network, Training, batches
from ambientd.adapters.learning.samples import Samples
from ambientd.errors import RemoteProtocolError
from ambientd.model.learning import Plan, within
from ambientd.rules.learning.models import Model
from ambientd.rules.learning.nearness import FAR_MICRO, distance_micro
from ambientd.rules.learning.vectors import decoded, encoded
from ambientd.rules.tolerances import TOLERANCE_MICRO_MAX

TOLERANCE_MICRO = 1_000
PLANS = tuple(
    within(
        Plan(
            model=model,
            trainer="numpy",
            aggregation="median",
            seed=b"s" * 32,
            passes=passes,
            batch=batch,
            rate_micro=rate_micro,
        ),
        TOLERANCE_MICRO,
    )
    for model, passes, batch, rate_micro in (
        ("mlp:64,32,10", 5, 16, 100_000),
        ("mlp:64,128,64,10", 10, 8, 200_000),
        ("cnn:8,8,10", 20, 16, 300_000),
    )
)


def in_float32(model: Model, start: Floats, samples: Samples, how: Training, seed: bytes) -> Floats:
    return _descended(model, start.astype(np.float32), samples, how, seed, None)


def in_another_order(
    model: Model, start: Floats, samples: Samples, how: Training, seed: bytes
) -> Floats:
    dice = np.random.default_rng(1)
    return _descended(model, start.copy(), samples, how, seed, dice)


def _descended(
    model: Model,
    start: Floats,
    samples: Samples,
    how: Training,
    seed: bytes,
    dice: np.random.Generator | None,
) -> Floats:
    network, step = Network(model, start), np.empty_like(start)
    for chosen in batches(len(samples), how, seed):
        order = chosen if dice is None else dice.permutation(chosen)
        inputs = samples.inputs[order].astype(start.dtype)
        network.gradient(inputs, samples.labels[order], step)
        step *= start.dtype.type(how.rate)
        network.numbers -= step
    return network.numbers.astype(np.float64)


def learner_of(descend: Callable[..., Floats]) -> NumpyLearner:
    return NumpyLearner(None, {"numpy": lambda: descend})


def distance(plan: Plan, update: bytes, again: bytes) -> int:
    assert plan.tolerance_micro
    return distance_micro(decoded(update), decoded(again))


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.model)
@pytest.mark.parametrize("engine", [networks.descended, in_float32, in_another_order])
def test_honest_training_on_another_engine_is_within_a_tenth_of_the_tolerance(
    plan: Plan, engine: Callable[..., Floats]
) -> None:
    here, there = make_learner(), learner_of(engine)
    model = here.initial(plan)
    for part in range(1, 6):
        rows = here.lesson_data(plan, f"digits:{part}/10")
        update = there.train(plan, model, f"digits:{part}/10", part).update
        again = here.train_on(plan, model, rows, part).update
        assert here.is_near(plan, update, again)
        assert distance(plan, update, again) <= TOLERANCE_MICRO // 10


def test_other_numbers_of_blas_threads_are_within_a_tenth_of_the_tolerance() -> None:
    program = (
        "import sys\n"
        "from tests.adapters.learning.test_tolerance import PLANS, make_learner\n"
        "learner, plan = make_learner(), PLANS[1]\n"
        "found = learner.train(plan, learner.initial(plan), 'digits:1/2', 1)\n"
        "sys.stdout.buffer.write(found.update)\n"
    )
    plan, updates = PLANS[1], []
    for threads in ("1", "4"):
        environment = os.environ | dict.fromkeys(
            ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), threads
        )
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True
        )
        updates.append(done.stdout)
    assert distance(plan, *updates) <= TOLERANCE_MICRO // 10


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.model)
def test_whoever_is_idle_copies_or_poisons_is_further_off_than_any_tolerance(plan: Plan) -> None:
    learner = make_learner()
    model = learner.initial(plan)
    rows = learner.lesson_data(plan, "digits:1/10")
    again = learner.train_on(plan, model, rows, 1).update
    numbers = decoded(again).astype(np.int64)
    copied = learner.train(plan, model, "digits:2/10", 1).update
    earlier = learner.train(plan, model, "digits:1/10", 2).update
    less = learner.train(replace(plan, passes=plan.passes - 1), model, "digits:1/10", 1).update
    lies = {
        "idle": encoded(np.zeros_like(numbers)),
        "a copy": copied,
        "another round's": earlier,
        "one pass less": less,
        "turned round": encoded(-numbers),
        "ten times as far": encoded(10 * numbers),
        "noise": encoded(numbers + np.random.default_rng(1).integers(-2_000, 2_000, len(numbers))),
        "too short": again[:-4],
    }
    for name, lie in lies.items():
        assert not learner.is_near(plan, lie, again), name
        if name != "too short":
            assert distance(plan, lie, again) > TOLERANCE_MICRO_MAX, name


def test_poison_below_the_tolerance_is_not_seen() -> None:
    """What the documents say that it does not show: a robust rule has to stand this."""
    plan, learner = PLANS[0], make_learner()
    model = learner.initial(plan)
    again = learner.train(plan, model, "digits:1/10", 1).update
    numbers = decoded(again).astype(np.int64)
    most = int(np.abs(numbers).max()) * TOLERANCE_MICRO // 1_000_000
    assert most > 0
    assert learner.is_near(plan, encoded(numbers + most + 1), again)
    assert not learner.is_near(plan, encoded(numbers + most + 2), again)


@given(st.lists(st.integers(-5_000, 5_000), min_size=1, max_size=20), st.data())
def test_the_distance_is_the_largest_difference_against_the_largest_move(
    again: list[int], data: st.DataObject
) -> None:
    update = data.draw(
        st.lists(st.integers(-5_000, 5_000), min_size=len(again), max_size=len(again))
    )
    apart = max(0, max(abs(a - b) for a, b in zip(update, again, strict=True)) - 1)
    moved = max(abs(each) for each in again)
    found = distance_micro(np.array(update, dtype=np.int32), np.array(again, dtype=np.int32))
    if not apart:
        assert found == 0
    elif not moved:
        assert found == FAR_MICRO
    else:
        assert (found - 1) * moved < apart * 1_000_000 <= found * moved


def test_rows_are_trained_on_as_the_data_themselves() -> None:
    plan, learner = PLANS[0], make_learner()
    model = learner.initial(plan)
    rows = learner.lesson_data(plan, "digits:3/10")
    assert learner.train_on(plan, model, rows, 1) == learner.train(plan, model, "digits:3/10", 1)


@pytest.mark.parametrize(
    "spoiled",
    [
        b"",
        b"x",
        bytes(4 * 64) + (10).to_bytes(4, "little"),
        bytes(4 * 64) + (-1).to_bytes(4, "little", signed=True),
        np.float32("nan").tobytes() + bytes(4 * 64),
        np.float32("inf").tobytes() + bytes(4 * 64),
        np.float32(2e6).tobytes() + bytes(4 * 64),
    ],
)
def test_rows_that_nobody_can_train_on_are_refused(spoiled: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        native_rows.read(PLANS[0], spoiled)


def test_no_more_is_repeated_than_is_allowed() -> None:
    long = replace(PLANS[0], model="mlp:64,1000,10", passes=1_000)
    with pytest.raises(RemoteProtocolError, match="name less data"):
        native_rows.read(long, bytes(4 * 65 * 2_000))
