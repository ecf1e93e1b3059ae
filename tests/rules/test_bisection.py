"""Any two executions that end differently are narrowed down to where one of them is false."""

from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec.statements import end_point
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import BEGINNING, POINTS, SEGMENT_GAS, Trace, TracePoint
from ambientd.rules.bisection import Stretch, narrowed, targets, trace_fault, whole
from sim.traces import STRIDE_GAS, Run
from tests.ledger.cluster import result

GAS_MAX = 1 << 40


def trace(run: Run, stretch: Stretch) -> Trace:
    start = run.known(stretch.low)
    return Trace(
        task=TaskId(bytes(32)),
        party=NodeId(bytes(32)),
        game=0,
        round=0,
        low=stretch.low,
        until_gas=stretch.until_gas,
        points=tuple(run.at(target) for target in targets(stretch)),
        state=start.state,
        state_size_bytes=start.state_size_bytes,
        signature=b"",
    )


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Run, Run]:
    """One true run and one that leaves it somewhere, which may end at another place."""
    gas = draw(st.integers(STRIDE_GAS, GAS_MAX))
    true = Run(b"seed", result(gas=gas), gas)
    other_gas = draw(st.one_of(st.just(gas), st.integers(1, GAS_MAX)))
    begins = draw(st.one_of(st.none(), st.integers(0, gas)))
    return true, Run(b"seed", result(b"lie", gas=other_gas), other_gas, begins, None, b"own")


@given(pairs())
def test_every_pair_is_narrowed_to_a_short_stretch_that_the_truth_decides(
    pair: tuple[Run, Run],
) -> None:
    true, false = pair
    ends = (end_point(true.result), end_point(false.result))
    stretch = whole((true.result, false.result), ends)
    rounds = 0
    while not stretch.is_short:
        traces = [trace(run, stretch) for run in pair]
        assert [trace_fault(t, stretch, n, ends) for n, t in enumerate(traces)] == [None, None]
        before, stretch = stretch, narrowed(stretch, *traces)
        rounds += 1
        assert stretch.low in (before.low, *traces[0].points)
        width = stretch.until_gas - stretch.low.gas_index
        assert 0 < width < before.until_gas - before.low.gas_index
        assert rounds <= 6
    assert stretch.low == BEGINNING or true.at(stretch.low.gas_index) == stretch.low
    assert stretch.claims == (true.at(stretch.until_gas), false.at(stretch.until_gas))
    assert stretch.claims[0] != stretch.claims[1]


def test_the_targets_cut_a_stretch_into_sixteen() -> None:
    low = TracePoint(gas_index=100, root=bytes(32))
    ends = (low, low)
    until = 100 + 16 * SEGMENT_GAS
    steps = targets(Stretch(low, until, ends))
    assert len(steps) == POINTS
    assert {b - a for a, b in zip((100, *steps), (*steps, until), strict=True)} == {SEGMENT_GAS}
    assert targets(Stretch(low, 100 + SEGMENT_GAS, ends)) == ()
    assert all(target < 100 + SEGMENT_GAS + 1 for target in targets(Stretch(low, 1_000_101, ends)))


def test_a_trace_does_not_come_back_from_an_end() -> None:
    true = Run(b"seed", result(gas=5_000_000), 5_000_000)
    ends = (end_point(true.result), end_point(result(b"lie", gas=50_000_000)))
    stretch = whole((true.result, result(b"lie", gas=50_000_000)), ends)
    told = trace(true, stretch)
    assert trace_fault(told, stretch, 0, ends) is None
    back = (ends[0], *told.points[:1], *told.points[2:])
    again = Trace(
        **{name: getattr(told, name) for name in told.__struct_fields__} | {"points": back}
    )
    assert "leaves" in str(trace_fault(again, stretch, 0, ends))
    theirs = (*told.points[:-1], ends[1])
    named = {name: getattr(told, name) for name in told.__struct_fields__} | {"points": theirs}
    assert "other party" in str(trace_fault(Trace(**named), stretch, 0, ends))
    assert trace_fault(passed(told), stretch, 0, ends) is None


def passed(told: Trace) -> Trace:
    named = {name: getattr(told, name) for name in told.__struct_fields__}
    return Trace(**named | {"points": (), "state": Digest(bytes(32)), "state_size_bytes": 0})
