"""Peg: what the daemon's owner asks of the chain behind the peg, and of the key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ambientd.rules.bitcoin_codec import Outpoint


@dataclass(frozen=True, slots=True)
class Arrival:
    """A mined output that nobody has spent, and how deep it is."""

    script: bytes
    txid: bytes
    output: int
    value_sat: int
    confirmations: int
    transaction_bytes: int = 0
    """How long its transaction is without its witness; 0 where nobody has looked."""


class PegChain(Protocol):
    """Tells which outputs are unspent, and which script an address stands for."""

    async def unspent(self, coins: Sequence[Outpoint]) -> frozenset[Outpoint]:
        """Give those of these outputs that nothing has spent."""
        ...

    async def arrivals(self, scripts: Sequence[bytes]) -> tuple[Arrival, ...]:
        """Give what the chain holds for these scripts now, the youngest block's with it.

        Raises:
            UnreachableError: when the chain does not answer.
            RemoteProtocolError: when what it says makes no sense, or is too much to list.
        """
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
