import numpy as np
import pytest

from ambientd.adapters.learning import networks, samples
from ambientd.adapters.learning.networks import Network, Training
from ambientd.errors import ConfigError
from ambientd.rules.learning import models, vectors

MODELS = ["mlp:16,5,3", "mlp:16,3", "mlp:16,6,5,3", "cnn:4,2,3", "cnn:7,3,2"]


def some(model: models.Model, count: int = 6) -> samples.Samples:
    rng = np.random.default_rng(4)
    inputs = rng.random((count, model.inputs)).astype(np.float32)
    return samples.Samples(inputs, rng.integers(0, model.classes, count))


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_the_slope_of_the_loss(name: str) -> None:
    model = models.parsed(name)
    data = some(model)
    numbers = np.random.default_rng(5).normal(0, 0.5, model.count)
    found = Network(model, numbers).gradient(data.inputs.astype(float), data.labels)
    for place in range(0, model.count, max(1, model.count // 40)):
        moved = []
        for step in (1e-6, -1e-6):
            near = numbers.copy()
            near[place] += step
            moved.append(Network(model, near).scored(data).loss / len(data))
        assert found[place] == pytest.approx((moved[0] - moved[1]) / 2e-6, abs=1e-5)


def test_a_model_learns_to_read_digits() -> None:
    training, held_out = samples.split(samples.read("digits"))
    for name, right in (("mlp:64,32,10", 0.93), ("cnn:8,8,10", 0.93)):
        model = models.parsed(name)
        how = Training(passes=12, batch=16, rate=0.2)
        after = networks.trained(
            model, models.initial(model, b"seed"), training, how, b"first round"
        )
        found = networks.scored(model, after, held_out)
        assert found.total == len(held_out) == 359
        assert found.correct / found.total > right
        assert found.loss / found.total < 0.3


def test_fedprox_stays_nearer_to_the_model_it_began_with() -> None:
    model = models.parsed("mlp:64,16,10")
    before = models.initial(model, b"seed")
    data = samples.read("digits:1/10")

    def moved(prox: float) -> float:
        how = Training(passes=3, batch=16, rate=0.1, prox=prox)
        after = networks.trained(model, before, data, how, b"round")
        return float(np.linalg.norm(vectors.to_floats(after) - vectors.to_floats(before)))

    assert moved(1.0) < 0.8 * moved(0.0)


def test_a_rate_beyond_sense_still_ends_in_a_model_that_can_be_scored() -> None:
    model = models.parsed("mlp:16,5,3")
    data = some(model)
    wild = samples.Samples(data.inputs * samples.VALUE_MAX, data.labels)
    how = Training(passes=50, batch=2, rate=100.0)
    after = networks.trained(model, models.initial(model, b"seed"), wild, how, b"round")
    found = networks.scored(model, after, wild)
    assert 0 <= found.loss <= 28 * len(wild)


def test_training_beyond_measure_is_refused_before_it_begins() -> None:
    model = models.parsed("mlp:64,100000,10")
    with pytest.raises(ConfigError, match="less data"):
        networks.trained(model, b"", samples.read("digits"), Training(1000, 1, 0.1), b"round")


def test_a_first_model_follows_from_the_seed_alone() -> None:
    model = models.parsed("cnn:8,8,10")
    first = models.initial(model, b"seed")
    assert len(first) == 4 * model.count == 4 * (8 * 10 + 10 * (8 * 9 + 1))
    assert first == models.initial(model, b"seed") != models.initial(model, b"deed")
    weights = vectors.to_floats(first)
    assert np.abs(weights[:72]).max() <= 1 / 3
    assert weights[:72].std() > 0.15
    assert not weights[72:80].any()


@pytest.mark.parametrize(
    "name",
    [
        *("", "mlp", "mlp:", "mlp:5", "mlp:5,", "mlp:5,1", "mlp:0,2", "mlp:5,257", "mlp:-5,2"),
        *("mlp:1,2,3,4,5,6,7,8,9", "mlp:9999999,9999999,2", "mlp:64,99999999,10", "mlp:٣,2"),
        *("mlp:4096,4096,2", "cnn:8,8", "cnn:3,8,10", "cnn:65,8,10", "cnn:8,0,10", "rnn:8,8"),
        *("cnn:8,8,8,10", "cnn:64,999999,2", "x" * 100_000),
    ],
)
def test_a_name_of_no_model_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        models.parsed(name)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", MODELS)
def test_memory_bounds_what_goes_through_a_model_at_once_and_changes_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, how = models.parsed(name), Training(passes=2, batch=5, rate=0.1)
    start, data = models.initial(model, b"seed"), some(model)
    whole = networks.trained(model, start, data, how, b"x"), networks.scored(model, start, data)
    monkeypatch.setattr(networks, "NUMBERS_AT_ONCE", 800)
    assert networks.at_once(model, 1_000) < 60
    after, found = (
        networks.trained(model, start, data, how, b"x"),
        networks.scored(model, start, data),
    )
    change = vectors.decoded(after).astype(int) - vectors.decoded(whole[0])
    assert abs(change).max() <= 1
    assert (found.correct, found.total) == (whole[1].correct, whole[1].total)


def test_a_model_too_wide_for_memory_is_refused() -> None:
    model = models.parsed("cnn:64,8000,2")
    with pytest.raises(ConfigError, match="memory"):
        networks.at_once(model, 1)
