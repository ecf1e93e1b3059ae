"""What the ledger holds of a proof that members check (protocols/18 §9, §11)."""

from enum import IntEnum

from ambientd.model.base import Digest, NodeId, Value
from ambientd.model.proof import NO_PROOF, ProofWord


class ProofEntry(Value, frozen=True):
    """What members have said of the proof that an opened answer names."""

    words: tuple[ProofWord, ...] = ()


class StepState(IntEnum):
    """What becomes of a promise to prove the stretch that a game leaves."""

    PROMISED = 0
    SHOWN = 1
    OVER = 2
    """The proof did not come, does not hold, or cannot be had: members execute."""


class StepEntry(Value, frozen=True):
    """A promise to prove a disputed stretch, the proof, and what members have said of it.

    `until_ms` is running time, from when the stretch is known; 0 before.
    """

    game: int
    prover: NodeId
    gas_max: int
    wait_ms: int
    state: StepState = StepState.PROMISED
    until_ms: int = 0
    proof: Digest = NO_PROOF
    words: tuple[ProofWord, ...] = ()
