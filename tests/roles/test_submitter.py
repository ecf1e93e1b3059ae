"""A submitter brings its outputs home from those who told the truth."""

from ambientd.ledger.events import LedgerEvent, TaskFinal
from ambientd.model.effect import FetchBlob
from ambientd.roles.submitter import Submitter
from tests.ledger.cluster import OUTPUT, TestCluster, result
from tests.roles.stage import closes


def final(cluster: TestCluster) -> LedgerEvent:
    return closes(cluster.events, TaskFinal)


def test_an_output_is_fetched_from_those_who_did_not_lie() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task, {1: result(b"a lie")})
    honest, liar = (slot.worker for slot in cluster.task(task).slots)
    for referee in range(4):
        if cluster.node(referee) != liar:
            cluster.block(cluster.finding(task, referee, result()))
    submitter = Submitter(cluster.node(0))
    assert submitter.on_ledger(final(cluster), cluster.state) == [
        FetchBlob(result().output, len(OUTPUT), (honest,))
    ]


def test_other_peoples_tasks_and_empty_outputs_are_left_alone() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    nothing = result(b"")
    cluster.work(task, {0: nothing, 1: nothing})
    event = final(cluster)
    assert Submitter(cluster.node(0)).on_ledger(event, cluster.state) == []
    assert Submitter(cluster.node(1)).on_ledger(event, cluster.state) == []
    for each in cluster.events:
        assert Submitter(cluster.node(2)).on_ledger(each, cluster.state) == []


def test_a_task_that_is_not_here_has_nothing_to_fetch() -> None:
    cluster = TestCluster()
    cluster.work(cluster.admit())
    event = final(cluster)
    assert Submitter(cluster.node(0)).on_ledger(event, TestCluster().state) == []
