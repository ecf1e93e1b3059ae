"""Anchoring: bring wanted roots into Bitcoin blocks, and keep them there."""
