"""The newest closed batch is anchored, one at a time, and its proof insisted on."""

import pytest

from ambientd.ledger.events import BatchAnchored
from ambientd.model.effect import AnchorRoot, Propose
from ambientd.roles.anchorer import PROPOSE_AGAIN_MS, Anchorer
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import START_MS, TestCluster

NOW = START_MS + 10_000


def closed(batches: int = 1) -> TestCluster:
    cluster = TestCluster()
    for number in range(batches):
        cluster.work(cluster.admit(nonce=b"%d" % number))
        cluster.close_batch()
    return cluster


def test_the_newest_batch_is_anchored_one_at_a_time() -> None:
    cluster = closed(2)
    anchorer = Anchorer(enabled=True)
    root = cluster.state.receipt_log_root(2)
    assert anchorer.on_tick(cluster.state, NOW, leads=True) == [AnchorRoot(size=2, root=root)]
    cluster.work(cluster.admit(nonce=b"more"))
    cluster.close_batch()
    assert anchorer.on_tick(cluster.state, NOW, leads=True) == []


@pytest.mark.parametrize(("enabled", "leads"), [(False, True), (True, False)])
def test_only_a_coordinator_that_may_anchors(enabled: bool, leads: bool) -> None:
    assert Anchorer(enabled=enabled).on_tick(closed().state, NOW, leads=leads) == []


def test_nothing_new_means_nothing_to_anchor() -> None:
    cluster = TestCluster()
    assert Anchorer(enabled=True).on_tick(cluster.state, NOW, leads=True) == []


def test_a_proof_is_proposed_until_the_log_has_it() -> None:
    cluster = closed()
    anchorer = Anchorer(enabled=True)
    root = cluster.state.receipt_log_root(1)
    anchorer.on_tick(cluster.state, NOW, leads=True)
    proof = anchor_proof(root)
    [proposed] = anchorer.on_proven(1, root, proof, NOW)
    assert isinstance(proposed, Propose)
    # It insists as a follower too: it alone has the proof.
    assert anchorer.on_tick(cluster.state, NOW + PROPOSE_AGAIN_MS - 1, leads=False) == []
    assert anchorer.on_tick(cluster.state, NOW + PROPOSE_AGAIN_MS, leads=False) == [proposed]
    events = cluster.block((0, proposed.body))
    assert events == [BatchAnchored(1, root, proof)]
    assert anchorer.on_tick(cluster.state, NOW + 2 * PROPOSE_AGAIN_MS, leads=True) == []
    cluster.work(cluster.admit(nonce=b"more"))
    cluster.close_batch()
    [next_one] = anchorer.on_tick(cluster.state, NOW + 3 * PROPOSE_AGAIN_MS, leads=True)
    assert next_one == AnchorRoot(size=2, root=cluster.state.receipt_log_root(2))
