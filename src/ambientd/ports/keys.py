"""Secrets: only an adapter draws them."""

from collections.abc import Callable
from typing import TypeAlias

DrawSecret: TypeAlias = Callable[[int], bytes]
"""Gives so many bytes that nobody can guess."""
