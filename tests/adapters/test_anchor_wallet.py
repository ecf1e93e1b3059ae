"""The wallet signs the anchors that were decided on, and nothing that is none."""

import pytest

from ambientd.adapters.anchor_wallet import AnchorWallet, script_of_address
from ambientd.errors import ConfigError, LocalProtocolError, UsageError
from ambientd.model.base import Digest
from ambientd.roles.anchoring.book import Coin
from ambientd.rules.anchor_costs import DUST_SAT, INPUTS_MAX, anchor_vsize
from ambientd.rules.bitcoin import committed_roots, decode_transaction

WALLET = AnchorWallet(b"\x07" * 32, "regtest")
ROOT = Digest(bytes(range(32)))


def coin(value_sat: int, number: int = 1) -> Coin:
    return Coin(txid=bytes([number]) * 32, index=number, value_sat=value_sat)


@pytest.mark.parametrize(
    ("network", "prefix"),
    [("main", "bc1q"), ("testnet4", "tb1q"), ("signet", "tb1q"), ("regtest", "bcrt1q")],
)
def test_every_network_has_its_own_address_for_a_seed(network: str, prefix: str) -> None:
    wallet = AnchorWallet(b"\x07" * 32, network)
    assert wallet.address.startswith(prefix)
    assert script_of_address(wallet.address) == wallet.script
    assert AnchorWallet(b"\x07" * 32, network).address == wallet.address
    assert AnchorWallet(b"\x08" * 32, network).address != wallet.address


def test_an_anchor_commits_the_root_spends_the_coins_and_returns_the_rest() -> None:
    coins = [coin(100_000), coin(400, 2)]
    decoded = decode_transaction(WALLET.sign(coins, ROOT, 500))
    assert committed_roots(decoded) == [ROOT]
    assert [output.value_sat for output in decoded.outputs] == [0, 99_900]
    assert decoded.outputs[1].script == WALLET.script
    assert [each.outpoint for each in decoded.inputs] == [each.outpoint for each in coins]
    assert {each.sequence for each in decoded.inputs} == {0xFFFFFFFD}
    assert WALLET.sign(coins, ROOT, 500) == decoded.raw, "the same request gives the same bytes"


@pytest.mark.parametrize("inputs", [1, 2, 3, 7, INPUTS_MAX])
def test_an_anchor_is_never_larger_than_its_fee_was_worked_out_for(inputs: int) -> None:
    coins = [coin(100_000, number + 1) for number in range(inputs)]
    vsize = decode_transaction(WALLET.sign(coins, ROOT, 500)).vsize
    assert anchor_vsize(inputs) - inputs <= vsize <= anchor_vsize(inputs)


def test_what_is_no_anchor_is_not_signed() -> None:
    for root, fee_sat in ((b"short", 500), (ROOT, -1), (ROOT, 100_000 - DUST_SAT + 1)):
        with pytest.raises(LocalProtocolError, match="no anchor"):
            WALLET.sign([coin(100_000)], Digest(root), fee_sat)


def test_wrong_seeds_networks_and_addresses_are_refused() -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        AnchorWallet(b"short", "regtest")
    with pytest.raises(ConfigError, match="unknown Bitcoin network"):
        AnchorWallet(b"\x07" * 32, "dogecoin")
    for text in ("", "bcrt1qnonsense", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", "\x00", "é" * 200):
        with pytest.raises(UsageError, match="not a Bitcoin address"):
            script_of_address(text)


def test_an_old_style_address_is_understood() -> None:
    found = script_of_address("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2")
    assert found[:3] == b"\x76\xa9\x14"
