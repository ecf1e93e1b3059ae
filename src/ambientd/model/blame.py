"""The blame certificate: all that a stranger needs to see that one node lied (`*.blame`)."""

from typing import TypeAlias

from ambientd.model.base import NodeId, Value
from ambientd.model.dispute import SegmentVerdict, Trace
from ambientd.model.genesis import Genesis
from ambientd.model.proof import ProofWord
from ambientd.model.receipt import RefereeVerdict, SignedReceipt
from ambientd.model.task import TaskSpec


class BlamedTask(Value, frozen=True):
    """What a task's id is the hash of (01 section 2)."""

    submitter: NodeId
    nonce: bytes
    spec: TaskSpec


class WrongResult(Value, frozen=True, tag=1):
    """A worker's signed answer, and the referees who found another one."""

    task: BlamedTask
    receipt: SignedReceipt
    verdicts: tuple[RefereeVerdict, ...]


class WrongStep(Value, frozen=True, tag=2):
    """A party's word on a stretch of its execution, and the referees who came to another end.

    The traces are the party's: in one of them the stretch begins, in one of them it says where it
    was at the stretch's end, unless it had ended by then, as its receipt says. `state` is the
    state at the start as protocols/08 bytes, and empty where the execution begins there.
    """

    task: BlamedTask
    receipt: SignedReceipt
    traces: tuple[Trace, ...]
    verdicts: tuple[SegmentVerdict, ...]
    state: bytes


class WrongProof(Value, frozen=True, tag=4):
    """A worker's signed answer, and the members who found the proof wrong that it names.

    `proof` is the proof's bytes, and empty where whoever made the certificate did not have them.
    """

    task: BlamedTask
    receipt: SignedReceipt
    verdicts: tuple[ProofWord, ...]
    proof: bytes


class Contradiction(Value, frozen=True, tag=3):
    """Two statements of one key that exclude each other (03 section 3, EVIDENCE)."""

    kind: str
    first: bytes
    second: bytes


Evidence: TypeAlias = WrongResult | WrongStep | Contradiction | WrongProof


class BlameFile(Value, frozen=True):
    """Evidence against one node, with who the members were, and what replaying it takes."""

    version: int
    genesis: Genesis
    epochs: tuple[bytes, ...]
    """How each epoch before the last one ended, as the proofs of the log (05 section 11)."""
    culprit: NodeId
    evidence: Evidence
    module: bytes | None
    input: bytes | None
