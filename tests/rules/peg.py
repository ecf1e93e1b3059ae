"""Wallets and payments whose secrets the tests know; embit derives and signs."""

from functools import cache

from embit import bip32, ec

from ambientd.codec.digest import sha256
from ambientd.model.base import NodeId
from ambientd.model.peg import PaymentKind, PegCoin, PegPayment, PegSigner, PegWallet
from ambientd.rules.peg_payments import digests
from ambientd.rules.peg_script import keys_of, locking_script

PAYEE = b"\x00\x14" + bytes(range(20))


@cache
def root_key(number: int) -> bip32.HDKey:
    return bip32.HDKey.from_seed(sha256(b"peg %d" % number))


def signer(number: int) -> PegSigner:
    root = root_key(number)
    key = root.get_public_key().serialize()
    return PegSigner(
        member=NodeId(sha256(b"member %d" % number)), key=key, chain_code=root.chain_code
    )


def wallet(threshold: int, count: int) -> PegWallet:
    return PegWallet(threshold=threshold, signers=tuple(signer(each) for each in range(count)))


def coin(value_sat: int, index: int = 5, number: int = 1, wallet: int = 1) -> PegCoin:
    return PegCoin(
        txid=sha256(b"coin %d" % number),
        output=number,
        value_sat=value_sat,
        wallet=wallet,
        index=index,
    )


def peg_out(
    own: PegWallet, coins: tuple[PegCoin, ...], amount_sat: int, *fees_sat: int
) -> PegPayment:
    return PegPayment(
        kind=PaymentKind.PEG_OUT,
        node=NodeId(sha256(b"payee")),
        amount_sat=amount_sat,
        script=PAYEE,
        coins=coins,
        change_script=locking_script(own, 0),
        change_wallet=1,
        fees_sat=fees_sat,
    )


def compact(signature: ec.Signature) -> bytes:
    """Give r and s of what embit signed."""
    der = signature.serialize()
    size = der[3]
    r, s = der[4 : 4 + size], der[6 + size :]
    return r.lstrip(b"\x00").rjust(32, b"\x00") + s.lstrip(b"\x00").rjust(32, b"\x00")


def signed_by(
    numbers: list[int], payment: PegPayment, version: int, wallets: dict[int, PegWallet]
) -> list[dict[bytes, bytes]]:
    """Let some members sign every coin."""
    found: list[dict[bytes, bytes]] = []
    for spent, digest in zip(payment.coins, digests(payment, version, wallets), strict=True):
        signatures = {}
        for number in numbers:
            child = root_key(number).derive([spent.index]).key
            signatures[child.get_public_key().serialize()] = compact(child.sign(digest))
        assert set(signatures) <= set(keys_of(wallets[spent.wallet], spent.index))
        found.append(signatures)
    return found
