"""In a large cluster only the committee hears what every node tells of itself."""

from ambientd.model.base import NodeId
from ambientd.telemetry.hearing import HEARD_BY_ALL_MAX, hears_all

MEMBER, FOLLOWER = NodeId(bytes(32)), NodeId(bytes([1] * 32))


def test_all_hear_each_other_in_a_small_cluster_and_the_committee_alone_in_a_large_one() -> None:
    assert hears_all(FOLLOWER, (MEMBER,), HEARD_BY_ALL_MAX)
    assert not hears_all(FOLLOWER, (MEMBER,), HEARD_BY_ALL_MAX + 1)
    assert hears_all(MEMBER, (MEMBER,), HEARD_BY_ALL_MAX + 1)
