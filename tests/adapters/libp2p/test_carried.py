"""When who is carried asks whom."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ambientd.adapters.libp2p.carried import (
    ASK_S_MAX,
    CIRCUITS_PER_PEER_MAX,
    LOOK_LATER_S,
    LOOK_S,
    LOOK_S_MAX,
    RELAYS_MAX,
    Carried,
    Reservation,
)
from ambientd.ports.transport import NodeId

RELAY, OTHER, SMALL, LARGE = (NodeId(bytes([n]) * 32) for n in (1, 2, 3, 4))
RELAYS = frozenset({RELAY, OTHER})


@dataclass
class Connection:
    is_closed: bool = False


def reserved(me: NodeId, now_s: float = 0.0) -> tuple[Carried, Connection]:
    carried, connection = Carried(me), Connection()
    carried.has_reserved(RELAY, Reservation(now_s + 1_800, connection), now_s)
    return carried, connection


def test_who_was_refused_at_first_is_asked_again_in_two_seconds() -> None:
    """A relay that has only begun to run refuses for a moment, not for two minutes."""
    carried = Carried(SMALL)
    assert carried.open_to(RELAYS, 10.0) == [RELAY, OTHER]
    carried.refused(RELAY, 10.0)
    assert carried.open_to(RELAYS, 11.9) == [OTHER]
    assert carried.open_to(RELAYS, 12.0) == [RELAY, OTHER]


def test_who_never_serves_is_asked_ever_less() -> None:
    carried, asked_s = Carried(SMALL), []
    for now_s in range(1_000):
        if RELAY in carried.open_to(RELAYS, float(now_s)):
            carried.refused(RELAY, float(now_s))
            asked_s.append(now_s)
    waits_s = [after - before for before, after in pairwise(asked_s)]
    assert waits_s[:7] == [2, 4, 8, 16, 32, 64, ASK_S_MAX]
    assert set(waits_s[6:]) == {ASK_S_MAX}


def test_a_refusal_is_forgotten_with_the_link() -> None:
    carried = Carried(SMALL)
    carried.refused(RELAY, 0.0)
    assert carried.open_to(frozenset(), 0.5) == []
    assert carried.open_to(frozenset({RELAY}), 1.0) == [RELAY]


def test_a_reservation_ends_with_the_connection_that_it_was_made_on() -> None:
    """The relay forgets it as well, even where another connection to it is open at once."""
    carried, connection = reserved(SMALL)
    assert carried.open_to(frozenset({RELAY}), 1.0) == []
    connection.is_closed = True
    assert carried.open_to(frozenset({RELAY}), 2.0) == [RELAY]
    assert carried.relays == []


def test_a_reservation_ends_at_its_time() -> None:
    carried, _ = reserved(SMALL)
    assert carried.open_to(frozenset({RELAY}), 1_799.0) == []
    assert carried.open_to(frozenset({RELAY}), 1_800.0) == [RELAY]


def asked_at(carried: Carried, target: NodeId, seconds: range) -> list[int]:
    found = []
    for now_s in seconds:
        for each in carried.due(frozenset({target}), float(now_s)):
            carried.has_tried(each)
            found.append(now_s)
    return found


def test_of_two_that_miss_each_other_the_smaller_asks_first() -> None:
    assert asked_at(reserved(SMALL)[0], LARGE, range(40)) == [2, 4, 8, 16, 32]
    assert asked_at(reserved(LARGE)[0], SMALL, range(40)) == [4, 8, 16, 32]


def test_who_comes_back_is_missed_no_longer_than_its_own_patience() -> None:
    """The smaller has asked for minutes, and would for a minute more; the larger is here again."""
    patient, _ = reserved(SMALL)
    last_s = asked_at(patient, LARGE, range(600))[-1]
    assert asked_at(patient, LARGE, range(last_s + 1, last_s + int(LOOK_S_MAX))) == []
    back, _ = reserved(LARGE, last_s + 10.0)
    assert asked_at(back, SMALL, range(last_s + 10, last_s + 20))[0] == last_s + 14


def test_who_was_away_looks_for_all_others_afresh() -> None:
    carried, connection = reserved(SMALL)
    assert asked_at(carried, LARGE, range(600))
    connection.is_closed = True
    carried.open_to(frozenset(), 700.0)
    carried.has_reserved(OTHER, Reservation(3_000.0, Connection()), 700.0)
    assert asked_at(carried, LARGE, range(700, 720)) == [700, 702, 706, 714]


def test_a_relay_that_ends_each_reservation_at_once_keeps_nobody_from_being_asked_for() -> None:
    """It lies: it agrees, ends the connection, and agrees again, as often as it is asked."""
    carried, connection = Carried(SMALL), Connection()
    wanted = frozenset(NodeId(bytes([n]) * 32) for n in range(10, 30))
    asked = Counter[NodeId]()
    for now_s in range(60):
        connection.is_closed = True
        assert carried.open_to(frozenset({RELAY}), float(now_s)) == [RELAY]
        connection = Connection()
        carried.has_reserved(RELAY, Reservation(now_s + 1_800.0, connection), float(now_s))
        found = carried.due(wanted, float(now_s))
        assert len(found) <= CIRCUITS_PER_PEER_MAX
        asked.update(found)
        for each in found:
            carried.has_tried(each)
    assert asked.keys() == wanted
    assert max(asked.values()) - min(asked.values()) <= 1, "and no one's turn is another's"
    assert max(asked.values()) <= 60 / LOOK_S


def test_nobody_is_asked_for_twice_at_the_same_time() -> None:
    carried, _ = reserved(SMALL)
    carried.due(frozenset({LARGE}), 0.0)
    assert carried.due(frozenset({LARGE}), 2.0) == [LARGE]
    assert carried.due(frozenset({LARGE}), 100.0) == []
    carried.has_tried(LARGE)
    assert carried.due(frozenset({LARGE}), 101.0) == [LARGE]


def test_nobody_is_asked_for_without_a_reservation() -> None:
    assert asked_at(Carried(SMALL), LARGE, range(100)) == []


@given(st.sets(st.binary(min_size=32, max_size=32), max_size=40), st.integers(0, 4))
def test_what_is_asked_at_once_is_bounded(others: set[bytes], have: int) -> None:
    carried = Carried(SMALL)
    peers = frozenset(NodeId(each) for each in others - {SMALL})
    for each in sorted(peers)[:have]:
        carried.has_reserved(each, Reservation(1_800.0, Connection()), 0.0)
    assert len(carried.open_to(peers, 0.0)) <= max(0, RELAYS_MAX - len(carried.relays))
    carried.due(peers, 0.0)
    assert len(carried.due(peers, LOOK_LATER_S)) <= CIRCUITS_PER_PEER_MAX
