"""Devices that overheat while tasks run: whole nodes in the simulator's world."""

from ambientd.ledger.events import SlotReleased
from ambientd.ledger.offers import REASON_HOT
from ambientd.model.base import NodeId
from ambientd.model.offer import NOTHING_SAID, Closed, Wish
from ambientd.model.task import TaskState
from ambientd.telemetry.messages import Sampled
from sim.happenings import COOL, HOT
from tests.node.cluster import Cluster
from tests.node.test_owners import heed, is_closed, task_in_hand, workers

NUMBER = 2
STOPPED = Wish(closed=Closed.PAUSED, stops=True)
SEEN_MS = 1_900
"""Within this the breakers look, and the log has what follows; a lease is longer."""


def warm(cluster: Cluster, milli_celsius: int, number: int = NUMBER) -> None:
    """Let a sensor show a temperature, and the node read it at once."""
    host = cluster.hosts[number]
    host.milli_celsius = milli_celsius
    cluster.world.act(host.key, lambda now: host.feed([Sampled(tuple(host.read()))], now))


def closed_by(cluster: Cluster, number: int = NUMBER) -> int:
    entry = cluster.ledger().node(NodeId(cluster.hosts[number].key))
    assert entry is not None
    return entry.closed


def test_a_device_that_overheats_hands_its_slots_to_others_and_is_not_blamed() -> None:
    cluster = Cluster()
    cluster.run(1_000)
    warm(cluster, COOL)
    worker = NodeId(cluster.hosts[NUMBER].key)
    task = task_in_hand(cluster, NUMBER)
    before = cluster.ledger().reputation_permille(worker)
    warm(cluster, HOT)
    cluster.until(lambda: worker not in workers(cluster, task), within_ms=SEEN_MS)
    assert closed_by(cluster) == Closed.HOT
    assert cluster.until_closed(task).state is TaskState.FINAL
    [released] = [each for each in cluster.told(SlotReleased) if each.task == task]
    assert isinstance(released, SlotReleased)
    assert (released.worker, released.reason) == (worker, REASON_HOT)
    assert cluster.ledger().reputation_permille(worker) >= before
    assert worker not in {payment.node for payment in cluster.entry(task).payments}
    cluster.check_equal()


def test_a_device_that_has_cooled_takes_work_again() -> None:
    cluster = Cluster()
    cluster.run(1_000)
    warm(cluster, HOT)
    cluster.until(lambda: is_closed(cluster, NUMBER), within_ms=SEEN_MS)
    warm(cluster, COOL)
    cluster.until(lambda: not is_closed(cluster, NUMBER), within_ms=45_000)
    task = cluster.submit(replicas=4)
    cluster.until_closed(task)
    assert NodeId(cluster.hosts[NUMBER].key) in workers(cluster, task)


def test_heat_closes_a_paused_device_too_and_leaves_it_paused_when_it_is_over() -> None:
    cluster = Cluster()
    cluster.run(1_000)
    heed(cluster, STOPPED, NUMBER)
    cluster.until(lambda: closed_by(cluster) == Closed.PAUSED)
    warm(cluster, HOT)
    cluster.until(lambda: closed_by(cluster) == Closed.HOT, within_ms=5_000)
    heed(cluster, NOTHING_SAID, NUMBER)
    cluster.run(3_000)
    assert closed_by(cluster) == Closed.HOT, "an owner cannot cool a device by a word"
    heed(cluster, STOPPED, NUMBER)
    warm(cluster, COOL)
    cluster.until(lambda: closed_by(cluster) == Closed.PAUSED, within_ms=45_000)


def test_what_nobody_else_could_take_stays_where_it_is() -> None:
    cluster = Cluster(members=1)
    cluster.run(1_000)
    cluster.hosts[0].answers = False
    task = cluster.submit(replicas=1)
    cluster.until(lambda: cluster.ledger().task(task) is not None)
    warm(cluster, HOT, 0)
    cluster.until(lambda: closed_by(cluster, 0) == Closed.HOT, within_ms=SEEN_MS)
    assert workers(cluster, task) == {NodeId(cluster.hosts[0].key)}
    assert not cluster.told(SlotReleased)
