"""What the host gives back to the log after a restart."""

from dataclasses import dataclass, field

from msgspec.structs import replace

from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.effects import CommittedBlock
from ambientd.consensus.messages import Append
from ambientd.consensus.safety import SafetyState


@dataclass(frozen=True, slots=True)
class Restored:
    """The last `PersistSafety`, the head of the last `Committed`, and every block above it."""

    safety: SafetyState
    head: CommittedBlock | None = None
    beacons: tuple[BeaconLink, ...] = ()
    tail: tuple[Append, ...] = field(default=())

    def tail_in_order(self) -> list[Append]:
        """Give the uncommitted blocks, parents first."""
        return sorted(self.tail, key=lambda append: append.header.position.index)

    def safety_with_high_qc(self) -> SafetyState:
        """Give the safety state with the highest certificate anything on disk holds."""
        known = [self.safety.high_qc, *(append.qc for append in self.tail)]
        if self.head is not None:
            known += [self.head.qc, self.head.child_qc]
        return replace(self.safety, high_qc=max(known, key=lambda qc: qc.position))
