"""What the ledger holds of the peg (protocols/14-peg.md)."""

from typing import TypeAlias

from ambientd.model.base import NodeId, Value
from ambientd.model.peg import CoinState, PegPayment, PegSight, PegWallet, PegWord


class PegEntry(Value, frozen=True):
    """The peg's numbers: how many there are of each, and what came in, left, and went in fees.

    `leaving_sat` is what payments under way take from the accounts: peg-outs, fees of sweeps.
    """

    wallet: int = 0
    addresses: int = 0
    payments: int = 0
    leaving_sat: int = 0
    in_sat: int = 0
    out_sat: int = 0
    fees_sat: int = 0


class PegNodeEntry(Value, frozen=True):
    """A node's part in the peg: its key as a member, its address's index, its unconfirmed words.

    Index 0 is of the federation's own change, so a node without an address has it.
    """

    key: bytes = b""
    chain_code: bytes = b""
    said_ms: int = 0
    since_ms: int = 0
    index: int = 0
    claims: int = 0


class PegCoinEntry(Value, frozen=True):
    """An output that pays the federation; whose peg-in it is, who has seen it, what spends it."""

    value_sat: int
    wallet: int
    index: int
    state: CoinState
    node: NodeId
    words: tuple[NodeId, ...] = ()
    payment: int = 0


class PegChangeEntry(Value, frozen=True):
    """What a coin that came back to the federation is called, whichever version it came back in."""

    root: bytes


class PegLeastEntry(Value, frozen=True):
    """The least that a coin which came back is worth, whichever versions are mined before it.

    As long as `payment` is known, which of its versions that is may change.
    """

    least_sat: int
    payment: int


class PegReturnEntry(Value, frozen=True):
    """What a node wants back, where to, for which fee; the payment once that has begun."""

    txid: bytes
    output: int
    script: bytes
    fee_sat: int
    said_ms: int
    payment: int = 0


class PegEndEntry(Value, frozen=True):
    """Since when a payment is final, how often another version was, and who sees another now."""

    ended_ms: int
    turn: int = 0
    sights: tuple[PegSight, ...] = ()


class PegPaymentEntry(Value, frozen=True):
    """A payment with its versions' signatures, and which version is final once one is."""

    payment: PegPayment
    made_ms: int
    words: tuple[PegWord, ...] = ()
    sights: tuple[PegSight, ...] = ()
    final: int | None = None


PegEntries: TypeAlias = (
    PegEntry
    | PegNodeEntry
    | PegCoinEntry
    | PegPaymentEntry
    | PegWallet
    | PegChangeEntry
    | PegLeastEntry
    | PegReturnEntry
    | PegEndEntry
)
