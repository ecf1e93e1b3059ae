"""Which coins pay for an anchor, and how much."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ambientd.errors import RemoteProtocolError, UnreachableError
from ambientd.model.base import Digest
from ambientd.roles.anchoring.book import THEIRS_BYTES_MAX, Coin, Version
from ambientd.rules.anchor_costs import (
    DUST_SAT,
    INPUTS_MAX,
    RELAY_RATE_MSAT_VB,
    anchor_vsize,
    fee_sat,
)
from ambientd.rules.bitcoin import Transaction, committed_roots, decode_transaction

REASON_CHARS_MAX = 200

FeeOf = Callable[[int], int]


class Purse(Protocol):
    """One wallet's signer, in this process, on a device or on another machine; it may be slow."""

    @property
    def script(self) -> bytes:
        """Give the script that all its coins pay, and the change."""
        ...

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


def signed(purse: Purse, payment: Payment, root: Digest) -> Version | str:
    """Have an anchor signed; or say why there is none, or none that was asked for.

    A signer outside this process has faults of its own: what it answers is of a stranger's bytes.
    """
    try:
        answer = purse.sign(payment.coins, root, payment.fee_sat)
        if isinstance(answer, str):
            return _plain(answer) or "the anchors' signer gives no signature, and gives no reason"
        transaction = decode_transaction(answer)
    except UnreachableError as error:
        return _plain(str(error))
    except RemoteProtocolError as error:
        return f"the anchors' signer gave no anchor: {error}"
    fault = _anchor_fault(transaction, purse.script, payment, root)
    if fault is not None:
        return f"the anchors' signer gave another transaction than was asked for: it {fault}"
    return Version(answer, transaction.txid, payment.fee_sat, payment.coins)


def _anchor_fault(
    transaction: Transaction, script: bytes, payment: Payment, root: Digest
) -> str | None:
    outpoints = [spent.outpoint for spent in transaction.inputs]
    wanted = {coin.outpoint for coin in payment.coins}
    if len(outpoints) != len(wanted) or set(outpoints) != wanted:
        return "spends other coins than those that were named"
    if committed_roots(transaction) != [root]:
        return "commits to another root"
    paid_sat = sum(output.value_sat for output in transaction.outputs)
    fee = sum(coin.value_sat for coin in payment.coins) - paid_sat
    if fee != payment.fee_sat:
        return f"pays {fee} sat instead of {payment.fee_sat}"
    if any(output.value_sat and output.script != script for output in transaction.outputs):
        return "pays another script than the wallet's"
    if len(transaction.raw) > THEIRS_BYTES_MAX:
        return f"has {len(transaction.raw)} bytes, more than {THEIRS_BYTES_MAX}"
    return None


def _plain(reason: str) -> str:
    kept = reason[:REASON_CHARS_MAX]
    return "".join(each if each.isprintable() else "?" for each in kept).strip()
