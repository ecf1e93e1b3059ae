"""What proves executions, what verifies proofs, and where it is kept which proof is whose."""

from dataclasses import dataclass
from typing import Protocol

from ambientd.model.base import Digest
from ambientd.model.effect import Assignment
from ambientd.model.execution import ExecutionLimits

PROVED_KEPT_MAX = 1_024
"""Of so many assignments it is kept which proof was made."""


@dataclass(frozen=True, slots=True)
class NotProven:
    """Why there is no proof; the execution is the reason when `is_final`, else this host."""

    reason: str
    is_final: bool = False


class Prover(Protocol):
    """Executes a module in an image and proves that, in a process of its own.

    In the module's own one, if it is named and at hand; else the universal image interprets it.
    Cancelling the call ends the process. It holds no more memory than it was told at its start.
    """

    async def prove(
        self,
        prepared: bytes,
        data: bytes,
        limits: ExecutionLimits,
        cycles_max: int,
        own_image: Digest | None = None,
    ) -> bytes | NotProven:
        """Give a proof file of at most so many padded cycles, or say why there is none."""
        ...


class StretchProver(Protocol):
    """Proves where a stretch of an execution leads, by the image of steps (protocols/18 §10)."""

    async def prove_step(self, words: bytes) -> bytes | NotProven:
        """Give a proof file of what the image reads, or say why there is none."""
        ...


class ProofVerifier(Protocol):
    """Judges the seals of a proof."""

    async def holds(self, proof: bytes, image: Digest) -> bool | None:
        """Tell whether the seals of a proof of this image hold; None where that did not work."""
        ...


class ProvedPlaces(Protocol):
    """Which proof was made for an assignment: a sealed answer names it, also after a start."""

    def find(self, place: Assignment) -> Digest | None:
        """Give the SHA-256 of the proof; None when none is known."""
        ...

    def keep(self, place: Assignment, proof: Digest) -> None:
        """Keep it, durably."""
        ...


@dataclass(frozen=True, slots=True)
class ProofTools:
    """What a device proves and verifies with; None for what it has not."""

    places: ProvedPlaces
    prover: Prover | None = None
    verifier: ProofVerifier | None = None
    steps: StretchProver | None = None
