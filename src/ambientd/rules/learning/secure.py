"""What a member of a group does so that only the group's sum can be seen (protocols/17).

Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning" (CCS 2017):

    keys -> shares -> masked upload -> survivors -> opened shares -> the sum

Each two members agree on a mask that one adds and the other subtracts; each adds a mask of its
own besides. Both are shared out, so that a threshold of members can take them away: of a survivor
its own mask, of a member that dropped out its key. Never both of one member, which would bare its
update.

Every set of members here is one that the log has committed. `group` holds those whose shares are
committed as dealt; the threshold follows from the size of the group as it was drawn (protocols/16).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from ambientd.codec.agreement import (
    KEY_BYTES,
    SEAL_BYTES,
    agreed,
    agreement_key,
    derived,
    sealed_once,
    unsealed_once,
)
from ambientd.codec.digest import tagged
from ambientd.errors import LocalProtocolError, RemoteProtocolError
from ambientd.model.base import DIGEST_BYTES, NodeId
from ambientd.rules.learning.sharing import SHARE_BYTES, joined, split

PLEDGES_BYTES: Final = 2 * DIGEST_BYTES
DEALT_BYTES: Final = PLEDGES_BYTES + 2 * SHARE_BYTES + SEAL_BYTES
"""What one member deals to another."""
_OPENED_BYTES: Final = 1 + SHARE_BYTES


class ShareKind(IntEnum):
    """What a share is of; the number travels in front of an opened one."""

    NONE = 0
    OWN_MASK = 1
    KEY = 2


class BadShareError(RemoteProtocolError):
    """A member's words do not fit what it pledged; leave what it opened aside and go on."""

    def __init__(self, node: NodeId, fault: str) -> None:
        super().__init__(f"node {node.hex()[:16]}: {fault}; its words in this round are left out")
        self.node = node


class FalseDealerError(BadShareError):
    """What a member dealt is not what it published: nobody's sum with it can be known."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a member publishes before anything else."""

    mask_public: bytes
    share_public: bytes
    self_commitment: bytes

    def __post_init__(self) -> None:
        if {len(self.mask_public), len(self.share_public)} != {KEY_BYTES}:
            raise RemoteProtocolError("a member's key for the round is not 32 bytes long")
        if len(self.self_commitment) != DIGEST_BYTES:
            raise RemoteProtocolError("a member's commitment to its own mask is not 32 bytes long")


Group = Mapping[NodeId, Keys]


def mask_secret(secret: bytes, round_id: bytes) -> bytes:
    """Give the X25519 secret that a member's masks come from."""
    return derived(secret, tagged("fl-mask-secret", round_id))


def own_mask_seed(secret: bytes, round_id: bytes) -> bytes:
    """Give the seed of a member's own mask."""
    return derived(secret, tagged("fl-own-mask", round_id))


def _share_secret(secret: bytes, round_id: bytes) -> bytes:
    return derived(secret, tagged("fl-share-secret", round_id))


def _commitment(seed: bytes, round_id: bytes) -> bytes:
    return tagged("fl-own-mask-commitment", round_id, seed)


def keys(secret: bytes, round_id: bytes) -> Keys:
    """Give what a member publishes; all of it follows from its secret, kept before this is sent."""
    return Keys(
        mask_public=agreement_key(mask_secret(secret, round_id)),
        share_public=agreement_key(_share_secret(secret, round_id)),
        self_commitment=_commitment(own_mask_seed(secret, round_id), round_id),
    )


def pair_secret(own: bytes, node: NodeId, public_key: bytes) -> bytes:
    """Give what two members agree on.

    Raises:
        BadShareError: for a key that nobody can agree with.
    """
    if (secret := agreed(own, public_key)) is None:
        raise BadShareError(node, "its key is not one of X25519")
    return secret


# ---- dealing shares


def _place(node: NodeId) -> int:
    # Independent of who else is in the group, so that the group can shrink.
    return 1 + int.from_bytes(tagged("fl-place", node), "big")


def _pledge(
    round_id: bytes, dealer: NodeId, holder: NodeId, kind: ShareKind, share: bytes
) -> bytes:
    return tagged("fl-pledge", round_id, dealer, holder, bytes([kind]), share)


def _seal_key(pair: bytes, round_id: bytes, dealer: NodeId, holder: NodeId) -> bytes:
    return derived(pair, tagged("fl-seal", round_id, dealer, holder))


def _split_both(
    secret: bytes, holders: Sequence[NodeId], threshold: int, round_id: bytes
) -> list[tuple[bytes, bytes]]:
    """Split the own mask's seed and the key; the same shares each time."""
    places = [_place(holder) for holder in holders]
    halves = []
    for kind, shared in (
        (ShareKind.OWN_MASK, own_mask_seed(secret, round_id)),
        (ShareKind.KEY, mask_secret(secret, round_id)),
    ):
        seed = derived(secret, tagged("fl-polynomial", round_id, bytes([kind])))
        halves.append(split(shared, places, threshold, seed))
    return list(zip(*halves, strict=True))


def shares(
    secret: bytes, me: NodeId, group: Group, threshold: int, round_id: bytes
) -> dict[NodeId, bytes]:
    """Deal to every member of the drawn group, oneself too: pledges, then sealed shares.

    Raises:
        BadShareError: when a member's key is none.
    """
    holders = sorted(group)
    dealt = {}
    for holder, both in zip(
        holders, _split_both(secret, holders, threshold, round_id), strict=True
    ):
        pledges = b"".join(
            _pledge(round_id, me, holder, kind, share)
            for kind, share in zip((ShareKind.OWN_MASK, ShareKind.KEY), both, strict=True)
        )
        if holder == me:
            dealt[holder] = pledges
            continue
        pair = pair_secret(_share_secret(secret, round_id), holder, group[holder].share_public)
        key = _seal_key(pair, round_id, me, holder)
        dealt[holder] = pledges + sealed_once(key, b"".join(both), pledges)
    return dealt


def _held(
    secret: bytes, me: NodeId, dealer: NodeId, keys_of: Keys, dealt: bytes, round_id: bytes
) -> tuple[bytes, bytes]:
    """Open what a dealer sealed for us, and hold it against its pledges."""
    if len(dealt) != DEALT_BYTES:
        raise BadShareError(dealer, f"it dealt {len(dealt)} bytes instead of {DEALT_BYTES}")
    pledges = dealt[:PLEDGES_BYTES]
    pair = pair_secret(_share_secret(secret, round_id), dealer, keys_of.share_public)
    both = unsealed_once(_seal_key(pair, round_id, dealer, me), dealt[PLEDGES_BYTES:], pledges)
    if both is None:
        raise BadShareError(dealer, "its shares do not open")
    own, key = both[:SHARE_BYTES], both[SHARE_BYTES:]
    if pledges != _pledge(round_id, dealer, me, ShareKind.OWN_MASK, own) + _pledge(
        round_id, dealer, me, ShareKind.KEY, key
    ):
        raise BadShareError(dealer, "its shares are not those it pledged")
    return own, key


def check_dealt(
    secret: bytes, me: NodeId, group: Group, dealer: NodeId, dealt: bytes, round_id: bytes
) -> None:
    """Check what another member dealt to us, before its dealing is committed.

    Raises:
        BadShareError: naming the dealer.
    """
    _held(secret, me, dealer, group[dealer], dealt, round_id)


# ---- opening shares


@dataclass(frozen=True, slots=True)
class ShareBook:
    """The shares that a member holds; it gives out one kind of each dealer's, once and for all."""

    _shares: Mapping[NodeId, tuple[bytes, bytes]]
    _released_for: frozenset[NodeId] | None = None

    def release(self, survivors: Collection[NodeId]) -> tuple["ShareBook", bytes]:
        """Give the own mask's share of each survivor and the key's share of each other dealer.

        Raises:
            LocalProtocolError: for other survivors than the first time, which could bare an update.
        """
        chosen = frozenset(survivors)
        if self._released_for not in {None, chosen}:
            raise LocalProtocolError(
                "shares were opened for other survivors already; a second set could bare an update"
            )
        parts = []
        for dealer in sorted(self._shares):
            own, key = self._shares[dealer]
            is_survivor = dealer in chosen
            kind = ShareKind.OWN_MASK if is_survivor else ShareKind.KEY
            share = own if is_survivor else key
            parts.append(bytes([kind]) + share if share else bytes(_OPENED_BYTES))
        return replace(self, _released_for=chosen), b"".join(parts)


def share_book(
    secret: bytes,
    me: NodeId,
    group: Group,
    dealt: Mapping[NodeId, bytes],
    threshold: int,
    roster: Collection[NodeId],
    round_id: bytes,
) -> ShareBook:
    """Open what the members of the group dealt to us; what does not open is left out.

    `roster` is the group as it was drawn, `group` those of it whose dealing is committed.
    """
    held: dict[NodeId, tuple[bytes, bytes]] = {}
    holders = sorted(roster)
    mine = _split_both(secret, holders, threshold, round_id)[holders.index(me)]
    for dealer in sorted(group):
        if dealer == me:
            held[dealer] = mine
            continue
        try:
            held[dealer] = _held(
                secret, me, dealer, group[dealer], dealt.get(dealer, b""), round_id
            )
        except BadShareError:
            held[dealer] = (b"", b"")
    return ShareBook(held)


# ---- putting secrets together again


@dataclass(frozen=True, slots=True)
class Recovered:
    """What takes the masks away: seeds of survivors' own masks, keys of those that dropped out."""

    own_mask_seeds: Mapping[NodeId, bytes]
    mask_secrets: Mapping[NodeId, bytes]


def _parsed(
    holder: NodeId, opened: bytes, group: Group, survivors: Collection[NodeId]
) -> dict[NodeId, bytes]:
    """Read what a holder opened; a share of the wrong kind is refused."""
    if len(opened) != _OPENED_BYTES * len(group):
        raise BadShareError(holder, f"it opened {len(opened)} bytes for {len(group)} dealers")
    found = {}
    for number, dealer in enumerate(sorted(group)):
        part = opened[number * _OPENED_BYTES :][:_OPENED_BYTES]
        right = ShareKind.OWN_MASK if dealer in survivors else ShareKind.KEY
        if part[0] == right:
            found[dealer] = part[1:]
        elif part != bytes(_OPENED_BYTES):
            raise BadShareError(holder, "it opened a share of the wrong kind")
    return found


def recovered(
    group: Group,
    survivors: Collection[NodeId],
    threshold: int,
    opened: Mapping[NodeId, bytes],
    dealt: Mapping[NodeId, Mapping[NodeId, bytes]],
    round_id: bytes,
) -> Recovered:
    """Put the secrets together; `dealt` is by dealer, then holder: at least the pledges of each.

    Raises:
        BadShareError: naming the member whose words do not fit.
        RemoteProtocolError: when too few shares are there.
    """
    pool: dict[NodeId, dict[NodeId, bytes]] = {dealer: {} for dealer in group}
    for holder in sorted(set(opened) & set(survivors)):
        for dealer, share in _parsed(holder, opened[holder], group, survivors).items():
            kind = ShareKind.OWN_MASK if dealer in survivors else ShareKind.KEY
            at = 0 if kind is ShareKind.OWN_MASK else DIGEST_BYTES
            pledge = dealt.get(dealer, {}).get(holder, b"")[at : at + DIGEST_BYTES]
            if pledge != _pledge(round_id, dealer, holder, kind, share):
                raise BadShareError(
                    holder, f"its share of node {dealer.hex()[:16]} is not as dealt"
                )
            pool[dealer][holder] = share
    seeds, secrets = {}, {}
    for dealer in sorted(group):
        found = sorted(pool[dealer])[:threshold]
        if len(found) < threshold:
            raise RemoteProtocolError(
                f"{len(found)} shares of node {dealer.hex()[:16]} were opened, {threshold} are "
                "needed; the group's sum stays hidden"
            )
        value = joined({_place(holder): pool[dealer][holder] for holder in found}) or b""
        if dealer in survivors:
            if _commitment(value, round_id) != group[dealer].self_commitment:
                raise FalseDealerError(
                    dealer, "it dealt shares of another mask than it committed to"
                )
            seeds[dealer] = value
        else:
            if not value or agreement_key(value) != group[dealer].mask_public:
                raise FalseDealerError(dealer, "it dealt shares of another key than it published")
            secrets[dealer] = value
    return Recovered(seeds, secrets)
