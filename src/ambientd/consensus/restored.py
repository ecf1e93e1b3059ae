"""What the host gives back to the log after a restart."""

from dataclasses import dataclass, field

from msgspec.structs import replace

from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.effects import CommittedBlock
from ambientd.consensus.messages import Append, QuorumCertificate
from ambientd.consensus.safety import SafetyState


@dataclass(frozen=True, slots=True)
class Restored:
    """The last `PersistSafety`, the head of the last `Committed`, and every block above it."""

    safety: SafetyState | None  # None for an observer, which never persisted any
    head: CommittedBlock | None = None
    beacons: tuple[BeaconLink, ...] = ()
    tail: tuple[Append, ...] = field(default=())

    def tail_in_order(self) -> list[Append]:
        """Give the uncommitted blocks, parents first."""
        return sorted(self.tail, key=lambda append: append.header.position.index)

    def safety_with_high_qc(self, genesis: QuorumCertificate) -> SafetyState:
        """Give the safety state with the highest certificate anything on disk holds."""
        safety = self.safety or SafetyState(genesis)
        known = [safety.high_qc, *(append.qc for append in self.tail)]
        if self.head is not None:
            known += [self.head.qc, self.head.child_qc]
        return replace(safety, high_qc=max(known, key=lambda qc: qc.position))
