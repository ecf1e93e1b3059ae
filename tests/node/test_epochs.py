"""The committee changes under whole nodes: who comes votes, who leaves follows, tasks go on."""

from ambientd.ledger.events import EpochBegan
from ambientd.model.base import NodeId
from ambientd.model.record import SeatWish
from ambientd.model.task import TaskState, Verdict
from ambientd.runtime.persistence import recover
from tests.node.cluster import Cluster


def with_guest(checked: bool = False) -> Cluster:
    """Four members and a guest that is in."""
    cluster = Cluster(guests=1, checked=checked)
    cluster.run(1_000)
    cluster.join(0)
    return cluster


def seat_the_guest(cluster: Cluster, epoch: int = 2) -> None:
    cluster.ask_for_seat(4)
    cluster.vote_on_seat(4, SeatWish.IN, range(3))
    cluster.until_epoch(epoch)


def test_a_fifth_node_takes_a_seat_and_keeps_the_log_with_the_others() -> None:
    cluster = with_guest()
    seat_the_guest(cluster)
    guest = NodeId(cluster.hosts[4].key)
    assert guest in cluster.ledger().members
    # Of five members four are a quorum: without the newcomer's votes nothing is committed now.
    down, up = [n for n in range(4) if n != cluster.coordinator()][:2]
    cluster.world.crash(cluster.hosts[down].key)
    entry = cluster.until_closed(cluster.submit(by=up))
    assert entry.state is TaskState.FINAL
    cluster.check_equal()
    assert [type(each) for each in cluster.told(EpochBegan, 4)] == [EpochBegan]


def test_who_leaves_follows_the_log_and_is_not_waited_for() -> None:
    cluster = with_guest()
    cluster.vote_on_seat(3, SeatWish.OUT, [3])
    cluster.until_epoch(2)
    assert len(cluster.ledger().members) == 3
    left = cluster.hosts[3]
    entry = cluster.until_closed(cluster.submit(by=0))
    assert entry.settlement is not None
    assert entry.settlement.verdict is Verdict.AGREED
    cluster.world.crash(left.key)
    cluster.until_closed(cluster.submit(by=0))
    cluster.world.start(left.key)
    head = cluster.ledger().applied_index
    cluster.until(lambda: left.ledger.applied_index >= head)
    cluster.check_equal()


def test_tasks_are_settled_across_the_boundary_and_batches_cosigned_by_the_new_committee() -> None:
    cluster = with_guest()
    task = cluster.submit(replicas=3)
    seat_the_guest(cluster)
    assert cluster.until_closed(task).state is TaskState.FINAL
    last = cluster.until_closed(cluster.submit())
    assert last.leaf is not None
    leaf = last.leaf
    cluster.until(lambda: cluster.ledger().checkpoint_covering(leaf) is not None)
    closed = cluster.ledger().checkpoint_covering(leaf)
    assert closed is not None
    assert closed.epoch == 2
    assert len(closed.note.cosignatures) == 4


def test_a_whole_cluster_that_loses_its_power_goes_on_in_its_epoch() -> None:
    cluster = with_guest()
    seat_the_guest(cluster)
    for host in cluster.hosts:
        cluster.world.crash(host.key)
    for host in cluster.hosts:
        found = recover(host.store, cluster.genesis)
        assert found.log is not None
        assert found.log.end is not None
        assert found.log.safety is not None
        cluster.world.start(host.key)
    cluster.until_epoch(2)
    assert cluster.until_closed(cluster.submit()).state is TaskState.FINAL
    cluster.check_equal()


def test_a_node_that_was_away_is_shown_how_the_epochs_ended() -> None:
    cluster = with_guest()
    away = cluster.hosts[3]
    if cluster.coordinator() == 3:
        away = cluster.hosts[2]
    cluster.world.crash(away.key)
    others = [n for n in range(4) if cluster.hosts[n] is not away]
    cluster.ask_for_seat(4)
    cluster.vote_on_seat(4, SeatWish.IN, others)
    cluster.until_epoch(2)
    number = cluster.hosts.index(away)
    cluster.vote_on_seat(number, SeatWish.OUT, [*others, 4])
    cluster.until_epoch(3)
    cluster.world.start(away.key)
    cluster.until_epoch(3)
    assert NodeId(away.key) not in cluster.ledger().members
    cluster.check_equal()


def test_a_member_that_left_comes_back_with_a_new_chain() -> None:
    cluster = with_guest()
    cluster.vote_on_seat(3, SeatWish.OUT, [3])
    cluster.until_epoch(2)
    cluster.ask_for_seat(3, bond_msat=5)
    cluster.vote_on_seat(3, SeatWish.IN, range(3))
    cluster.until_epoch(3)
    assert NodeId(cluster.hosts[3].key) in cluster.ledger().members
    while cluster.coordinator() != 3:
        leader = cluster.coordinator()
        cluster.world.crash(cluster.hosts[leader].key)
        cluster.until(lambda leader=leader: cluster.coordinator() != leader)  # type: ignore[misc]
        cluster.world.start(cluster.hosts[leader].key)
        cluster.run(500)
    cluster.until_closed(cluster.submit(by=3))
    assert cluster.coordinator() == 3  # its blocks reveal the chain that its request named
