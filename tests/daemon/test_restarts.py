"""A daemon of a fleet that keeps ending is started again, more and more patiently, then never."""

from hypothesis import given
from hypothesis import strategies as st

from ambientd.daemon.restarts import EXIT_DONE, EXIT_USAGE, Fate, RestartOptions, Restarts

OPTIONS = RestartOptions(times_max=3, within_ms=60_000, first_wait_ms=1_000)


def test_one_that_was_told_to_end_stays_ended() -> None:
    restarts = Restarts(OPTIONS)
    assert restarts.on_ended(1, EXIT_DONE, now=0) is Fate.ENDED
    assert restarts.next_deadline is None


def test_one_whose_config_is_wrong_waits_for_a_person() -> None:
    restarts = Restarts(OPTIONS)
    assert restarts.on_ended(1, EXIT_USAGE, now=0) is Fate.GIVEN_UP
    assert restarts.next_deadline is None


def test_each_wait_is_twice_the_one_before() -> None:
    restarts, waits = Restarts(OPTIONS), []
    for _ in range(3):
        assert restarts.on_ended(1, -9, now=0) is Fate.WAITS
        waits.append(restarts.next_deadline)
        assert restarts.take_due(now=60_000) == (1,)
    assert waits == [1_000, 2_000, 4_000]
    assert restarts.on_ended(1, -9, now=59_999) is Fate.GIVEN_UP


def test_what_is_long_past_does_not_count() -> None:
    restarts = Restarts(OPTIONS)
    for _ in range(3):
        restarts.on_ended(1, 1, now=0)
    restarts.take_due(now=60_000)
    assert restarts.on_ended(1, 1, now=60_000) is Fate.WAITS
    assert restarts.next_deadline == 61_000


def test_nodes_do_not_count_for_one_another() -> None:
    restarts = Restarts(OPTIONS)
    for node in range(1, 10):
        assert restarts.on_ended(node, 1, now=node) is Fate.WAITS
    assert restarts.take_due(now=1_003) == (1, 2, 3)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40_000)), max_size=60))
def test_no_node_starts_more_often_than_is_allowed_in_any_stretch(
    ends: list[tuple[int, int]],
) -> None:
    restarts, now = Restarts(OPTIONS), 0
    granted: dict[int, list[int]] = {}
    for node, later_ms in ends:
        now += later_ms
        if restarts.on_ended(node, 1, now=now) is Fate.WAITS:
            granted.setdefault(node, []).append(now)
    for times in granted.values():
        for first, later in zip(times, times[OPTIONS.times_max :], strict=False):
            assert later - first >= OPTIONS.within_ms
