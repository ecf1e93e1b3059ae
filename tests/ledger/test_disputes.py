"""Who gains from a dispute: never the one who caused it by lying."""

from ambientd.model.task import TaskState
from tests.ledger.cluster import TestCluster, result


def test_a_liar_that_also_gives_the_right_finding_is_not_paid_for_it() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task, {1: result(b"a lie")})
    liar = cluster.task(task).slots[1].worker
    order = sorted(range(4), key=lambda number: cluster.node(number) != liar)
    for number in order:
        if cluster.task(task).state is TaskState.DISPUTED:
            cluster.block(cluster.finding(task, number, result()))
    entry = cluster.task(task)
    assert entry.settlement is not None
    assert entry.settlement.liars == (liar,)
    assert entry.has_verdict_of(liar)
    assert liar not in {payment.node for payment in entry.payments}
    assert len(entry.payments) >= 2
