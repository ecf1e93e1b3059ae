import pytest
from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.codec.merkle import root_from_inclusion, verify_consistency
from ambientd.codec.statements import epoch_hash, epoch_leaf
from ambientd.ledger.entries import Leaf, Table, leaf_key, tip_key
from ambientd.ledger.forgetting import FORGOTTEN_MAX
from ambientd.model.base import TaskId
from ambientd.model.genesis import Rules
from ambientd.model.record import Admit, Cancel
from tests.ledger.cluster import START_MS, TestCluster, rejections, result, spec

KEEP_MS = 20_000
RULES = Rules(keep_ms=KEEP_MS)


def settled(cluster: TestCluster, count: int, first: int = 0) -> list:
    tasks = []
    for number in range(first, first + count):
        until_ms = cluster.time_ms + KEEP_MS
        nonce = b"%d" % number
        cluster.block((0, Admit(nonce=nonce, spec=spec(), until_ms=until_ms)))
        [task] = [task for task, entry in cluster.state.open_tasks() if entry.nonce == nonce]
        cluster.work(task)
        tasks.append(task)
    return tasks


def test_an_ended_task_is_forgotten_with_its_leaf_when_its_time_is_over() -> None:
    cluster = TestCluster(rules=RULES)
    tasks = settled(cluster, 3)
    cluster.close_batch()
    cluster.block(after_ms=KEEP_MS - 2_000)
    assert all(cluster.state.task(task) is not None for task in tasks)
    cluster.block(after_ms=3_000)
    assert not any(cluster.state.task(task) for task in tasks)
    assert not [key for key in cluster.state.items() if key[0] is Table.LEAF]
    assert cluster.state.receipt_log_start() == 3
    assert cluster.restarted().root == cluster.state.root


def test_a_leaf_that_no_batch_holds_keeps_its_task() -> None:
    cluster = TestCluster(rules=RULES)
    [first] = settled(cluster, 1)
    cluster.block(after_ms=2 * KEEP_MS)
    assert cluster.state.task(first) is not None
    cluster.close_batch()
    cluster.block()
    assert cluster.state.task(first) is None


def test_a_task_that_ended_without_a_leaf_is_forgotten_too() -> None:
    cluster = TestCluster(rules=RULES)
    task = cluster.admit()
    cluster.block((0, Cancel(task=task)))
    cluster.block(after_ms=KEEP_MS + 1_000)
    assert cluster.state.task(task) is None


def test_an_open_task_is_never_forgotten() -> None:
    cluster = TestCluster(rules=Rules(keep_ms=1, lease_ms=10**8))
    cluster.block((0, Admit(nonce=b"n", spec=spec(), until_ms=cluster.time_ms + 101)))
    cluster.block(after_ms=60_000)
    assert len(cluster.state.open_tasks()) == 1


def test_the_receipt_log_goes_on_over_what_is_forgotten() -> None:
    cluster = TestCluster(rules=RULES)
    settled(cluster, 5)
    cluster.close_batch()
    old_root = cluster.state.receipt_log_root(5)
    cluster.block(after_ms=KEEP_MS + 1_000)
    settled(cluster, 6, first=5)
    cluster.close_batch()
    assert cluster.state.receipt_log_start() == 5
    for state in (cluster.state, cluster.restarted()):
        for leaf in range(5, 11):
            entry = state.items()[Table.LEAF, leaf.to_bytes(8, "big")]
            path = state.inclusion_path(leaf, 11)
            assert root_from_inclusion(entry.digest, leaf, 11, path) == state.receipt_log_root(11)
        path = state.consistency_path(5, 11)
        assert verify_consistency(5, old_root, 11, state.receipt_log_root(11), path)
        with pytest.raises(ValueError, match="forgotten"):
            state.receipt_log_root(3)
        with pytest.raises(ValueError, match="forgotten"):
            state.inclusion_path(3, 11)


def test_an_epochs_leaf_goes_with_the_next_tasks_and_the_present_one_is_named_again() -> None:
    cluster = TestCluster(rules=RULES)
    settled(cluster, 1)
    begin_epoch(cluster)
    begin_epoch(cluster)
    settled(cluster, 2, first=1)
    cluster.close_batch()
    present = Leaf(epoch_leaf(name_of(cluster)), TaskId(b""))
    assert cluster.state.epoch_leaf == 2
    assert cluster.state.get(leaf_key(2)) == present
    cluster.block(after_ms=KEEP_MS + 5_000)
    assert cluster.state.receipt_log_start() == 5
    leaves = {key: entry for key, entry in cluster.state.items().items() if key[0] is Table.LEAF}
    assert leaves == {leaf_key(5): present}
    settled(cluster, 1, first=3)
    for state in (cluster.state, cluster.restarted()):
        assert state.epoch_leaf == 5
        path = state.inclusion_path(5, 7)
        assert root_from_inclusion(present.digest, 5, 7, path) == state.receipt_log_root(7)


def begin_epoch(cluster: TestCluster) -> None:
    """Begin an epoch of the same members."""
    number = cluster.state.epoch.number + 1
    cluster.block((0, replace(cluster.state.epoch, number=number)))


def name_of(cluster: TestCluster) -> bytes:
    """Give the present epoch's hash."""
    epoch = cluster.state.epoch
    entry = cluster.state.epoch_entry(epoch.number)
    assert entry is not None
    place = epoch.state_version, entry.root_index, sha256(b"block %d" % entry.root_index)
    return epoch_hash(epoch.number, epoch.members, epoch.seed, epoch.beacon_tips, *place)


def test_batches_go_with_their_leaves_but_the_last_one_stays() -> None:
    cluster = TestCluster(rules=RULES)
    for number in range(3):
        settled(cluster, 1, first=number)
        cluster.close_batch()
    assert cluster.state.checkpoint_sizes() == [3, 2, 1]
    cluster.block(after_ms=KEEP_MS + 5_000)
    assert cluster.state.checkpoint_sizes() == [3]
    assert cluster.state.checkpoint_covering(0) == cluster.state.checkpoint(3)
    settled(cluster, 1, first=3)
    cluster.close_batch()
    cluster.block(after_ms=KEEP_MS + 5_000)
    assert cluster.state.checkpoint_sizes() == [4]


def test_a_block_forgets_a_bounded_number() -> None:
    cluster = TestCluster(rules=RULES)
    for number in range(FORGOTTEN_MAX + 10):
        until_ms = cluster.time_ms + KEEP_MS
        spec_ = spec(price_msat_per_mgas=1)
        cluster.leap((0, Admit(nonce=b"%d" % number, spec=spec_, until_ms=until_ms)), after_ms=0)
    tasks = [task for task, _ in cluster.state.open_tasks()]
    for task in tasks:
        cluster.leap((0, Cancel(task=task)), after_ms=0)
    cluster.leap(after_ms=KEEP_MS)
    assert sum(1 for _ in cluster.state.tasks()) == 10
    cluster.leap(after_ms=0)
    assert sum(1 for _ in cluster.state.tasks()) == 0


def test_no_old_record_brings_a_forgotten_task_back() -> None:
    cluster = TestCluster(rules=RULES)
    admit = (0, Admit(nonce=b"again", spec=spec(), until_ms=cluster.time_ms + KEEP_MS))
    cluster.block(admit)
    [(task, _)] = cluster.state.open_tasks()
    cluster.work(task)
    cluster.close_batch()
    refused = "the task may be admitted until"
    for _ in range(60):
        reasons = rejections(cluster.block(admit, after_ms=500))
        assert all(reason.startswith(refused) for reason in reasons)
    assert list(cluster.state.tasks()) == []


def test_a_task_is_admitted_only_within_the_time_that_tasks_are_kept() -> None:
    cluster = TestCluster(rules=RULES)
    for until_ms in (START_MS, START_MS + 100 + KEEP_MS + 1):
        body = Admit(nonce=b"n", spec=spec(), until_ms=until_ms)
        [reason] = rejections(TestCluster(rules=RULES).block((0, body)))
        assert "may be admitted until" in reason
    for until_ms in (START_MS + 100, START_MS + 100 + KEEP_MS):
        body = Admit(nonce=b"n", spec=spec(), until_ms=until_ms)
        assert rejections(TestCluster(rules=RULES).block((0, body))) == []
    assert cluster.state.open_tasks() == []


def test_the_state_knows_how_far_each_beacon_chain_is_revealed() -> None:
    cluster = TestCluster()
    for _ in range(6):
        cluster.block()
    epoch = cluster.state.epoch
    chains = [cluster.state.get(tip_key(tip)) for tip in epoch.beacon_tips]
    assert sorted(chain.count for chain in chains) == [1, 1, 2, 2]
    last = chains[epoch.members.index(cluster.node(6 % 4))]
    assert last.value == sha256(b"6")


def test_answers_to_a_forgotten_task_are_rejected() -> None:
    cluster = TestCluster(rules=RULES)
    [task] = settled(cluster, 1)
    cluster.close_batch()
    finding = cluster.finding(task, 1, result())
    cluster.block(after_ms=KEEP_MS + 1_000)
    assert rejections(cluster.block(finding)) == ["a finding on no known task"]
