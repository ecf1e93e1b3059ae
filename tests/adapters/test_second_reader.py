"""Every kind of transaction that is made here, and every descriptor, as bitcoinlib reads them."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from ambientd.adapters.anchor_wallet import AnchorWallet, anchor_wallet
from ambientd.adapters.regtest.miner import OPEN_SCRIPT, mine
from ambientd.model.base import Digest
from ambientd.model.peg import PaymentKind, PegPayment, PegWallet
from ambientd.roles.anchoring.book import Coin
from ambientd.rules.bitcoin import decode_block, decode_transaction
from ambientd.rules.peg_payments import digests, outputs, signed_transaction, txid
from ambientd.rules.peg_script import address, descriptor, locking_script
from tests.adapters.second_reader import Reading, addresses, readings
from tests.rules.peg import coin, peg_out, root_key, signed_by, signer, wallet

pytestmark = pytest.mark.slow

ANCHORS = AnchorWallet(b"\x21" * 32, "regtest")
ROOT = Digest(bytes(range(32)))
HASH = bytes(range(32))
PAYEES = {
    "P2PKH": b"\x76\xa9\x14" + HASH[:20] + b"\x88\xac",
    "P2SH": b"\xa9\x14" + HASH[:20] + b"\x87",
    "P2WPKH": b"\x00\x14" + HASH[:20],
    "P2WSH": b"\x00\x20" + HASH,
    # A point of the curve: programs that derive addresses may look.
    "P2TR": b"\x51\x20" + root_key(1).get_public_key().xonly(),
}


def read(folder: Path, raws: Sequence[bytes], values: Sequence[Sequence[int]]) -> list[Reading]:
    found = readings(folder, list(zip(raws, values, strict=True)))
    assert not [each for each in found if isinstance(each, str)], found
    return [each for each in found if isinstance(each, Reading)]


def test_anchors_and_their_replacements(tmp_path: Path) -> None:
    values = [(100_000,), (30_000, 40_000, 50_000)]
    coins = [
        [Coin(txid=bytes([n + 1]) * 32, index=n, value_sat=value) for n, value in enumerate(each)]
        for each in values
    ]
    raws = [ANCHORS.sign(each, ROOT, fee) for each in coins for fee in (200, 9_000)]
    found = read(tmp_path, raws, [each for each in values for _ in range(2)])
    for raw, reading in zip(raws, found, strict=True):
        ours = decode_transaction(raw)
        assert (reading.txid, reading.raw, reading.vsize) == (ours.txid, raw, ours.vsize)
        assert reading.is_verified
        assert set(reading.spent) == {ANCHORS.address}
        assert list(reading.paid) == [(each.value_sat, each.script) for each in ours.outputs]


def signed(
    payment: PegPayment, version: int, wallets: dict[int, PegWallet], who: list[int]
) -> bytes:
    raw = signed_transaction(payment, version, wallets, signed_by(who, payment, version, wallets))
    assert raw is not None
    return raw


def payments() -> list[tuple[PegPayment, dict[int, PegWallet], list[int]]]:
    """Peg-outs to all kinds of payees, from small and large wallets; sweeps; late peg-ins."""
    small, large = wallet(3, 4), wallet(14, 20)
    two = (coin(50_000), coin(60_000, index=0, number=2))
    # Keys of both are known to the same test signers; a rotation let the fourth go for a fifth.
    rotated = PegWallet(threshold=3, signers=tuple(signer(each) for each in (0, 1, 2, 4)))
    outs = [
        (replace(peg_out(small, two, 70_000, 1_000, 9_000), script=script), {1: small}, [0, 1, 3])
        for script in PAYEES.values()
    ]
    exact = peg_out(small, two, 110_000, 700, 800)
    of_large = peg_out(large, two, 70_000, 3_000, 5_000)
    moved = {"amount_sat": 0, "script": b"", "change_script": locking_script(rotated, 0)}
    sweep = replace(peg_out(small, two, 0, 900, 4_000), kind=PaymentKind.SWEEP, **moved)
    late = replace(peg_out(small, two[:1], 0, 600, 700), kind=PaymentKind.LATE, **moved)
    return [
        *outs,
        (exact, {1: small}, [1, 2, 3]),
        (of_large, {1: large}, list(range(6, 20))),
        (sweep, {1: small, 2: rotated}, [0, 2, 3]),
        (late, {1: small, 2: rotated}, [0, 1, 2]),
    ]


def test_payments_of_the_peg_in_all_their_versions(tmp_path: Path) -> None:
    made = [(*each, version) for each in payments() for version in (0, 1)]
    raws = [signed(payment, version, wallets, who) for payment, wallets, who, version in made]
    values = [[spent.value_sat for spent in payment.coins] for payment, _, _, _ in made]
    found = read(tmp_path, raws, values)
    for (payment, wallets, _, version), raw, reading in zip(made, raws, found, strict=True):
        assert (reading.txid, reading.raw) == (txid(payment, version), raw)
        assert reading.is_verified
        assert reading.vsize == decode_transaction(raw).vsize
        assert list(reading.digests) == digests(payment, version, wallets)
        assert list(reading.paid) == outputs(payment, version)
        where = [address(wallets[1], spent.index, "regtest") for spent in payment.coins]
        assert list(reading.spent) == where


def test_coinbases_that_the_embedded_chain_makes(tmp_path: Path) -> None:
    """Not the faucet's payments: bitcoinlib reads no coin that anyone may spend.

    It writes a coinbase's witness otherwise, so its bytes are not compared.
    """
    heights = (1, 17, 300, 70_000)
    blocks = [mine(bytes(32), height, 1_700_000_000, OPEN_SCRIPT, []) for height in heights]
    raws = [decode_block(block)[1][0].raw for block in blocks]
    for raw, reading in zip(raws, read(tmp_path, raws, [(0,)] * len(raws)), strict=True):
        ours = decode_transaction(raw)
        assert (reading.txid, reading.vsize) == (ours.txid, ours.vsize)
        assert list(reading.paid) == [(each.value_sat, each.script) for each in ours.outputs]


def test_what_is_not_signed_as_it_stands_does_not_verify(tmp_path: Path) -> None:
    [payment, wallets, who] = payments()[0]
    good, values = signed(payment, 0, wallets, who), [spent.value_sat for spent in payment.coins]
    paid = outputs(payment, 0)[0][0].to_bytes(8, "little")
    assert good.count(paid) == 1
    more = good.replace(paid, (outputs(payment, 0)[0][0] + 1).to_bytes(8, "little"))
    first = {1: PegWallet(threshold=2, signers=wallets[1].signers)}
    few = signed(payment, 0, first, [0, 1])  # of a wallet of others, whose address it is not
    found = read(tmp_path, [good, more, good, few], [values, values, [1, 2], values])
    assert [each.is_verified for each in found][:3] == [True, False, False]
    assert found[3].spent != found[0].spent


def test_descriptors_lead_a_watch_only_wallet_to_our_addresses(tmp_path: Path) -> None:
    for ours in (wallet(3, 4), wallet(5, 7)):
        theirs = addresses(tmp_path, descriptor(ours, "regtest"), 4)
        assert theirs == [address(ours, index, "regtest") for index in range(4)]
    paying = anchor_wallet(bytes(32), "regtest")
    assert addresses(tmp_path, paying.descriptor, 1) == [paying.address]
