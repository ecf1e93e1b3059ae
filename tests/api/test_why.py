"""Why a task is where it is, in every state that a ledger can bring it to."""

from collections.abc import Callable

import pytest

from ambientd.api.why import AUDITS, VERDICTS, explain
from ambientd.api.why_replies import Why
from ambientd.ledger.audit_entries import AuditState
from ambientd.ledger.weighing import Standing
from ambientd.model.base import NodeId, TaskId
from ambientd.model.genesis import Rules
from ambientd.model.record import Cancel, NodeReport
from ambientd.model.task import Assurance, Constraint, TaskState, Verdict
from sim.traces import TraceVice
from tests.ledger.cluster import TestCluster, result
from tests.ledger.games import GAS, Match

LIE = result(b"a lie")


def why(cluster: TestCluster, task: TaskId, aborts: str = "") -> Why:
    return explain(cluster.state, task, cluster.task(task), aborts)


def standings(told: Why) -> dict[str, str]:
    return {each.node: each.standing for each in told.nodes}


def test_a_task_that_no_node_fits_says_what_each_lacks() -> None:
    cluster = TestCluster()
    nowhere = (Constraint(key="region", value="nowhere"),)
    task = cluster.admit(constraints=nowhere)
    told = why(cluster, task)
    assert (told.state, told.until_ms) == ("pending", None)
    assert told.text.startswith("slots 0, 1 have no worker: it is for none of the nodes")
    assert told.text.endswith(", as it asks for region=nowhere")
    assert told.nodes[0].name == cluster.state.node(cluster.node(0)).profile.name
    assert set(standings(told).values()) == {Standing.UNLIKE.name.lower()}
    assert [(each.standing, each.nodes) for each in told.counts] == [("unlike", 4)]


def test_each_hindrance_is_told_as_what_it_is() -> None:
    cluster = TestCluster()
    resting, hot = cluster.node(2), cluster.node(3)
    cluster.report(
        NodeReport(node=resting, accepting=False),
        NodeReport(node=hot, accepting=True, safe_mode=True),
    )
    task = cluster.admit(replicas=4)
    told = why(cluster, task)
    seen = standings(told)
    assert seen[resting.hex()] == "not_accepting"
    assert seen[hot.hex()] == "safe_mode"
    assert {seen[cluster.node(number).hex()] for number in (0, 1)} == {"holds_slot"}


def test_full_queues_are_waited_for() -> None:
    cluster = TestCluster()
    for number in range(4 * 8 // 2):
        cluster.admit(nonce=b"%d" % number)
    told = why(cluster, cluster.admit(nonce=b"one more"))
    assert told.state == "pending"
    assert "queue full" in told.text
    assert "to be done" in told.waits_for
    assert "queue_full" in standings(told).values()


def test_who_is_awaited_and_until_when_is_told() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    entry = cluster.task(task)
    told = why(cluster, task, "somebody says: this device is busy")
    assert told.state == "assigned"
    assert told.until_ms == entry.deadline_ms
    assert all(slot.worker.hex()[:12] in told.waits_for for slot in entry.slots)
    assert told.text.endswith("somebody says: this device is busy")
    cluster.block((0, cluster.commits(task)))
    assert "to open" in why(cluster, task).waits_for


def test_a_tasks_own_deadline_is_told_as_it_counts() -> None:
    cluster = TestCluster()
    asked_ms = cluster.time_ms + 3_000
    task = cluster.admit(deadline_ms=asked_ms)
    assert why(cluster, task).until_ms == asked_ms
    cluster.leap(after_ms=60_000)
    assert why(cluster, task).until_ms == asked_ms + 60_000 - Rules().t0_ms
    cluster.block((0, cluster.commits(task)))
    assert why(cluster, task).until_ms == cluster.time_ms + Rules().reveal_ms


def test_a_dispute_counts_the_referees() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task, {1: LIE})
    honest = [number for number in range(4) if cluster.node(number) != _liar(cluster, task)]
    cluster.block(cluster.finding(task, honest[0], result()))
    told = why(cluster, task)
    assert told.state == "disputed"
    assert told.text == "the answers differ; 1 of 4 referees have executed it"
    assert told.waits_for.startswith("3 referees")


def _liar(cluster: TestCluster, task: TaskId) -> NodeId:
    return cluster.task(task).slots[1].worker


def agreed(cluster: TestCluster) -> TaskId:
    task = cluster.admit()
    cluster.work(task)
    return task


def alone(cluster: TestCluster) -> TaskId:
    task = cluster.admit(assurance=Assurance.NONE, replicas=1)
    cluster.work(task)
    return task


def divergent(cluster: TestCluster) -> TaskId:
    task = cluster.admit()
    cluster.work(task, {1: LIE})
    for number in range(4):
        is_open = cluster.task(task).state is TaskState.DISPUTED
        if is_open and cluster.node(number) != _liar(cluster, task):
            cluster.block(cluster.finding(task, number, result()))
    return task


@pytest.mark.parametrize(
    ("ended", "verdict"),
    [(agreed, Verdict.AGREED), (alone, Verdict.NONE), (divergent, Verdict.DIVERGENT)],
)
def test_an_ended_task_waits_for_nothing_and_says_how_it_was_decided(
    ended: Callable[[TestCluster], TaskId], verdict: Verdict
) -> None:
    cluster = TestCluster()
    told = why(cluster, ended(cluster))
    assert (told.state, told.waits_for) == ("final", "")
    assert told.text.startswith(VERDICTS[verdict])
    assert told.text.endswith(AUDITS[AuditState.AWAITING]) == (verdict is Verdict.NONE)
    assert told.until_ms is None
    assert not told.nodes


def test_a_task_taken_back_and_one_that_ran_out_say_so() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.block((0, Cancel(task=task)))
    assert why(cluster, task).text == "its submitter took it back"
    slow = cluster.admit(nonce=b"slow")
    while cluster.task(slow).state is not TaskState.EXPIRED:
        cluster.block(after_ms=10_000)
    assert "did not answer in time; nobody ever sealed" in why(cluster, slow).text


def test_a_bisection_names_the_stretch_and_who_is_to_speak() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    told = why(match.cluster, match.task)
    assert told.text == f"the answers differ between gas 0 and {GAS + 1:,} (round 1)"
    assert all(match.worker(slot).hex()[:12] in told.waits_for for slot in (0, 1))
    match.play()
    told = why(match.cluster, match.task)
    assert told.text.startswith(VERDICTS[Verdict.BISECTED])


def test_every_verdict_and_every_state_of_an_audit_is_told() -> None:
    assert set(VERDICTS) == set(Verdict)
    assert set(AUDITS) == set(AuditState)
