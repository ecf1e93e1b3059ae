"""The committee changes under whole nodes: who comes votes, who leaves follows, tasks go on."""

from pathlib import Path

from ambientd.adapters.copy_folder import CopyFolder
from ambientd.codec.statements import fingerprint
from ambientd.ledger.events import EpochBegan
from ambientd.model.base import NodeId
from ambientd.model.record import SeatWish
from ambientd.model.task import TaskState, Verdict
from ambientd.runtime.backup import write_backup
from ambientd.runtime.persistence import ends_of, recover, writes_of
from ambientd.runtime.restoring import restore
from ambientd.runtime.store_writer import StoreWriter
from sim.checkers import Checker
from sim.machine import Delivery, Effect, Host
from sim.node_machine import NodeHost, Persisted
from tests.fakes.memory_store import MemoryStore
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


class Recorder(Checker):
    """Applies every batch that a node writes to a copy of its store, and looks at the copy."""

    def __init__(self, cluster: Cluster) -> None:
        self._genesis = cluster.genesis
        self._stores = {host.key: kept(host) for host in cluster.hosts}
        self.seen: dict[bytes, list[int]] = {host.key: [] for host in cluster.hosts}

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Look away."""

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Recover from what is on disk after each write."""
        for each in effect.effects if isinstance(effect, Persisted) else ():
            store = self._stores[node.key]
            store.write(writes_of(each) or [])
            found = recover(store, self._genesis)
            epoch = found.ledger.epoch.number
            assert len(ends_of(store)) == epoch - 1
            if found.log is not None and epoch > 1:
                assert found.log.end is not None
                began = found.ledger.epoch_entry(epoch)
                assert began is not None
                assert found.log.end.index == began.root_index
            self.seen[node.key].append(epoch)


def kept(host: NodeHost) -> MemoryStore:
    assert isinstance(host.store, MemoryStore)
    return host.store.copy()


def test_after_any_of_its_writes_a_node_is_found_whole_in_one_epoch() -> None:
    cluster = with_guest()
    recorder = Recorder(cluster)
    cluster.world.observers.append(recorder)
    seat_the_guest(cluster)
    cluster.vote_on_seat(3, SeatWish.OUT, [3])
    cluster.until_epoch(3)
    cluster.run(500)
    for epochs in recorder.seen.values():
        assert epochs == sorted(epochs)
        assert set(epochs) == {1, 2, 3}


async def test_a_backup_holds_every_epoch_and_a_restoration_goes_through_them(
    tmp_path: Path,
) -> None:
    cluster = with_guest()
    seat_the_guest(cluster)
    cluster.until_closed(cluster.submit())
    cluster.vote_on_seat(3, SeatWish.OUT, [3])
    cluster.until_epoch(3)
    cluster.until_closed(cluster.submit())
    path = tmp_path / "node.backup"
    async with StoreWriter(kept(cluster.hosts[4])) as writer:
        manifest, _ = await write_backup(
            writer, fingerprint(cluster.genesis), CopyFolder(path.parent), path.name
        )
    store = MemoryStore()
    done = restore(path, store, cluster.genesis)
    assert (done.height, done.root) == (manifest.height, manifest.root)
    found = recover(store, cluster.genesis)
    assert found.ledger.epoch.number == 3
    assert len(ends_of(store)) == 2
    stops = [end.index for end in ends_of(store)]
    for height, epoch in ((stops[0] - 1, 1), (stops[0], 2), (stops[1] - 1, 2), (stops[1], 3)):
        part = MemoryStore()
        restore(path, part, cluster.genesis, height)
        assert recover(part, cluster.genesis).ledger.epoch.number == epoch
