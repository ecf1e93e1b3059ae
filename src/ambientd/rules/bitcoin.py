"""Bitcoin as arithmetic: headers, work, transactions, Merkle branches and the offline anchor check.

Hashes are bytes in Bitcoin's internal order; `display` gives the reversed hex that people see.
Decoders raise `RemoteProtocolError` on malformed bytes; `check_anchor` never raises.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ambientd.errors import RemoteProtocolError

MAGIC: Final = b"AMB1"
ROOT_SIZE: Final = 32
HEADER_SIZE: Final = 80
CONFIRMATIONS_MIN: Final = 6
FOLLOWING_HEADERS_MAX: Final = 2016
TRANSACTION_SIZE_MAX: Final = 400_000
BRANCH_DEPTH_MAX: Final = 20  # 4 MB of the smallest transactions make a tree of 16 levels
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
    if len(digest) != ROOT_SIZE or len(text) != 2 * ROOT_SIZE:
        raise RemoteProtocolError("a Bitcoin hash is 64 hex digits")
    return digest


def target_from_bits(bits: int) -> int:
    """Expand compact bits to a target; 0, which no hash meets, when they encode none."""
    exponent, mantissa = bits >> 24, bits & 0x7FFFFF
    if bits & 0x800000 or exponent > 34:
        return 0
    return mantissa << 8 * (exponent - 3) if exponent > 3 else mantissa >> 8 * (3 - exponent)


@dataclass(frozen=True, slots=True)
class Network:
    """What the offline check must know of a network.

    `target_max` is the easiest target an anchor's headers may claim. On the main network it is far
    below `pow_limit`: without it, seven headers at difficulty 1 are minutes of work for anyone.
    """

    name: str
    pow_limit: int
    target_max: int


_DIFFICULTY_ONE: Final = target_from_bits(0x1D00FFFF)
_REGTEST_LIMIT: Final = target_from_bits(0x207FFFFF)
_SIGNET_LIMIT: Final = target_from_bits(0x1E0377AE)
# Difficulty 10^13 was passed in 2019: a forged header costs 4 * 10^22 hashes at least.
MAIN: Final = Network("main", _DIFFICULTY_ONE, _DIFFICULTY_ONE // 10**13)
TESTNET4: Final = Network("testnet4", _DIFFICULTY_ONE, _DIFFICULTY_ONE)
SIGNET: Final = Network("signet", _SIGNET_LIMIT, _SIGNET_LIMIT)
REGTEST: Final = Network("regtest", _REGTEST_LIMIT, _REGTEST_LIMIT)
NETWORKS: Final = {network.name: network for network in (MAIN, TESTNET4, SIGNET, REGTEST)}


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


def proof_of_work_fault(header: Header, limit: int) -> str | None:
    """Say why a header does not prove its work under a limit, or None when it does."""
    target = header.target
    if not 0 < target <= limit:
        return f"bits {header.bits:#010x} claim a target that is easier than the limit or invalid"
    if int.from_bytes(header.hash, "little") > target:
        return f"the hash {display(header.hash)} does not meet bits {header.bits:#010x}"
    return None


def linkage_fault(headers: Sequence[Header]) -> int | None:
    """Give the place of the first header that does not follow its predecessor, or None."""
    for place in range(1, len(headers)):
        if headers[place].previous != headers[place - 1].hash:
            return place
    return None


@dataclass(frozen=True, slots=True)
class Outpoint:
    """One output of one transaction."""

    txid: bytes
    index: int


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


def decode_transaction(raw: bytes) -> Transaction:
    """Read one transaction, with or without witness, and nothing after it.

    Raises:
        RemoteProtocolError: when the bytes are not exactly one well-formed transaction.
    """
    if len(raw) > TRANSACTION_SIZE_MAX:
        msg = f"a transaction of {len(raw)} bytes is over the limit of {TRANSACTION_SIZE_MAX}"
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


def commitment_script(root: bytes) -> bytes:
    """Give the OP_RETURN script of an anchor: 4 bytes of magic and the 32-byte root."""
    payload = MAGIC + root
    return b"\x6a" + bytes([len(payload)]) + payload


def committed_roots(transaction: Transaction) -> list[bytes]:
    """Give the roots that a transaction anchors, in the order of its outputs."""
    prefix = commitment_script(bytes(ROOT_SIZE))[:-ROOT_SIZE]
    size = len(prefix) + ROOT_SIZE
    return [
        output.script[len(prefix) :]
        for output in transaction.outputs
        if len(output.script) == size and output.script.startswith(prefix)
    ]


@dataclass(frozen=True, slots=True)
class Branch:
    """The way from a transaction to its Merkle root: its place and its siblings, leaf first."""

    index: int
    siblings: tuple[bytes, ...]


def _parents(level: list[bytes]) -> list[bytes]:
    if len(level) % 2:
        level = [*level, level[-1]]
    return [double_sha256(level[i] + level[i + 1]) for i in range(0, len(level), 2)]


def merkle_root(txids: Sequence[bytes]) -> bytes:
    """Give the Merkle root of at least one transaction id."""
    level = list(txids)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def merkle_branch(txids: Sequence[bytes], index: int) -> Branch:
    """Build the branch of one transaction among all of its Bitcoin block."""
    if not 0 <= index < len(txids):
        msg = f"transaction {index} is outside a Bitcoin block of {len(txids)}"
        raise ValueError(msg)
    siblings = []
    level, place = list(txids), index
    while len(level) > 1:
        sibling = place ^ 1
        siblings.append(level[sibling] if sibling < len(level) else level[-1])
        level, place = _parents(level), place >> 1
    return Branch(index, tuple(siblings))


def root_from_branch(txid: bytes, branch: Branch) -> bytes | None:
    """Give the root that a branch leads to, or None when its shape is wrong."""
    depth = len(branch.siblings)
    if depth > BRANCH_DEPTH_MAX or not 0 <= branch.index < 1 << depth:
        return None
    current, place = txid, branch.index
    for sibling in branch.siblings:
        if len(sibling) != ROOT_SIZE:
            return None
        if place & 1:
            # Only a right-hand copy pads a level; as a left-hand one it names two places at once.
            if sibling == current:
                return None
            current = double_sha256(sibling + current)
        else:
            current = double_sha256(current + sibling)
        place >>= 1
    return current


@dataclass(frozen=True, slots=True)
class Step:
    """One thing the offline check looked at, and what it found."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class AnchorCheck:
    """The finding of an offline check: its steps in order; a step after a failed one may lack."""

    steps: tuple[Step, ...]
    confirmations: int
    time_s: int | None

    @property
    def passed(self) -> bool:
        """Whether the root is anchored."""
        return all(step.passed for step in self.steps)

    @property
    def faults(self) -> tuple[Step, ...]:
        """The steps that failed."""
        return tuple(step for step in self.steps if not step.passed)


def check_anchor(
    root: bytes,
    raw_tx: bytes,
    branch: Branch,
    header: bytes,
    following_headers: Sequence[bytes],
    network: Network,
) -> AnchorCheck:
    """Check offline that a root is committed by a transaction under enough work.

    It shows that the work was done, not that the headers are in the chain everybody follows:
    compare `decode_header(header).hash` with a chain you know when the network's work is cheap.
    A witness in `raw_tx` is not part of what is proved. Hostile input gives failed steps.
    """
    steps: list[Step] = []
    time_s = None
    transaction = _transaction_steps(root, raw_tx, steps)
    headers = _decoded_headers([header, *following_headers[: FOLLOWING_HEADERS_MAX + 1]], steps)
    if headers:
        time_s = headers[0].time_s
        if transaction:
            led_to = root_from_branch(transaction.txid, branch)
            steps.append(
                Step("inclusion", led_to == headers[0].merkle_root, _inclusion_detail(led_to))
            )
        steps += _chain_steps(headers, network)
    return AnchorCheck(tuple(steps), len(headers), time_s)


def _transaction_steps(root: bytes, raw_tx: bytes, steps: list[Step]) -> Transaction | None:
    try:
        transaction = decode_transaction(raw_tx)
    except RemoteProtocolError as error:
        steps.append(Step("transaction", False, str(error)))
        return None
    steps.append(Step("transaction", True, f"transaction {display(transaction.txid)}"))
    # CVE-2017-12842: 64 bytes also read as two hashes, an inner place of a Merkle tree.
    ambiguous = len(transaction.base) == 2 * ROOT_SIZE
    steps.append(Step("not_64_bytes", not ambiguous, f"{len(transaction.base)} bytes"))
    committed = len(root) == ROOT_SIZE and root in committed_roots(transaction)
    detail = "commits to the root" if committed else "no output commits to this root"
    steps.append(Step("commitment", committed, detail))
    return transaction


def _decoded_headers(raws: Sequence[bytes], steps: list[Step]) -> list[Header]:
    try:
        if len(raws) > FOLLOWING_HEADERS_MAX + 1:
            msg = f"more than {FOLLOWING_HEADERS_MAX} headers follow the anchor's"
            raise RemoteProtocolError(msg)
        headers = [decode_header(raw) for raw in raws]
    except RemoteProtocolError as error:
        steps.append(Step("headers", False, str(error)))
        return []
    steps.append(Step("headers", True, f"{len(headers)} headers"))
    return headers


def _inclusion_detail(led_to: bytes | None) -> str:
    if led_to is None:
        return "the branch has a wrong shape"
    return f"the branch leads to {display(led_to)}"


def _chain_steps(headers: Sequence[Header], network: Network) -> list[Step]:
    limit = min(network.pow_limit, network.target_max)
    weak = None
    for place, header in enumerate(headers):
        fault = proof_of_work_fault(header, limit)
        if fault:
            weak = f"header {place}: {fault} on {network.name}"
            break
    unlinked = linkage_fault(headers)
    return [
        Step("proof_of_work", weak is None, weak or f"every header meets {network.name}'s limit"),
        Step(
            "linkage",
            unlinked is None,
            "headers follow each other"
            if unlinked is None
            else f"header {unlinked} does not follow header {unlinked - 1}",
        ),
        Step(
            "confirmations",
            len(headers) >= CONFIRMATIONS_MIN,
            f"{len(headers)} confirmations of {CONFIRMATIONS_MIN} needed",
        ),
    ]
