"""Coarse buckets and load."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from ambientd.model.base import NodeId
from ambientd.model.record import NodeReport
from ambientd.model.telemetry import Measure
from ambientd.telemetry.condition import (
    LATENCY_BUCKETS_MS,
    Condition,
    Readings,
    buckets,
    causes_of,
    readings_of,
    with_causes,
)
from ambientd.telemetry.health import Health
from ambientd.telemetry.safe_mode import Reason
from tests.telemetry.builders import observation, signed

whole = st.integers(0, 2**53)
maybe = st.none() | whole

GOOD = Condition(
    node=NodeId(b"n" * 32),
    epoch=1,
    seq=1,
    age_ms=0,
    accepting=True,
    safe_mode=False,
    capacity=4,
    engine=2,
    load_permille=131,
    latency_us=1_001,
    link_us=None,
    carbon_g_per_kwh=301,
    health=Health(789, 1000),
    data=b"",
)


def test_a_report_is_coarse() -> None:
    assert buckets(GOOD) == NodeReport(
        node=GOOD.node,
        accepting=True,
        safe_mode=False,
        health_percent=75,
        load_percent=20,
        latency_ms=2,
        carbon_g_per_kwh=350,
        capacity=4,
        engine=2,
    )


def test_what_is_not_known_counts_as_the_worst() -> None:
    report = buckets(
        dataclasses.replace(GOOD, load_permille=None, latency_us=None, carbon_g_per_kwh=None)
    )
    assert (report.load_percent, report.latency_ms, report.carbon_g_per_kwh) == (100, 1000, 1000)


@given(maybe, maybe, maybe, st.integers(0, 1000))
def test_every_report_has_few_values(
    load: int | None, latency: int | None, carbon: int | None, score: int
) -> None:
    report = buckets(
        dataclasses.replace(
            GOOD,
            load_permille=load,
            latency_us=latency,
            carbon_g_per_kwh=carbon,
            health=Health(score, 1000),
        )
    )
    assert report.load_percent in range(0, 101, 10)
    assert report.latency_ms in LATENCY_BUCKETS_MS
    assert report.carbon_g_per_kwh in range(0, 1001, 50)
    assert report.health_percent in range(0, 101, 5)
    if latency is not None and latency <= 1_000_000:
        assert report.latency_ms * 1000 >= latency


def test_load_is_the_larger_of_processor_and_slots() -> None:
    slots = {Measure.CAPACITY: 4000, Measure.EXECUTIONS: 3000}
    assert Readings({Measure.CPU_LOAD: 50_000}).load_permille == 500
    assert Readings({Measure.CPU_LOAD: 50_000, **slots}).load_permille == 750
    assert Readings({Measure.CPU_LOAD: 90_000, **slots}).load_permille == 900
    assert Readings(slots).load_permille == 750
    assert Readings({Measure.CAPACITY: 0, Measure.EXECUTIONS: 0}).load_permille is None


def test_a_links_speed_stands_in_for_transfers_that_were_not_measured() -> None:
    link, both = {Measure.LINK_SPEED: 100_000}, {Measure.BANDWIDTH: 7, Measure.LINK_SPEED: 100_000}
    assert Readings(link).health_inputs(None, None).bandwidth_kbit_per_s == 100_000
    assert Readings(both).health_inputs(None, None).bandwidth_kbit_per_s == 7


def test_negative_and_unknown_readings_are_not_known() -> None:
    batch = signed(value=-5, carbon_g_per_kwh=None, latency_ms=7, whatever_count=3)
    assert readings_of(batch.observations) == Readings({Measure.LATENCY: 7})


def test_causes_of_safe_mode_travel_as_the_source_of_its_flag() -> None:
    flag = observation("safe_mode_flag", 1000, "ambientd")
    said = with_causes((flag, observation()), (Reason.HOT, Reason.FAILING))
    assert causes_of(said) == ("hot", "failing")
    assert said[1] == observation()
    assert with_causes((flag,), ()) == (flag,)
    assert causes_of((flag,)) == ()
    assert causes_of((observation("safe_mode_flag", 1000, "tripped: <b>, wet"),)) == ("wet",)
