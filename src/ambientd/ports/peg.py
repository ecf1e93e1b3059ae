"""Peg: what the daemon's owner asks of the chain behind the peg, and of the key."""

from collections.abc import Sequence
from typing import Protocol


class PegChain(Protocol):
    """Tells which outputs are unspent, and which script an address stands for."""

    async def unspent(self, scripts: Sequence[bytes]) -> frozenset[tuple[bytes, int]]:
        """Give the outputs, by transaction and place, that these scripts can spend."""
        ...

    async def known(self, txids: Sequence[bytes]) -> frozenset[bytes]:
        """Give those of these transactions that are mined, or wait to be."""
        ...

    def script_of(self, address: str) -> bytes:
        """Give the script of an address of the peg's network; UsageError when it is none."""
        ...

    def faults(self) -> tuple[str, ...]:
        """Say what this member does not sign though it should, and why."""
        ...
