"""Each chunk is asked of one peer, and of another only once the first is slow; none is lost."""

from hypothesis import given
from hypothesis import strategies as st

from ambientd.model.base import NodeId
from ambientd.rules.chunk_plan import PATIENCE_MS_MIN, ChunkPlan

A, B, C = (NodeId(letter * 32) for letter in (b"a", b"b", b"c"))


def test_no_chunk_is_asked_twice_while_nobody_is_slow() -> None:
    plan = ChunkPlan(4, {2})
    assert [plan.next_for(peer, 0) for peer in (A, B, A, B)] == [0, 1, 3, None]
    assert plan.next_for(C, PATIENCE_MS_MIN - 1) is None


def test_a_slow_peers_chunk_is_asked_of_another_and_counts_once() -> None:
    plan = ChunkPlan(1, frozenset())
    assert plan.next_for(A, 0) == 0
    assert plan.next_for(A, 10_000) is None, "it has been asked"
    assert plan.next_for(B, PATIENCE_MS_MIN) == 0
    plan.took(B, 0, PATIENCE_MS_MIN + 1)
    assert plan.is_done
    plan.took(A, 0, 20_000)
    plan.gave_up(A, 0)
    assert plan.is_done


def test_a_chunk_goes_back_only_when_nobody_is_asked_for_it_any_more() -> None:
    plan = ChunkPlan(1, frozenset())
    plan.next_for(A, 0)
    plan.next_for(B, PATIENCE_MS_MIN)
    plan.gave_up(A, 0)
    assert plan.next_for(C, PATIENCE_MS_MIN) is None, "one is asked still"
    plan.gave_up(B, 0)
    assert plan.next_for(A, PATIENCE_MS_MIN) == 0


def test_patience_grows_with_what_chunks_take() -> None:
    plan = ChunkPlan(40, frozenset())
    for number in range(30):
        index = plan.next_for(A, number * 1000)
        assert index == number
        plan.took(A, index, (number + 1) * 1000)
    assert 3_900 <= plan.patience_ms <= 4_000


@given(
    count=st.integers(1, 12),
    held=st.frozensets(st.integers(0, 11)),
    steps=st.lists(
        st.tuples(st.sampled_from([A, B, C]), st.sampled_from(["took", "gave up"]), st.booleans()),
        max_size=80,
    ),
)
def test_whatever_comes_or_fails_every_chunk_is_here_in_the_end(
    count: int, held: frozenset[int], steps: list[tuple[NodeId, str, bool]]
) -> None:
    plan, here, now_ms = ChunkPlan(count, held), {*held} & set(range(count)), 0
    asked: dict[NodeId, set[int]] = {A: set(), B: set(), C: set()}
    for peer, what, waits in steps:
        now_ms += plan.patience_ms if waits else 1
        index = plan.next_for(peer, now_ms)
        if index is not None:
            assert index not in here
            assert index not in asked[peer], "nobody is asked for a chunk twice at once"
            asked[peer].add(index)
        if asked[peer] and what == "took":
            here.add(index := min(asked[peer]))
            plan.took(peer, index, now_ms)
            asked[peer].discard(index)
        elif asked[peer]:
            plan.gave_up(peer, index := min(asked[peer]))
            asked[peer].discard(index)
        assert plan.missing == count - len(here)
    for peer, indexes in asked.items():
        for index in indexes:
            plan.gave_up(peer, index)
    while (index := plan.next_for(A, now_ms)) is not None:
        assert index not in here
        plan.took(A, index, now_ms)
        here.add(index)
    assert plan.is_done
    assert here == set(range(count))
