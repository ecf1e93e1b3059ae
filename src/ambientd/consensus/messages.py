"""What members say to each other, as canonical structs (protocols/05-log.md section 3).

Every message is one array whose first element is its tag. A position is compared as a tuple:
first the term, then the index.
"""

from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from ambientd.codec import canonical, merkle
from ambientd.codec.digest import tagged
from ambientd.model.genesis import MEMBERS_MAX

FETCHED_BLOCKS_MAX = 1024
ENDING_BLOCKS_MAX = 1024
ENDS_MAX = 16
OFFERED_ENDS_MAX = 1024
PAGES_MAX = 262_144
WANTED_PAGES_MAX = 256

Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Member = Annotated[int, Meta(ge=0, lt=MEMBERS_MAX)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Beacon = Annotated[bytes, Meta(min_length=32, max_length=64)]
StateRoot = Annotated[bytes, Meta(max_length=32)]


class Position(NamedTuple):
    """Where a block stands; compared lexicographically."""

    term: Count
    index: Count  # type: ignore[assignment]  # hides tuple.index, which nobody calls


GENESIS = Position(0, 0)


class Header(Struct, frozen=True, array_like=True):
    """All of a block but its records: what a follower needs."""

    term: Count
    index: Count
    parent_hash: Hash
    time_ms: Count
    records_root: Hash
    beacon: Beacon
    state_root: StateRoot
    proposer: Key

    @property
    def position(self) -> Position:
        """Give the block's position."""
        return Position(self.term, self.index)


class QuorumCertificate(Struct, frozen=True, array_like=True, cache_hash=True):
    """q votes for one block; `parent_term` is part of what the voters signed."""

    position: Position
    parent_term: Count
    hash: Hash
    signatures: Annotated[tuple[tuple[Member, Signature], ...], Meta(max_length=MEMBERS_MAX)]


class TimeoutCertificate(Struct, frozen=True, array_like=True):
    """q time-outs of one term: the election certificate of the next."""

    term: Count
    entries: Annotated[tuple[tuple[Member, Position, Signature], ...], Meta(max_length=MEMBERS_MAX)]
    max_qc: QuorumCertificate


Records = Annotated[tuple[bytes, ...], Meta(max_length=65_536)]


class Append(Struct, frozen=True, array_like=True, tag=1):
    """A proposed block: header, its parent's certificate, and why this term may begin."""

    header: Header
    qc: QuorumCertificate
    tc: TimeoutCertificate | None
    records: Records
    signature: Signature


class Vote(Struct, frozen=True, array_like=True, tag=2):
    """One member's vote for one block, sent to the coordinator."""

    position: Position
    parent_term: Count
    hash: Hash
    member: Member
    signature: Signature

    @property
    def parent_position(self) -> Position:
        """Give the position of the parent the vote is for."""
        return Position(self.parent_term, max(self.position.index - 1, 0))


class Timeout(Struct, frozen=True, array_like=True, tag=3):
    """One member gives up a term, and shows the highest certificate it knows."""

    term: Count
    high_position: Position
    member: Member
    signature: Signature
    high_qc: QuorumCertificate
    tc: TimeoutCertificate | None


class QcNotice(Struct, frozen=True, array_like=True, tag=4):
    """Certificates the receiver may lack: a fresh one, or the way into the current term."""

    qc: QuorumCertificate
    tc: TimeoutCertificate | None


class Fetch(Struct, frozen=True, array_like=True, tag=5):
    """Ask for the blocks above a committed index."""

    after: Count


class Blocks(Struct, frozen=True, array_like=True, tag=6):
    """A run of consecutive blocks and the certificate of the last one."""

    blocks: Annotated[tuple[Append, ...], Meta(max_length=FETCHED_BLOCKS_MAX)]
    qc: QuorumCertificate


class Forward(Struct, frozen=True, array_like=True, tag=7):
    """Records that want to be in the log."""

    records: Records


class EquivocalBlocks(Struct, frozen=True, array_like=True, tag=1):
    """Evidence: one proposer signed two headers at one position."""

    first: Header
    first_signature: Signature
    second: Header
    second_signature: Signature


class EquivocalVotes(Struct, frozen=True, array_like=True, tag=2):
    """Evidence: one member voted for two hashes at one position."""

    first: Vote
    second: Vote


class HiddenCertificate(Struct, frozen=True, array_like=True, tag=3):
    """Evidence: a vote whose parent is higher than the same member's later time-out admits."""

    vote: Vote
    term: Count
    high_position: Position
    signature: Signature


Evidence = EquivocalBlocks | EquivocalVotes | HiddenCertificate


class EvidenceMessage(Struct, frozen=True, array_like=True, tag=8):
    """Tell the others who lied."""

    evidence: Evidence


EpochMessage = Append | Vote | Timeout | QcNotice | Fetch | Blocks | EvidenceMessage
"""What speaks of one epoch: its terms, positions and member numbers."""


class InEpoch(Struct, frozen=True, array_like=True, tag=9):
    """A message of an epoch after the cluster's first, whose messages travel bare."""

    epoch: Count
    message: EpochMessage


class EpochEnd(Struct, frozen=True, array_like=True):
    """Proof of how an epoch ended.

    The record of its stop block, and from that block down to the one whose certificate commits
    it each header with its certificate: the block and its child, unless terms failed between.
    """

    record: bytes
    links: Annotated[
        tuple[tuple[Header, QuorumCertificate], ...],
        Meta(min_length=2, max_length=ENDING_BLOCKS_MAX),
    ]

    @property
    def index(self) -> int:
        """Give the index of the stop block, the last of the epoch that counts."""
        return self.links[0][0].index

    @property
    def hash(self) -> bytes:
        """Give the stop block's hash: the root of the next epoch."""
        return block_hash(self.links[0][0])


class Epochs(Struct, frozen=True, array_like=True, tag=10):
    """How the epochs from `first` on ended, for whoever is still in one of them."""

    first: Count
    ends: Annotated[tuple[EpochEnd, ...], Meta(max_length=ENDS_MAX)]


Link = tuple[Header, QuorumCertificate]
"""A header and the certificate of its block."""


class Snapshot(Struct, frozen=True, array_like=True):
    """What proves a state: a block, and certified headers down to the one that names its root.

    `links` are the block, its child, which commits it, and its grandchild, which names the root
    of the state after the block. `pages` are the depth and digest of each page of that state.
    """

    version: Count
    epoch: Count
    block: Append
    links: tuple[Link, Link, Link]
    pages: Annotated[
        tuple[tuple[Annotated[int, Meta(ge=0, le=255)], Hash], ...],
        Meta(min_length=1, max_length=PAGES_MAX),
    ]

    @property
    def index(self) -> int:
        """Give the index of the block whose state this is."""
        return self.block.header.index

    @property
    def root(self) -> bytes:
        """Give the state's root."""
        return self.links[2][0].state_root


class Offer(Struct, frozen=True, array_like=True, tag=11):
    """A snapshot in place of blocks that are not kept, and how the epochs before it ended."""

    ends: Annotated[tuple[EpochEnd, ...], Meta(max_length=OFFERED_ENDS_MAX)]
    snapshot: Snapshot


class WantPages(Struct, frozen=True, array_like=True, tag=12):
    """Ask for pages of a state by their digests."""

    digests: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=WANTED_PAGES_MAX)]


class Pages(Struct, frozen=True, array_like=True, tag=13):
    """Some of the pages that were asked for; none when none of them is here."""

    pages: Annotated[tuple[bytes, ...], Meta(max_length=WANTED_PAGES_MAX)]


Message = EpochMessage | Forward | InEpoch | Epochs | Offer | WantPages | Pages


def block_hash(header: Header) -> bytes:
    """Name a block: the tagged hash of its header."""
    return tagged("ambient/block/1", canonical.encode(header))


def genesis_hash(cluster: bytes, epoch: int) -> bytes:
    """Give the hash that an epoch's first block names as its parent."""
    return tagged("ambient/log-genesis/1", cluster, canonical.encode(epoch))


def genesis_qc(cluster: bytes, epoch: int) -> QuorumCertificate:
    """Give the certificate that needs no votes: the epoch's beginning."""
    return QuorumCertificate(GENESIS, 0, genesis_hash(cluster, epoch), ())


def records_root(records: tuple[bytes, ...]) -> bytes:
    """Give the RFC 9162 tree head over a block's records."""
    return merkle.root([merkle.leaf_hash(record) for record in records])


def append_payload(epoch: int, hash_: bytes) -> bytes:
    """Give the bytes a proposer signs."""
    return canonical.encode((epoch, hash_))


def vote_payload(epoch: int, position: Position, parent_term: int, hash_: bytes) -> bytes:
    """Give the bytes a voter signs."""
    return canonical.encode((epoch, *position, parent_term, hash_))


def timeout_payload(epoch: int, term: int, high_position: Position) -> bytes:
    """Give the bytes a member signs when it gives up a term."""
    return canonical.encode((epoch, term, *high_position))


def encode_message(message: Message) -> bytes:
    """Give a message's canonical bytes."""
    return canonical.encode(message)


def decode_message(data: bytes) -> Message:
    """Read a message; raise RemoteProtocolError on anything but its canonical bytes."""
    message: Message = canonical.decode(data, Message)
    return message
