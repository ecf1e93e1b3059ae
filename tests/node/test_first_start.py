"""What tells a founder that its key was used: its own word in the state, also without blocks."""

from dataclasses import replace

import pytest

from ambientd.codec.canonical import encode
from ambientd.codec.statements import sign_record
from ambientd.ledger.entries import Entry, Key, tip_key, word_key
from ambientd.ledger.seat_entries import UsedTip
from ambientd.ledger.state import LedgerState
from ambientd.ledger.word_entries import LastWord, Topic
from ambientd.model.base import NodeId
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.model.record import SeatWish, VersionKnown
from ambientd.node.compaction import LogOptions
from ambientd.node.past import FoundersPast
from sim.cluster import genesis_of
from tests.fakes.memory_store import MemoryStore
from tests.node.cluster import Cluster
from tests.node.test_compaction import Missed, first_kept


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


def is_in_state(own: NodeId, changed: dict[Key, Entry]) -> bool:
    """Tell what a state says of a key that differs so from the one that the genesis makes."""
    return FoundersPast(LedgerState.from_items(genesis_of(4), changed, 1), own).is_in_state()


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


def test_a_founder_that_has_begun_misses_no_blocks_that_it_does_not_want() -> None:
    """It told its owner to restore a backup, where it had been away and went on from a snapshot."""
    cluster = founded(4, LogOptions(snapshot_blocks=8, kept_blocks=0))
    late, missed = cluster.hosts[3], Missed()
    cluster.world.observers.append(missed)
    cluster.world.network.partition({late.key: 1})
    height = cluster.ledger(0).applied_index
    for _ in range(60):
        cluster.submit()
        cluster.run(200)
    assert cluster.ledger(0).applied_index > height + 40
    cluster.world.network.heal()
    cluster.until(lambda: cluster.ledger(3).applied_index >= cluster.ledger(0).applied_index - 2)
    assert first_kept(cluster, 3) > height
    assert missed.by == []


def test_a_key_whose_block_has_counted_is_known_by_its_beacon_alone() -> None:
    own, other = genesis_of(4).members[:2]
    revealed = UsedTip(epoch=FIRST_EPOCH, value=bytes(32), count=1)
    assert not is_in_state(own.node, {})
    assert not is_in_state(own.node, {tip_key(other.beacon_tip): revealed})
    assert is_in_state(own.node, {tip_key(own.beacon_tip): revealed})


@pytest.mark.parametrize("topic", Topic)
def test_any_word_of_a_member_tells_that_its_key_was_used(topic: Topic) -> None:
    own, other = (founder.node for founder in genesis_of(4).members[:2])
    said = {word_key(topic, own): LastWord(said_ms=1)}
    assert is_in_state(own, said)
    assert not is_in_state(other, said)


def test_a_record_is_the_keys_own_by_its_author_and_bytes_that_are_none_are_nobodys() -> None:
    one, other = (host.signer for host in Cluster(boots=False).hosts[:2])
    past = FoundersPast(LedgerState.from_genesis(genesis_of(4)), NodeId(one.public_key))
    body = VersionKnown(version=2, said_ms=1)
    assert past.is_own(encode(sign_record(one, body)))
    assert not past.is_own(encode(sign_record(other, body)))
    assert not past.is_own(b"no record")


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


def test_a_lone_founder_that_lost_its_folder_begins_another_log_that_nobody_takes_in() -> None:
    cluster = Cluster(members=1, guests=1, checked=False, boots=False)
    begin(cluster, 0)
    cluster.join(0)
    task = cluster.submit()
    cluster.until(lambda: cluster.ledger(1).applied_index > 10)
    lose(cluster, 0)
    first, height = cluster.ledger(1).root, cluster.ledger(1).applied_index
    begin(cluster, 0)
    cluster.submit(by=0)
    cluster.run(20_000)
    assert votes(cluster, 0)
    assert cluster.ledger(0).applied_index > 10
    assert cluster.ledger(0).task(task) is None
    assert cluster.ledger(0).allowed_nodes() == {NodeId(cluster.hosts[0].key)}
    assert (cluster.ledger(1).root, cluster.ledger(1).applied_index) == (first, height)
