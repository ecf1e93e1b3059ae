"""Anchoring's events and effects, and what it wants to see of the chain."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ambientd.model.base import Digest
from ambientd.model.receipt import AnchorProof
from ambientd.roles.anchoring.book import THEIRS_BYTES_MAX, AnchorBook, Coin, Place
from ambientd.rules.bitcoin import decode_header, decode_transaction


@dataclass(frozen=True, slots=True)
class Look:
    """What to look at, all under one and the same tip."""

    txids: tuple[bytes, ...] = ()
    """Transactions to be found in Bitcoin blocks."""
    heights: tuple[int, ...] = ()
    """Heights whose Bitcoin blocks are to be named."""
    waiting: tuple[bytes, ...] = ()
    """Transactions of which the network is asked whether they wait."""
    coins: bool = False
    """Whether the wallet's mined and unspent outputs are wanted, and a fee rate."""


@dataclass(frozen=True, slots=True)
class View:
    """What was seen; what was not looked at lacks."""

    height: int
    places: Mapping[bytes, Place | None] = field(default_factory=dict)
    hashes: Mapping[int, bytes | None] = field(default_factory=dict)
    waiting: frozenset[bytes] = frozenset()
    coins: tuple[Coin, ...] | None = None
    rate_msat_vb: int | None = None


@dataclass(frozen=True, slots=True)
class RootWanted:
    """A closed batch's root is to be anchored; one that is proven already is proved anew."""

    size: int
    root: Digest


@dataclass(frozen=True, slots=True)
class RootsSettled:
    """The log has an anchor of the batch of this size, and so of all before it."""

    size: int


@dataclass(frozen=True, slots=True)
class AnchorLogged:
    """The log has this anchor of a root; at which height `place` is, the proof only claims.

    `raw` is empty where it is too long to be kept: it is watched by its name, and never sent.
    """

    size: int
    root: Digest
    raw: bytes
    place: Place
    following: int


@dataclass(frozen=True, slots=True)
class SeatTold:
    """This node's place in the committee, or that it has none, and how many members there are."""

    place: int | None
    members: int


@dataclass(frozen=True, slots=True)
class TheirsHeard:
    """Another member says that it has signed this anchor of a root."""

    size: int
    root: Digest
    raw: bytes


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class ChainSeen:
    """The chain was looked at."""

    view: View


@dataclass(frozen=True, slots=True)
class ChainAway:
    """The chain does not answer, or makes no sense."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The network took a transaction, or says why not."""

    txid: bytes
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class ProofTaken:
    """The proof of a root at this place was checked and handed on."""

    root: Digest
    place: Place


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """The owner wants everything that waits tried again now."""


def logged(size: int, root: Digest, proof: AnchorProof) -> AnchorLogged:
    """Tell of an anchor as the log has it.

    Nothing proves a witness, so whoever brings a proof may make it as long as a record may be.
    """
    raw = proof.raw_tx if len(proof.raw_tx) <= THEIRS_BYTES_MAX else b""
    txid = decode_transaction(proof.raw_tx).txid
    place = Place(txid=txid, height=proof.height, block_hash=decode_header(proof.header).hash)
    return AnchorLogged(size, root, raw, place, len(proof.following_headers))


Event: TypeAlias = (
    RootWanted
    | RootsSettled
    | AnchorLogged
    | SeatTold
    | TheirsHeard
    | Ticked
    | ChainSeen
    | ChainAway
    | Answered
    | ProofTaken
    | RetryAsked
)


@dataclass(frozen=True, slots=True)
class PersistBook:
    """Put the book on disk, before anything that follows is done."""

    book: AnchorBook


@dataclass(frozen=True, slots=True)
class LookAtChain:
    """Look, and report ChainSeen or ChainAway."""

    look: Look


@dataclass(frozen=True, slots=True)
class SendTransaction:
    """Hand a transaction to the network and report Answered; tell the members of one of ours."""

    size: int
    root: Digest
    txid: bytes
    raw: bytes
    is_ours: bool


@dataclass(frozen=True, slots=True)
class CollectProof:
    """Collect and check a proof with so many later headers, hand it on, report ProofTaken."""

    size: int
    root: Digest
    place: Place
    following: int


@dataclass(frozen=True, slots=True)
class AskForFunds:
    """Get the wallet this much or more, where that can be done without a person."""

    needed_sat: int


@dataclass(frozen=True, slots=True)
class RootLost:
    """A root whose proof was taken is no longer in the best chain."""

    size: int
    root: Digest


Effect: TypeAlias = (
    PersistBook | LookAtChain | SendTransaction | CollectProof | AskForFunds | RootLost
)
