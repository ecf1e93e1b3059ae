"""What a sweep over a node's blobs may remove."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep may remove; times in Unix milliseconds.

    `due_ms` says from when on blobs of ended tasks may go, `longest_ms` how long after their last
    use all others may. Only names whose first byte is `part` modulo `parts` are looked at.
    """

    held: AbstractSet[bytes]
    due_ms: Mapping[bytes, int]
    longest_ms: int
    now_ms: int
    part: int
    parts: int


class SweptFiles(Protocol):
    """Blobs that can be removed: `adapters.blob_files.BlobFiles`."""

    def begin_sweep(self) -> None:
        """Note from now on what is used: it is not removed until the next sweep begins."""
        ...

    def sweep(self, plan: SweepPlan) -> int:
        """Remove what is due of one part; give how many blobs went."""
        ...
