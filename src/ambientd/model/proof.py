"""Tasks that are proven: what is asked, and what members say of a proof (protocols/18 §9)."""

from enum import IntEnum

from ambientd.model.base import Digest, NodeId, TaskId, Value

PROVER_LABEL = "prover"
"""The label of a node that proves; its value is how many cycles it takes on."""


class ProofTerms(Value, frozen=True):
    """What a proof may take, and what it pays; cycles are padded: a segment's power of two."""

    cycles_max: int
    price_msat_per_mcycle: int


class Finding(IntEnum):
    """What a member finds of a proof that a receipt names."""

    HOLDS = 0
    WRONG = 1
    MISSING = 2
    """It could not be had from its worker."""


class ProofWord(Value, frozen=True):
    """A committee member's word on the proof of one attempt, signed (domain `proof`).

    `proof` is the SHA-256 that the receipt names; cycles are 0 unless it holds.
    """

    task: TaskId
    attempt: int
    referee: NodeId
    proof: Digest
    finding: Finding
    cycles: int
    signature: bytes
