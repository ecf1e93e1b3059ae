"""What the ledger holds of a proof that members check (protocols/18 §9)."""

from ambientd.model.base import Value
from ambientd.model.proof import ProofWord


class ProofEntry(Value, frozen=True):
    """What members have said of the proof that an opened answer names."""

    words: tuple[ProofWord, ...] = ()
