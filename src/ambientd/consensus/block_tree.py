"""The blocks above the committed head, and what commits when (protocols/05-log.md section 5).

A block enters once its parent is in: every block here descends from the head. Certified or not
is not kept here; a block carries its parent's certificate.
"""

from dataclasses import dataclass

from ambientd.codec import merkle
from ambientd.consensus import beacon
from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.certificates import Committee
from ambientd.consensus.effects import Committed, CommittedBlock
from ambientd.consensus.messages import Append, Position, QuorumCertificate

ABANDONED_MAX = 16_384  # a host finds the rows of those beyond at its next start


@dataclass(frozen=True, slots=True)
class Block:
    """An Append with what is derived from it once; `link` is None when its beacon is wrong."""

    hash: bytes
    append: Append
    record_hashes: tuple[bytes, ...]
    size_bytes: int
    link: BeaconLink | None = None

    @property
    def position(self) -> Position:
        """Give the block's position."""
        return self.append.header.position

    @property
    def parent_hash(self) -> bytes:
        """Give the parent's hash."""
        return self.append.header.parent_hash


def derive(append: Append, hash_: bytes) -> Block:
    """Hash a block's records once."""
    hashes = tuple(merkle.leaf_hash(record) for record in append.records)
    return Block(hash_, append, hashes, sum(len(record) for record in append.records))


class BlockTree:
    """Uncommitted blocks by hash, rooted at the committed head."""

    def __init__(
        self,
        committee: Committee,
        root: QuorumCertificate,
        head: CommittedBlock | None,
        beacons: tuple[BeaconLink, ...],
    ) -> None:
        self._committee = committee
        self.head = head
        self.head_qc = head.qc if head is not None else root
        self.beacons = list(beacons)
        self.blocks: dict[bytes, Block] = {}
        self._abandoned: dict[bytes, int] = {}  # hash to index: on disk, but not in the tree

    @property
    def head_index(self) -> int:
        """Give the index of the last committed block; 0 before the first."""
        return self.head_qc.position.index

    def holds(self, hash_: bytes) -> bool:
        """Tell whether this hash is the head or a block above it."""
        return hash_ == self.head_qc.hash or hash_ in self.blocks

    def count_at(self, position: Position) -> int:
        """Give how many blocks stand at this position."""
        return sum(block.position == position for block in self.blocks.values())

    def add(self, block: Block) -> Block:
        """Link a block whose parent is held; give it back with its beacon link."""
        header = block.append.header
        link = None
        number = self._committee.number(header.proposer)
        if number is not None:
            link = beacon.follow(self.last_link(block.parent_hash, number), header.beacon)
        linked = Block(block.hash, block.append, block.record_hashes, block.size_bytes, link)
        self.blocks[block.hash] = linked
        self._abandoned.pop(block.hash, None)
        return linked

    def chain(self, hash_: bytes) -> list[Block] | None:
        """Give the blocks from above the head up to `hash_`, or None when it is not held."""
        found: list[Block] = []
        while hash_ != self.head_qc.hash:
            block = self.blocks.get(hash_)
            if block is None:
                return None
            found.append(block)
            hash_ = block.parent_hash
        found.reverse()
        return found

    def time_ms(self, hash_: bytes) -> int | None:
        """Give the block time of the head or a held block; None at the genesis."""
        block = self.blocks.get(hash_)
        if block is not None:
            return block.append.header.time_ms
        return self.head.block.header.time_ms if self.head is not None else None

    def last_link(self, hash_: bytes, number: int) -> BeaconLink:
        """Give what member `number` last revealed on the branch that ends at `hash_`."""
        proposer = self._committee.members[number]
        while (block := self.blocks.get(hash_)) is not None:
            if block.append.header.proposer == proposer and block.link is not None:
                return block.link
            hash_ = block.parent_hash
        return self.beacons[number]

    def commit(self, child: Block, child_qc: QuorumCertificate) -> Committed | None:
        """Commit the certified child's parent with its ancestors; None when nothing is new."""
        chain = self.chain(child.parent_hash)
        if not chain:
            return None
        above = [*chain[1:], child]
        certificates = [*(block.append.qc for block in above[1:]), child_qc]
        blocks = tuple(
            CommittedBlock(block.append, block.hash, next_.append.qc, next_.append.header, next_qc)
            for block, next_, next_qc in zip(chain, above, certificates, strict=True)
        )
        for block in chain:
            number = self._committee.number(block.append.header.proposer)
            if number is not None and block.link is not None:
                self.beacons[number] = block.link
        self.head = blocks[-1]
        self.head_qc = self.head.qc
        for block in chain:
            del self.blocks[block.hash]
        dropped = [*self._prune(), *self._past_hope()]
        return Committed(blocks, tuple(self.beacons), tuple(dropped))

    def abandon(self, hash_: bytes, index: int) -> None:
        """Remember that the host keeps a block which is not linked here."""
        self._abandoned[hash_] = index
        while len(self._abandoned) > ABANDONED_MAX:
            del self._abandoned[next(iter(self._abandoned))]

    def keep_only(self, hash_: bytes) -> None:
        """Drop every branch but the one that ends at `hash_`; some block may come again."""
        kept = {block.hash: block for block in self.chain(hash_) or []}
        for block in self.blocks.values():
            if block.hash not in kept:
                self.abandon(block.hash, block.position.index)
        self.blocks = kept

    def _past_hope(self) -> list[bytes]:
        """Give up the abandoned blocks that the head has passed: nothing brings them back."""
        passed = [hash_ for hash_, index in self._abandoned.items() if index <= self.head_index]
        for hash_ in passed:
            del self._abandoned[hash_]
        return passed

    def _prune(self) -> list[bytes]:
        """Drop what does not descend from the head; give the hashes."""
        alive: dict[bytes, Block] = {}
        by_index = sorted(self.blocks.values(), key=lambda block: block.position.index)
        for block in by_index:
            if block.parent_hash == self.head_qc.hash or block.parent_hash in alive:
                alive[block.hash] = block
        dropped = [hash_ for hash_ in self.blocks if hash_ not in alive]
        self.blocks = alive
        return dropped
