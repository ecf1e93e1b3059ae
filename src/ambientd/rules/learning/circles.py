"""What a member of a circle sends in a round of private mode, as bytes (protocols/17 section 3).

A dealing is one blob: what was dealt to each member, in ascending order of members. Everything
follows from the round's secret, so that a restart makes the same bytes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ambientd.codec.agreement import derived
from ambientd.codec.digest import tagged
from ambientd.errors import LocalProtocolError
from ambientd.model.base import NodeId
from ambientd.model.learning import Announced, Circle, StudyId
from ambientd.rules.learning.secure import (
    DEALT_BYTES,
    PLEDGES_BYTES,
    BadShareError,
    FalseDealerError,
    Group,
    Keys,
    check_dealt,
    keys,
    share_book,
    shares,
)


@dataclass(frozen=True, slots=True)
class Words:
    """What a circle left in blobs; uploads may be read one after another, each at its turn."""

    circle: Circle
    survivors: tuple[NodeId, ...]
    uploads: Mapping[NodeId, bytes]
    dealings: Mapping[NodeId, bytes]
    opened: Mapping[NodeId, bytes]


@dataclass(frozen=True, slots=True)
class SummedModel:
    """The next model, whose circles' sums stay hidden, and who is shown to have lied."""

    model: bytes
    left_out: tuple[NodeId, ...]
    faulty: tuple[NodeId, ...]


def round_id(study: StudyId, number: int) -> bytes:
    """Name a round, for whatever is derived for it."""
    return tagged("fl-round", study, number.to_bytes(8, "big"))


def noise_seed(secret: bytes, rid: bytes) -> bytes:
    """Give what a participant's noise of a round is drawn from; it never leaves the device."""
    return derived(secret, tagged("fl-noise", rid))


def announced(secret: bytes, me: NodeId, rid: bytes) -> Announced:
    """Give a member's keys of a round."""
    own = keys(secret, rid)
    return Announced(
        node=me,
        mask_key=own.mask_public,
        seal_key=own.share_public,
        self_commitment=own.self_commitment,
    )


def drawn_group(circle: Circle) -> Group:
    """Give the keys of all who were drawn."""
    return {
        each.node: Keys(each.mask_key, each.seal_key, each.self_commitment)
        for each in circle.members
    }


def dealing_group(circle: Circle) -> Group:
    """Give the keys of those whose shares are in the log: they mask towards one another."""
    dealers = set(circle.dealers)
    return {node: own for node, own in drawn_group(circle).items() if node in dealers}


def dealing(secret: bytes, me: NodeId, circle: Circle, rid: bytes) -> bytes:
    """Deal to all who were drawn."""
    dealt = shares(secret, me, drawn_group(circle), circle.threshold, rid)
    return b"".join(dealt[holder] for holder in sorted(dealt))


def parsed_dealing(circle: Circle, dealer: NodeId, blob: bytes) -> dict[NodeId, bytes]:
    """Read what a dealer dealt to each.

    Raises:
        FalseDealerError: for a blob of another form.
    """
    holders = sorted(circle.nodes)
    if len(blob) != PLEDGES_BYTES + (len(holders) - 1) * DEALT_BYTES:
        raise FalseDealerError(dealer, f"it dealt {len(blob)} bytes to {len(holders)} members")
    found, at = {}, 0
    for holder in holders:
        end = at + (PLEDGES_BYTES if holder == dealer else DEALT_BYTES)
        found[holder] = blob[at:end]
        at = end
    return found


def check_dealings(
    secret: bytes, me: NodeId, circle: Circle, dealings: Mapping[NodeId, bytes], rid: bytes
) -> None:
    """Check that all shares dealt to us open: with fewer, the sum might stay hidden for ever.

    Raises:
        BadShareError: naming a dealer whose shares do not.
    """
    group = drawn_group(circle)
    for dealer in circle.dealers:
        dealt = parsed_dealing(circle, dealer, dealings[dealer])[me]
        if dealer != me:
            check_dealt(secret, me, group, dealer, dealt, rid)


def opened_shares(
    secret: bytes,
    me: NodeId,
    circle: Circle,
    dealings: Mapping[NodeId, bytes],
    survivors: Collection[NodeId],
    rid: bytes,
) -> bytes:
    """Open the own masks' shares of survivors and the keys' shares of the other dealers."""
    if len(survivors) < circle.threshold or not set(survivors) <= set(circle.dealers):
        raise LocalProtocolError(
            f"{len(survivors)} survivors of a circle that needs {circle.threshold}: no share opens"
        )
    dealt = {}
    for dealer in circle.dealers:
        try:
            dealt[dealer] = parsed_dealing(circle, dealer, dealings[dealer])[me]
        except BadShareError:
            dealt[dealer] = b""
    group = dealing_group(circle)
    book = share_book(secret, me, group, dealt, circle.threshold, circle.nodes, rid)
    return book.release(survivors)[1]
