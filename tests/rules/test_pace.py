"""How long words and blocks may wait: not at all among few, and never longer than is bearable."""

from hypothesis import given
from hypothesis import strategies as st

from ambientd.rules.pace import BEAT_MS_MAX, PROMPT_NODES_MAX, beat_ms, lag_ms, next_beat_ms

SIZES = st.integers(0, 10_000)
TIMES = st.integers(0, 2**53)


@given(st.integers(0, PROMPT_NODES_MAX), TIMES)
def test_among_few_nothing_waits(nodes: int, time_ms: int) -> None:
    assert beat_ms(nodes) == lag_ms(nodes, 400) == 0
    assert next_beat_ms(time_ms, nodes) == time_ms


@given(st.integers(PROMPT_NODES_MAX + 1, 10_000), TIMES)
def test_a_beat_is_the_same_for_all_and_never_far(nodes: int, time_ms: int) -> None:
    beat = next_beat_ms(time_ms, nodes)
    assert time_ms <= beat < time_ms + beat_ms(nodes) <= time_ms + BEAT_MS_MAX
    assert next_beat_ms(beat, nodes) == beat


@given(SIZES, st.integers(1, 10_000))
def test_who_is_told_later_is_told_before_it_asks(nodes: int, t0_ms: int) -> None:
    assert 2 * lag_ms(nodes, t0_ms) < 4 * t0_ms
