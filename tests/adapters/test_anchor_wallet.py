"""Anchors are small, capped, replaceable, and say what is missing."""

import math
from dataclasses import replace

import pytest

from ambientd.adapters.anchor_wallet import (
    DUST_SAT,
    INPUTS_MAX,
    AnchorWallet,
    FeeTooHigh,
    NoFunds,
    SignedAnchor,
    script_of_address,
)
from ambientd.errors import ConfigError, UsageError
from ambientd.ports.chain import Utxo
from ambientd.rules.bitcoin import committed_roots, decode_transaction

WALLET = AnchorWallet(b"\x07" * 32, "regtest")
ROOT = bytes(range(32))
CAP_SAT = 10_000


def utxo(value_sat: int, number: int = 1) -> Utxo:
    return Utxo(bytes([number]) * 32, number, value_sat, WALLET.script, height=1)


def signed(outcome: SignedAnchor | NoFunds | FeeTooHigh) -> SignedAnchor:
    assert isinstance(outcome, SignedAnchor), outcome
    return outcome


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


def test_an_anchor_commits_the_root_pays_its_rate_and_returns_the_rest() -> None:
    anchor = signed(WALLET.build_anchor([utxo(100_000)], ROOT, 2.5, CAP_SAT))
    decoded = decode_transaction(anchor.raw)
    assert committed_roots(decoded) == [ROOT]
    assert decoded.txid == anchor.txid
    assert anchor.vsize == decoded.vsize == 157
    assert anchor.fee_sat == math.ceil(2.5 * 157)
    assert [output.value_sat for output in decoded.outputs] == [0, 100_000 - anchor.fee_sat]
    assert decoded.outputs[1].script == WALLET.script
    assert decoded.inputs[0].sequence == 0xFFFFFFFD
    assert anchor.change == Utxo(anchor.txid, 1, 100_000 - anchor.fee_sat, WALLET.script, 0)


def test_the_change_of_one_anchor_carries_the_next() -> None:
    first = signed(WALLET.build_anchor([utxo(100_000)], ROOT, 1.0, CAP_SAT))
    second = signed(WALLET.build_anchor([first.change], ROOT, 1.0, CAP_SAT))
    assert decode_transaction(second.raw).inputs[0].outpoint.txid == first.txid


def test_change_goes_where_it_is_told() -> None:
    anchor = signed(WALLET.build_anchor([utxo(100_000)], ROOT, 1.0, CAP_SAT, b"\x51"))
    assert decode_transaction(anchor.raw).outputs[1].script == b"\x51"
    assert anchor.change.script == b"\x51"


def test_the_largest_output_is_spent_and_more_only_when_it_does_not_suffice() -> None:
    coins = [utxo(500, 1), utxo(90_000, 2), utxo(400, 3)]
    assert signed(WALLET.build_anchor(coins, ROOT, 1.0, CAP_SAT)).inputs == (coins[1],)
    poor = [utxo(400, 1), utxo(300, 2), utxo(350, 3)]
    anchor = signed(WALLET.build_anchor(poor, ROOT, 1.0, CAP_SAT))
    assert [one.value_sat for one in anchor.inputs] == [400, 350]


def test_too_little_money_is_a_value_that_names_the_amounts() -> None:
    assert WALLET.build_anchor([], ROOT, 1.0, CAP_SAT) == NoFunds(0, 1 + DUST_SAT)
    assert WALLET.build_anchor([utxo(300)], ROOT, 1.0, CAP_SAT) == NoFunds(300, 157 + DUST_SAT)
    dust = [utxo(10, number) for number in range(1, INPUTS_MAX + 5)]
    assert isinstance(WALLET.build_anchor(dust, ROOT, 1.0, CAP_SAT), NoFunds)


def test_a_fee_over_the_cap_is_a_value() -> None:
    outcome = WALLET.build_anchor([utxo(10**8)], ROOT, 1_000.0, CAP_SAT)
    assert outcome == FeeTooHigh(157_000, CAP_SAT)


def test_a_rate_under_the_relay_minimum_is_raised_to_it() -> None:
    assert signed(WALLET.build_anchor([utxo(10**8)], ROOT, 0.1, CAP_SAT)).fee_sat == 157


@pytest.mark.parametrize("rate", [math.nan, math.inf])
def test_a_rate_that_is_no_number_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="fee rate"):
        WALLET.build_anchor([utxo(10**8)], ROOT, rate, CAP_SAT)


def test_a_replacement_keeps_inputs_and_root_and_pays_more() -> None:
    first = signed(WALLET.build_anchor([utxo(100_000)], ROOT, 2.0, CAP_SAT))
    second = signed(WALLET.bump(first, 5.0, CAP_SAT))
    assert (second.inputs, second.root) == (first.inputs, first.root)
    assert second.fee_sat == 5 * 157
    assert second.txid != first.txid
    least = signed(WALLET.bump(first, 0.5, CAP_SAT))
    assert least.fee_sat == first.fee_sat + 157
    assert WALLET.bump(first, 5.0, 500) == FeeTooHigh(785, 500)


def test_another_s_output_is_never_signed() -> None:
    with pytest.raises(UsageError, match="not this wallet's"):
        WALLET.build_anchor([replace(utxo(10**6), script=b"\x51")], ROOT, 1.0, CAP_SAT)


def test_wrong_seeds_roots_networks_and_addresses_are_refused() -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        AnchorWallet(b"short", "regtest")
    with pytest.raises(ConfigError, match="unknown Bitcoin network"):
        AnchorWallet(b"\x07" * 32, "dogecoin")
    with pytest.raises(UsageError, match="32 bytes"):
        WALLET.build_anchor([utxo(10**6)], b"short", 1.0, CAP_SAT)
    for text in ("", "bcrt1qnonsense", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", "\x00", "é" * 200):
        with pytest.raises(UsageError, match="not a Bitcoin address"):
            script_of_address(text)


def test_an_old_style_address_is_understood() -> None:
    found = script_of_address("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2")
    assert found[:3] == b"\x76\xa9\x14"
