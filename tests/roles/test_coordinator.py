"""A coordinator gathers answers into one record; nobody's answer is displaced by another's."""

from msgspec.structs import replace

from ambientd.ledger.events import SlotCommitted, TaskClosed, TaskCommitted
from ambientd.model.base import TaskId
from ambientd.model.effect import Propose
from ambientd.model.message import CommitSent, CosignRequested, RevealSent
from ambientd.model.record import Commits, Settle
from ambientd.model.task import TaskState
from ambientd.roles.coordinator import GATHER_MS, TASKS_HELD_MAX, Coordinator
from tests.ledger.cluster import START_MS, TestCluster

NOW = START_MS + 1_000


def leading(cluster: TestCluster) -> Coordinator:
    coordinator = Coordinator(cluster.node(0))
    coordinator.on_coordinator(cluster.node(0))
    return coordinator


def commits_of(cluster: TestCluster, task: TaskId) -> list[CommitSent]:
    return [CommitSent(commit=commit) for commit in cluster.commits(task).commits]


def reveals_of(cluster: TestCluster, task: TaskId) -> list[RevealSent]:
    return [RevealSent(receipt=receipt) for receipt in cluster.settle(task).receipts]


def test_sealed_answers_go_into_the_log_together() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    coordinator = leading(cluster)
    one, two = commits_of(cluster, task)
    assert coordinator.on_message(one.commit.worker, one, cluster.state, NOW) == []
    assert coordinator.on_message(two.commit.worker, two, cluster.state, NOW) == [
        Propose(Commits(commits=(one.commit, two.commit)))
    ]
    assert coordinator.on_tick(cluster.state, NOW + GATHER_MS) == []


def test_opened_answers_go_into_the_log_together() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.block((0, cluster.commits(task)))
    coordinator = leading(cluster)
    one, two = reveals_of(cluster, task)
    assert coordinator.on_message(one.receipt.receipt.worker, one, cluster.state, NOW) == []
    [effect] = coordinator.on_message(two.receipt.receipt.worker, two, cluster.state, NOW)
    assert effect == Propose(Settle(task=task, receipts=(one.receipt, two.receipt)))


def test_nobody_is_waited_for_longer_than_a_moment() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    coordinator = leading(cluster)
    one, _ = commits_of(cluster, task)
    coordinator.on_message(one.commit.worker, one, cluster.state, NOW)
    assert coordinator.on_tick(cluster.state, NOW + GATHER_MS - 1) == []
    gathered = coordinator.on_tick(cluster.state, NOW + GATHER_MS)
    assert gathered == [Propose(Commits(commits=(one.commit,)))]
    assert coordinator.on_tick(cluster.state, NOW + 2 * GATHER_MS) == []


def test_answers_to_unknown_tasks_wait_a_moment_and_are_dropped() -> None:
    cluster = TestCluster()
    coordinator = leading(cluster)
    other = TestCluster()
    [sent, _] = commits_of(other, other.admit())
    assert coordinator.on_message(sent.commit.worker, sent, cluster.state, NOW) == []
    assert coordinator.on_tick(cluster.state, NOW + GATHER_MS) == []


def test_an_answer_in_another_workers_place_is_ignored() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    coordinator = leading(cluster)
    one, two = commits_of(cluster, task)
    thief = replace(one.commit, worker=two.commit.worker)
    coordinator.on_message(two.commit.worker, CommitSent(commit=thief), cluster.state, NOW)
    coordinator.on_message(two.commit.worker, one, cluster.state, NOW)
    assert coordinator.on_tick(cluster.state, NOW + GATHER_MS) == []


def test_only_who_leads_gathers() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    coordinator = leading(cluster)
    one, two = commits_of(cluster, task)
    coordinator.on_message(one.commit.worker, one, cluster.state, NOW)
    coordinator.on_coordinator(cluster.node(1))
    assert not coordinator.leads
    assert coordinator.on_message(two.commit.worker, two, cluster.state, NOW) == []
    assert coordinator.on_tick(cluster.state, NOW + GATHER_MS) == []


def test_what_the_log_has_taken_is_forgotten() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    coordinator = leading(cluster)
    one, _ = commits_of(cluster, task)
    coordinator.on_ledger(SlotCommitted(task, 0, one.commit.worker))
    coordinator.on_message(one.commit.worker, one, cluster.state, NOW)
    coordinator.on_ledger(SlotCommitted(task, 0, one.commit.worker))
    coordinator.on_ledger(TaskCommitted(task))
    assert coordinator.on_tick(cluster.state, NOW + GATHER_MS) == []
    coordinator.on_message(one.commit.worker, one, cluster.state, NOW)
    coordinator.on_ledger(TaskClosed(task, TaskState.CANCELLED))
    assert coordinator.on_tick(cluster.state, NOW + GATHER_MS) == []


def test_messages_for_other_roles_are_left_to_them() -> None:
    cluster = TestCluster()
    request = CosignRequested(size=1, root=cluster.state.receipt_log_root(0))
    assert leading(cluster).on_message(cluster.node(1), request, cluster.state, NOW) == []


def test_gathering_is_bounded() -> None:
    cluster = TestCluster()
    coordinator = leading(cluster)
    other = TestCluster()
    [sent, _] = commits_of(other, other.admit())
    for number in range(TASKS_HELD_MAX):
        commit = replace(sent.commit, task=TaskId(number.to_bytes(32, "big")))
        coordinator.on_message(commit.worker, CommitSent(commit=commit), cluster.state, NOW)
    task = cluster.admit()
    for each in commits_of(cluster, task):
        assert coordinator.on_message(each.commit.worker, each, cluster.state, NOW) == []


def test_a_malformed_answer_is_not_gathered_with_the_others() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    coordinator = leading(cluster)
    one, two = commits_of(cluster, task)
    bent = CommitSent(commit=replace(one.commit, commitment=b"short"))
    assert coordinator.on_message(one.commit.worker, bent, cluster.state, NOW) == []
    assert coordinator.on_message(two.commit.worker, two, cluster.state, NOW) == []
    assert coordinator.on_message(one.commit.worker, one, cluster.state, NOW) == [
        Propose(Commits(commits=(one.commit, two.commit)))
    ]


def test_a_seal_that_is_on_its_way_into_the_log_is_not_proposed_again() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    coordinator = leading(cluster)
    one, two = commits_of(cluster, task)
    proposed = [
        effect
        for sent in (one, two, one, two)  # the log is slow, and the workers send again
        for effect in coordinator.on_message(sent.commit.worker, sent, cluster.state, NOW)
    ]
    assert proposed == [Propose(Commits(commits=(one.commit, two.commit)))]
    assert coordinator.on_tick(cluster.state, NOW + GATHER_MS) == []
    coordinator.on_coordinator(cluster.node(0))
    coordinator.on_message(one.commit.worker, one, cluster.state, NOW)
    assert coordinator.on_message(two.commit.worker, two, cluster.state, NOW) == proposed
