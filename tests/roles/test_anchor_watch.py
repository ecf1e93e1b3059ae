"""Every member is told of every anchor that the log has, and anew when it may have missed one."""

from ambientd.ledger.events import BatchAnchored, CheckpointClosed
from ambientd.model.base import NodeId
from ambientd.model.effect import RoleEffect, SeatAnchors, WatchAnchor
from ambientd.roles.anchor_watch import WATCHED_MAX, AnchorWatch
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import TestCluster
from tests.roles.test_anchorer import MEMBERS, STRANGER, anchored, closed

SEATED = SeatAnchors(2, len(MEMBERS))


def watched(cluster: TestCluster, size: int) -> WatchAnchor:
    held = cluster.state.checkpoint(size)
    assert held is not None
    assert held.anchor is not None
    return WatchAnchor(size, held.note.root, held.anchor)


def told(watch: AnchorWatch, cluster: TestCluster) -> list[RoleEffect]:
    deadline_ms = watch.next_deadline(cluster.state)
    effects = watch.on_tick(cluster.state)
    assert (deadline_ms == 0) == bool(effects)
    return effects


def watch_of(member: NodeId = MEMBERS[2]) -> AnchorWatch:
    return AnchorWatch(member, is_enabled=True)


def test_a_member_is_told_of_its_seat_and_of_all_anchors_after_a_start() -> None:
    cluster = anchored(anchored(closed(2), 1), 2)
    watch = watch_of()
    assert told(watch, cluster) == [SEATED, watched(cluster, 1), watched(cluster, 2)]
    assert told(watch, cluster) == []


def test_a_new_anchor_and_one_that_takes_another_s_place_are_told_once() -> None:
    cluster = anchored(closed(2), 1)
    watch = watch_of()
    told(watch, cluster)
    root = cluster.state.receipt_log_root(2)
    anchored(cluster, 2)
    watch.on_ledger(BatchAnchored(2, root, anchor_proof(root)))
    watch.on_ledger(CheckpointClosed(2, root))
    assert told(watch, cluster) == [watched(cluster, 2)]
    heavier = anchor_proof(root, 9, previous=b"\x01" * 32)
    anchored(cluster, 2, heavier)
    watch.on_ledger(BatchAnchored(2, root, heavier))
    assert told(watch, cluster) == [WatchAnchor(2, root, heavier)]
    assert told(watch, cluster) == []


def test_a_leap_over_blocks_has_all_told_again() -> None:
    cluster = anchored(closed(), 1)
    watch = watch_of()
    first = told(watch, cluster)
    watch.resume()
    assert told(watch, cluster) == first


def test_without_a_seat_nothing_is_watched_and_with_one_again_all_is() -> None:
    cluster = anchored(closed(), 1)
    watch = watch_of(STRANGER)
    assert told(watch, cluster) == [SeatAnchors(None, len(MEMBERS))]
    watch.on_ledger(BatchAnchored(1, cluster.state.receipt_log_root(1), watched(cluster, 1).proof))
    watch.on_tick(cluster.state)
    watch._id = MEMBERS[2]  # the same as though the committee had changed
    watch._members = (STRANGER,)
    assert told(watch, cluster) == [SEATED, watched(cluster, 1)]


def test_a_node_without_a_chain_is_told_nothing() -> None:
    watch = AnchorWatch(MEMBERS[0], is_enabled=False)
    assert told(watch, anchored(closed(), 1)) == []


def test_what_is_told_at_once_is_bounded() -> None:
    watch = watch_of()
    cluster = closed()
    root = cluster.state.receipt_log_root(1)
    for size in range(WATCHED_MAX + 9):
        watch.on_ledger(BatchAnchored(size, root, anchor_proof(root)))
    assert len(watch._untold) == WATCHED_MAX
    assert min(watch._untold) == 9
