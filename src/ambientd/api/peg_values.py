"""What is asked of a node about the peg, and what it answers; amounts in satoshi."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from ambientd.api.replies import Reply
from ambientd.api.requests import PAGE_MAX, Cursor, PageSize, Request

AmountSat = Annotated[int, Meta(ge=1, le=21 * 10**14)]
OutpointText = Annotated[str, Meta(pattern="^[0-9a-f]{64}:[0-9]{1,9}$")]
BitcoinAddress = Annotated[str, Meta(min_length=1, max_length=100)]


class GetPegAddress(Request, frozen=True):
    """Where does this node peg in? It asks the log for an address if it has none."""


class ListPeg(Request, frozen=True):
    """What came in for this node, and then what goes out? A page may hold some of both."""

    limit: PageSize = PAGE_MAX
    after: Cursor = ""


class QuoteWithdrawal(Request, frozen=True):
    """What would a peg-out cost now? A rate in msat/vB, 0 for 2 sat/vB; nothing is moved."""

    address: BitcoinAddress
    amount_sat: AmountSat
    rate_msat_vb: Annotated[int, Meta(ge=0, le=100_000_000)] = 0


class Withdraw(Request, frozen=True):
    """Send some of this node's credits to a Bitcoin address; the fee goes off the amount."""

    address: BitcoinAddress
    amount_sat: AmountSat
    fee_sat: AmountSat


class QuoteReturn(Request, frozen=True):
    """What would it cost to send back what is never credited? Nothing is moved."""

    outpoint: OutpointText
    address: BitcoinAddress
    rate_msat_vb: Annotated[int, Meta(ge=0, le=100_000_000)] = 0


class ReturnPegIn(Request, frozen=True):
    """Send back what came to this node's address and is never credited; the fee goes off it."""

    outpoint: OutpointText
    address: BitcoinAddress
    fee_sat: AmountSat


class RaiseFee(Request, frozen=True):
    """Pay more for a peg-out that waits."""

    payment: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    fee_sat: AmountSat


class AuditPeg(Request, frozen=True):
    """Do the federation's coins on the chain cover what the ledger owes? Its coins in pages."""

    limit: PageSize = PAGE_MAX
    after: Cursor = ""


class PegAddressReply(Reply, frozen=True):
    """Where to peg in; the descriptor is of all addresses of the wallet."""

    address: str
    index: int
    wallet: int
    network: str
    descriptor: str
    confirmations: int
    least_sat: int
    fee_sat: int
    most_sat: int
    """The most that the whole peg holds, 0 for no bound: a peg-in that does not fit waits."""
    room_sat: int
    """How much of that is left."""
    unaudited: tuple[str, ...]
    """On the main network: what nobody has audited."""


class WithdrawalQuote(Reply, frozen=True):
    """A peg-out before anything is moved: what goes off the balance, and what arrives of it."""

    amount_sat: int
    fee_sat: int
    arrives_sat: int


class ReturnInfo(Reply, frozen=True):
    """What goes back: its worth, the fee, and what arrives of it."""

    outpoint: str
    value_sat: int
    fee_sat: int
    arrives_sat: int
    payment: int
    """The payment that brings it back; 0 before members have seen it, and for a quote."""


class PegInState(StrEnum):
    """How far an output that came to a node's address is."""

    TOO_SMALL = "too-small"
    CONFIRMING = "confirming"
    AWAITED = "awaited"
    """Deep enough; no member has said yet that it sees it."""
    CLAIMED = "claimed"
    LATE = "late"
    """It came to an earlier wallet, and a payment is bringing it to the present one."""
    WAITING = "waiting"
    """A quorum has seen it; the peg may not hold so much until enough has gone out."""
    TOO_LARGE = "too-large"
    """A quorum has seen it; it is above all that the peg may hold, or bring over."""
    TOO_LONG = "too-long"
    """Its transaction is longer than the log takes: it never counts, nor can it go back."""
    COUNTED = "counted"
    RETURN_ASKED = "return-asked"
    """It is never credited, and goes back once enough members have seen it."""
    RETURNING = "returning"
    RETURNED = "returned"


class PegInInfo(Reply, frozen=True):
    """One output that came to a node's address."""

    outpoint: str
    value_sat: int
    wallet: int
    is_late: bool
    """Whether that is an earlier wallet than the present one."""
    state: PegInState
    members: int
    """How many members have said that they see it; those of a counted one are not kept."""
    members_needed: int
    confirmations: int | None
    """None for what the ledger alone knows: it is counted, or this node sees no chain."""
    confirmations_needed: int
    due_s: int | None
    """About how long until it is deep enough, where Bitcoin blocks come at their usual pace."""
    payment: int
    """What brings a late one over, or one back that is never credited; 0 for any other."""
    return_sat: int = 0
    """What it costs at least to send back what is not credited; 0 where that cannot be."""


class PaymentInfo(Reply, frozen=True):
    """One payment of the federation: its newest version, or the one that is final."""

    payment: int
    kind: str
    state: str
    amount_sat: int
    fee_sat: int
    arrives_sat: int
    """What is paid to who withdraws, or comes to the present wallet."""
    versions: int
    signatures: int
    needed: int
    txid: str


class PegList(Reply, frozen=True):
    """A node's peg-ins, and its peg-outs."""

    peg_ins: tuple[PegInInfo, ...]
    payments: tuple[PaymentInfo, ...]
    unseen: str
    """Why peg-ins that do not count yet may be missing here; empty when the chain was asked."""
    next: str | None = None


class CoinInfo(Reply, frozen=True):
    """A coin that the ledger holds, and whether the chain has it unspent; None without a chain."""

    outpoint: str
    value_sat: int
    address: str
    is_unspent: bool | None


class PegAudit(Reply, frozen=True):
    """The books: coins against what is owed. Coins that a payment spends may be gone already."""

    network: str
    held_sat: int
    reserved_sat: int
    waiting_sat: int
    """What came in and waits below the bound: it is at the federation's addresses, and not owed."""
    owed_msat: int
    in_sat: int
    out_sat: int
    fees_sat: int
    fault: str
    descriptors: tuple[str, ...]
    coins: tuple[CoinInfo, ...]
    payments: tuple[PaymentInfo, ...]
    missing_sat: int
    """Coins that the chain does not have, and that no payment of the ledger's has spent."""
    most_sat: int
    """The most that the peg holds, 0 for no bound."""
    unaudited: tuple[str, ...]
    """On the main network: what nobody has audited."""
    unseen: str = ""
    """What the chain did not say in time, or why; empty when every coin was looked for."""
    next: str | None = None
    """Where the coins go on; all else is of all of them, on every page."""
