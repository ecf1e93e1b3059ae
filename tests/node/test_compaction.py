"""Whole nodes that delete their log, and others that come late: protocols/05 section 12."""

from dataclasses import dataclass, field, replace
from typing import Any

from ambientd.codec.state_pages import root_of_pages
from ambientd.consensus.options import TrustedEpoch
from ambientd.ledger.state import LedgerState
from ambientd.model.genesis import Rules
from ambientd.model.record import SeatWish
from ambientd.model.task import TaskState
from ambientd.node.compaction import OLDER_APART, LogOptions
from ambientd.node.effect import BlocksMissed
from ambientd.ports.store import StoreTable
from ambientd.runtime.persistence import StoredBlocks, recover, snapshots_of
from sim.machine import Delivery, Effect, Host
from sim.node_store import CommittedRows
from sim.vices import Vice
from tests.node.cluster import Cluster

OFTEN = LogOptions(snapshot_blocks=16, kept_blocks=4)


def first_kept(cluster: Cluster, number: int) -> int:
    rows = list(cluster.hosts[number].store.scan(StoreTable.COMMITTED, limit=1))
    return int.from_bytes(rows[0][0], "big")


def is_compacted(cluster: Cluster, above: int) -> bool:
    return all(first_kept(cluster, n) > above for n in range(4) if cluster.hosts[n].node)


def work(cluster: Cluster, tasks: int, by: int = 0) -> None:
    """Let tasks run to their end, one after another: a log that nobody waits for rests."""
    for _ in range(tasks):
        task = cluster.submit(by=by)
        cluster.until(
            lambda task=task: all(
                (entry := host.ledger.task(task)) is not None and entry.state is TaskState.FINAL
                for host in cluster.up()
            )
        )


def compacted(log: LogOptions = OFTEN, above: int = 16) -> Cluster:
    """Give a cluster whose member 3 is down while the others delete what it misses."""
    cluster = Cluster(guests=1, log=log)
    work(cluster, 1)
    cluster.world.crash(cluster.hosts[3].key)
    behind = cluster.ledger(0).applied_index
    while not is_compacted(cluster, behind + above):
        work(cluster, 1)
    return cluster


def test_a_node_keeps_a_bounded_log_and_a_whole_snapshot() -> None:
    cluster = Cluster(log=OFTEN)
    while cluster.ledger().applied_index < 100:
        work(cluster, 1)
    for number, host in enumerate(cluster.hosts):
        kept = host.ledger.applied_index - first_kept(cluster, number)
        assert kept <= 2 * OFTEN.snapshot_blocks + OFTEN.kept_blocks + 2
        snapshots = snapshots_of(host.store)
        assert 1 <= len(snapshots) <= 2
        assert all(root_of_pages(each.pages) == each.root for each in snapshots)
        digests = {digest for each in snapshots for _, digest in each.pages}
        assert digests <= {key for key, _ in host.store.scan(StoreTable.PAGE)}


def test_all_nodes_take_the_same_snapshots() -> None:
    cluster = Cluster(log=OFTEN)
    while cluster.ledger().applied_index < 60:
        work(cluster, 1)
    cluster.run(5_000)
    newest = [snapshots_of(host.store)[-1] for host in cluster.hosts]
    assert len({(each.index, each.root, each.pages) for each in newest}) == 1


def test_a_member_that_comes_back_after_compaction_fetches_the_state_and_votes_again() -> None:
    cluster = compacted()
    late = cluster.hosts[3]
    cluster.world.start(late.key)
    cluster.until(lambda: late.ledger.applied_index >= cluster.ledger(0).applied_index)
    assert late.ledger.root == cluster.ledger(0).root or cluster.run(1_000) is None
    assert first_kept(cluster, 3) > 16
    cluster.world.crash(cluster.hosts[2].key)
    work(cluster, 2)


def test_a_new_node_joins_a_mesh_whose_log_is_deleted_and_works() -> None:
    cluster = compacted()
    cluster.world.start(cluster.hosts[3].key)
    cluster.join(0)
    guest = cluster.hosts[4]
    cluster.until(lambda: guest.ledger.applied_index >= cluster.ledger(0).applied_index - 2)
    assert next(iter(guest.store.scan(StoreTable.COMMITTED, limit=1)))[0] > bytes(8)

    def has_answered() -> bool:
        tasks = [entry for _, entry in cluster.ledger().tasks()]
        return any(slot.worker == guest.key for each in tasks for slot in each.slots)

    for _ in range(60):  # the draw favours those who are known
        work(cluster, 1)
        if has_answered():
            return
    raise AssertionError("the new node was never given work")


KEEPS_ALL = LogOptions(snapshot_blocks=16, kept_blocks=10_000)


def long_lived(blocks: int = 40, **changes: Any) -> Cluster:
    """Give a cluster that keeps all of its blocks, and snapshots besides."""
    cluster = Cluster(guests=1, log=KEEPS_ALL, **changes)
    while cluster.ledger().applied_index < blocks:
        work(cluster, 1)
    assert all(first_kept(cluster, number) == 1 for number in range(4))
    return cluster


def test_a_new_node_begins_with_the_newest_snapshot_though_all_blocks_are_kept() -> None:
    cluster = long_lived()
    newest = snapshots_of(cluster.hosts[0].store)[-1].index
    cluster.join(0)
    assert first_kept(cluster, 4) == newest >= 32
    work(cluster, 1)
    assert cluster.ledger(4).root == cluster.ledger(0).root


def test_a_new_node_comes_in_though_a_member_makes_snapshots_up() -> None:
    cluster = long_lived(vices={2: Vice.MISLEAD}, checked=False)
    cluster.join(0)
    work(cluster, 1)
    assert cluster.ledger(4).root == cluster.ledger(0).root


def test_a_new_node_that_wants_every_block_is_given_all_of_them() -> None:
    cluster = long_lived()
    guest = cluster.hosts[4]
    guest.options = replace(guest.options, log=LogOptions(is_whole=True))
    cluster.join(0)
    assert first_kept(cluster, 4) == 1


@dataclass
class Missed:
    """Collects which nodes said that they had to pass over blocks that they want."""

    by: list[bytes] = field(default_factory=list)

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Look at effects alone."""

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        del now
        if isinstance(effect, BlocksMissed):
            self.by.append(node.key)


def test_a_new_node_that_wants_every_block_and_finds_them_deleted_begins_and_says_so() -> None:
    cluster = compacted()
    cluster.world.start(cluster.hosts[3].key)
    guest, missed = cluster.hosts[4], Missed()
    guest.options = replace(guest.options, log=LogOptions(is_whole=True))
    cluster.world.observers.append(missed)
    cluster.join(0)
    assert first_kept(cluster, 4) > 16
    assert missed.by == [guest.key]


def test_of_older_snapshots_some_stay_and_the_newest_two() -> None:
    cluster = long_lived(blocks=16 * 2 * OLDER_APART)
    steps = [each.index // 16 for each in snapshots_of(cluster.hosts[0].store)]
    newest = steps[-1]
    assert steps[-2:] == [newest - 1, newest]
    older = steps[:-2]
    assert older[0] == 1
    assert len({step // OLDER_APART for step in older}) == len(older)


def test_a_node_goes_on_from_an_installed_state_after_a_restart() -> None:
    cluster = compacted()
    late = cluster.hosts[3]
    cluster.world.start(late.key)
    cluster.until(lambda: late.ledger.applied_index >= cluster.ledger(0).applied_index)
    cluster.world.crash(late.key)
    found = recover(late.store, cluster.genesis)
    assert found.kept.snapshots
    assert found.kept.first_block > 16
    cluster.world.start(late.key)
    work(cluster, 1)
    assert isinstance(late.ledger, LedgerState)


def test_a_node_that_was_late_serves_the_snapshot_that_it_fetched() -> None:
    cluster = compacted()
    late = cluster.hosts[3]
    cluster.world.start(late.key)
    cluster.until(lambda: late.ledger.applied_index >= cluster.ledger(0).applied_index)
    blocks: StoredBlocks = CommittedRows(late.store).blocks()
    snapshot = blocks.snapshot()
    assert snapshot is not None
    assert all(blocks.page(digest) for _, digest in snapshot.pages)
    assert blocks.committed(1, 5) == []
    assert blocks.committed(snapshot.index + 1, 1)


def test_a_whole_log_is_kept_when_the_owner_wants_it() -> None:
    cluster = Cluster(log=LogOptions(snapshot_blocks=4, kept_blocks=0, is_whole=True))
    work(cluster, 3)
    assert first_kept(cluster, 0) == 1
    assert snapshots_of(cluster.hosts[0].store) == ()


def test_a_node_catches_up_across_an_epoch_whose_blocks_are_deleted() -> None:
    cluster = Cluster(guests=2, log=OFTEN, checked=False)
    cluster.join(0)
    work(cluster, 1)
    cluster.world.crash(cluster.hosts[3].key)
    cluster.ask_for_seat(4)
    cluster.vote_on_seat(4, SeatWish.IN, range(3))
    cluster.until_epoch(2)
    behind = cluster.ledger(0).applied_index
    while not is_compacted(cluster, behind + 4):
        work(cluster, 1)
    late = cluster.hosts[3]
    cluster.world.start(late.key)
    cluster.until(lambda: late.ledger.applied_index >= cluster.ledger(0).applied_index)
    assert late.log.number == 2
    cluster.world.crash(cluster.hosts[2].key)
    work(cluster, 1)
    cluster.world.crash(late.key)
    cluster.world.start(late.key)
    work(cluster, 1)


def test_what_is_forgotten_and_what_is_kept_make_the_same_state() -> None:
    cluster = Cluster(log=OFTEN, rules=Rules(lease_ms=2_000, keep_ms=4_000, batch_ms=200))
    for _ in range(10):
        work(cluster, 1)
    cluster.run(6_000)
    work(cluster, 1)
    assert sum(1 for _ in cluster.ledger().tasks()) < 11
    assert cluster.ledger().receipt_log_start() > 0


def away_while_the_committee_changes() -> Cluster:
    """Give a cluster in its second epoch that member 3, who is away, gets to by a snapshot only."""
    cluster = Cluster(guests=1, log=OFTEN, checked=False)
    cluster.run(1_000)
    cluster.join(0)
    cluster.world.crash(cluster.hosts[3].key)
    cluster.ask_for_seat(4)
    cluster.vote_on_seat(4, SeatWish.IN, range(3))
    cluster.until_epoch(2)
    behind = cluster.ledger(0).applied_index
    while not is_compacted(cluster, behind + 4):
        work(cluster, 1)
    return cluster


def trusts(cluster: Cluster, trusted: TrustedEpoch) -> None:
    """Let member 3's owner name an epoch, and start it."""
    host = cluster.hosts[3]
    host.options = replace(host.options, trusted=trusted)
    cluster.world.start(host.key)


def test_who_was_away_takes_the_state_of_the_epoch_that_its_owner_trusts() -> None:
    cluster = away_while_the_committee_changes()
    node = cluster.hosts[0].node
    assert node is not None
    trusts(cluster, TrustedEpoch(2, node.consensus.options.epoch_hash))
    cluster.until_epoch(2)
    work(cluster, 1)
    assert cluster.ledger(3).epoch_leaf == cluster.ledger(0).epoch_leaf is not None
    cluster.world.crash(cluster.hosts[3].key)
    cluster.world.start(cluster.hosts[3].key)
    work(cluster, 1)
    cluster.check_equal()


def test_who_was_away_takes_no_state_that_does_not_pass_the_trusted_epoch() -> None:
    for number, is_fault in ((2, True), (3, False)):
        cluster = away_while_the_committee_changes()
        trusts(cluster, TrustedEpoch(number, bytes(32)))
        head = cluster.ledger(3).applied_index
        cluster.run(5_000)
        assert cluster.ledger(3).epoch.number == 1
        assert cluster.ledger(3).applied_index == head
        faults = [fault.reason for fault in cluster.faults(3)]
        assert any("epoch 2 is" in reason for reason in faults) is is_fault
