"""Block templates and their proof of work; on regtest every second hash is a proof."""

from collections.abc import Sequence

from ambientd.adapters.regtest.mempool import Entry
from ambientd.rules.bitcoin import (
    Transaction,
    compact_size,
    decode_transaction,
    double_sha256,
    encode_header,
    merkle_root,
    target_from_bits,
)

BLOCK_VSIZE_MAX = 900_000
REGTEST_BITS = 0x207FFFFF
HALVING_INTERVAL = 150
# Anyone may spend it, so the faucet needs no key: P2WSH of a script that is only OP_TRUE.
OPEN_WITNESS_SCRIPT = b"\x51"
OPEN_SCRIPT = bytes.fromhex("00204ae81572f06e1b88fd5ced7a1a000945432e83e1551e6f721ee9c00b8cc33260")

_VERSION = 0x20000000
_COIN_SAT = 100_000_000
_WITNESS_RESERVED = bytes(32)
_COMMITMENT_PREFIX = bytes.fromhex("6a24aa21a9ed")


def subsidy_sat(height: int) -> int:
    """Give what a Bitcoin block of regtest creates."""
    halvings = height // HALVING_INTERVAL
    return 50 * _COIN_SAT >> halvings if halvings < 64 else 0


def encode_output(value_sat: int, script: bytes) -> bytes:
    """Write an output."""
    return value_sat.to_bytes(8, "little") + compact_size(len(script)) + script


def _push_number(number: int) -> bytes:
    """Push a height the way BIP 34 wants it."""
    if number <= 16:
        return bytes([0x50 + number]) if number else b"\x00"
    body = number.to_bytes((number.bit_length() + 8) // 8, "little")
    return bytes([len(body)]) + body


def _coinbase(height: int, value_sat: int, script: bytes, witness_root: bytes) -> Transaction:
    script_sig = _push_number(height) + b"\x07ambient"
    commitment = _COMMITMENT_PREFIX + double_sha256(witness_root + _WITNESS_RESERVED)
    body = (
        b"\x01"
        + (bytes(32) + b"\xff\xff\xff\xff" + compact_size(len(script_sig)) + script_sig)
        + b"\xff\xff\xff\xff\x02"
        + encode_output(value_sat, script)
        + encode_output(0, commitment)
    )
    witness = b"\x01\x20" + _WITNESS_RESERVED
    return decode_transaction(b"\x02\x00\x00\x00\x00\x01" + body + witness + bytes(4))


def select(entries: Sequence[Entry]) -> list[Entry]:
    """Choose what fits into one Bitcoin block, in order, so that parents stay before children."""
    chosen, room = [], BLOCK_VSIZE_MAX
    for entry in entries:
        room -= entry.transaction.vsize
        if room < 0:
            break
        chosen.append(entry)
    return chosen


def mine(
    previous: bytes, height: int, time_s: int, script: bytes, entries: Sequence[Entry]
) -> bytes:
    """Build the Bitcoin block that follows `previous`, and work until it has its proof."""
    transactions = [entry.transaction for entry in entries]
    witness_root = merkle_root([bytes(32), *(transaction.wtxid for transaction in transactions)])
    value_sat = subsidy_sat(height) + sum(entry.fee_sat for entry in entries)
    transactions.insert(0, _coinbase(height, value_sat, script, witness_root))
    root = merkle_root([transaction.txid for transaction in transactions])
    target = target_from_bits(REGTEST_BITS)
    nonce = 0
    while True:
        header = encode_header(_VERSION, previous, root, time_s, REGTEST_BITS, nonce)
        if int.from_bytes(double_sha256(header), "little") <= target:
            break
        nonce += 1
    body = b"".join(transaction.raw for transaction in transactions)
    return header + compact_size(len(transactions)) + body


def open_spend(coins: Sequence[tuple[bytes, int]], outputs: Sequence[tuple[int, bytes]]) -> bytes:
    """Write a transaction that spends outputs of `OPEN_SCRIPT`, given as id and index."""
    inputs = b"".join(
        txid + index.to_bytes(4, "little") + b"\x00" + b"\xfd\xff\xff\xff" for txid, index in coins
    )
    body = b"".join(encode_output(value_sat, script) for value_sat, script in outputs)
    witness = (b"\x01" + compact_size(len(OPEN_WITNESS_SCRIPT)) + OPEN_WITNESS_SCRIPT) * len(coins)
    return (
        b"\x02\x00\x00\x00\x00\x01"
        + (compact_size(len(coins)) + inputs)
        + (compact_size(len(outputs)) + body)
        + witness
        + bytes(4)
    )
