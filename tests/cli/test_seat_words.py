"""Who lets a node in instead of another is told what that waits for, and what to do."""

import msgspec
import pytest

from ambientd.api.replies import Members, SeatInfo, SeatWordInfo
from ambientd.cli.seat_words import still_waits

IDS = tuple(f"{number:02x}" * 32 for number in range(4))
GUEST = "99" * 32


def seat(node: str, name: str, standing: int, *, member: bool = True) -> SeatInfo:
    return SeatInfo(
        id=node,
        name=name,
        member=member,
        asking=not member,
        next=None,
        standing=standing,
        bond_msat=0,
        tombstoned=False,
        words=() if member else tuple(SeatWordInfo(node=each, wish="instead") for each in IDS[:3]),
    )


ASKING = seat(GUEST, "guest", 501, member=False)


def told(guest: SeatInfo = ASKING) -> str:
    seats = tuple(seat(each, f"node{n + 1}", 900 - n) for n, each in enumerate(IDS))
    committee = Members(
        self_id=IDS[0],
        epoch=2,
        epoch_hash="ab" * 32,
        since_height=7,
        quorum=3,
        seats=(*seats, guest),
    )
    return still_waits(committee, GUEST)


def test_without_a_free_seat_the_lowest_member_is_named_and_the_ways_in() -> None:
    text = told()
    assert "of 4 seats none is free, and guest 999999999999 stands at 501" in text
    assert "the lowest member, node4 030303030303, at 897" in text
    for command in ("member leave", "account bond AMOUNT", "member admit 999999999999"):
        assert f"`ambientctl {command}`" in text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"words": ASKING.words[:2]}, "2 of 3 members needed have let guest 999999999999 in"),
        ({"words": (*ASKING.words[:2], SeatWordInfo(node=IDS[3], wish="in"))}, "2 of 3 members"),
        ({"words": (*ASKING.words[:2], SeatWordInfo(node="77" * 32, wish="instead"))}, "2 of 3"),
        ({"asking": False}, "its owner says `ambientctl member ask` on it"),
        ({"tombstoned": True}, "was convicted"),
        ({"member": True}, "has a seat: it waits for nothing"),
        ({"standing": 950}, "takes its seat in a later epoch"),
    ],
)
def test_whatever_else_it_waits_for_is_said(change: dict[str, object], text: str) -> None:
    assert text in told(msgspec.structs.replace(ASKING, **change))


def test_a_node_that_the_committee_does_not_show_is_to_ask() -> None:
    assert "its owner says `ambientctl member ask`" in told(seat("77" * 32, "other", 1))
