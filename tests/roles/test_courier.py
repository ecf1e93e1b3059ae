"""Small blobs travel with the word that makes them needed; what nobody needs is not taken."""

import pytest

from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.events import SlotAssigned
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.effect import SendParcel, TakeParcel
from ambientd.model.message import PARCEL_BYTES_MAX, CosignRequested, ParcelSent
from ambientd.roles.courier import Courier
from tests.ledger.cluster import TestCluster

INPUT = b"a small input"
UNKNOWN = TaskId(b"?" * 32)


def cluster_with(size_bytes: int = len(INPUT)) -> tuple[TestCluster, TaskId]:
    cluster = TestCluster()
    task = cluster.admit(input=Digest(sha256(INPUT)), input_size_bytes=size_bytes)
    return cluster, task


def parcel(task: TaskId, data: bytes = INPUT, named: bytes | None = None) -> ParcelSent:
    return ParcelSent(task=task, digest=Digest(sha256(named or data)), data=data)


def sent(cluster: TestCluster, node: int) -> list[object]:
    courier = Courier(cluster.node(node))
    return [each for event in cluster.events for each in courier.on_ledger(event, cluster.state)]


def workers(cluster: TestCluster, task: TaskId) -> list[NodeId]:
    return [slot.worker for slot in cluster.task(task).slots]


def bystander(cluster: TestCluster, task: TaskId) -> NodeId:
    taken = {cluster.node(0), *workers(cluster, task)}
    return next(cluster.node(n) for n in range(cluster.members) if cluster.node(n) not in taken)


def test_a_submitter_sends_a_small_input_to_each_worker_but_itself() -> None:
    cluster, task = cluster_with()
    wanted = [SendParcel(worker, task, Digest(sha256(INPUT))) for worker in workers(cluster, task)]
    assert sent(cluster, 0) == [each for each in wanted if each.to != cluster.node(0)]
    assert sent(cluster, 1) == []


@pytest.mark.parametrize("size_bytes", [0, PARCEL_BYTES_MAX + 1])
def test_an_input_that_is_empty_or_large_is_left_to_be_fetched(size_bytes: int) -> None:
    cluster, _ = cluster_with(size_bytes)
    assert sent(cluster, 0) == []


def test_an_assignment_of_a_task_that_is_not_here_sends_nothing() -> None:
    cluster, _ = cluster_with()
    event = SlotAssigned(UNKNOWN, 0, 0, cluster.node(1), 0)
    assert Courier(cluster.node(0)).on_ledger(event, cluster.state) == []


def test_a_worker_takes_the_input_of_its_slot_from_the_submitter() -> None:
    cluster, task = cluster_with()
    worker = next(each for each in workers(cluster, task) if each != cluster.node(0))
    message = parcel(task)
    taken = Courier(worker).on_message(cluster.node(0), message, cluster.state)
    assert taken == [TakeParcel(cluster.node(0), message.digest, INPUT)]


def test_a_submitter_takes_what_a_worker_of_its_task_sends() -> None:
    cluster, task = cluster_with()
    worker = next(each for each in workers(cluster, task) if each != cluster.node(0))
    message = parcel(task, b"an output")
    taken = Courier(cluster.node(0)).on_message(worker, message, cluster.state)
    assert taken == [TakeParcel(worker, message.digest, b"an output")]


def test_what_a_known_task_does_not_need_is_not_even_hashed() -> None:
    cluster, task = cluster_with()
    idle, submitter = bystander(cluster, task), cluster.node(0)
    worker = next(each for each in workers(cluster, task) if each != submitter)
    false = parcel(task, b"other bytes", named=b"than these")
    for receiver, sender, message in (
        (idle, submitter, parcel(task)),
        (worker, idle, parcel(task)),
        (worker, submitter, parcel(task, b"not the input")),
        (submitter, idle, parcel(task, b"not its task")),
        (submitter, idle, false),
    ):
        assert Courier(receiver).on_message(sender, message, cluster.state) == []


def test_a_parcel_ahead_of_the_log_is_taken_for_what_it_may_be() -> None:
    cluster, _ = cluster_with()
    message = parcel(UNKNOWN)
    taken = Courier(cluster.node(1)).on_message(cluster.node(2), message, cluster.state)
    assert taken == [TakeParcel(cluster.node(2), message.digest, INPUT)]


def test_wrong_bytes_for_a_digest_are_a_breach_of_the_protocol() -> None:
    cluster, _ = cluster_with()
    message = parcel(UNKNOWN, b"other bytes", named=INPUT)
    with pytest.raises(RemoteProtocolError, match="digest"):
        Courier(cluster.node(1)).on_message(cluster.node(2), message, cluster.state)


def test_other_messages_are_no_parcels() -> None:
    cluster, _ = cluster_with()
    other = CosignRequested(size=1, root=Digest(bytes(32)))
    assert Courier(cluster.node(1)).on_message(cluster.node(2), other, cluster.state) == []
