"""A cluster whose committee changes twice, with a settled task in each of its epochs."""

from ambientd.api.views import receipt_file
from ambientd.model.base import TaskId
from ambientd.model.genesis import FIRST_STATE_VERSION
from ambientd.model.receipt import ReceiptFile
from ambientd.model.record import SeatWish, VersionKnown
from ambientd.runtime.persistence import ends_of
from tests.node.cluster import Cluster

CHANGES = 2


def three_epochs(state_version: int = FIRST_STATE_VERSION) -> Cluster:
    """Give one with a task settled and batched in each of three epochs; the fourth leaves."""
    cluster = Cluster(guests=1, checked=False, state_version=state_version)
    cluster.run(1_000)
    cluster.join(0)
    cluster.tasks = [batched(cluster)]
    cluster.ask_for_seat(4)
    cluster.vote_on_seat(4, SeatWish.IN, range(3))
    cluster.until_epoch(2)
    cluster.tasks.append(batched(cluster))
    cluster.vote_on_seat(3, SeatWish.OUT, [3])
    cluster.until_epoch(3)
    cluster.tasks.append(batched(cluster))
    return cluster


def next_version(founded_in: int) -> Cluster:
    """Give one founded in a version that all members go on from, a task settled before that."""
    cluster = Cluster(checked=False, state_version=founded_in)
    cluster.run(1_000)
    cluster.tasks = [batched(cluster)]
    for number in range(4):
        cluster.say(number, VersionKnown(version=founded_in + 1, said_ms=cluster.world.now))
    cluster.until_epoch(2)
    return cluster


def batched(cluster: Cluster) -> TaskId:
    """Let a task be settled and its batch closed in the present epoch."""
    task = cluster.submit()
    leaf = cluster.until_closed(task).leaf
    assert leaf is not None
    cluster.until(cluster.everywhere(lambda state: state.checkpoint_covering(leaf) is not None))
    return task


def file_of(cluster: Cluster, place: int, issuer: int = 0) -> ReceiptFile:
    host = cluster.hosts[issuer]
    entry = cluster.entry(cluster.tasks[place])
    file = receipt_file(cluster.ledger(), entry, host.signer, ends_of(host.store))
    assert file is not None
    return file
