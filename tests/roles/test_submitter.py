"""A submitter brings its outputs home from those who told the truth."""

import pytest

from ambientd.ledger.events import LedgerEvent, SlotAssigned, TaskFinal
from ambientd.model.base import NodeId, TaskId
from ambientd.model.effect import FetchBlob
from ambientd.model.execution import AbortCause
from ambientd.model.message import AbortSent
from ambientd.model.proof import Finding
from ambientd.roles import submitter as module
from ambientd.roles.submitter import HeardAbort, Submitter
from ambientd.rules.proofs import PROOF_BYTES_MAX
from tests.ledger.cluster import OUTPUT, TestCluster, result
from tests.ledger.proving import ProvingCluster
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


def test_a_proven_tasks_output_and_proof_are_fetched() -> None:
    cluster = ProvingCluster.made()
    task = cluster.prove()
    cluster.say(task, Finding.HOLDS)
    worker, proof = cluster.task(task).slots[0].worker, cluster.task(task).receipts[0].receipt.nonce
    assert Submitter(cluster.node(0)).on_ledger(final(cluster), cluster.state) == [
        FetchBlob(result().output, len(OUTPUT), (worker,)),
        FetchBlob(result().output, cluster.task(task).spec.output_bytes_max, (worker,)),
        FetchBlob(proof, PROOF_BYTES_MAX, (worker,)),
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


def said(task: TaskId, slot: int = 0, attempt: int = 0, cause: int = 3) -> AbortSent:
    return AbortSent(task=task, slot=slot, attempt=attempt, cause=cause)


def test_what_the_worker_of_an_own_task_could_not_do_is_known_by_its_cause() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    worker = cluster.task(task).slots[0].worker
    submitter = Submitter(cluster.node(0))
    assert submitter.last_abort(task) is None
    submitter.on_message(worker, said(task), cluster.state)
    assert submitter.last_abort(task) == HeardAbort(worker, AbortCause.PREPARATION)
    submitter.on_message(worker, said(task, cause=250), cluster.state)
    assert submitter.last_abort(task) == HeardAbort(worker, AbortCause.OTHER)


def assigned(task: TaskId, worker: NodeId, attempt: int) -> SlotAssigned:
    return SlotAssigned(task=task, slot=0, attempt=attempt, worker=worker, deadline_ms=1)


def test_a_worker_whose_assignment_is_not_applied_here_yet_is_heard_when_it_is() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    submitter, worker = Submitter(cluster.node(0)), NodeId(b"w" * 32)
    submitter.on_message(worker, said(task, attempt=1), cluster.state)
    assert submitter.last_abort(task) is None
    submitter.on_ledger(assigned(task, worker, 1), cluster.state)
    assert submitter.last_abort(task) == HeardAbort(worker, AbortCause.PREPARATION)


def test_who_never_has_the_slot_is_never_heard_and_silences_nobody() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    submitter, worker, stranger = Submitter(cluster.node(0)), NodeId(b"w" * 32), NodeId(b"s" * 32)
    submitter.on_message(worker, said(task, attempt=1), cluster.state)
    for attempt in (0, 1, 2, 2**31):
        submitter.on_message(stranger, said(task, attempt=attempt), cluster.state)
    submitter.on_ledger(assigned(task, worker, 1), cluster.state)
    submitter.on_ledger(assigned(task, stranger, 2), cluster.state)
    assert submitter.last_abort(task) == HeardAbort(worker, AbortCause.PREPARATION)


def test_nobody_speaks_of_tasks_of_others_or_slots_that_are_not() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    worker = cluster.task(task).slots[0].worker
    own, other = Submitter(cluster.node(0)), Submitter(cluster.node(1))
    other.on_message(worker, said(task), cluster.state)
    own.on_message(worker, said(task, slot=9), cluster.state)
    own.on_message(worker, said(TaskId(bytes(32))), cluster.state)
    assert own.last_abort(task) is other.last_abort(task) is None


def test_aborts_of_ever_new_tasks_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ABORTS_KEPT_MAX", 2)
    cluster = TestCluster()
    tasks = [cluster.admit(nonce=b"%d" % number) for number in range(3)]
    submitter = Submitter(cluster.node(0))
    for task in tasks:
        submitter.on_message(cluster.task(task).slots[0].worker, said(task), cluster.state)
    assert [submitter.last_abort(task) is None for task in tasks] == [True, False, False]


def test_what_ever_new_strangers_say_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ABORTS_KEPT_MAX", 2)
    cluster = TestCluster()
    task = cluster.admit()
    submitter = Submitter(cluster.node(0))
    strangers = [NodeId(bytes([number]) * 32) for number in range(3)]
    for stranger in strangers:
        submitter.on_message(stranger, said(task, attempt=1), cluster.state)
    for stranger, is_forgotten in zip(strangers, (True, False, False), strict=True):
        submitter.on_ledger(assigned(task, stranger, 1), cluster.state)
        assert (submitter.last_abort(task) is None) is is_forgotten
