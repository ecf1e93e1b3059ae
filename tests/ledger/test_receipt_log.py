import pytest
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.merkle import root_from_inclusion, verify_consistency
from ambientd.codec.statements import sign_record
from ambientd.ledger.apply import is_admissible
from ambientd.ledger.events import BatchAnchored, CheckpointClosed
from ambientd.model.base import Digest
from ambientd.model.genesis import MEMBERS_MAX
from ambientd.model.record import Anchor, Body, Checkpoint
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import TestCluster, rejections


def settled(cluster: TestCluster, count: int) -> None:
    for number in range(count):
        cluster.work(cluster.admit(nonce=b"%d-%d" % (cluster.index, number)))


def rejection(cluster: TestCluster, body: Body) -> str:
    return rejections(cluster.block((0, body)))[0]


def test_a_cosigned_head_closes_the_batch_and_every_leaf_is_under_it() -> None:
    cluster = TestCluster()
    settled(cluster, 5)
    events = cluster.close_batch()
    assert [type(event) for event in events] == [CheckpointClosed]
    closed = cluster.state.checkpoint_covering(3)
    assert closed is not None
    for _, entry in cluster.state.tasks():
        leaf = cluster.state.inclusion_path(entry.leaf, 5)
        digest = cluster.state.items()[5, entry.leaf.to_bytes(8, "big")].digest
        assert root_from_inclusion(digest, entry.leaf, 5, leaf) == closed.note.root


def test_a_later_head_is_consistent_with_an_earlier_one() -> None:
    cluster = TestCluster()
    settled(cluster, 3)
    first = cluster.state.receipt_log_root(3)
    settled(cluster, 4)
    path = cluster.state.consistency_path(3, 7)
    assert verify_consistency(3, first, 7, cluster.state.receipt_log_root(7), path)


def test_a_head_that_is_not_this_ledgers_closes_nothing() -> None:
    cluster = TestCluster()
    settled(cluster, 2)
    note = cluster.note()
    wrong = replace(note, root=Digest(bytes(32)))
    assert "differs" in rejection(cluster, Checkpoint(note=wrong))


@pytest.mark.parametrize("size", [3, 2**53 - 1])
def test_a_head_of_receipts_that_are_not_settled_closes_nothing(size: int) -> None:
    cluster = TestCluster()
    settled(cluster, 2)
    ahead = replace(cluster.note(), size=size)
    assert "more receipts" in rejection(cluster, Checkpoint(note=ahead))


def test_a_head_over_receipts_of_its_own_block_closes_nothing_and_harms_nothing() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.block((0, cluster.commits(task)))
    ahead = replace(cluster.note(), size=1)
    events = cluster.block((0, cluster.settle(task)), (0, Checkpoint(note=ahead)))
    assert "more receipts" in rejections(events)[0]


def test_too_few_foreign_or_repeated_cosignatures_close_nothing() -> None:
    cluster = TestCluster()
    settled(cluster, 1)
    note = cluster.note()
    few = replace(note, cosignatures=note.cosignatures[:2])
    repeated = replace(note, cosignatures=(note.cosignatures[0],) * 3)
    swapped = replace(
        note,
        cosignatures=(
            *note.cosignatures[:2],
            replace(note.cosignatures[2], signature=note.cosignatures[0].signature),
        ),
    )
    for bad in (few, repeated, swapped):
        assert "quorum is 3" in rejection(cluster, Checkpoint(note=bad))
    assert cluster.block((0, Checkpoint(note=note)))


def test_a_closed_batch_is_not_closed_again() -> None:
    cluster = TestCluster()
    settled(cluster, 2)
    small = cluster.note(size=1)
    cluster.close_batch()
    assert "closed already" in rejection(cluster, Checkpoint(note=small))
    assert "closed already" in rejection(cluster, Checkpoint(note=cluster.note()))


def test_an_anchored_batch_keeps_its_first_proof() -> None:
    cluster = TestCluster()
    settled(cluster, 1)
    cluster.close_batch()
    root = cluster.state.receipt_log_root(1)
    first = Anchor(size=1, root=root, proof=anchor_proof(root))
    second = Anchor(size=1, root=root, proof=anchor_proof(root, 8))
    events = cluster.block((0, first), (1, second))
    assert [type(event) for event in events] == [BatchAnchored]
    assert cluster.state.checkpoint(1).anchor == first.proof
    assert cluster.block((1, second)) == []
    assert cluster.state.anchored_size() == 1


def test_a_proof_from_another_block_under_more_work_takes_the_place_of_the_first() -> None:
    cluster = TestCluster()
    settled(cluster, 1)
    cluster.close_batch()
    root = cluster.state.receipt_log_root(1)
    elsewhere = {"previous": b"\x07" * 32}
    for proof in (anchor_proof(root, 7), anchor_proof(root, 8, **elsewhere)):
        body = Anchor(size=1, root=root, proof=proof)
        assert cluster.block((0, body)) == [BatchAnchored(1, root, proof)]
        assert cluster.block((1, body)) == []
    for proof in (anchor_proof(root, 8), anchor_proof(root, 9, **elsewhere)):
        assert cluster.block((1, Anchor(size=1, root=root, proof=proof))) == []
    assert cluster.state.checkpoint(1).anchor == anchor_proof(root, 8, **elsewhere)
    assert cluster.state.anchored_size() == 1


def test_an_anchor_needs_a_closed_batch_and_enough_confirmations() -> None:
    cluster = TestCluster()
    settled(cluster, 1)
    root = cluster.state.receipt_log_root(1)
    good = Anchor(size=1, root=root, proof=anchor_proof(root))
    assert "no closed batch" in rejection(cluster, good)
    cluster.close_batch()
    shallow = replace(good, proof=anchor_proof(root, 5))
    assert "5 confirmations of 6" in rejection(cluster, shallow)
    foreign = replace(good, proof=anchor_proof(sha256(b"else")))
    assert "commitment" in rejection(cluster, foreign)


def test_a_cluster_without_bitcoin_takes_no_anchors() -> None:
    cluster = TestCluster(network="none")
    settled(cluster, 1)
    cluster.close_batch()
    root = cluster.state.receipt_log_root(1)
    body = Anchor(size=1, root=root, proof=anchor_proof(root))
    assert "does not anchor" in rejection(cluster, body)


def test_the_best_checkpoint_of_a_leaf_is_the_first_anchored_one() -> None:
    cluster = TestCluster()
    for _ in range(3):
        settled(cluster, 1)
        cluster.close_batch()
    assert cluster.state.checkpoint_covering(0).note.size == 1
    root = cluster.state.receipt_log_root(2)
    cluster.block((0, Anchor(size=2, root=root, proof=anchor_proof(root))))
    assert cluster.state.checkpoint_covering(0).note.size == 2
    assert cluster.state.checkpoint_covering(2).note.size == 3
    assert cluster.state.checkpoint_covering(3) is None


def test_only_members_anchor_as_the_first_proof_stays_and_cheap_work_can_be_made_up() -> None:
    cluster = TestCluster()
    cluster.work(cluster.admit())
    cluster.close_batch()
    cluster.block(cluster.join(50))
    root = cluster.state.receipt_log_root(1)
    body = Anchor(size=1, root=root, proof=anchor_proof(root))
    for stranger in (50, 77):
        assert "only committee members" in rejections(cluster.block((stranger, body)))[0]
    assert cluster.state.checkpoint(1).anchor is None
    assert isinstance(cluster.block((3, body))[0], BatchAnchored)


def test_an_anchor_at_no_possible_height_is_not_taken() -> None:
    cluster = TestCluster()
    cluster.work(cluster.admit())
    cluster.close_batch()
    root = cluster.state.receipt_log_root(1)
    proof = replace(anchor_proof(root), height=500_000_000)
    assert "height is 500000000" in rejection(cluster, Anchor(size=1, root=root, proof=proof))


def test_the_largest_committee_closes_its_batches() -> None:
    cluster = TestCluster(members=MEMBERS_MAX)
    cluster.work(cluster.admit())
    record = sign_record(cluster.signer(0), Checkpoint(note=cluster.note(signers=MEMBERS_MAX)))
    assert is_admissible(encode(record), cluster.id), "all members may cosign"
    assert [type(event) for event in cluster.close_batch()] == [CheckpointClosed]
