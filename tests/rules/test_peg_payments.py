"""The peg's transactions, as two other programs read, sign and size them."""

import pytest
from bitcoin.core import CTransaction
from bitcoin.core.script import SIGVERSION_WITNESS_V0, CScript, SignatureHash
from embit import script
from embit.finalizer import finalize_psbt
from embit.psbt import PSBT
from embit.transaction import Transaction, TransactionOutput
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec import secp256k1
from ambientd.model.peg import PaymentKind, PegPayment, PegWallet
from ambientd.rules.bitcoin_codec import Outpoint, decode_transaction
from ambientd.rules.peg_payments import (
    CHANGE_MIN_SAT,
    COINS_MAX,
    FEE_MAX_SAT,
    PAYEE_MIN_SAT,
    base_transaction,
    chosen,
    digests,
    fee_at,
    fee_fault,
    is_payable,
    outputs,
    own_outputs,
    signed_transaction,
    size_of,
    txid,
)
from ambientd.rules.peg_script import keys_of, locking_script, witness_script
from tests.rules.peg import PAYEE, coin, peg_out, root_key, signed_by, wallet


@pytest.mark.parametrize(
    ("threshold", "count", "vsize"), [(2, 3, 189), (3, 5, 223), (7, 10, 339), (11, 15, 453)]
)
def test_a_peg_out_has_the_size_that_was_measured(threshold: int, count: int, vsize: int) -> None:
    ours = wallet(threshold, count)
    payment = peg_out(ours, (coin(1_000_000),), 400_000, 2_000)
    signed = signed_transaction(
        payment, 0, {1: ours}, signed_by(list(range(threshold)), payment, 0, {1: ours})
    )
    assert signed is not None
    assert abs(decode_transaction(signed).vsize - vsize) <= 1
    # A signature may have a byte more than those of a signer that draws until r is small.
    spare = size_of(payment, {1: ours}) - decode_transaction(signed).vsize
    assert 0 <= spare <= threshold // 4 + 1


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(10_000, 10**12), min_size=1, max_size=5),
    st.integers(0, 3),
    st.booleans(),
)
def test_other_programs_read_and_sign_the_same(
    values: list[int], missing: int, has_change: bool
) -> None:
    ours = wallet(3, 5)
    coins = tuple(coin(value, index=n, number=n + 1) for n, value in enumerate(values))
    amount_sat = sum(values) - (CHANGE_MIN_SAT if has_change else 0)
    payment = peg_out(ours, coins, amount_sat, 3_000, 4_000)
    for version in (0, 1):
        _compare(payment, version, {1: ours}, missing)
    assert txid(payment, 0) != txid(payment, 1)


def _compare(
    payment: PegPayment, version: int, wallets: dict[int, PegWallet], missing: int
) -> None:
    base = base_transaction(payment, version)
    theirs = Transaction.parse(base)
    second = CTransaction.deserialize(base)
    assert theirs.txid()[::-1] == txid(payment, version) == second.GetTxid()
    psbt = PSBT(theirs)
    for place, (spent, digest) in enumerate(
        zip(payment.coins, digests(payment, version, wallets), strict=True)
    ):
        words = script.Script(witness_script(wallets[1], spent.index))
        assert theirs.sighash_segwit(place, words, spent.value_sat) == digest
        again = SignatureHash(
            CScript(words.data), second, place, 1, spent.value_sat, SIGVERSION_WITNESS_V0
        )
        assert again == digest
        psbt.inputs[place].witness_script = words
        own = script.Script(locking_script(wallets[1], spent.index))
        psbt.inputs[place].witness_utxo = TransactionOutput(spent.value_sat, own)
    signers = [number for number in range(5) if number != missing][:3]
    signatures = signed_by(signers, payment, version, wallets)
    raw = signed_transaction(payment, version, wallets, signatures)
    for place, spent in enumerate(payment.coins):
        for number in signers:
            child = root_key(number).derive([spent.index]).key
            psbt.inputs[place].partial_sigs[child.get_public_key()] = (
                child.sign(digests(payment, version, wallets)[place]).serialize() + b"\x01"
            )
    assert finalize_psbt(psbt).serialize() == raw
    assert CTransaction.deserialize(raw).GetTxid() == txid(payment, version)
    assert decode_transaction(raw).txid == txid(payment, version)
    for each, digest in zip(signatures, digests(payment, version, wallets), strict=True):
        assert all(secp256k1.verify(key, digest, one) for key, one in each.items())
        other = bytes(32)
        assert not any(secp256k1.verify(key, other, one) for key, one in each.items())


def test_too_few_signatures_make_no_transaction() -> None:
    ours = wallet(3, 4)
    payment = peg_out(ours, (coin(50_000), coin(60_000, number=2)), 100_000, 1_000)
    signatures = signed_by([0, 1, 2], payment, 0, {1: ours})
    signatures[1].popitem()
    assert signed_transaction(payment, 0, {1: ours}, signatures) is None


def test_a_signature_with_its_other_s_is_refused() -> None:
    ours = wallet(1, 1)
    payment = peg_out(ours, (coin(50_000),), 40_000, 1_000)
    [digest] = digests(payment, 0, {1: ours})
    [[(key, good)]] = [list(each.items()) for each in signed_by([0], payment, 0, {1: ours})]
    high = secp256k1.ORDER - int.from_bytes(good[32:], "big")
    assert secp256k1.verify(key, digest, good)
    assert not secp256k1.verify(key, digest, good[:32] + high.to_bytes(32, "big"))
    assert not secp256k1.verify(key, digest, bytes(32) + good[32:])
    assert [key] == keys_of(ours, 5)


def test_every_version_spends_the_same_and_returns_the_same() -> None:
    ours = wallet(3, 4)
    payment = peg_out(ours, (coin(50_000), coin(60_000, number=2)), 70_000, 1_000, 9_000)
    first, second = (decode_transaction(base_transaction(payment, each)) for each in (0, 1))
    assert [each.outpoint for each in first.inputs] == [each.outpoint for each in second.inputs]
    assert first.outputs[1] == second.outputs[1]
    assert first.outputs[1].value_sat == payment.change_sat == 40_000
    assert (first.outputs[0].value_sat, second.outputs[0].value_sat) == (69_000, 61_000)
    assert {each.sequence for each in first.inputs} == {0xFFFFFFFD}


@pytest.mark.parametrize("kind", [PaymentKind.SWEEP, PaymentKind.LATE])
def test_a_sweep_has_one_output_which_bears_the_fee(kind: PaymentKind) -> None:
    ours = wallet(3, 4)
    payment = replace(peg_out(ours, (coin(50_000),), 0, 700), kind=kind, script=b"")
    assert outputs(payment, 0) == [(49_300, locking_script(ours, 0))]
    assert own_outputs(payment) == range(1)


def test_a_fee_is_capped_relayed_and_leaves_no_dust() -> None:
    ours = wallet(3, 4)
    payment = peg_out(ours, (coin(1_000_000),), 400_000, 0)
    least = fee_at(payment, {1: ours}, 1_000)
    assert least == size_of(payment, {1: ours})
    assert fee_fault(payment, least, {1: ours}) is None
    assert "relay" in str(fee_fault(payment, least - 1, {1: ours}))
    assert "limit" in str(fee_fault(payment, FEE_MAX_SAT + 1, {1: ours}))
    small = replace(payment, amount_sat=least + PAYEE_MIN_SAT)
    assert fee_fault(small, least, {1: ours}) is None
    assert "dust" in str(fee_fault(small, least + 1, {1: ours}))


def _sorted(values: list[int]) -> list[tuple[int, Outpoint]]:
    return [(value, Outpoint(bytes(32), n)) for n, value in enumerate(sorted(values))]


@given(st.lists(st.integers(1_000, 100_000), max_size=60), st.integers(1, 1_000_000))
def test_chosen_coins_pay_and_leave_no_dust(values: list[int], amount_sat: int) -> None:
    coins = _sorted(values)
    found = chosen(coins, amount_sat)
    if found is None:
        best = sum(sorted(values)[-COINS_MAX:])
        assert best < amount_sat + CHANGE_MIN_SAT
        return
    worth = {outpoint: value for value, outpoint in coins}
    change = sum(worth[each] for each in found) - amount_sat
    assert len(set(found)) == len(found) <= COINS_MAX
    assert change == 0 or change >= CHANGE_MIN_SAT


@given(
    st.lists(st.tuples(st.integers(2_000, 100_000), st.integers(0, 2_000)), max_size=60),
    st.integers(1, 1_000_000),
)
def test_chosen_coins_leave_no_dust_whatever_they_turn_out_to_be_worth(
    values: list[tuple[int, int]], amount_sat: int
) -> None:
    coins = _sorted([value for value, _ in values])
    less = {outpoint: values[place][1] for place, (_, outpoint) in enumerate(coins)}
    least = {outpoint: value - less[outpoint] for value, outpoint in coins if less[outpoint]}
    found = chosen(coins, amount_sat, least)
    if found is not None:
        worth = {outpoint: value for value, outpoint in coins}
        most_sat = sum(worth[each] for each in found) - amount_sat
        least_sat = most_sat - sum(less[each] for each in found)
        assert most_sat == least_sat == 0 or least_sat >= CHANGE_MIN_SAT


def test_the_smallest_coin_that_suffices_is_taken() -> None:
    coins = _sorted([20_000, 30_000, 30_500, 90_000])
    assert chosen(coins, 30_000) == [coins[1][1]]
    assert chosen(coins, 29_900) == [coins[3][1]], "the others would leave dust"


@pytest.mark.parametrize(
    "script",
    [b"", b"\x6a\x01a", PAYEE[:-1], b"\x52\x20" + bytes(32), b"\x00\x15" + bytes(21)],
)
def test_what_has_no_address_is_not_paid(script: bytes) -> None:
    assert not is_payable(script)
    assert is_payable(PAYEE)
    assert is_payable(b"\x51\x20" + bytes(32))
