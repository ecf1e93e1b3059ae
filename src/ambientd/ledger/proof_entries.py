"""What the ledger holds of proofs that members check, and of images (protocols/18 §9, §11, §12)."""

from enum import IntEnum
from typing import TypeAlias

from ambientd.model.base import Digest, NodeId, Value
from ambientd.model.image import NO_IMAGE, ImageClaim
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


class ImageEntry(Value, frozen=True):
    """What nodes say that a module's own image is by one translation; the first has paid for it.

    `image` is what enough members found, zeros until then. None of these is ever deleted.
    """

    claims: tuple[ImageClaim, ...]
    image: Digest = NO_IMAGE
    decided_ms: int = 0

    @property
    def is_decided(self) -> bool:
        """Tell whether f + 1 members have said the same."""
        return self.image != NO_IMAGE


class ImageAuthor(Value, frozen=True):
    """How many modules' images a node was the first to name, and of which one it said another.

    `denied` is empty unless members found another image than the node had named.
    """

    named: int = 0
    denied: bytes = b""


ProofEntries: TypeAlias = ProofEntry | StepEntry | ImageEntry | ImageAuthor
