"""A program says that it knows the next state version where its owner lets it."""

from ambientd.model.effect import Propose
from ambientd.model.record import VersionKnown
from ambientd.roles.announcer import Announcer
from tests.ledger.cluster import START_MS, TestCluster
from tests.ledger.imaging import gone_over

NOW = START_MS + 1_000


def test_nothing_is_said_unless_the_owner_lets_it() -> None:
    cluster = TestCluster()
    role = Announcer(cluster.node(0), may_speak=False)
    assert role.next_deadline(cluster.state) is None
    assert role.on_tick(cluster.state, NOW) == []


def test_the_next_version_is_named_until_the_ledger_has_it_and_taken_back_when_that_is_wanted() -> (
    None
):
    cluster = TestCluster()
    [said] = Announcer(cluster.node(0), may_speak=True).on_tick(cluster.state, NOW)
    assert said == Propose(VersionKnown(version=2, said_ms=NOW))
    cluster.block((0, VersionKnown(version=2, said_ms=NOW)))
    assert Announcer(cluster.node(0), may_speak=True).next_deadline(cluster.state) is None
    [back] = Announcer(cluster.node(0), may_speak=False).on_tick(cluster.state, NOW)
    assert back == Propose(VersionKnown(version=1, said_ms=NOW + 1))


def test_in_the_newest_version_there_is_nothing_to_say() -> None:
    cluster = gone_over()
    for may_speak in (True, False):
        role = Announcer(cluster.node(0), may_speak=may_speak)
        assert role.next_deadline(cluster.state) is None
