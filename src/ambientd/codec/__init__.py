"""Canonical bytes, domain-tagged signatures and Merkle trees (protocols/00 to 02)."""
