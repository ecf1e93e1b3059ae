"""The peg's values: keys of members, wallets of committees, coins and payments."""

from enum import IntEnum
from typing import Final

from ambientd.model.base import NodeId, Value

MSAT_PER_SAT: Final = 1_000


class PegSigner(Value, frozen=True):
    """A member's public part of a wallet: a key and its chain code (BIP 32)."""

    member: NodeId
    key: bytes
    chain_code: bytes


class PegWallet(Value, frozen=True):
    """Whose signatures spend, and how many of them it takes."""

    threshold: int
    signers: tuple[PegSigner, ...]


class PegCoin(Value, frozen=True):
    """An output that a wallet can spend; `index` says which of its addresses was paid."""

    txid: bytes
    output: int
    value_sat: int
    wallet: int
    index: int


class PaymentKind(IntEnum):
    """Why the federation's bitcoin moves."""

    PEG_OUT = 0
    SWEEP = 1
    """Coins of an earlier wallet go to the present one."""
    LATE = 2
    """A peg-in that came to an earlier wallet goes to the present one, then it is credited."""
    RETURN = 3
    """What came in and is never credited goes back, from its own worth."""


class PegPayment(Value, frozen=True):
    """What the log has decided to pay; versions differ in their fee and in nothing else."""

    kind: PaymentKind
    node: NodeId
    amount_sat: int
    script: bytes
    coins: tuple[PegCoin, ...]
    change_script: bytes
    change_wallet: int
    fees_sat: tuple[int, ...]

    @property
    def goes_out(self) -> bool:
        """Tell whether it pays somebody outside, who bears its fee."""
        return self.kind in (PaymentKind.PEG_OUT, PaymentKind.RETURN)

    @property
    def total_sat(self) -> int:
        """What its coins are worth."""
        return sum(coin.value_sat for coin in self.coins)

    @property
    def change_sat(self) -> int:
        """What comes back to the federation, whatever the fee."""
        return self.total_sat - self.amount_sat


class CoinState(IntEnum):
    """What the log knows of an output that pays the federation."""

    CLAIMED = 0
    """Some members have seen it deep in the chain, a quorum has not."""
    HELD = 1
    RESERVED = 2
    """A payment spends it."""
    SPENT = 3
    """Kept so that no peg-in is credited twice."""
    AWAITED = 4
    """A payment spends it that was final, and comes back when the payment before is final again."""
    WAITING = 5
    """A quorum has seen it, and the peg may not hold so much at present."""
    RETURNED = 6
    """It went back; kept so that it is never credited."""


class PegWord(Value, frozen=True):
    """One member's signatures on one version of a payment."""

    member: NodeId
    version: int
    signatures: tuple[bytes, ...]


class PegSight(Value, frozen=True):
    """One member's word that a version of a payment is deep in the chain."""

    member: NodeId
    version: int
