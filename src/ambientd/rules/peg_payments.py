"""The peg's transactions, worked out from what the log holds (protocols/14-peg.md section 4).

Every version of a payment spends the same coins, so the chain takes one of them at most. The
payee, or whoever's peg-in came late, bears the fee; what comes back is the same in all versions.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from ambientd.codec.digest import tagged
from ambientd.model.peg import PegCoin, PegPayment, PegWallet
from ambientd.rules.bitcoin_codec import Outpoint, compact_size, double_sha256
from ambientd.rules.peg_script import keys_of, witness_script

COINS_MAX: Final = 32
PEG_IN_MIN_SAT: Final = 10_000
"""Less would cost more to bring over, sweep and prove than it brings."""
CHANGE_MIN_SAT: Final = 1_000  # Bitcoin Core relays no output to a script hash below 330
PAYEE_MIN_SAT: Final = 546  # the highest such limit of all kinds of outputs
FEE_MAX_SAT: Final = 100_000
RELAY_SAT_KVB: Final = 1_000
CHANGE_INDEX: Final = 0
_VERSION: Final = (2).to_bytes(4, "little")
_LOCKTIME: Final = bytes(4)
_REPLACEABLE: Final = (0xFFFFFFFD).to_bytes(4, "little")  # BIP 125
_SIGHASH_ALL: Final = 1
_SIGNATURE_SIZE_MAX: Final = 72  # DER, s in the lower half, the kind of signature with it

Wallets = Mapping[int, PegWallet]


def is_payable(script: bytes) -> bool:
    """Tell whether a script is one of the kinds that have an address."""
    size = len(script)
    return (
        (size == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac")
        or (size == 23 and script[:2] == b"\xa9\x14" and script[22:] == b"\x87")
        or (size == 22 and script[:2] == b"\x00\x14")
        or (size == 34 and script[:2] in (b"\x00\x20", b"\x51\x20"))
    )


def chosen(
    coins: Sequence[tuple[int, Outpoint]],
    amount_sat: int,
    least_sat: Mapping[Outpoint, int] = MappingProxyType({}),
) -> list[Outpoint] | None:
    """Choose coins, sorted by value, that pay an amount exactly or leave enough change; or None.

    The smallest coin that does alone; else the largest ones, as few as do. Some may turn out to
    be worth less (`least_sat`): what they leave is enough even so.
    """
    place = bisect_left(coins, amount_sat, key=lambda each: each[0])
    for value_sat, outpoint in coins[place : place + COINS_MAX]:
        if _leaves_enough(value_sat - amount_sat, least_sat.get(outpoint, value_sat) - amount_sat):
            return [outpoint]
    left_sat, left_least_sat, taken = -amount_sat, -amount_sat, []
    for value_sat, outpoint in reversed(coins[-COINS_MAX:]):
        left_sat += value_sat
        left_least_sat += least_sat.get(outpoint, value_sat)
        taken.append(outpoint)
        if _leaves_enough(left_sat, left_least_sat):
            return taken
    return None


def _leaves_enough(change_sat: int, least_sat: int) -> bool:
    return change_sat == 0 == least_sat or least_sat >= CHANGE_MIN_SAT


def fee_fault(payment: PegPayment, fee_sat: int, wallets: Wallets, less_sat: int = 0) -> str | None:
    """Say why a payment cannot bear a fee, or None when it can.

    `less_sat` is what its coins may turn out to be worth less than they are now.
    """
    least = fee_at(payment, wallets, RELAY_SAT_KVB)
    if fee_sat < least:
        return f"a fee of {fee_sat} sat is below the {least} sat at which nodes relay this payment"
    if fee_sat > FEE_MAX_SAT:
        return f"a fee of {fee_sat} sat is above the limit of {FEE_MAX_SAT}"
    left = _bearer_sat(payment) - fee_sat - less_sat
    floor = PAYEE_MIN_SAT if payment.goes_out else CHANGE_MIN_SAT
    if left < floor:
        return f"after a fee of {fee_sat} sat, {left} sat are left, less than {floor}: dust"
    return None


def fee_at(payment: PegPayment, wallets: Wallets, sat_per_kvb: int) -> int:
    """Give the fee of a payment at a rate, rounded up."""
    return -(-size_of(payment, wallets) * sat_per_kvb // 1_000)


def _bearer_sat(payment: PegPayment) -> int:
    """Give the output that the fee is taken from."""
    return payment.amount_sat if payment.goes_out else payment.total_sat


def outputs(payment: PegPayment, version: int) -> list[tuple[int, bytes]]:
    """Give what a version pays: value and script, the payee first."""
    left_sat = _bearer_sat(payment) - payment.fees_sat[version]
    if not payment.goes_out:
        return [(left_sat, payment.change_script)]
    paid = [(left_sat, payment.script)]
    return [*paid, (payment.change_sat, payment.change_script)] if payment.change_sat else paid


def own_outputs(payment: PegPayment) -> range:
    """Give the places of the outputs that come back to the federation."""
    return range(int(payment.goes_out), len(outputs(payment, 0)))


def named(payment: PegPayment, roots: Sequence[bytes]) -> list[PegCoin]:
    """Give a payment's coins by what they are called, whichever versions they came back in.

    Only one version of the payment before is ever mined, so a name stands for one coin at most
    in any chain; what it is worth may depend on that version's fee.
    """
    found = (
        replace(coin, txid=root, value_sat=0) if root else coin
        for coin, root in zip(payment.coins, roots, strict=True)
    )
    return sorted(found, key=lambda coin: (coin.txid[::-1], coin.output))


def change_root(payment: PegPayment, roots: Sequence[bytes]) -> bytes:
    """Name what comes back of a payment by what it spends, which all versions have in common."""
    names = (coin.txid + coin.output.to_bytes(4, "big") for coin in named(payment, roots))
    return tagged("ambient/peg-change/1", *names)


def awaited_txid(number: int) -> bytes:
    """Give what stands for a payment's transaction until it is known which one is mined."""
    return tagged("ambient/peg-awaited/1", number.to_bytes(8, "big"))


def base_transaction(payment: PegPayment, version: int) -> bytes:
    """Give a version without witness; its double hash is the transaction's id."""
    spent = b"".join(_outpoint(coin) + compact_size(0) + _REPLACEABLE for coin in payment.coins)
    paid = outputs(payment, version)
    return b"".join(
        (
            _VERSION,
            compact_size(len(payment.coins)),
            spent,
            compact_size(len(paid)),
            *(_output(value_sat, script) for value_sat, script in paid),
            _LOCKTIME,
        )
    )


def txid(payment: PegPayment, version: int) -> bytes:
    """Name a version, before anybody has signed it."""
    return double_sha256(base_transaction(payment, version))


def digests(payment: PegPayment, version: int, wallets: Wallets) -> list[bytes]:
    """Give what is signed for each coin: all inputs and all outputs (BIP 143)."""
    coins = payment.coins
    all_spent = double_sha256(b"".join(_outpoint(coin) for coin in coins))
    all_sequences = double_sha256(_REPLACEABLE * len(coins))
    all_paid = double_sha256(b"".join(_output(*paid) for paid in outputs(payment, version)))
    found = []
    for coin in coins:
        script = witness_script(wallets[coin.wallet], coin.index)
        signed = (
            _VERSION,
            all_spent,
            all_sequences,
            _outpoint(coin),
            compact_size(len(script)) + script,
            coin.value_sat.to_bytes(8, "little"),
            _REPLACEABLE,
            all_paid,
            _LOCKTIME,
            _SIGHASH_ALL.to_bytes(4, "little"),
        )
        found.append(double_sha256(b"".join(signed)))
    return found


def signed_transaction(
    payment: PegPayment,
    version: int,
    wallets: Wallets,
    signatures: Sequence[Mapping[bytes, bytes]],
) -> bytes | None:
    """Put a version together; for each coin its keys' signatures; None as long as some lack."""
    witness = b""
    for coin, signed in zip(payment.coins, signatures, strict=True):
        wallet = wallets[coin.wallet]
        kept = [signed[key] for key in keys_of(wallet, coin.index) if key in signed]
        if len(kept) < wallet.threshold:
            return None
        stack = [b"", *(_der(each) for each in kept[: wallet.threshold])]
        stack.append(witness_script(wallet, coin.index))
        witness += compact_size(len(stack))
        witness += b"".join(compact_size(len(item)) + item for item in stack)
    base = base_transaction(payment, version)
    return base[:4] + b"\x00\x01" + base[4:-4] + witness + base[-4:]


def size_of(payment: PegPayment, wallets: Wallets) -> int:
    """Give a payment's size in virtual bytes, with signatures of the largest size."""
    # Without a fee: the one that is asked for may be more than there is.
    weight = 4 * len(base_transaction(replace(payment, fees_sat=(0,)), 0)) + 2
    for coin in payment.coins:
        wallet = wallets[coin.wallet]
        script = len(witness_script(wallet, coin.index))
        items = [0, *[_SIGNATURE_SIZE_MAX] * wallet.threshold, script]
        weight += len(compact_size(len(items)))
        weight += sum(len(compact_size(item)) + item for item in items)
    return -(-weight // 4)


def _outpoint(coin: PegCoin) -> bytes:
    return coin.txid + coin.output.to_bytes(4, "little")


def _output(value_sat: int, script: bytes) -> bytes:
    return value_sat.to_bytes(8, "little") + compact_size(len(script)) + script


def _der(signature: bytes) -> bytes:
    """Write a signature as scripts read it, with the kind of what it signs."""
    numbers = b"".join(_der_number(each) for each in (signature[:32], signature[32:]))
    return b"\x30" + bytes([len(numbers)]) + numbers + bytes([_SIGHASH_ALL])


def _der_number(number: bytes) -> bytes:
    short = number.lstrip(b"\x00") or b"\x00"
    padded = b"\x00" + short if short[0] & 0x80 else short
    return b"\x02" + bytes([len(padded)]) + padded
