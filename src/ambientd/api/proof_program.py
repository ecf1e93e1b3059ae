"""The program that verifies validity proofs, for the command line, which has no adapters."""

from ambientd.adapters.verifier_program import ask_verifier, find_verifier

__all__ = ["ask_verifier", "find_verifier"]
