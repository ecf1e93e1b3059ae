"""What peers said of a node and of their links, put together."""

from hypothesis import given
from hypothesis import strategies as st

from ambientd.api.seen_values import Seen
from ambientd.api.sightings import KEPT_MS, LINKS_MAX, PEERS_MAX, Sightings
from ambientd.api.troubles import invisible
from ambientd.model.base import NodeId
from ambientd.ports.transport import LinkSeen, Look

OWN = NodeId(bytes(32))
PEERS = [NodeId(bytes([number]) * 32) for number in range(1, 10)]


def look(reached: bool | None, *linked: NodeId) -> Look:
    return Look(reached, 0, "1", tuple(LinkSeen(node, 700) for node in linked))


def test_who_was_asked_longest_ago_is_asked_next_members_first() -> None:
    sightings = Sightings(OWN)
    assert sightings.turn(PEERS, [PEERS[8]], 3) == [PEERS[8], PEERS[0], PEERS[1]]
    for peer in (PEERS[8], PEERS[0], PEERS[1]):
        sightings.note(peer, None, 5)
    assert sightings.turn(PEERS, [PEERS[8]], 3) == PEERS[2:5]
    for now, peer in enumerate(PEERS[2:8], 6):
        sightings.note(peer, None, now)
    assert sightings.turn(PEERS, [PEERS[8]], 2) == [PEERS[8], PEERS[0]]


def test_answers_are_counted_as_far_as_they_say_something() -> None:
    sightings = Sightings(OWN)
    sightings.note(PEERS[0], look(True, OWN, PEERS[1]), 1_000)
    sightings.note(PEERS[1], look(None, PEERS[0]), 2_000)
    sightings.note(PEERS[2], Look(False, 0, "0"), 2_500)  # of a version that tells no links
    sightings.note(PEERS[3], None, 2_900)
    assert sightings.seen(4_400, 3_000) == Seen(
        port=4_400, answered=3, tried=2, reached=1, saying=2, linked=1, age_ms=500
    )
    assert sightings.seen(4_400, 2_000 + KEPT_MS + 1).answered == 1
    assert sightings.seen(4_400, 3_000 + KEPT_MS) == Seen(port=4_400)


def test_links_are_told_with_who_said_so_and_when() -> None:
    sightings = Sightings(OWN)
    sightings.note(PEERS[0], look(True, OWN), 1_000)
    sightings.note(PEERS[1], look(True, PEERS[0]), 2_000)
    told = sightings.links(3_000)
    assert [(each.by, each.to, each.one_way_us, each.age_ms) for each in told] == [
        (PEERS[1].hex(), PEERS[0].hex(), 700, 1_000),
        (PEERS[0].hex(), OWN.hex(), 700, 2_000),
    ]


@given(st.lists(st.integers(0, 3_000), max_size=60))
def test_however_many_peers_say_something_little_is_kept(numbers: list[int]) -> None:
    sightings = Sightings(OWN)
    full = look(True, *PEERS)
    for number in [*range(PEERS_MAX), *numbers]:
        sightings.note(NodeId(number.to_bytes(32, "big")), full, 0)
    assert len(sightings.links(0)) == LINKS_MAX
    assert sightings.seen(1, 0).answered <= PEERS_MAX


def test_whom_nobody_finds_is_told_and_nobody_else() -> None:
    assert invisible(Seen(port=4_400)) == ()
    assert invisible(Seen(port=4_400, answered=3, saying=3, linked=3)) == ()
    assert invisible(Seen(port=4_400, answered=3, tried=3, reached=1)) == ()
    [trouble] = invisible(Seen(port=4_400, answered=3, tried=2, saying=3, linked=3))
    assert "of 2 peers that tried none reaches this node at port 4400" in trouble.text
    [trouble] = invisible(Seen(port=4_400, answered=3, tried=2, reached=2, saying=3))
    assert "of 3 peers none says that it has a link to here" in trouble.text
