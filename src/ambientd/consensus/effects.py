"""What the log asks of its host, in the order in which it must happen.

The host carries out a list front to back. Persist effects come first and must be on disk
(fsync) before anything after them leaves the node.
"""

import msgspec

from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.messages import (
    Append,
    EpochEnd,
    Evidence,
    Header,
    Message,
    QuorumCertificate,
    Snapshot,
)
from ambientd.consensus.safety import SafetyState


class PersistBlock(msgspec.Struct, frozen=True):
    """Keep an uncommitted block until a `Committed` holds it or names it in `dropped`."""

    hash: bytes
    block: Append


class PersistSafety(msgspec.Struct, frozen=True):
    """Replace the safety state, atomically; one of an older epoch is of no more use."""

    state: SafetyState
    epoch: int = 0


class CommittedBlock(msgspec.Struct, frozen=True):
    """A final block, its certificate, and its certified child: the commit proof.

    `child` is in the same term as the block (a proof by itself), or the block is an ancestor
    of the next committed one.
    """

    block: Append
    hash: bytes
    qc: QuorumCertificate
    child: Header
    child_qc: QuorumCertificate

    @property
    def index(self) -> int:
        """Give the block's index in the log."""
        return self.block.header.index


class Committed(msgspec.Struct, frozen=True):
    """Apply these blocks, in order; keep the last one and `beacons` as the head.

    `dropped` names persisted blocks that can never be committed any more: delete them. With
    `end` the last block ends the epoch, and `beacons` are those of the next epoch's members:
    keep the proof for others and for the next start.
    """

    blocks: tuple[CommittedBlock, ...]
    beacons: tuple[BeaconLink, ...]
    dropped: tuple[bytes, ...] = ()
    end: EpochEnd | None = None


class SnapshotFetched(msgspec.Struct, frozen=True):
    """A later state is here, proven and whole: build it from the pages and go on from it.

    The host keeps it, with the block and the ends, in one write; then it says `Installed`. What
    it has of the log up to that block is of no more use, but its safety state stays. `dropped`
    names persisted blocks that can never be committed any more.
    """

    snapshot: Snapshot
    pages: tuple[bytes, ...]
    ends: tuple[EpochEnd, ...]
    dropped: tuple[bytes, ...] = ()

    @property
    def block(self) -> CommittedBlock:
        """Give the block whose state this is, with its commit proof."""
        (_, qc), (child, child_qc), _ = self.snapshot.links
        return CommittedBlock(self.snapshot.block, qc.hash, qc, child, child_qc)


class Send(msgspec.Struct, frozen=True):
    """Send to one node."""

    to: bytes
    message: Message


class Broadcast(msgspec.Struct, frozen=True):
    """Send to every other member; the host also relays it to observers."""

    message: Message


class EvidenceFound(msgspec.Struct, frozen=True):
    """A key lied, provably; said once a culprit."""

    culprit: bytes
    evidence: Evidence
    epoch: int = 0


class CoordinatorChanged(msgspec.Struct, frozen=True):
    """A term began."""

    term: int
    coordinator: bytes


class PeerFault(msgspec.Struct, frozen=True):
    """A peer broke the protocol; nothing was changed by what it sent."""

    sender: bytes
    reason: str


class VoteDecided(msgspec.Struct, frozen=True):
    """A first start has ended (`FirstStart`): this key votes from now on, or never.

    Keep that apart from the store before anything after it leaves: a key whose store is lost then
    needs nobody's word to be silent.
    """

    may_vote: bool


class RecordRefused(msgspec.Struct, frozen=True):
    """A submitted record is not kept, and why."""

    record_hash: bytes
    reason: str


Effect = (
    PersistBlock
    | PersistSafety
    | Committed
    | SnapshotFetched
    | Send
    | Broadcast
    | EvidenceFound
    | CoordinatorChanged
    | PeerFault
    | RecordRefused
    | VoteDecided
)


class Outbox:
    """Collects effects in any order and gives them back persist first."""

    def __init__(self) -> None:
        self._persist: list[Effect] = []
        self._safety: PersistSafety | None = None
        self._rest: list[Effect] = []

    def add(self, *effects: Effect) -> None:
        """Collect; of several safety states the last one stands."""
        for effect in effects:
            if isinstance(effect, PersistSafety):
                self._safety = effect
            elif isinstance(effect, PersistBlock):
                self._persist.append(effect)
            else:
                self._rest.append(effect)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing was collected."""
        return not self._persist and self._safety is None and not self._rest

    def drain(self) -> list[Effect]:
        """Give everything collected: blocks, then the safety state, then the rest."""
        if self.is_empty:
            return []
        safety = [] if self._safety is None else [self._safety]
        effects = [*self._persist, *safety, *self._rest]
        self._persist, self._safety, self._rest = [], None, []
        return effects
