"""Among many, who decides or works is told at once, and the others together and in order."""

from dataclasses import dataclass, field

from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.record import Cancel
from ambientd.model.task import Assurance
from ambientd.rules.pace import SMALL_NODES_MAX, lag_ms
from ambientd.runtime.telling import CONCERNED_MS, WAITING_BYTES_MAX, Telling
from tests.ledger.cluster import TestCluster, genesis

MANY = SMALL_NODES_MAX + 1
LAG_MS = lag_ms(MANY, genesis(MANY).rules.t0_ms)
GUEST, OTHER = NodeId(b"g" * 32), NodeId(b"o" * 32)


@dataclass
class Room:
    """Who is there, and what each was told."""

    ledger: LedgerState
    heard: dict[NodeId, list[bytes]] = field(default_factory=dict)
    guests: set[NodeId] = field(default_factory=lambda: {GUEST, OTHER})
    now: int = 0

    def peers(self) -> frozenset[bytes]:
        return frozenset((*self.ledger.members, *self.guests))

    def send(self, peer: NodeId, frame: bytes) -> None:
        self.heard.setdefault(peer, []).append(frame)

    def telling(self) -> Telling:
        return Telling(self.peers, self.ledger, self.send, lambda: self.now)


def room(nodes: int = MANY) -> Room:
    return Room(LedgerState.from_genesis(genesis(nodes)))


def test_among_few_all_are_told_at_once() -> None:
    place = room(4)
    assert place.telling().broadcast(b"1") == 0
    assert place.heard == {NodeId(peer): [b"1"] for peer in place.peers()}


def test_members_are_told_at_once_and_the_others_together_and_in_order() -> None:
    place = room()
    telling = place.telling()
    assert [telling.broadcast(frame) for frame in (b"1", b"2")] == [LAG_MS, 0]
    assert place.heard.keys() == set(place.ledger.members)
    telling.tell_rest()
    assert all(place.heard[NodeId(peer)] == [b"1", b"2"] for peer in place.peers())
    assert telling.broadcast(b"3") == LAG_MS


def test_what_waits_comes_before_a_word_to_one_alone_and_not_twice() -> None:
    place = room()
    telling = place.telling()
    telling.broadcast(b"1")
    telling.catch_up(GUEST)
    place.send(GUEST, b"alone")
    telling.broadcast(b"2")
    telling.tell_rest()
    assert place.heard[GUEST] == [b"1", b"alone", b"2"]
    assert place.heard[OTHER] == [b"1", b"2"]


def test_what_waits_is_bounded_in_bytes() -> None:
    place = room()
    telling = place.telling()
    telling.broadcast(bytes(WAITING_BYTES_MAX))
    assert GUEST not in place.heard
    assert telling.broadcast(b"more") == 0
    assert len(place.heard[GUEST]) == 2


def test_who_works_on_a_task_is_told_at_once_and_so_is_who_just_did() -> None:
    cluster = TestCluster()
    for number in range(4, MANY):
        cluster.block(cluster.join(number, invite=900 + number))
    task = cluster.admit(replicas=8, assurance=Assurance.REPLICATED)
    workers = {slot.worker for slot in cluster.task(task).slots} - set(cluster.state.members)
    assert workers
    place = Room(cluster.state, guests={GUEST, *workers})
    telling = place.telling()
    telling.broadcast(b"1")
    assert place.heard.keys() == workers | set(cluster.state.members)
    cluster.block((0, Cancel(task=task)))
    place.now = CONCERNED_MS - 1
    telling.broadcast(b"2")
    place.now = CONCERNED_MS
    telling.broadcast(b"3")
    assert all(place.heard[worker] == [b"1", b"2"] for worker in workers)
