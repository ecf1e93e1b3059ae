"""Times of tasks among few nodes and among many, where nothing goes wrong."""

import gc
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial

import pytest

from ambientd.ledger.events import SlotAssigned, TaskClosed
from ambientd.model.base import NodeId, TaskId
from ambientd.model.task import TaskState
from ambientd.node.effect import Told
from ambientd.rules.pace import SMALL_NODES_MAX
from sim import task_times
from sim.__main__ import main
from sim.checkers import InvariantViolation
from sim.detection import percentile
from sim.machine import Delivery, Effect, Host
from sim.place import Traffic
from sim.soak import run_task_times
from sim.task_times import TaskWatch, TimesOptions, build, finish, play
from sim.traffic import Spread, rates_of
from sim.world import World

SMALL = TimesOptions(seed=1, nodes=6, tasks=4)


class Letters:
    """Counts what guests send to guests, and to members."""

    def __init__(self, members: frozenset[bytes]) -> None:
        self.members = members
        self.seen: Counter[tuple[bool, bytes]] = Counter()

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Count it."""
        del now
        if node.key not in self.members:
            self.seen[delivery.to in self.members, delivery.data[:1]] += 1

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Look away."""


@dataclass(frozen=True)
class Seen:
    """A node that is watched."""

    key: bytes
    is_honest: bool = True


def told(event: SlotAssigned | TaskClosed) -> Told:
    return Told(event, 1, 1)


def test_guests_talk_to_members_alone_and_hear_of_each_other_what_is_passed_on() -> None:
    timed = build(SMALL)
    letters = Letters(frozenset(member.key for member in timed.cast.members))
    timed.world.observers.append(letters)
    finish(timed, SMALL)
    assert letters.seen[True, b"F"] > 0
    assert letters.seen[True, b"K"] > 0
    assert {kind for is_member, kind in letters.seen if not is_member} == {b"G"}


def test_a_seed_means_the_same_times() -> None:
    assert play(SMALL) == play(SMALL)
    assert play(SMALL).trace_hash != play(replace(SMALL, seed=2)).trace_hash


@pytest.mark.slow
def test_tasks_among_forty_nodes_have_workers_as_soon_as_among_ten() -> None:
    """Who is told of blocks later than others is nobody who has a task in hand."""
    few, many = (play(TimesOptions(1, nodes, tasks=10)) for nodes in (10, SMALL_NODES_MAX + 8))
    assert percentile(many.assigned_ms, 50) <= percentile(few.assigned_ms, 50) + 5
    assert percentile(many.final_ms, 50) <= percentile(few.final_ms, 50) + 130  # 177 otherwise


def test_nothing_is_left_of_a_world_when_the_next_begins() -> None:
    def worlds() -> int:
        return sum(isinstance(each, World) for each in gc.get_objects())

    gc.collect()
    before, threshold = worlds(), gc.get_threshold()
    gc.set_threshold(0)  # it looks when it is told to, and not by chance
    try:
        run_task_times(SMALL)
        assert worlds() == before
    finally:
        gc.set_threshold(*threshold)


def test_what_counts_is_what_the_submitters_own_node_tells_first() -> None:
    watch, task = TaskWatch(), TaskId(b"t" * 32)
    mine, other = (Seen(bytes([number]) * 32) for number in (1, 2))
    watch.submitted(task, mine.key, 1_000)
    assigned = told(SlotAssigned(task, 0, 0, NodeId(other.key), 9_000))
    watch.saw_effect(other, assigned, 1_010)
    watch.saw_effect(mine, assigned, 1_020)
    watch.saw_effect(mine, assigned, 1_500)
    watch.saw_effect(mine, told(TaskClosed(task, TaskState.EXPIRED)), 1_600)
    with pytest.raises(InvariantViolation, match="1 of 1 tasks are not final"):
        watch.times()
    watch.saw_effect(mine, told(TaskClosed(task, TaskState.FINAL)), 1_700)
    assert watch.times() == ((20,), (700,))


def test_a_world_whose_guests_do_not_come_in_is_broken() -> None:
    timed = build(SMALL)
    timed.world.at(400, partial(timed.world.crash, timed.cast.members[0].key))  # who invites
    with pytest.raises(InvariantViolation, match="2 nodes have not joined"):
        finish(timed, SMALL)


def test_rates_are_of_the_median_node_and_the_busiest() -> None:
    found = rates_of("nodes", [Traffic(sent=2), Traffic(sent=4), Traffic(30, 60, 1, 10)], 2_000)
    assert (found.sent, found.sent_bytes) == (Spread(2.0, 15.0), Spread(0.0, 30.0))
    assert found.text().startswith("3 nodes: sent 2.00 (15.00) messages, 0 (30) bytes; received")


def test_the_command_says_how_long_tasks_take_and_compares(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sizes = ["--nodes", "4,6", "--seeds", "1..2", "--tasks", "3"]
    assert main(["latency", *sizes]) == 0
    said, _ = capsys.readouterr()
    assert "4 nodes, seeds 1 to 2, 3 tasks, one in 500 ms" in said
    assert said.count("submit -> assigned, p50: ") == 2
    assert said.count("submit -> final, p99: ") == 2
    assert "2 guests: sent" in said
    assert "  against 4 nodes: submit -> assigned, p50 " in said


def test_the_command_names_the_world_that_broke_a_promise(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_times, "LAST_MS", 0)
    options = ["--nodes", "4", "--seeds", "7", "--tasks", "1", "--every-ms", "9"]
    assert main(["latency", *options]) == 1
    said, _ = capsys.readouterr()
    assert "seed 7, 4 nodes: BROKEN tasks end where nothing goes wrong" in said
    assert "replay: python -m sim latency --nodes 4 --seeds 7 --tasks 1 --every-ms 9" in said
