"""Frozen values that travel, are stored and are signed; no behaviour beyond their own shape."""
