"""Whoever audits an answer executes what was answered: with the audited task's random numbers."""

from ambientd.codec.statements import audit_id
from ambientd.model.base import NodeId
from ambientd.model.effect import Execute
from ambientd.roles.referee import Referee
from ambientd.roles.worker import Worker
from tests.ledger.cluster import TestCluster
from tests.ledger.test_audits import ALL, alone, drawn


def test_auditors_and_referees_draw_the_random_numbers_of_the_audited_task() -> None:
    cluster = TestCluster(rules=ALL)
    task, _ = alone(cluster, lie=True)
    drawn(cluster)
    audit = audit_id(task, 0)
    auditors = {slot.worker for slot in cluster.task(audit).slots}
    wanted: list[object] = []
    for number in range(4):
        signer = cluster.signer(number)
        if NodeId(signer.public_key) in auditors:
            worker = Worker(signer, b"nonce secret")
            for event in cluster.events:
                wanted += worker.on_ledger(event, cluster.state, 0)
    assert {effect.seed_task for effect in wanted if isinstance(effect, Execute)} == {task}
    cluster.work(audit)
    referee = Referee(cluster.signer(0))
    found = [
        effect for event in cluster.events for effect in referee.on_ledger(event, cluster.state)
    ]
    assert [effect.seed_task for effect in found if isinstance(effect, Execute)] == [task]


def test_an_ordinary_task_has_random_numbers_of_its_own() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    assert cluster.task(task).seed_task is None
