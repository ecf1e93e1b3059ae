"""Chain: the Bitcoin network as the daemon sees it, whichever program answers.

Hashes are bytes in Bitcoin's internal order. Every method raises `UnreachableError`, naming the
endpoint and what to do, when nothing answers, and `RemoteProtocolError` when an answer makes no
sense. Nothing a chain says is taken for true where `rules.bitcoin` can check it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ambientd.rules.bitcoin import Branch, Outpoint


@dataclass(frozen=True, slots=True)
class Tip:
    """The newest Bitcoin block of the best chain."""

    height: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Where a transaction is mined."""

    block_hash: bytes
    height: int


@dataclass(frozen=True, slots=True)
class MerkleBranch:
    """A transaction's way to the header of its Bitcoin block: siblings leaf first."""

    header: bytes
    txid: bytes
    index: int
    siblings: tuple[bytes, ...]

    @property
    def branch(self) -> Branch:
        """The same, as the offline check takes it."""
        return Branch(self.index, self.siblings)


@dataclass(frozen=True, slots=True)
class Utxo:
    """A spendable output: mined, mature, and not spent by a transaction that waits."""

    txid: bytes
    index: int
    value_sat: int
    script: bytes
    height: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The chain will not take a transaction, in its own words."""

    reason: str


class Chain(Protocol):
    """What the daemon asks of a Bitcoin network."""

    @property
    def network(self) -> str:
        """The network's name, a key of `rules.bitcoin.NETWORKS`."""
        ...

    async def tip(self) -> Tip:
        """Give the newest Bitcoin block."""
        ...

    async def header(self, height: int) -> bytes:
        """Give the 80 bytes of a header of the best chain; UsageError above the tip."""
        ...

    async def headers(self, start: int, end: int) -> bytes:
        """Give the headers from a height of the best chain up to, without, another, in one piece.

        Each follows the one before it; UsageError when the chain does not reach that far.
        """
        ...

    async def block_hash(self, height: int) -> bytes:
        """Give the hash at a height of the best chain; UsageError above the tip."""
        ...

    async def block_txids(self, block_hash: bytes) -> list[bytes]:
        """Give the transaction ids of a Bitcoin block, in order; UsageError when it is unknown."""
        ...

    async def raw_tx(self, txid: bytes) -> bytes | None:
        """Give a transaction's bytes, mined or waiting, or None when it is unknown."""
        ...

    async def inclusion(self, txid: bytes) -> Inclusion | None:
        """Say where a transaction is mined in the best chain, or None."""
        ...

    async def confirmations(self, txid: bytes) -> int:
        """Count the Bitcoin blocks on top of, and including, a transaction's; 0 when not mined."""
        ...

    async def merkle_branch(self, txid: bytes) -> MerkleBranch | None:
        """Build and verify the branch of a mined transaction, or None when it is not mined."""
        ...

    async def broadcast(self, raw: bytes) -> bytes | Rejected:
        """Hand a transaction to the network: its id, also when known already, or why not."""
        ...

    async def fee_rate_sat_vb(self) -> float | None:
        """Estimate the fee rate for the next hours, or None when the network gives no estimate."""
        ...

    async def is_unspent(self, coin: Outpoint) -> bool:
        """Tell whether an output is there, mined or waiting, and nothing mined spends it.

        A node that can tell says the same of what waits. However much else its script holds.
        """
        ...

    async def utxos(self, script_pubkey: bytes) -> list[Utxo]:
        """List what can be spent from a script now, largest first; of very much, the largest."""
        ...

    async def utxos_of(self, scripts: Sequence[bytes]) -> list[Utxo]:
        """List the same of several scripts, largest first: one search where a node can do that."""
        ...
