"""Which records this node lets into its pool, and which it votes for (section 7)."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Admission:
    """The host's two judgements of a record.

    `is_valid` is a function of the bytes alone: every honest node gives the same answer, so a
    vote may hang on it, and a peer that forwards what it refuses is at fault.

    `may_enter` may look at the ledger, which differs between nodes from moment to moment: it
    keeps records out of this node's pool, accuses nobody, and is never asked about a vote. It
    is asked first and must be cheap, also of bytes that `is_valid` would refuse: True for what
    it cannot read.
    """

    is_valid: Callable[[bytes], bool]
    may_enter: Callable[[bytes], bool]
