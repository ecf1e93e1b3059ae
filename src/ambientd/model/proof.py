"""Tasks that are proven: what is asked, and what members say of a proof (protocols/18 §9)."""

from enum import IntEnum

from ambientd.model.base import DIGEST_BYTES, Digest, NodeId, TaskId, Value

NO_PROOF = Digest(bytes(DIGEST_BYTES))
"""What a prover names that has no proof of the stretch that it promised."""

STEP_SEGMENTS_MAX = 4
"""A disputed stretch's proof has no more: verifying it costs a member some 15 ms for each."""

STEP_GAS_MIN = 1_000
"""A promise to prove a disputed stretch takes on at least so much gas."""

STEP_FEE_MSAT = 10_000
"""What such a promise costs, kept or not: it makes members wait, and then verify."""

STEP_WAITS_MAX = 10
"""It is for at most so many times `dispute_ms`."""

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

    `proof` is the SHA-256 that the receipt names; cycles are 0 unless it holds. Of the proof of a
    disputed stretch, `attempt` is the game.
    """

    task: TaskId
    attempt: int
    referee: NodeId
    proof: Digest
    finding: Finding
    cycles: int
    signature: bytes
