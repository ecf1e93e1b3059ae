"""Receipts: what a worker signs about one execution, and the file a stranger checks."""

from ambientd.model.base import Digest, NodeId, TaskId, Value
from ambientd.model.genesis import Genesis
from ambientd.model.mark import GoneOn, Mark
from ambientd.model.task import Result, TaskSpec, Verdict


class Receipt(Value, frozen=True):
    """A worker's statement about one execution (protocols/06-receipts.md section 1)."""

    task: TaskId
    slot: int
    attempt: int
    worker: NodeId
    spec: Digest
    module: Digest
    input: Digest
    result: Result
    engine: str
    engine_version: str
    nonce: Digest
    started_ms: int | GoneOn
    finished_ms: int
    telemetry: Digest
    energy_mj: int | None
    energy_source: str

    @property
    def began_ms(self) -> int:
        """Give when the execution began here."""
        return (
            self.started_ms.started_ms if isinstance(self.started_ms, GoneOn) else self.started_ms
        )

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Give whose states it went on from, the first maker's first; none from the beginning."""
        return self.started_ms.marks if isinstance(self.started_ms, GoneOn) else ()


class SignedReceipt(Value, frozen=True):
    """A receipt with its worker's signature (domain `receipt`)."""

    receipt: Receipt
    signature: bytes


class RefereeVerdict(Value, frozen=True):
    """A committee member's own execution of a disputed task, signed (domain `verdict`)."""

    task: TaskId
    referee: NodeId
    result: Result
    signature: bytes


class Settlement(Value, frozen=True):
    """The leaf of the receipt log: how a task ended, binding every signed statement by hash."""

    task: TaskId
    submitter: NodeId
    spec: Digest
    verdict: Verdict
    result: Result
    receipts: tuple[Digest, ...]
    referees: tuple[Digest, ...]
    liars: tuple[NodeId, ...]
    settled_ms: int


class Revocation(Value, frozen=True):
    """A leaf of the receipt log: a result that was accepted is wrong, and another one is right.

    `leaf` is where the settlement is that it takes back; `audit` is the task that found it wrong.
    """

    task: TaskId
    worker: NodeId
    leaf: int
    found: Digest
    audit: TaskId
    revoked_ms: int


class Cosignature(Value, frozen=True):
    """One committee member's signature over a checkpoint note's text."""

    member: NodeId
    signature: bytes


class CheckpointNote(Value, frozen=True):
    """A cosigned tree head of the receipt log."""

    size: int
    root: Digest
    cosignatures: tuple[Cosignature, ...]


class AnchorProof(Value, frozen=True):
    """A root in a Bitcoin block: transaction, Merkle branch, header, later headers.

    `height` is what the anchoring member claims; nothing proves it and nothing may rely on it.
    """

    raw_tx: bytes
    index: int
    siblings: tuple[bytes, ...]
    height: int
    header: bytes
    following_headers: tuple[bytes, ...]


class EpochLeaf(Value, frozen=True):
    """Where an epoch's hash is a leaf of the receipt log, with the path to a note's root."""

    leaf_index: int
    path: tuple[Digest, ...]


class Doubt(Value, frozen=True):
    """What speaks against a settled result: it is suspect, or was revoked, which is in the log."""

    revocation: Revocation | None = None
    leaf_index: int = 0
    path: tuple[Digest, ...] = ()


class ReceiptFile(Value, frozen=True):
    """Everything a stranger needs to check one task's output offline (`*.receipt`)."""

    version: int
    genesis: Genesis
    submitter: NodeId
    nonce: bytes
    spec: TaskSpec
    until_ms: int
    admit_signature: bytes
    settlement: Settlement
    receipts: tuple[SignedReceipt, ...]
    verdicts: tuple[RefereeVerdict, ...]
    leaf_index: int
    path: tuple[Digest, ...]
    epochs: tuple[bytes, ...]
    """How each epoch before the note's ended, as the proofs of the log (05 section 11)."""
    epoch_leaf: EpochLeaf | None
    """Where the last of these epochs is in the note's tree, when it is there."""
    note: CheckpointNote | None
    anchor: AnchorProof | None
    doubt: Doubt | None
    """What the issuer knows against the result; nothing says that there is no more."""
    issuer: NodeId
    signature: bytes
