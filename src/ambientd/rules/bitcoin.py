"""Bitcoin as arithmetic: proof of work, Merkle branches and the offline anchor check.

Pure functions; `check_anchor` never raises, whatever it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ambientd.errors import RemoteProtocolError
from ambientd.rules.bitcoin_codec import (
    AMOUNT_MAX_SAT,
    COINBASE_MATURITY,
    HASH_SIZE,
    HEADER_SIZE,
    MINED_SIZE_MAX,
    NULL_OUTPOINT,
    TRANSACTION_SIZE_MAX,
    Header,
    Input,
    Outpoint,
    Output,
    Transaction,
    compact_size,
    decode_block,
    decode_header,
    decode_transaction,
    display,
    double_sha256,
    encode_header,
    from_display,
    strip_witness,
    target_from_bits,
)
from ambientd.rules.bitcoin_networks import (
    MAIN,
    NETWORKS,
    REGTEST,
    SIGNET,
    TESTNET4,
    Network,
)

MAGIC: Final = b"AMB1"
ROOT_SIZE: Final = 32
CONFIRMATIONS_MIN: Final = 6
HEIGHT_MAX: Final = 499_999_999  # a lock time above it is a date, not a height
FOLLOWING_HEADERS_MAX: Final = 2016
BRANCH_DEPTH_MAX: Final = 20  # 4 MB of the smallest transactions make a tree of 16 levels


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
        if len(sibling) != HASH_SIZE:
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
    return _check(root, raw_tx, branch, header, following_headers, network)


def check_inclusion(
    raw_tx: bytes,
    branch: Branch,
    header: bytes,
    following_headers: Sequence[bytes],
    network: Network,
) -> AnchorCheck:
    """Check offline that a transaction, whatever it does, is under enough work; as an anchor's."""
    return _check(None, raw_tx, branch, header, following_headers, network)


def _check(
    root: bytes | None,
    raw_tx: bytes,
    branch: Branch,
    header: bytes,
    following_headers: Sequence[bytes],
    network: Network,
) -> AnchorCheck:
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


def _transaction_steps(root: bytes | None, raw_tx: bytes, steps: list[Step]) -> Transaction | None:
    try:
        transaction = decode_transaction(raw_tx)
    except RemoteProtocolError as error:
        steps.append(Step("transaction", False, str(error)))
        return None
    steps.append(Step("transaction", True, f"transaction {display(transaction.txid)}"))
    # CVE-2017-12842: 64 bytes also read as two hashes, an inner place of a Merkle tree.
    ambiguous = len(transaction.base) == 2 * HASH_SIZE
    steps.append(Step("not_64_bytes", not ambiguous, f"{len(transaction.base)} bytes"))
    if root is not None:
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


__all__ = [
    "AMOUNT_MAX_SAT",
    "BRANCH_DEPTH_MAX",
    "COINBASE_MATURITY",
    "CONFIRMATIONS_MIN",
    "FOLLOWING_HEADERS_MAX",
    "HASH_SIZE",
    "HEADER_SIZE",
    "HEIGHT_MAX",
    "MAGIC",
    "MAIN",
    "MINED_SIZE_MAX",
    "NETWORKS",
    "NULL_OUTPOINT",
    "REGTEST",
    "ROOT_SIZE",
    "SIGNET",
    "TESTNET4",
    "TRANSACTION_SIZE_MAX",
    "AnchorCheck",
    "Branch",
    "Header",
    "Input",
    "Network",
    "Outpoint",
    "Output",
    "Step",
    "Transaction",
    "check_anchor",
    "check_inclusion",
    "commitment_script",
    "committed_roots",
    "compact_size",
    "decode_block",
    "decode_header",
    "decode_transaction",
    "display",
    "double_sha256",
    "encode_header",
    "from_display",
    "linkage_fault",
    "merkle_branch",
    "merkle_root",
    "proof_of_work_fault",
    "root_from_branch",
    "strip_witness",
    "target_from_bits",
]
