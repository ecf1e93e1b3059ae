"""What the host gives back to the log after a restart."""

from dataclasses import dataclass, field

from msgspec.structs import replace

from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.effects import CommittedBlock
from ambientd.consensus.messages import Append, EpochEnd, QuorumCertificate
from ambientd.consensus.safety import SafetyState


@dataclass(frozen=True, slots=True)
class Restored:
    """The last `PersistSafety`, the head of the last `Committed`, and every block above it.

    `safety` is None when no `PersistSafety` of the present epoch is on disk: an observer's, or
    a member's that has signed nothing in it yet.
    """

    safety: SafetyState | None
    head: CommittedBlock | None = None
    beacons: tuple[BeaconLink, ...] = ()
    tail: tuple[Append, ...] = field(default=())
    end: EpochEnd | None = None  # of the epoch before this one; None in the cluster's first

    def tail_in_order(self) -> list[Append]:
        """Give the uncommitted blocks, parents first."""
        return sorted(self.tail, key=lambda append: append.header.position.index)

    def safety_with_high_qc(self, root: QuorumCertificate) -> SafetyState:
        """Give the safety state with the highest certificate anything on disk holds."""
        safety = self.safety or SafetyState(root)
        known = [safety.high_qc, *(append.qc for append in self.tail)]
        if self.head is not None and self.head.index > root.position.index:
            known += [self.head.qc, self.head.child_qc]
        return replace(safety, high_qc=max(known, key=lambda qc: qc.position))
