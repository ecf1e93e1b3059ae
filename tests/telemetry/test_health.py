"""The health score: bounds, weights, and what is not known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.telemetry.health import Health, HealthInputs, health

readings = st.none() | st.integers(-(10**9), 10**9)
inputs = st.builds(HealthInputs, readings, readings, readings, readings, readings)


@given(inputs)
def test_the_score_stays_within_what_is_known(given_ones: HealthInputs) -> None:
    result = health(given_ones)
    assert 0 <= result.score_permille <= result.known_permille <= 1000


@given(inputs)
def test_hiding_a_reading_never_pays(given_ones: HealthInputs) -> None:
    full = health(given_ones).score_permille
    for name in given_ones.__dataclass_fields__:
        values = {each: getattr(given_ones, each) for each in given_ones.__dataclass_fields__}
        assert health(HealthInputs(**{**values, name: None})).score_permille <= full


@given(inputs, st.integers(0, 10**6))
def test_a_better_reading_never_lowers_the_score(given_ones: HealthInputs, gain: int) -> None:
    def moved(value: int | None, by: int) -> int | None:
        return None if value is None else value + by

    better = HealthInputs(
        moved(given_ones.bandwidth_kbit_per_s, gain),
        moved(given_ones.latency_us, -gain),
        moved(given_ones.cpu_load_permille, -gain),
        moved(given_ones.memory_available_permille, gain),
        moved(given_ones.reputation_permille, gain),
    )
    assert health(better).score_permille >= health(given_ones).score_permille


@pytest.mark.parametrize(
    ("given_ones", "score"),
    [
        (HealthInputs(1_000_000, 0, 0, 1000, 1000), 1000),
        (HealthInputs(5_000_000, -5, -1, 2000, 3000), 1000),
        (HealthInputs(0, 100_000, 1000, 0, 0), 0),
        (HealthInputs(0, 900_000, 5000, -3, -3), 0),
        (HealthInputs(1_000_000, 100_000, 1000, 0, 0), 400),
        (HealthInputs(0, 0, 1000, 0, 0), 300),
        (HealthInputs(0, 100_000, 0, 0, 0), 100),
        (HealthInputs(0, 100_000, 1000, 1000, 0), 100),
        (HealthInputs(0, 100_000, 1000, 0, 1000), 100),
        (HealthInputs(100_000, 20_000, 250, 500, 600), 40 + 240 + 75 + 50 + 60),
    ],
)
def test_the_weights_are_those_of_the_document(given_ones: HealthInputs, score: int) -> None:
    assert health(given_ones) == Health(score, 1000)


def test_nothing_known_is_nothing_scored() -> None:
    assert health(HealthInputs()) == Health(0, 0)
    assert health(HealthInputs(latency_us=50_000)) == Health(150, 300)
