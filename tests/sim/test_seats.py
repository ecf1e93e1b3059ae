"""The checker of seats sees each way in which one may change hands wrongly, and nothing else."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from msgspec.structs import replace

from ambientd.ledger.entries import EpochEntry, Table
from ambientd.model.base import NodeId
from ambientd.model.record import Epoch, SeatWish
from ambientd.node.effect import PersistLedger
from sim.checkers import Checker, InvariantViolation
from sim.machine import Delivery, Effect, Host
from sim.node_checkers import ledger_changes
from sim.node_epochs import DecidedSeats
from sim.node_machine import NodeHost, Persisted
from sim.vices import Vice
from tests.node.cluster import Cluster

ASKED, HARDLY_WANTED, SILENT = 4, 5, 6
STRANGER = NodeId(bytes(range(32)))


class Decided(Exception):  # noqa: N818  # no fault: the moment that a test waits for
    """A node takes the block alone by which a guest is given a seat."""

    def __init__(self, node: NodeHost, change: PersistLedger) -> None:
        super().__init__()
        self.node = node
        self.change = change


class Watch(Checker):
    """Stops a world when a seat is decided on."""

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Look away."""

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        changes = ledger_changes(effect)
        if len(changes) == 1 and len(changes[0].committed.blocks) == 1 and deciding(changes[0]):
            assert isinstance(node, NodeHost)
            raise Decided(node, changes[0])


def deciding(change: PersistLedger) -> EpochEntry | None:
    """Give the epoch in which a change decides which is to follow."""
    entries = [each for each in change.writes.values() if isinstance(each, EpochEntry)]
    return next((each for each in entries if each.due is not None), None)


@cache
def decided() -> tuple[Cluster, Decided]:
    """Stop where the guest that three members want is given a seat; a second one has one vote."""
    cluster = Cluster(4, 3)
    for guest in range(3):
        cluster.join(guest)
    cluster.ask_for_seat(HARDLY_WANTED)
    cluster.vote_on_seat(HARDLY_WANTED, SeatWish.IN, [0])
    cluster.run(2_000)
    cluster.world.observers.append(Watch())
    cluster.ask_for_seat(ASKED)
    cluster.vote_on_seat(ASKED, SeatWish.IN, range(3))
    with pytest.raises(Decided) as reached:
        cluster.run(10_000)
    return cluster, reached.value


def due() -> Epoch:
    entry = deciding(decided()[1].change)
    assert entry is not None
    assert entry.due is not None
    return entry.due


def key(number: int) -> NodeId:
    return NodeId(decided()[0].hosts[number].key)


def judged(
    following: Epoch, *, table: Table = Table.EPOCH, steps: int = 1, by: NodeHost | None = None
) -> None:
    """Let the checker see a decision for another committee than the true one."""
    node, change = by or decided()[1].node, decided()[1].change
    entry = deciding(change)
    assert entry is not None
    writes: dict[Any, Any] = {(table, bytes(8)): replace(entry, due=following)}
    bent = PersistLedger(change.committed, writes, change.root, change.epoch)
    DecidedSeats().saw_effect(node, Persisted((bent,) * steps), 0)


def instead(old: NodeId, new: NodeId) -> Epoch:
    return replace(due(), members=tuple(new if each == old else each for each in due().members))


def test_a_seat_that_a_quorum_gives_to_who_asked_is_right() -> None:
    assert key(ASKED) in due().members
    judged(due())


@pytest.mark.parametrize(
    "following",
    [
        lambda: instead(key(ASKED), key(HARDLY_WANTED)),
        lambda: instead(key(ASKED), key(SILENT)),
        lambda: instead(key(ASKED), STRANGER),
        lambda: replace(due(), members=(*due().members, key(HARDLY_WANTED))),
        lambda: replace(due(), members=due().members[2:]),
    ],
    ids=["too few want it", "has not asked", "a stranger", "two come", "two go"],
)
def test_a_seat_that_nobody_may_have_so_is_seen(following: Callable[[], Epoch]) -> None:
    with pytest.raises(InvariantViolation, match="a quorum decides on seats"):
        judged(following())


def test_a_decision_that_stands_elsewhere_is_seen() -> None:
    with pytest.raises(InvariantViolation, match="a quorum decides on seats"):
        judged(due(), table=Table.META)


def test_one_member_may_go_while_another_comes() -> None:
    gone = next(each for each in due().members if each != key(ASKED))
    judged(replace(due(), members=tuple(each for each in due().members if each != gone)))


def test_words_of_the_same_step_are_not_held_against_a_decision_but_numbers_are() -> None:
    judged(instead(key(ASKED), key(HARDLY_WANTED)), steps=2)
    with pytest.raises(InvariantViolation, match="a quorum decides on seats"):
        judged(replace(due(), members=(*due().members, key(HARDLY_WANTED))), steps=2)


def test_a_liars_own_ledger_is_nobodys_promise() -> None:
    liar = NodeHost(decided()[1].node.options, None, 1, frozenset({Vice.LIE}))
    judged(instead(key(ASKED), STRANGER), by=liar)
