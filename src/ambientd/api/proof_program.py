"""The program that verifies validity proofs, for the command line, which has no adapters."""

from ambientd.adapters.verifier_program import (
    NoVerifierError,
    Told,
    ask_verifier,
    find_verifier,
    image_id,
)

__all__ = ["NoVerifierError", "Told", "ask_verifier", "find_verifier", "image_id"]
