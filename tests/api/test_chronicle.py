"""What is remembered of tasks is bounded over all of them, not by what the largest could take."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ambientd.api.chronicle import (
    ALL_LINES_MAX,
    ALL_SEEN_MAX,
    CHOICES_MAX,
    CHRONICLES_MAX,
    LINES_MAX,
    Chronicle,
)
from ambientd.ledger.choices import Choice
from ambientd.ledger.events import LedgerEvent, SlotAssigned
from ambientd.model.base import NodeId, TaskId
from ambientd.node.effect import Told
from tests.ledger.cluster import TestCluster

CLUSTER = TestCluster()
ADMITTED = CLUSTER.admit()
GIVEN = next(each for each in CLUSTER.events if isinstance(each, SlotAssigned))
NODES = [NodeId(number.to_bytes(32, "big")) for number in range(ALL_SEEN_MAX // 4)]


def task(number: int) -> TaskId:
    return TaskId(number.to_bytes(32, "big"))


def assigned(number: int, slot: int, looked_at: int) -> LedgerEvent:
    choice = GIVEN.choice
    assert isinstance(choice, Choice)
    entry = next(iter(choice.seen.values()))
    seen = dict.fromkeys(NODES[:looked_at], entry)
    return replace(GIVEN, task=task(number), slot=slot, choice=replace(choice, seen=seen))


def note(chronicle: Chronicle, event: LedgerEvent) -> None:
    chronicle.note(Told(event, index=1, time_ms=1))


def lines_kept(chronicle: Chronicle) -> int:
    return sum(map(len, chronicle.lines.values()))


def seen_kept(chronicle: Chronicle) -> int:
    slots = [each for slots in chronicle._given.values() for each in slots.values()]
    return sum(len(each.choice.seen) for each in slots)


def test_tasks_with_long_histories_leave_room_for_fewer_of_them() -> None:
    chronicle = Chronicle()
    tasks = [task(number) for number in range(ALL_LINES_MAX // LINES_MAX + 50)]
    for each in tasks:
        for _ in range(LINES_MAX + 1):
            note(chronicle, replace(GIVEN, task=each, choice=None))
    assert lines_kept(chronicle) == ALL_LINES_MAX
    assert list(chronicle.lines) == [each.hex() for each in tasks[50:]]


def test_tasks_with_short_histories_are_as_many_as_ever() -> None:
    chronicle = Chronicle()
    for number in range(2 * CHRONICLES_MAX):
        note(chronicle, assigned(number, 0, 1))
    assert len(chronicle.lines) == lines_kept(chronicle) == CHRONICLES_MAX
    assert len(chronicle._given) == seen_kept(chronicle) == CHOICES_MAX


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(1, ALL_SEEN_MAX // 4))))
def test_the_nodes_that_were_looked_at_are_bounded_over_all_slots(
    gifts: list[tuple[int, int, int]],
) -> None:
    chronicle = Chronicle()
    for number, slot, looked_at in gifts:
        note(chronicle, assigned(number, slot, looked_at))
        assert seen_kept(chronicle) == chronicle._seen <= ALL_SEEN_MAX
        assert slot in chronicle.given(task(number))
