"""The parts of a node."""

from dataclasses import dataclass

from ambientd.consensus.log import Log
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.node.learning import Learning
from ambientd.node.proving import Proving
from ambientd.roles.anchor_watch import AnchorWatch
from ambientd.roles.anchorer import Anchorer
from ambientd.roles.announcer import Announcer
from ambientd.roles.asked import Asked
from ambientd.roles.checkpointer import Checkpointer
from ambientd.roles.coordinator import Coordinator
from ambientd.roles.courier import Courier
from ambientd.roles.disputer import Disputer
from ambientd.roles.header_bringer import HeaderBringer
from ambientd.roles.keeper import Keeper
from ambientd.roles.offerer import Offerer
from ambientd.roles.referee import Referee
from ambientd.roles.reporter import Reporter
from ambientd.roles.submitter import Submitter
from ambientd.roles.worker import Worker
from ambientd.telemetry.core import Telemetry

NEVER_MS = 2**63 - 1


@dataclass(slots=True)
class Cores:
    """The parts that a node routes between."""

    log: Log
    ledger: LedgerState
    worker: Worker
    coordinator: Coordinator
    disputer: Disputer
    referee: Referee
    proving: Proving
    learning: Learning
    reporter: Reporter
    checkpointer: Checkpointer
    anchorer: Anchorer
    anchor_watch: AnchorWatch
    headers: HeaderBringer
    offerer: Offerer
    announcer: Announcer
    submitter: Submitter
    asked: Asked
    courier: Courier
    keeper: Keeper
    telemetry: Telemetry

    def due_ms(self, coordinator: NodeId | None) -> int:
        """Give when a part other than the log next wants a tick; 0 is at once."""
        if self.log.unknown is not None:
            return NEVER_MS
        leads = self.coordinator.leads
        due = (
            self.telemetry.next_deadline,
            self.worker.next_deadline,
            self.disputer.next_deadline,
            self.referee.next_deadline,
            self.proving.next_deadline(self.ledger),
            self.learning.next_deadline,
            self.reporter.next_deadline(self.ledger),
            self.coordinator.next_deadline,
            self.checkpointer.next_deadline(self.ledger, leads=leads),
            self.anchorer.next_deadline(self.ledger, coordinator),
            self.anchor_watch.next_deadline(self.ledger),
            self.headers.next_deadline(self.ledger, leads=leads),
            self.offerer.next_deadline(self.ledger, self.worker.unwanted),
            self.announcer.next_deadline(self.ledger),
            self.asked.next_deadline,
        )
        return min((each for each in due if each is not None), default=NEVER_MS)
