"""Pay of unreplicated answers: what waits, when it vests, how it is lost."""

import pytest

from ambientd.codec.canonical import encode
from ambientd.ledger.entries import Table
from ambientd.ledger.events import Paid, PayLost, PayWaits, PremiumPaid, Refunded
from ambientd.ledger.vesting import DUE_LOOKED_AT_MAX
from ambientd.model.base import NodeId, TaskId
from ambientd.model.execution import OutcomeKind
from ambientd.model.genesis import Rules
from ambientd.model.record import Admit, Fraud
from ambientd.model.task import Assurance
from tests.ledger.cluster import GRANT_MSAT, TestCluster, result, spec

WINDOW_MS = 3_000
RULES = Rules(audit_window_ms=WINDOW_MS, audit_permille=0)
PAY_MSAT = 500


def alone(cluster: TestCluster, nonce: bytes = b"alone", **answer: object) -> tuple[TaskId, NodeId]:
    """Let one worker answer a task alone."""
    task = cluster.admit(nonce=nonce, assurance=Assurance.NONE, replicas=1)
    cluster.work(task, {0: result(**answer)})  # type: ignore[arg-type]
    return task, cluster.task(task).slots[0].worker


def told(cluster: TestCluster, kind: type) -> list:
    return [event for event in cluster.events if isinstance(event, kind)]


def test_the_pay_of_one_worker_alone_vests_after_the_window_and_once() -> None:
    cluster = TestCluster(rules=RULES)
    task, worker = alone(cluster)
    settled_ms = cluster.time_ms
    before_msat = cluster.state.balance_msat(worker)
    waits = PayWaits(task, worker, PAY_MSAT, settled_ms + WINDOW_MS)
    assert told(cluster, PayWaits) == [waits]
    assert told(cluster, Paid) == []
    cluster.block(after_ms=WINDOW_MS - 1)
    assert cluster.state.balance_msat(worker) == before_msat
    cluster.block(after_ms=1)
    cluster.block(after_ms=WINDOW_MS)
    assert told(cluster, Paid) == [Paid(task, worker, PAY_MSAT)]
    assert cluster.state.balance_msat(worker) == before_msat + PAY_MSAT
    assert cluster.state.vesting.of(worker) == []
    assert cluster.task(task).payments[0].amount_msat == PAY_MSAT


def test_replicated_pay_does_not_wait() -> None:
    cluster = TestCluster(rules=RULES)
    cluster.work(cluster.admit())
    assert told(cluster, PayWaits) == []
    assert len(told(cluster, Paid)) == 2


@pytest.mark.parametrize(("permille", "premium_msat"), [(0, 0), (100, 50), (1000, 500)])
def test_the_submitter_pays_the_auditors_for_as_many_answers_as_are_audited(
    permille: int, premium_msat: int
) -> None:
    cluster = TestCluster(rules=Rules(audit_permille=permille))
    task, _ = alone(cluster)
    assert told(cluster, PremiumPaid) == [PremiumPaid(task, premium_msat)]
    spent_msat = GRANT_MSAT - cluster.state.balance_msat(cluster.node(0))
    assert spent_msat == PAY_MSAT + premium_msat
    assert told(cluster, Refunded)


def test_traps_and_out_of_gas_are_paid_and_what_is_refused_costs_nothing() -> None:
    for kind, pay_msat in ((OutcomeKind.TRAPPED, 1000), (OutcomeKind.OUT_OF_GAS, 1000)):
        cluster = TestCluster(rules=RULES)
        alone(cluster, kind=int(kind), gas=10_000_000)
        assert [each.amount_msat for each in told(cluster, PayWaits)] == [pay_msat]
    cluster = TestCluster(rules=RULES)
    alone(cluster, kind=int(OutcomeKind.REFUSED), gas=0)
    assert told(cluster, PayWaits) == []
    assert cluster.state.balance_msat(cluster.node(0)) == GRANT_MSAT


def test_a_convicted_workers_pay_goes_to_the_reserve() -> None:
    cluster = TestCluster(rules=RULES)
    task, worker = alone(cluster)
    balance_msat = cluster.state.balance_msat(worker)
    said = (cluster.receipt(task, 0), cluster.receipt(task, 0, result(b"lie")))
    first, second = map(encode, said)
    cluster.block((0, Fraud(culprit=worker, kind="receipt", first=first, second=second)))
    cluster.block(after_ms=WINDOW_MS)
    assert told(cluster, PayLost) == [PayLost(task, worker, PAY_MSAT)]
    assert cluster.state.balance_msat(worker) == balance_msat
    assert cluster.state.meta.reserve_msat == PAY_MSAT


def test_the_window_is_never_longer_than_tasks_are_kept() -> None:
    cluster = TestCluster(rules=Rules(keep_ms=2_000, audit_window_ms=WINDOW_MS))
    wanted = spec(assurance=Assurance.NONE, replicas=1)
    cluster.block((0, Admit(nonce=b"n", spec=wanted, until_ms=cluster.time_ms + 1_000)))
    task = next(task for task, _ in cluster.state.tasks())
    cluster.work(task)
    cluster.close_batch()
    cluster.block(after_ms=2_000)
    assert cluster.state.task(task) is None
    assert len(told(cluster, Paid)) == 1
    assert not [key for key in cluster.state.items() if key[0] is Table.UNVESTED]


def test_a_block_lets_a_bounded_number_of_payments_vest() -> None:
    cluster = TestCluster(rules=Rules(audit_window_ms=1_000_000, audit_permille=0))
    count = DUE_LOOKED_AT_MAX + 3
    for number in range(count):
        alone(cluster, nonce=b"%d" % number)
    cluster.leap(after_ms=1_000_000)
    first = len(told(cluster, Paid))
    cluster.leap(after_ms=100)
    assert first <= DUE_LOOKED_AT_MAX
    assert len(told(cluster, Paid)) == count
