"""What a node shows of others follows what it hears (protocols/07 section 10)."""

from ambientd.model.base import NodeId
from ambientd.telemetry.hearing import HEARD_BY_ALL_MAX
from tests.node.cluster import Cluster


def shown(cluster: Cluster, number: int) -> set[NodeId]:
    """Give the nodes of which a node shows a condition of its own hearing."""
    node = cluster.hosts[number].node
    assert node is not None
    return set(node.telemetry.view(cluster.world.now))


def test_a_follower_that_hears_no_more_shows_nothing_old_and_the_committee_everything() -> None:
    members, guests = 4, HEARD_BY_ALL_MAX - 3
    cluster = Cluster(members, guests, checked=False)
    for guest in range(guests - 1):
        cluster.join(guest)
    follower = members
    cluster.until(lambda: len(shown(cluster, follower)) == HEARD_BY_ALL_MAX, 60_000)
    cluster.join(guests - 1)
    own = {NodeId(cluster.hosts[follower].key)}
    cluster.until(lambda: shown(cluster, follower) == own, 60_000)
    cluster.run(15_000)
    assert shown(cluster, follower) == own
    assert all(len(shown(cluster, n)) == HEARD_BY_ALL_MAX + 1 for n in range(members))
