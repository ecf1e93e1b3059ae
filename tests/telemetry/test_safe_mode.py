"""Safe mode: each breaker, its hysteresis, draining."""

from hypothesis import given
from hypothesis import strategies as st

from ambientd.telemetry.safe_mode import (
    TRANSITIONS,
    Breaker,
    Mode,
    Reason,
    SafeMode,
    SafeModeOptions,
    Signal,
    Threshold,
)

COOL, FAST = 50_000, 10_000


def node() -> SafeMode:
    return SafeMode(SafeModeOptions())


def test_heat_trips_at_once_and_recovers_after_half_a_cool_minute() -> None:
    mode = node()
    assert mode.check(85_000, FAST, 0, 0) is Mode.NORMAL
    assert mode.check(85_001, FAST, 2, 1_000) is Mode.DRAINING
    assert mode.reasons == (Reason.HOT,)
    assert mode.check(82_000, FAST, 1, 2_000) is Mode.DRAINING
    assert mode.check(82_000, FAST, 0, 3_000) is Mode.SAFE
    assert mode.check(79_999, FAST, 0, 4_000) is Mode.SAFE
    assert mode.check(80_000, FAST, 0, 20_000) is Mode.SAFE
    assert mode.check(79_000, FAST, 0, 21_000) is Mode.SAFE
    assert mode.check(79_000, FAST, 0, 50_999) is Mode.SAFE
    assert mode.check(79_000, FAST, 0, 51_000) is Mode.NORMAL
    assert mode.reasons == ()


def test_slow_peers_trip_only_when_it_lasts() -> None:
    mode = node()
    assert mode.check(COOL, 150_000, 0, 0) is Mode.NORMAL
    assert mode.check(COOL, 90_000, 0, 20_000) is Mode.NORMAL
    assert mode.check(COOL, 150_000, 0, 25_000) is Mode.NORMAL
    assert mode.check(COOL, 150_000, 0, 54_999) is Mode.NORMAL
    assert mode.check(COOL, 150_000, 0, 55_000) is Mode.SAFE
    assert mode.reasons == (Reason.SLOW,)
    assert mode.check(COOL, 79_000, 0, 60_000) is Mode.SAFE
    assert mode.check(COOL, 79_000, 0, 90_000) is Mode.NORMAL


def test_an_unknown_reading_neither_trips_nor_recovers() -> None:
    mode = node()
    assert mode.check(None, None, 0, 0) is Mode.NORMAL
    mode.check(90_000, None, 0, 1_000)
    mode.check(70_000, None, 0, 2_000)
    assert mode.check(None, None, 0, 40_000) is Mode.SAFE
    assert mode.check(70_000, None, 0, 50_000) is Mode.SAFE
    assert mode.check(70_000, None, 0, 80_000) is Mode.NORMAL


def test_an_oversized_block_trips_until_half_a_minute_without_one() -> None:
    mode = node()
    mode.note_size(8_000_000)
    assert mode.check(COOL, FAST, 0, 0) is Mode.NORMAL
    mode.note_size(8_000_001)
    mode.note_size(10)
    assert mode.check(COOL, FAST, 0, 1_000) is Mode.SAFE
    assert mode.reasons == (Reason.OVERSIZED,)
    assert mode.check(COOL, FAST, 0, 2_000) is Mode.SAFE
    assert mode.check(COOL, FAST, 0, 32_000) is Mode.NORMAL


def test_more_than_25_errors_in_a_row_trip() -> None:
    mode = node()
    for _ in range(25):
        mode.note_outcome(100, succeeded=False)
    assert mode.check(COOL, FAST, 0, 200) is Mode.NORMAL
    mode.note_outcome(300, succeeded=True)
    for _ in range(25):
        mode.note_outcome(400, succeeded=False)
    assert mode.check(COOL, FAST, 0, 500) is Mode.NORMAL
    mode.note_outcome(600, succeeded=False)
    assert mode.check(COOL, FAST, 0, 700) is Mode.SAFE
    assert mode.reasons == (Reason.FAILING,)


def test_a_node_without_work_still_recovers_from_its_errors() -> None:
    mode = node()
    for _ in range(26):
        mode.note_outcome(0, succeeded=False)
    assert mode.check(COOL, FAST, 0, 0) is Mode.SAFE
    assert mode.check(COOL, FAST, 0, 29_999) is Mode.SAFE
    assert mode.check(COOL, FAST, 0, 30_000) is Mode.SAFE
    assert mode.check(COOL, FAST, 0, 60_000) is Mode.NORMAL


def test_a_node_that_cools_while_draining_goes_back_to_work() -> None:
    mode = node()
    assert mode.check(90_000, FAST, 3, 0) is Mode.DRAINING
    assert mode.check(70_000, FAST, 3, 1_000) is Mode.DRAINING
    assert mode.check(70_000, FAST, 3, 31_000) is Mode.NORMAL


def test_all_breakers_must_recover() -> None:
    mode = node()
    mode.note_size(9_000_000)
    mode.check(90_000, FAST, 0, 0)
    assert mode.reasons == (Reason.HOT, Reason.OVERSIZED)
    mode.check(90_000, FAST, 0, 1_000)
    assert mode.check(90_000, FAST, 0, 31_000) is Mode.SAFE
    assert mode.reasons == (Reason.HOT,)


def test_the_table_leads_out_of_every_mode_and_never_accepts_without_recovery() -> None:
    assert {mode for mode, _ in TRANSITIONS} == set(Mode)
    into_normal = {signal for (_, signal), mode in TRANSITIONS.items() if mode is Mode.NORMAL}
    assert into_normal == {Signal.RECOVERED}


@given(st.lists(st.tuples(st.none() | st.integers(0, 20), st.integers(0, 15)), max_size=60))
def test_a_breaker_only_changes_on_a_contrary_reading_that_lasted(
    steps: list[tuple[int | None, int]],
) -> None:
    limits = Threshold(trip_above=12, recover_below=8, trip_after_ms=10, recover_after_ms=20)
    breaker, now = Breaker(limits), 0
    history: list[tuple[int, int | None]] = []
    for reading, wait in steps:
        now += wait
        before = breaker.tripped
        breaker.update(reading, now)
        history.append((now, reading))
        if breaker.tripped == before:
            continue
        wanted = limits.recover_after_ms if before else limits.trip_after_ms
        run = []
        for at, value in reversed(history):
            contrary = value is not None and (value < 8 if before else value > 12)
            if not contrary:
                break
            run.append(at)
        assert run
        assert now - run[-1] >= wanted
