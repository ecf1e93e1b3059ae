"""What the ledger holds of answers that one worker gave alone (protocols/03 section 10)."""

from enum import IntEnum
from typing import TypeAlias

from ambientd.model.base import NodeId, Value
from ambientd.rules.auditing import AUDITORS


class AuditState(IntEnum):
    """How far an unreplicated answer is with its audit."""

    AWAITING = 0
    PASSED = 1
    OPEN = 2
    CONFIRMED = 3
    REFUTED = 4
    UNDECIDED = 5


class AuditSource(IntEnum):
    """What decided that an answer is audited, or not."""

    NOTHING = 0
    COMMITTEE = 1
    BITCOIN = 2
    LIE = 3
    DISPUTE = 4


class AuditEntry(Value, frozen=True):
    """What becomes of an unreplicated answer; its worker and who confirmed it vouch for it.

    `pay_msat` is what the answer's gas costs, and `permille` the share of such answers that is
    audited, for which its premium was paid. `term` and `height` are the log's and the Bitcoin
    headers' at the settlement; `round` counts its audits, and `revocation` is the leaf that takes
    it back.
    """

    worker: NodeId
    settled_ms: int
    term: int
    height: int | None = None
    state: AuditState = AuditState.AWAITING
    source: AuditSource = AuditSource.NOTHING
    round: int = 0
    pay_msat: int = 0
    permille: int = 0
    confirmed_by: tuple[NodeId, ...] = ()
    revocation: int | None = None

    @property
    def vouchers(self) -> tuple[NodeId, ...]:
        """Give on whose word the answer stands."""
        return (self.worker, *self.confirmed_by)

    @property
    def cost_msat(self) -> int:
        """Give what is set aside for an audit: for its auditors, and for referees as much.

        It goes by what the answer claims and paid premiums for, not by what its task allowed: else
        whoever allows much and uses little would lock the reserve for nothing.
        """
        return self.pay_msat * (AUDITORS + 1)


class Unvested(Value, frozen=True):
    """A worker's pay for an answer that it gave alone; it vests then, if nothing comes up."""

    amount_msat: int
    due_ms: int


class Refill(Value, frozen=True):
    """What is left of a convict's bond for audits of the answers that it vouched for.

    It lies in the reserve with all the rest.
    """

    left_msat: int


class BitcoinWindow(Value, frozen=True):
    """The last headers of the cluster's Bitcoin network, and the height of the first."""

    first: int
    headers: tuple[bytes, ...]


AuditEntries: TypeAlias = AuditEntry | Unvested | BitcoinWindow | Refill
