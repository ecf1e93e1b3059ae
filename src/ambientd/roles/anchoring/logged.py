"""What the log says of anchors: in which Bitcoin block each is, and who anchors an undone one anew.

All of it is told again after a start, so none of it is on disk (protocols/06-receipts.md
section 10).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest
from ambientd.roles.anchoring.book import (
    HEARD_KEPT_MAX,
    THEIRS_BYTES_MAX,
    AnchoredRoot,
    Place,
)
from ambientd.rules.bitcoin import committed_roots, decode_transaction

FOLLOWING_MAX = 144
"""More headers after an anchor's own, a day of them, are not waited for."""
PATIENCE_WITH_THEIRS = 2
_TURN_BYTES = 8


@dataclass(frozen=True, slots=True)
class Seat:
    """This node's place in the committee, none without a seat, and how many members there are."""

    place: int | None
    members: int

    def turn(self, root: Digest) -> int | None:
        """Give how many go before this one with an undone anchor; each root begins elsewhere."""
        if self.place is None:
            return None
        first = int.from_bytes(root[:_TURN_BYTES], "big") % self.members
        return (self.place - first) % self.members


@dataclass(frozen=True, slots=True)
class LoggedProof:
    """The Bitcoin block that the log's proof is of, and how many headers it has after it."""

    block_hash: bytes
    following: int


class LoggedAnchors:
    """The log's proofs of the roots that are watched, and this node's seat; not told is neither."""

    def __init__(self) -> None:
        self._proofs: dict[Digest, LoggedProof] = {}
        self.seat: Seat | None = None

    @property
    def may_sign(self) -> bool:
        """Whether this node has a seat: nobody listens to the anchors of one that has none."""
        return self.seat is None or self.seat.place is not None

    def put(self, root: Digest, proof: LoggedProof) -> None:
        """Keep what the log has of a root."""
        self._proofs[root] = proof

    def has(self, root: Digest) -> bool:
        """Tell whether the log has a proof of a root itself."""
        return root in self._proofs

    def drop(self, root: Digest) -> None:
        """Forget a root that is watched no more."""
        self._proofs.pop(root, None)

    def is_of(self, entry: AnchoredRoot) -> bool:
        """Tell whether the log has no proof but of the Bitcoin block that a root is in."""
        proof = self._proofs.get(entry.root)
        return proof is None or (
            entry.place is not None and entry.place.block_hash == proof.block_hash
        )

    def best(self, entry: AnchoredRoot, places: Mapping[bytes, Place | None]) -> Place | None:
        """Give where a root is in the best chain: in the log's Bitcoin block, if there too."""
        proof = self._proofs.get(entry.root)
        return where(entry, places, None if proof is None else proof.block_hash)

    def needed(self, entry: AnchoredRoot, confirmations: int) -> int | None:
        """Give with how many confirmations a proof is brought: with more than the log's one has.

        None when those are too many: where work is cheap, a proof with any number can be made up.
        """
        needed = min(confirmations + entry.reorganised, FOLLOWING_MAX + 1)
        proof = self._proofs.get(entry.root)
        if proof is not None and not self.is_of(entry):
            needed = max(needed, proof.following + 2)
        return needed if needed <= FOLLOWING_MAX + 1 else None

    def patience(self, entry: AnchoredRoot, *, is_wanted: bool) -> int | None:
        """Give how many periods a root's newest version may wait for; None is for ever.

        What nobody wants of this member, as it is another's turn, is followed and no more.
        """
        if not self.may_sign:
            return None
        if entry.newest_is_ours:
            return 1
        if entry.root not in self._proofs:
            return PATIENCE_WITH_THEIRS if is_wanted else None
        turn = None if self.seat is None else self.seat.turn(entry.root)
        return None if turn is None else PATIENCE_WITH_THEIRS * (1 + turn)


class Heard:
    """The last transaction that a member has shown for a root that has its anchor already."""

    def __init__(self) -> None:
        self._raws: dict[Digest, bytes] = {}

    def put(self, root: Digest, raw: bytes) -> None:
        """Keep a transaction; where there are too many roots, forget the first."""
        self._raws[root] = raw
        if len(self._raws) > HEARD_KEPT_MAX:
            del self._raws[next(iter(self._raws))]

    def take(self, root: Digest) -> bytes | None:
        """Give what was heard of a root, once."""
        return self._raws.pop(root, None)


def where(
    entry: AnchoredRoot, places: Mapping[bytes, Place | None], block_hash: bytes | None
) -> Place | None:
    """Give the place of one of a root's transactions, in this Bitcoin block where one is there."""
    found = [place for each in entry.transactions if (place := places.get(each.txid))]
    first = found[0] if found else None
    return next((each for each in found if each.block_hash == block_hash), first)


def carries(raw: bytes, root: Digest) -> bool:
    """Tell whether these bytes, of a peer, are a transaction that commits to a root."""
    try:
        return len(raw) <= THEIRS_BYTES_MAX and root in committed_roots(decode_transaction(raw))
    except RemoteProtocolError:
        return False
