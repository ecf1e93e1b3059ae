"""Bitcoin's bytes: hashes, compact targets, headers, transactions and blocks.

Hashes are bytes in Bitcoin's internal order; `display` gives the reversed hex that people see.
Decoders raise `RemoteProtocolError` on malformed bytes.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from ambientd.errors import RemoteProtocolError

HASH_SIZE: Final = 32
HEADER_SIZE: Final = 80
TRANSACTION_SIZE_MAX: Final = 400_000
"""What nodes pass on to each other, and what a proof may hold."""
MINED_SIZE_MAX: Final = 4_000_000
"""What a miner can put into a Bitcoin block, witness and all (BIP 141)."""
COINBASE_MATURITY: Final = 100  # blocks until what a block creates can be spent
AMOUNT_MAX_SAT: Final = 21_000_000 * 100_000_000

_HEADER = struct.Struct("<i32s32sIII")
_UINT32 = struct.Struct("<I")
_INT64 = struct.Struct("<q")
_WITNESS_MARKER = b"\x00\x01"


def double_sha256(data: bytes) -> bytes:
    """Hash twice, as Bitcoin does for headers, transactions and Merkle trees."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def display(digest: bytes) -> str:
    """Write a hash as people and RPCs see it: reversed, in hex."""
    return digest[::-1].hex()


def from_display(text: str) -> bytes:
    """Read a hash as people and RPCs see it.

    Raises:
        RemoteProtocolError: when it is not 64 hex digits.
    """
    try:
        digest = bytes.fromhex(text)[::-1]
    except ValueError:
        digest = b""
    if len(digest) != HASH_SIZE or len(text) != 2 * HASH_SIZE:
        raise RemoteProtocolError("a Bitcoin hash is 64 hex digits")
    return digest


def target_from_bits(bits: int) -> int:
    """Expand compact bits to a target; 0, which no hash meets, when they encode none."""
    exponent, mantissa = bits >> 24, bits & 0x7FFFFF
    if bits & 0x800000 or exponent > 34:
        return 0
    return mantissa << 8 * (exponent - 3) if exponent > 3 else mantissa >> 8 * (3 - exponent)


@dataclass(frozen=True, slots=True)
class Header:
    """A block header, and its hash."""

    version: int
    previous: bytes
    merkle_root: bytes
    time_s: int
    bits: int
    nonce: int
    hash: bytes

    @property
    def target(self) -> int:
        """The number its hash must not exceed."""
        return target_from_bits(self.bits)


def decode_header(raw: bytes) -> Header:
    """Read the 80 bytes of a header.

    Raises:
        RemoteProtocolError: when it is not 80 bytes long.
    """
    if len(raw) != HEADER_SIZE:
        msg = f"a block header has {HEADER_SIZE} bytes, this one {len(raw)}"
        raise RemoteProtocolError(msg)
    version, previous, merkle_root, time_s, bits, nonce = _HEADER.unpack(raw)
    return Header(version, previous, merkle_root, time_s, bits, nonce, double_sha256(raw))


def encode_header(
    version: int, previous: bytes, merkle_root: bytes, time_s: int, bits: int, nonce: int
) -> bytes:
    """Write the 80 bytes of a header."""
    return _HEADER.pack(version, previous, merkle_root, time_s, bits, nonce)


@dataclass(frozen=True, slots=True)
class Outpoint:
    """One output of one transaction."""

    txid: bytes
    index: int


NULL_OUTPOINT: Final = Outpoint(bytes(HASH_SIZE), 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Input:
    """What a transaction spends."""

    outpoint: Outpoint
    script: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class Output:
    """What a transaction pays, in satoshi, and to which script."""

    value_sat: int
    script: bytes


@dataclass(frozen=True, slots=True)
class Transaction:
    """A decoded transaction with the bytes it came from, with and without its witness."""

    raw: bytes
    base: bytes
    version: int
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    locktime: int

    @property
    def is_coinbase(self) -> bool:
        """Whether it creates coins: its only input spends nothing."""
        return len(self.inputs) == 1 and self.inputs[0].outpoint == NULL_OUTPOINT

    def outpoints(self) -> list[tuple[Outpoint, Output]]:
        """Give the outputs with their names."""
        txid = self.txid
        return [(Outpoint(txid, place), output) for place, output in enumerate(self.outputs)]

    @property
    def txid(self) -> bytes:
        """The hash without the witness: what Merkle trees and outpoints name."""
        return double_sha256(self.base)

    @property
    def wtxid(self) -> bytes:
        """The hash with the witness (BIP 141)."""
        return double_sha256(self.raw)

    @property
    def vsize(self) -> int:
        """Virtual bytes, what fees are paid for (BIP 141)."""
        return (3 * len(self.base) + len(self.raw) + 3) // 4


class _Reader:
    """Takes fields off a byte string, and refuses to go past its end."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def take(self, size: int) -> bytes:
        """Take some bytes."""
        end = self.at + size
        if end > len(self.data):
            msg = f"a transaction ends after {len(self.data)} bytes, {end} were announced"
            raise RemoteProtocolError(msg)
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def uint32(self) -> int:
        """Take a little-endian 32-bit number."""
        return int(_UINT32.unpack(self.take(4))[0])

    def size(self) -> int:
        """Take a compact size; only its shortest form is accepted, as by Bitcoin Core."""
        first = self.take(1)[0]
        if first < 0xFD:
            return first
        width = 1 << (first - 0xFC)
        value = int.from_bytes(self.take(width), "little")
        if value < (0xFD if width == 2 else 1 << (4 * width)):
            raise RemoteProtocolError("a compact size is not in its shortest form")
        return value

    def count(self, item_size_min: int) -> int:
        """Take the length of a list, bounded by the bytes that are left for its items."""
        count = self.size()
        if count * item_size_min > len(self.data) - self.at:
            msg = f"a transaction announces {count} items, more than its bytes could hold"
            raise RemoteProtocolError(msg)
        return count


def compact_size(value: int) -> bytes:
    """Write a compact size in its shortest form."""
    if value < 0xFD:
        return bytes([value])
    if value < 1 << 16:
        return b"\xfd" + value.to_bytes(2, "little")
    return b"\xfe" + value.to_bytes(4, "little")


def _read_output(reader: _Reader) -> Output:
    value = int(_INT64.unpack(reader.take(8))[0])
    if not 0 <= value <= AMOUNT_MAX_SAT:
        msg = f"an output of {value} sat is outside the money that can exist"
        raise RemoteProtocolError(msg)
    return Output(value, reader.take(reader.size()))


def _read_transaction(reader: _Reader) -> Transaction:
    start = reader.at
    version_bytes = reader.take(4)
    has_witness = reader.data[reader.at : reader.at + 2] == _WITNESS_MARKER
    if has_witness:
        reader.at += 2
    body_start = reader.at
    inputs = tuple(
        Input(
            Outpoint(reader.take(32), reader.uint32()), reader.take(reader.size()), reader.uint32()
        )
        for _ in range(reader.count(41))
    )
    outputs = tuple(_read_output(reader) for _ in range(reader.count(9)))
    body = reader.data[body_start : reader.at]
    if not inputs or not outputs:
        raise RemoteProtocolError("a transaction needs an input and an output")
    if has_witness:
        items_total = 0
        for _ in inputs:
            for _ in range(reader.count(1)):
                reader.take(reader.size())
                items_total += 1
        if not items_total:
            raise RemoteProtocolError("a transaction is marked for a witness and has none")
    locktime_bytes = reader.take(4)
    return Transaction(
        raw=reader.data[start : reader.at],
        base=version_bytes + body + locktime_bytes,
        version=int.from_bytes(version_bytes, "little"),
        inputs=inputs,
        outputs=outputs,
        locktime=int.from_bytes(locktime_bytes, "little"),
    )


def decode_transaction(raw: bytes, size_max: int = TRANSACTION_SIZE_MAX) -> Transaction:
    """Read one transaction, with or without witness, and nothing after it.

    Raises:
        RemoteProtocolError: when the bytes are not exactly one well-formed transaction.
    """
    if len(raw) > size_max:
        msg = f"a transaction of {len(raw)} bytes is over the limit of {size_max}"
        raise RemoteProtocolError(msg)
    reader = _Reader(raw)
    transaction = _read_transaction(reader)
    if reader.at != len(raw):
        msg = f"{len(raw) - reader.at} bytes follow the transaction"
        raise RemoteProtocolError(msg)
    return transaction


def decode_block(raw: bytes) -> tuple[Header, list[Transaction]]:
    """Read a Bitcoin block: its header and its transactions.

    Raises:
        RemoteProtocolError: when the bytes are not exactly one well-formed Bitcoin block.
    """
    header = decode_header(raw[:HEADER_SIZE])
    reader = _Reader(raw, HEADER_SIZE)
    transactions = [_read_transaction(reader) for _ in range(reader.count(60))]
    if not transactions:
        raise RemoteProtocolError("a Bitcoin block has at least its coinbase")
    if reader.at != len(raw):
        msg = f"{len(raw) - reader.at} bytes follow the last transaction of the Bitcoin block"
        raise RemoteProtocolError(msg)
    return header, transactions


def strip_witness(raw: bytes) -> bytes:
    """Give the bytes a transaction's id is the hash of."""
    return decode_transaction(raw).base
