"""What a node still waits for that is let in instead of another (protocols/03 section 7)."""

from ambientd.api.replies import Members, SeatInfo
from ambientd.cli.console import in_words, short

_ASK = "its owner says `ambientctl member ask` on it"


def still_waits(committee: Members, node: str) -> str:
    """Say why no epoch is due for a node that a member lets in instead, and what to do."""
    name = short(node)
    seat = next((each for each in committee.seats if each.id == node), None)
    if seat is None:
        return f"{name} asks for no seat: {_ASK}"
    who = f"{seat.name} {name}"
    if seat.member:
        return f"{who} has a seat: it waits for nothing"
    if seat.tombstoned:
        return f"{who} was convicted: it can have no seat; let another node in"
    if not seat.asking:
        return f"{who} asks for no seat: {_ASK}"
    members = {each.id: each for each in committee.seats if each.member}
    said = sum(word.wish == "instead" and word.node in members for word in seat.words)
    if said < committee.quorum:
        return (
            f"{said} of {committee.quorum} members needed have let {who} in instead: "
            f"other owners say `ambientctl member admit {name} --instead`, too"
        )
    lowest = min(members.values(), key=_rank)
    if seat.standing > lowest.standing:
        return f"{who} takes its seat in a later epoch: watch `ambientctl member list`"
    return (
        f"of {in_words(len(members), 'seat')} none is free, and {who} stands at {seat.standing}, "
        f"no higher than the lowest member, {lowest.name} {short(lowest.id)}, at "
        f"{lowest.standing}: it comes in once a member goes (`ambientctl member leave` on that) "
        "or its own bond is higher (`ambientctl account bond AMOUNT` on it); or let it in beside "
        f"all others with `ambientctl member admit {name}`"
    )


def _rank(seat: SeatInfo) -> tuple[int, str]:
    return seat.standing, seat.id
