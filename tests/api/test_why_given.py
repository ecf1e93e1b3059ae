"""How slots were given, as the scheduler saw the nodes then, as long as a daemon remembers it."""

from itertools import islice

import pytest

from ambientd.api.chronicle import CHOICES_MAX, Chronicle
from ambientd.api.why import explain
from ambientd.api.why_given import THEN
from ambientd.api.why_replies import SlotWhy
from ambientd.ledger.entries import NodeEntry, Table
from ambientd.ledger.events import LedgerEvent, SlotAssigned
from ambientd.ledger.weighing import Standing, weighed
from ambientd.model.base import NodeId, TaskId
from ambientd.model.record import NodeReport
from ambientd.node.effect import Told
from ambientd.rules.scheduling import STRATEGIES
from tests.ledger.cluster import TestCluster, profile
from tests.ledger.test_choosing import GUESTS, HERE, trust, with_guests

GIVEN_MS = 77


def remembered(events: list[LedgerEvent]) -> Chronicle:
    chronicle = Chronicle()
    for event in events:
        chronicle.note(Told(event, index=1, time_ms=GIVEN_MS))
    return chronicle


def slots(cluster: TestCluster, task: TaskId) -> tuple[SlotWhy, ...]:
    known = remembered(cluster.events).given(task)
    return explain(cluster.state, task, cluster.task(task), "", known).slots


def counts(slot: SlotWhy) -> dict[str, int]:
    return {each.standing: each.nodes for each in slot.counts}


def test_a_slot_that_was_given_tells_who_was_looked_at_and_what_each_lacked() -> None:
    cluster = with_guests()
    cluster.report(NodeReport(node=cluster.node(GUESTS[0]), accepting=True, safe_mode=True))
    task = cluster.admit(constraints=HERE, distinct=("owner",), strategy="weighted")
    workers = [slot.worker for slot in cluster.task(task).slots]
    first, second = slots(cluster, task)
    here = [cluster.state.node(cluster.node(number)) for number in GUESTS]
    assert sum(entry is not None and entry.profile.region == "eu" for entry in here) == 4
    for slot, worker in zip((first, second), workers, strict=True):
        assert (slot.node, slot.given_ms, slot.strategy) == (worker.hex(), GIVEN_MS, "weighted")
        assert slot.chance_percent is not None
        assert 0 < slot.chance_percent <= 100
        assert [each.node for each in slot.nodes if each.standing == "chosen"] == [worker.hex()]
        assert sum(counts(slot).values()) == len(cluster.state.nodes())
        assert counts(slot)["resting"] == 4 + 1
        assert counts(slot)["unlike"] == 4
    assert "holds_slot" not in counts(first)
    assert counts(second)["holds_slot"] == 1
    assert counts(second)["alike"] == sum(
        each.profile.owner == cluster.state.node(workers[0]).profile.owner
        for each in here
        if each is not None and each.profile.region == "eu" and each.is_fit
    ) - 1  # fmt: skip


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_whoever_got_a_slot_was_among_those_that_could(strategy: str) -> None:
    cluster = with_guests()
    for number in range(20):
        task = cluster.admit(nonce=b"%d" % number, strategy=strategy, distinct=("region",))
        for slot in slots(cluster, task):
            assert next(each for each in slot.nodes).standing == "chosen"
            assert (slot.chance_percent is None) == (strategy != "weighted")
            assert counts(slot).keys() <= {
                "chosen", "free", "alike", "busier", "no_newcomer", "holds_slot", "resting",
                "queue_full",
            }  # fmt: skip


def test_the_turn_of_newcomers_excludes_the_others() -> None:
    cluster = with_guests()
    trust(cluster, *GUESTS[:4])
    theirs = 0
    for event in _given(cluster, 40):
        assert event.choice is not None
        seen = weighed(event.choice)
        excluded = {each.node for each in seen if each.standing is Standing.NO_NEWCOMER}
        if excluded:
            theirs += 1
            new = {each.node for each in event.choice.candidates if each.newcomer}
            assert excluded.isdisjoint(new)
            assert event.worker in new
    assert 0 < theirs < 40


def _given(cluster: TestCluster, tasks: int) -> list[SlotAssigned]:
    for number in range(tasks):
        cluster.work(cluster.admit(nonce=b"turn %d" % number))
    return [event for event in cluster.events if isinstance(event, SlotAssigned)]


def test_of_many_nodes_those_that_were_not_looked_at_are_counted() -> None:
    cluster = TestCluster()
    idle = NodeEntry(profile=profile("guest"), is_member=False, accepting=True, capacity=4)
    many = {(Table.NODE, NodeId(number.to_bytes(32, "big"))): idle for number in range(500)}
    for state in (cluster.state, cluster.replica):
        state.commit(cluster.index, many, state.tree.updated(many))
    for slot in slots(cluster, cluster.admit()):
        assert len(slot.nodes) == 64
        assert sum(counts(slot).values()) == len(cluster.state.nodes())
        assert counts(slot)["passed_over"] == len(cluster.state.fit_nodes()) - 64


def test_a_later_attempt_takes_the_place_of_an_earlier_one() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    before = list(cluster.events)
    while all(slot.attempt == 0 for slot in cluster.task(task).slots):
        cluster.block(after_ms=10_000)
    for slot in slots(cluster, task):
        assert slot.given_ms == GIVEN_MS
        assert [each.standing for each in slot.nodes].count("chosen") == 1
    stale = remembered(before).given(task)
    told = explain(cluster.state, task, cluster.task(task), "", stale).slots
    assert all((slot.given_ms is None) == (slot.attempt > 0) for slot in told)


def test_what_was_before_the_start_or_long_ago_is_not_known_any_more() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    told = explain(cluster.state, task, cluster.task(task), "").slots
    assert [(slot.given_ms, slot.nodes) for slot in told] == [(None, ())] * 2
    chronicle = remembered(cluster.events)
    [event] = islice((e for e in cluster.events if isinstance(e, SlotAssigned)), 1)
    for number in range(CHOICES_MAX):
        other = TaskId(number.to_bytes(32, "big"))
        chronicle.note(
            Told(SlotAssigned(other, 0, 0, event.worker, 0, event.choice), index=1, time_ms=1)
        )
    assert not chronicle.given(task)
    assert chronicle.given(TaskId(bytes(32)))


def test_every_standing_has_words_for_what_is_over() -> None:
    assert set(THEN) == set(Standing)
