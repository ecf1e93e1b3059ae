"""Meters: a second at the finest, models that say so, and shares of executions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.adapters.probes.power import ModelCounter, SteadyMeter, processor_busy_ms
from ambientd.ports.probe import EnergyReading, EnergyUsed, energy_between
from ambientd.rules.energy import share_mj
from tests.adapters.probes.fixtures import HandClock


class Counter:
    """Shows what it was set to, and counts who looks."""

    def __init__(self) -> None:
        self.energy_uj: int | None = 0
        self.looks = 0

    def read(self) -> EnergyReading:
        self.looks += 1
        return EnergyReading(self.energy_uj, "counter")


def test_the_counter_is_looked_at_once_a_second_however_often_it_is_asked() -> None:
    counter, clock = Counter(), HandClock()
    meter = SteadyMeter(counter, clock, lambda: 0)
    for clock.now_ms in range(0, 3_000, 10):
        counter.energy_uj = clock.now_ms * 1_000
        meter.read()
    assert counter.looks == 3


def test_what_lasts_less_than_a_second_is_told_by_the_second_before_it() -> None:
    counter, clock = Counter(), HandClock()
    meter = SteadyMeter(counter, clock, lambda: clock.now_ms // 2)
    assert meter.since(meter.read()).energy_uj is None
    counter.energy_uj, clock.now_ms = 15_000_000, 1_000
    mark = meter.read()
    counter.energy_uj, clock.now_ms = 900_000_000, 1_003
    assert meter.since(mark) == EnergyUsed(15_000_000, "counter", 1_000, 500)
    clock.now_ms = 2_500
    assert meter.since(mark) == EnergyUsed(885_000_000, "counter", 1_500, 750)


def test_a_counter_that_is_lost_meanwhile_leaves_the_energy_unknown() -> None:
    counter, clock = Counter(), HandClock()
    meter = SteadyMeter(counter, clock, lambda: 0)
    mark = meter.read()
    counter.energy_uj, clock.now_ms = None, 2_000
    assert meter.since(mark).energy_uj is None


def test_readings_of_two_sources_have_no_difference() -> None:
    used = energy_between(EnergyReading(1, "rapl:a"), EnergyReading(2, "rapl:b"))
    assert used.energy_uj is None


def test_a_model_follows_the_load_and_names_itself() -> None:
    clock, busy = HandClock(), [5_000]
    model = ModelCounter(6_000, 30_000, 4, clock, lambda: busy[0])
    clock.now_ms, busy[0] = 1_000, 5_000
    assert model.read() == EnergyReading(6_000_000, "model:6-30W")
    clock.now_ms, busy[0] = 2_000, 9_000
    assert model.read() == EnergyReading(12_000_000 + 24_000_000, "model:6-30W")


@pytest.mark.parametrize(
    ("elapsed_ms", "busy_ms", "cpu_ms", "millijoules"),
    [
        (1_000, 1_000, 1_000, 10_000),  # alone on one core
        (1_000, 2_000, 1_000, 5_000),  # beside another on the second core
        (1_000, 10, 3, 30),  # what an idle core costs belongs to nobody
        (1_000, 0, 5_000, 10_000),  # no more than there was
        (0, 0, 0, 0),
    ],
)
def test_an_execution_pays_for_its_processor_time(
    elapsed_ms: int, busy_ms: int, cpu_ms: int, millijoules: int
) -> None:
    assert share_mj(10_000_000, elapsed_ms, busy_ms, cpu_ms * 10**6) == millijoules


@given(
    st.integers(0, 10**15),
    st.integers(1, 10**6),
    st.lists(st.integers(0, 10**12), min_size=1, max_size=8),
)
def test_shares_of_all_executions_never_exceed_the_whole(
    energy_uj: int, elapsed_ms: int, cpu_ns: list[int]
) -> None:
    busy_ms = -(-sum(cpu_ns) // 10**6)
    shares = [share_mj(energy_uj, elapsed_ms, busy_ms, each) for each in cpu_ns]
    assert 0 <= sum(shares) * 1000 <= energy_uj


def test_the_processor_has_been_busy_here() -> None:
    assert 0 < processor_busy_ms() <= processor_busy_ms()
