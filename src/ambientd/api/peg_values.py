"""What is asked of a node about the peg, and what it answers; amounts in satoshi."""

from typing import Annotated

from msgspec import Meta

from ambientd.api.replies import Reply
from ambientd.api.requests import Request

AmountSat = Annotated[int, Meta(ge=1, le=21 * 10**14)]


class GetPegAddress(Request, frozen=True):
    """Where does this node peg in? It asks the log for an address if it has none."""


class ListPeg(Request, frozen=True):
    """What came in for this node, and what goes out?"""


class Withdraw(Request, frozen=True):
    """Send some of this node's credits to a Bitcoin address; a rate in msat/vB, 0 for 2 sat/vB."""

    address: Annotated[str, Meta(min_length=1, max_length=100)]
    amount_sat: AmountSat
    rate_msat_vb: Annotated[int, Meta(ge=0, le=100_000_000)] = 0


class RaiseFee(Request, frozen=True):
    """Pay more for a peg-out that waits."""

    payment: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    fee_sat: AmountSat


class AuditPeg(Request, frozen=True):
    """Do the federation's coins on the chain cover what the ledger owes?"""


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


class PegInInfo(Reply, frozen=True):
    """One output that came to a node's address."""

    outpoint: str
    value_sat: int
    wallet: int
    state: str
    members: int
    """How many members have said that they see it; those of a counted one are not kept."""


class PaymentInfo(Reply, frozen=True):
    """One payment of the federation: its newest version, or the one that is final."""

    payment: int
    kind: str
    state: str
    amount_sat: int
    fee_sat: int
    versions: int
    signatures: int
    needed: int
    txid: str


class PegList(Reply, frozen=True):
    """A node's peg-ins, and its peg-outs."""

    peg_ins: tuple[PegInInfo, ...]
    payments: tuple[PaymentInfo, ...]


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
