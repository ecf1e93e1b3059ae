"""The blocks above the committed head, and what commits when (protocols/05-log.md section 5).

A block enters once its parent is in: every block here descends from the head. Certified or not
is not kept here; a block carries its parent's certificate.
"""

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from ambientd.codec import merkle
from ambientd.consensus import beacon
from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.certificates import Committee
from ambientd.consensus.effects import Committed, CommittedBlock
from ambientd.consensus.epochs import Epoch, ReadStop, carried_beacons
from ambientd.consensus.messages import Append, EpochEnd, Header, Position, QuorumCertificate

ABANDONED_MAX = 16_384  # a host finds the rows of those beyond at its next start


class Block(Struct, frozen=True):
    """An Append with what is derived from it once.

    `link` is None when its beacon is wrong, `begins` is the epoch after the one that it ends.
    """

    hash: bytes
    append: Append
    position: Position
    parent_hash: bytes
    record_hashes: tuple[bytes, ...]
    size_bytes: int
    link: BeaconLink | None = None
    begins: Epoch | None = None


def derive(append: Append, hash_: bytes) -> Block:
    """Hash a block's records once."""
    header, records = append.header, append.records
    hashes = tuple(map(merkle.leaf_hash, records))
    return Block(hash_, append, header.position, header.parent_hash, hashes, sum(map(len, records)))


class BlockTree:
    """Uncommitted blocks by hash, rooted at the committed head."""

    def __init__(
        self,
        committee: Committee,
        root: QuorumCertificate,
        head: CommittedBlock | None,
        beacons: tuple[BeaconLink, ...],
        read_stop: ReadStop = lambda _: None,
    ) -> None:
        self._committee = committee
        self._read_stop = read_stop
        self.head = head
        is_above_root = head is not None and head.index > root.position.index
        self.head_qc = head.qc if head is not None and is_above_root else root
        self.beacons = list(beacons)
        self.blocks: dict[bytes, Block] = {}
        self.holds_records = False
        """Whether any record is in a block that is not committed: asked at every step."""
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
        records = block.append.records
        begins = self._read_stop(records[0]) if len(records) == 1 else None
        linked = replace(block, link=link, begins=begins)
        self.blocks[block.hash] = linked
        self.holds_records = self.holds_records or bool(linked.record_hashes)
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

    def is_stopping(self, hash_: bytes) -> bool:
        """Tell whether the held block or an uncommitted ancestor of it ends the epoch."""
        return any(block.begins is not None for block in self.chain(hash_) or [])

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
        certificates = [*(block.append.qc for block in [*chain[1:], child]), child_qc]
        headers = [block.append.header for block in [*chain, child]]
        return self._take(chain, list(zip(headers, certificates, strict=True)))

    def conclude(self, end: EpochEnd) -> Committed | None:
        """Commit up to the stop block that a verified proof names; None while it is not here."""
        chain = self.chain(end.hash)
        if not chain:
            return None
        before = [(b.append.header, next_.append.qc) for b, next_ in pairwise(chain)]
        return self._take(chain, [*before, *end.links])

    def _take(
        self, chain: list[Block], links: Sequence[tuple[Header, QuorumCertificate]]
    ) -> Committed:
        """Commit a chain whose headers, and those that prove it, are certified by `links`.

        Nothing counts behind a block that ends the epoch.
        """
        stops = [number for number, block in enumerate(chain) if block.begins is not None]
        if stops:
            chain = chain[: stops[0] + 1]
        blocks = tuple(
            CommittedBlock(block.append, block.hash, qc, *child)
            for block, (_, qc), child in zip(chain, links, links[1:], strict=False)
        )
        for block in chain:
            number = self._committee.number(block.append.header.proposer)
            if number is not None and block.link is not None:
                self.beacons[number] = block.link
            del self.blocks[block.hash]
        self.head = blocks[-1]
        self.head_qc = self.head.qc
        last = chain[-1]
        if last.begins is None:
            dropped = [*self._prune(), *self._past_hope()]
            return Committed(blocks, tuple(self.beacons), tuple(dropped))
        dropped = [*self.blocks, *self._abandoned]
        self._keep({})
        self._abandoned = {}
        end = EpochEnd(last.append.records[0], _proof(links[len(chain) - 1 :]))
        beacons = carried_beacons(self._committee.members, self.beacons, last.begins)
        return Committed(blocks, beacons, tuple(dropped), end)

    def abandon(self, hash_: bytes, index: int) -> None:
        """Remember that the host keeps a block which is not linked here."""
        self._abandoned[hash_] = index
        while len(self._abandoned) > ABANDONED_MAX:
            del self._abandoned[next(iter(self._abandoned))]

    def persisted(self, index: int) -> tuple[bytes, ...]:
        """Give the blocks up to an index that the host keeps without having committed them."""
        held = [block.hash for block in self.blocks.values() if block.position.index <= index]
        return (*held, *(hash_ for hash_, at in self._abandoned.items() if at <= index))

    def keep_only(self, hash_: bytes) -> None:
        """Drop every branch but the one that ends at `hash_`; some block may come again."""
        kept = {block.hash: block for block in self.chain(hash_) or []}
        for block in self.blocks.values():
            if block.hash not in kept:
                self.abandon(block.hash, block.position.index)
        self._keep(kept)

    def _keep(self, blocks: dict[bytes, Block]) -> None:
        self.blocks = blocks
        self.holds_records = any(block.record_hashes for block in blocks.values())

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
        self._keep(alive)
        return dropped


def _proof(
    links: Sequence[tuple[Header, QuorumCertificate]],
) -> tuple[tuple[Header, QuorumCertificate], ...]:
    """Give no more of the certified headers than commit the first."""
    direct = [number for number, (_, qc) in enumerate(links) if qc.parent_term == qc.position.term]
    needed = next(number for number in direct if number > 0)
    return tuple(links[: needed + 1])
