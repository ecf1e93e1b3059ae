"""Bounded parts of long lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.ledger.apply import WALKED_MAX
from ambientd.ledger.entries import Entry, Key, NodeEntry, Slot, Table, TaskEntry
from ambientd.ledger.turns import part
from ambientd.model.task import TaskState
from tests.ledger.cluster import TestCluster, profile, seed_of, spec


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 10**6), st.integers(0, 50))
def test_a_part_goes_round_a_list_and_names_nothing_twice(
    size: int, count: int, start: int, most: int
) -> None:
    count = min(count, size)
    kept = list(range(size))
    found = part(kept, count, start, most)
    assert found == [(start + place) % count for place in range(min(most, count))]


@given(st.integers(1, 100), st.integers(1, 100), st.integers(0, 10**6))
def test_every_item_is_in_a_part_before_long(count: int, most: int, index: int) -> None:
    """Of a list that stays: blocks move on by as many as they look at."""
    kept = list(range(count))
    blocks = range(index, index + -(-count // most) + 1)
    found = {each for block in blocks for each in part(kept, count, block * most, most)}
    assert found == set(kept)


@pytest.mark.slow
def test_where_much_room_comes_at_once_a_block_gives_out_some_and_the_next_the_rest() -> None:
    cluster, count = TestCluster(), 3 * WALKED_MAX
    items: dict[Key, Entry] = {
        (Table.NODE, seed_of(900 + number)): NodeEntry(profile=profile("g"), is_member=False)
        for number in range(2 * count // 8)
    }
    empty = TaskEntry(
        submitter=cluster.node(0),
        nonce=b"",
        until_ms=0,
        admit_signature=b"",
        spec=spec(),
        state=TaskState.PENDING,
        admitted_ms=0,
        escrow_msat=0,
        slots=(Slot(slot=0, attempt=0),),
    )
    tasks = {
        (Table.TASK, seed_of(2_000 + number)): replace(empty, admitted_ms=number)
        for number in range(count)
    }
    for state in (cluster.state, cluster.replica):
        state.commit(0, items | tasks, state.tree.updated(items | tasks))
    waiting = [len(cluster.state.tasks_by.waiting)]
    while waiting[-1]:
        cluster.block()
        waiting.append(len(cluster.state.tasks_by.waiting))
    assert waiting == [count, 2 * WALKED_MAX, WALKED_MAX, 0]
