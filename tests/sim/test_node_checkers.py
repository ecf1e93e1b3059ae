"""Each checker of whole nodes can fail: fed a lie, it says so."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.ledger.entries import Leaf, NodeEntry, Table, TaskEntry
from ambientd.ledger.events import Paid
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.genesis import NodeKind, Profile
from ambientd.node.effect import PeerMisbehaved, PersistLedger, Told
from sim.checkers import InvariantViolation
from sim.choices import PlainChecker
from sim.machine import Delivery
from sim.node_checkers import (
    Conservation,
    EntryChecker,
    EqualRoots,
    FinalIsFinal,
    HonestKeepTheirName,
    Onlookers,
    PaidOnce,
    check_ends,
)
from sim.node_machine import NodeHost, Persisted
from sim.world import World
from tests.node.cluster import Cluster


class Recorder:
    """Keeps what a world's nodes persisted."""

    def __init__(self) -> None:
        self.seen: list[tuple[NodeHost, PersistLedger]] = []

    def saw_delivery(self, node: object, delivery: Delivery, now: int) -> None:
        """Look away."""

    def saw_effect(self, node: object, effect: object, now: int) -> None:
        if isinstance(node, NodeHost) and isinstance(effect, Persisted):
            changes = (e for e in effect.effects if isinstance(e, PersistLedger))
            self.seen += [(node, change) for change in changes]


def played() -> tuple[Cluster, Recorder, TaskId]:
    """Play a world with one task to its end."""
    cluster, recorder = Cluster(), Recorder()
    cluster.world.observers.append(recorder)
    task = cluster.submit()
    cluster.until_closed(task)
    return cluster, recorder, task


def breaks(invariant: str) -> Any:
    return pytest.raises(InvariantViolation, match=invariant)


def bent(change: PersistLedger, **fields: object) -> Persisted:
    """Give the same change with other contents."""
    kept = {name: getattr(change, name) for name in ("committed", "writes", "root", "epoch")}
    return Persisted((PersistLedger(**(kept | fields)),))  # type: ignore[arg-type]


def test_another_state_root_is_seen() -> None:
    _, recorder, _ = played()
    checker = EqualRoots()
    node, change = recorder.seen[0]
    checker.saw_effect(node, bent(change), 0)
    with breaks("equal state roots"):
        checker.saw_effect(node, bent(change, root=bytes(32)), 0)


def test_money_from_nowhere_is_seen() -> None:
    cluster, recorder, _ = played()
    node, change = recorder.seen[-1]
    checker = Conservation(cluster.ledger().total_msat() - 1)
    with breaks("conservation"):
        checker.saw_effect(node, bent(change), 0)


def ended(task: TaskId, change: PersistLedger) -> bool:
    entry = change.writes.get((Table.TASK, task))
    return isinstance(entry, TaskEntry) and entry.settlement is not None


def with_task(entry: TaskEntry) -> dict[tuple[Table, bytes], object]:
    return {(Table.TASK, b"task"): entry}


def with_leaf(text: bytes) -> dict[tuple[Table, bytes], object]:
    return {(Table.LEAF, bytes(8)): Leaf(digest=Digest(sha256(text)), task=TaskId(b"task"))}


@pytest.mark.parametrize(
    "writes",
    [
        lambda entry: (with_task(entry), with_task(replace(entry, refunded_msat=9))),
        lambda _: (with_leaf(b"one"), with_leaf(b"another")),
    ],
    ids=["task", "leaf"],
)
def test_a_changed_ending_is_seen(
    writes: Callable[[TaskEntry], tuple[dict[Any, Any], dict[Any, Any]]],
) -> None:
    _, recorder, task = played()
    node, change = next(seen for seen in recorder.seen if ended(task, seen[1]))
    entry = change.writes[Table.TASK, task]
    assert isinstance(entry, TaskEntry)
    before, after = writes(entry)
    checker = FinalIsFinal()
    for _ in range(2):
        checker.saw_effect(node, bent(change, writes=before), 0)
    with breaks("final never changes"):
        checker.saw_effect(node, bent(change, writes=after), 0)


def test_a_second_payment_is_seen() -> None:
    cluster, _, task = played()
    checker = PaidOnce()
    paid = Told(Paid(task, NodeId(cluster.hosts[1].key), 5), 1, 1)
    for host in cluster.hosts[:2]:
        checker.saw_effect(host, paid, 0)
    with breaks("at most one payout"):
        checker.saw_effect(cluster.hosts[0], paid, 0)


def test_a_conviction_or_an_accusation_of_the_honest_is_seen() -> None:
    cluster, recorder, _ = played()
    one, two = cluster.hosts[:2]
    checker = HonestKeepTheirName(frozenset({one.key, two.key}))
    outsider = NodeId(bytes(32))
    checker.saw_effect(one, PeerMisbehaved(outsider, "noise"), 0)
    with breaks("honest nodes do not misbehave"):
        checker.saw_effect(one, PeerMisbehaved(NodeId(two.key), "noise"), 0)
    profile = Profile(name="n", region="r", kind=NodeKind.EDGE)
    convicted = NodeEntry(profile=profile, is_member=True, tombstoned=True)
    node, change = recorder.seen[0]
    checker.saw_effect(node, bent(change, writes={(Table.NODE, outsider): convicted}), 0)
    assert checker.convicted == {outsider}
    with breaks("never convicted"):
        checker.saw_effect(node, bent(change, writes={(Table.NODE, two.key): convicted}), 0)


def test_an_end_that_is_none_is_seen() -> None:
    cluster, _, _ = played()
    check_ends(cluster.hosts)
    with breaks("all catch up"):
        check_ends([cluster.hosts[0], Cluster(seed=2).hosts[0]])
    for host in cluster.hosts:
        host.answers = False
    cluster.submit()
    cluster.run(1_000)
    with breaks("every admitted task ends"):
        check_ends(cluster.hosts)
    cluster.hosts[0].wanted[b"wish"] = next(iter(cluster.genesis.members))  # type: ignore[assignment]
    with breaks("a wanted record is committed"):
        check_ends(cluster.hosts)


def test_a_world_gives_what_is_down_nothing_to_do() -> None:
    cluster = Cluster()
    world: World = cluster.world
    host = cluster.hosts[0]
    world.crash(host.key)
    assert not world.act(host.key, lambda now: host.feed([], now))
    assert host.next_deadline is None


class Everything(EntryChecker):
    """Notes the names of what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[bytes] = []

    def saw_entry(self, node: object, table: Table, name: bytes, entry: object, now: int) -> None:
        self.names.append(name)


class Plain(PlainChecker, Everything):
    """Notes them of single blocks."""


def test_what_was_seen_among_several_blocks_is_seen_once_more_in_one_alone() -> None:
    _, recorder, _ = played()
    (node, one), (_, other) = recorder.seen[0], recorder.seen[-1]
    everything, plain = Everything(), Plain()
    onlookers = Onlookers([everything, plain])
    onlookers.saw_effect(node, Persisted((one, other)), 0)
    assert everything.names
    assert plain.names == []
    onlookers.saw_effect(node, Persisted((one,)), 0)
    assert plain.names == [name for _, name in sorted(one.writes)]
