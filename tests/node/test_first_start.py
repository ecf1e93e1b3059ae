"""What tells a founder that its key was used: its own word in the state, also without blocks."""

from dataclasses import replace

from ambientd.ledger.word_entries import Topic
from ambientd.model.base import NodeId
from ambientd.model.record import SeatWish
from ambientd.node.compaction import LogOptions
from tests.fakes.memory_store import MemoryStore
from tests.node.cluster import Cluster


def begin(cluster: Cluster, number: int, *, is_first: bool = True) -> None:
    """Start a node as the daemon would: with an empty store it is its first start."""
    host = cluster.hosts[number]
    host.options = replace(host.options, is_first_start=is_first)
    cluster.world.start(host.key)


def lose(cluster: Cluster, number: int) -> None:
    host = cluster.hosts[number]
    cluster.world.crash(host.key)
    host._given_store = MemoryStore()


def votes(cluster: Cluster, number: int) -> bool:
    node = cluster.hosts[number].node
    assert node is not None
    return node.consensus.options.may_vote and not node.log.is_first_start


def was_heard(cluster: Cluster, number: int, by: int) -> bool:
    key = NodeId(cluster.hosts[number].key)
    return cluster.ledger(by).last_word_ms(Topic.NODES, key) > 0


def founded(count: int, log: LogOptions | None = None, guests: int = 0) -> Cluster:
    """Four founders, of whom so many start."""
    cluster = Cluster(log=log, guests=guests, checked=False, boots=False)
    for number in range(count):
        begin(cluster, number)
    cluster.until(lambda: all(votes(cluster, number) for number in range(count)))
    return cluster


def test_a_members_word_is_in_the_state_soon_after_it_has_begun() -> None:
    cluster = founded(4)
    cluster.until(lambda: all(was_heard(cluster, n, 0) for n in range(4)), 3_000)


def test_a_member_that_does_not_know_whether_its_key_is_new_says_no_word() -> None:
    cluster = founded(3)
    cluster.until(lambda: cluster.ledger(0).applied_index > 5)
    for number in (1, 2):  # with these away nobody can tell the fourth how far the log is
        cluster.world.crash(cluster.hosts[number].key)
    begin(cluster, 3)
    cluster.run(20_000)
    assert not votes(cluster, 3)
    for number in (1, 2):
        begin(cluster, number, is_first=False)
    cluster.until(lambda: votes(cluster, 3))
    cluster.until(lambda: was_heard(cluster, 3, 0))


def test_a_key_that_was_used_is_known_also_where_its_blocks_are_deleted() -> None:
    cluster = founded(4, LogOptions(snapshot_blocks=8, kept_blocks=0))
    cluster.until(lambda: all(was_heard(cluster, n, 0) for n in range(4)))
    lose(cluster, 3)
    height = cluster.ledger(0).applied_index
    for _ in range(60):
        cluster.submit()
        cluster.run(200)
    assert cluster.ledger(0).applied_index > height + 40
    begin(cluster, 3)
    cluster.until(lambda: not cluster.hosts[3].log.is_first_start)
    assert not votes(cluster, 3)
    cluster.run(5_000)
    assert cluster.ledger(3).applied_index >= cluster.ledger(0).applied_index - 2


def test_a_founder_that_comes_after_blocks_were_deleted_votes() -> None:
    cluster = founded(3, LogOptions(snapshot_blocks=8, kept_blocks=0))
    for _ in range(60):
        cluster.submit()
        cluster.run(200)
    begin(cluster, 3)
    cluster.until(lambda: votes(cluster, 3))
    cluster.until(lambda: was_heard(cluster, 3, 0))


def test_a_late_founder_reads_through_the_epochs_and_votes_in_the_present_one() -> None:
    cluster = founded(3, guests=1)
    cluster.join(0)
    cluster.ask_for_seat(4)
    cluster.vote_on_seat(4, SeatWish.IN, range(3))
    cluster.until_epoch(2)
    begin(cluster, 3)
    cluster.until(lambda: votes(cluster, 3))
    assert cluster.hosts[3].log.number == 2
    cluster.until(lambda: was_heard(cluster, 3, 0))
    # And once it was heard, a copy of its first folder is known for what it is in any epoch.
    lose(cluster, 3)
    cluster.vote_on_seat(2, SeatWish.OUT, [2])
    cluster.until_epoch(3)
    begin(cluster, 3)
    cluster.until(lambda: not cluster.hosts[3].log.is_first_start)
    assert not votes(cluster, 3)
    assert cluster.hosts[3].log.number == 3
