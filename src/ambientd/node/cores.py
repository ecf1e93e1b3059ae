"""The parts of a node."""

from dataclasses import dataclass

from ambientd.consensus.log import Log
from ambientd.ledger.state import LedgerState
from ambientd.node.learning import Learning
from ambientd.roles.anchor_watch import AnchorWatch
from ambientd.roles.anchorer import Anchorer
from ambientd.roles.checkpointer import Checkpointer
from ambientd.roles.coordinator import Coordinator
from ambientd.roles.courier import Courier
from ambientd.roles.disputer import Disputer
from ambientd.roles.header_bringer import HeaderBringer
from ambientd.roles.offerer import Offerer
from ambientd.roles.referee import Referee
from ambientd.roles.reporter import Reporter
from ambientd.roles.submitter import Submitter
from ambientd.roles.worker import Worker
from ambientd.telemetry.core import Telemetry


@dataclass(slots=True)
class Cores:
    """The parts that a node routes between."""

    log: Log
    ledger: LedgerState
    worker: Worker
    coordinator: Coordinator
    disputer: Disputer
    referee: Referee
    learning: Learning
    reporter: Reporter
    checkpointer: Checkpointer
    anchorer: Anchorer
    anchor_watch: AnchorWatch
    headers: HeaderBringer
    offerer: Offerer
    submitter: Submitter
    courier: Courier
    telemetry: Telemetry
