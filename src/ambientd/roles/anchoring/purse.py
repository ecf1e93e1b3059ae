"""Which coins pay for an anchor, and how much."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ambientd.model.base import Digest
from ambientd.roles.anchoring.book import Coin
from ambientd.rules.anchor_costs import (
    DUST_SAT,
    INPUTS_MAX,
    RELAY_RATE_MSAT_VB,
    anchor_vsize,
    fee_sat,
)

FeeOf = Callable[[int], int]


class Purse(Protocol):
    """One wallet's signer, in this process, on a device or on another machine; it may be slow."""

    def sign(self, coins: Sequence[Coin], root: Digest, fee_sat: int) -> bytes | str:
        """Sign the anchor of a root that spends exactly these coins and pays exactly this fee.

        Or say why there is no signature now: the root waits, and is asked for again.
        """
        ...


@dataclass(frozen=True, slots=True)
class Payment:
    """Coins and the fee they pay."""

    coins: tuple[Coin, ...]
    fee_sat: int


@dataclass(frozen=True, slots=True)
class Short:
    """The coins do not reach."""

    available_sat: int
    needed_sat: int


def first_fee(rate_msat_vb: int) -> FeeOf:
    """Give the fee of a first version at a rate."""
    return lambda vsize: fee_sat(rate_msat_vb, vsize)


def bumped_fee(paid_sat: int, rate_msat_vb: int, fee_sat_max: int) -> FeeOf:
    """Give the fee of a replacement: what BIP 125 asks for, and up to the cap a quarter more."""

    def fee(vsize: int) -> int:
        least = paid_sat + fee_sat(RELAY_RATE_MSAT_VB, vsize)
        wanted = max(fee_sat(rate_msat_vb, vsize), -(-paid_sat * 5 // 4))
        return max(least, min(wanted, fee_sat_max))

    return fee


def pay(kept: Sequence[Coin], more: Iterable[Coin], fee_of: FeeOf) -> Payment | Short:
    """Spend all the coins that are kept and as few of the others as do, the largest first."""
    others = sorted(more, key=lambda coin: (-coin.value_sat, coin.txid, coin.index))
    fee = fee_of(anchor_vsize(max(1, len(kept))))
    for count in range(min(len(others), INPUTS_MAX - len(kept)) + 1):
        coins = (*kept, *others[:count])
        if not coins:
            continue
        fee = fee_of(anchor_vsize(len(coins)))
        if sum(coin.value_sat for coin in coins) - fee >= DUST_SAT:
            return Payment(coins, fee)
    return Short(sum(coin.value_sat for coin in (*kept, *others)), fee + DUST_SAT)
