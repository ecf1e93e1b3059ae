"""A chain that is believed only as far as headers of our own go.

Tip, heights and confirmations come from headers that were checked; where a transaction is mined a
server says, and the header it names must be ours. The rest is passed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ambientd.adapters.header_keeper import HeaderKeeper
from ambientd.errors import RemoteProtocolError, UsageError
from ambientd.ports.chain import Chain, Inclusion, MerkleBranch, Rejected, Tip, Utxo
from ambientd.rules.bitcoin import Outpoint, display, double_sha256

PLACES_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class _Known:
    """What a server said of a transaction, and what the tip was then."""

    tip_hash: bytes
    place: Inclusion | None


class KeptChain:
    """The Chain port over another one, with headers of our own."""

    def __init__(self, chain: Chain, keeper: HeaderKeeper, age_s: float = 0.0) -> None:
        """Compare with a keeper that follows the same chain, asked for its tip every `age_s`."""
        self._chain = chain
        self._keeper = keeper
        self._age_s = age_s
        self._places: dict[bytes, _Known] = {}

    @property
    def network(self) -> str:
        """The network's name."""
        return self._chain.network

    async def tip(self) -> Tip:
        """Give the newest Bitcoin block whose header was checked, unless that is hours old."""
        await self._keeper.follow(age_s=self._age_s)
        self._keeper.check_fresh()
        own = self._keeper.chain
        return Tip(own.height, own.tip_hash)

    async def header(self, height: int) -> bytes:
        """Give a header of the best chain."""
        return await self.headers(height, height + 1)

    async def headers(self, start: int, end: int) -> bytes:
        """Give the headers from a height up to, without, another."""
        own = self._keeper.chain
        if end > own.height + 1:
            await self._keeper.follow(age_s=self._age_s)
        if end > own.height + 1:
            raise UsageError(f"the {self.network} chain has no Bitcoin block {end - 1} yet")
        if start < own.base_height:
            return await self._chain.headers(start, end)
        return own.headers(start, end)

    async def block_hash(self, height: int) -> bytes:
        """Give the hash at a height of the best chain."""
        return double_sha256(await self.header(height))

    async def block_txids(self, block_hash: bytes) -> list[bytes]:
        """Give the transaction ids of a Bitcoin block."""
        return await self._chain.block_txids(block_hash)

    async def raw_tx(self, txid: bytes) -> bytes | None:
        """Give a transaction's bytes."""
        return await self._chain.raw_tx(txid)

    async def inclusion(self, txid: bytes) -> Inclusion | None:
        """Say where a transaction is mined; asked again only when the chain has moved."""
        tip = await self.tip()
        known = self._places.get(txid)
        if known is not None and (
            known.tip_hash == tip.hash or (known.place is not None and self._has(known.place))
        ):
            return known.place
        place = await self._chain.inclusion(txid)
        if place is not None and not self._has(place):
            await self._keeper.follow()  # the server has moved on since
            if place.height > self._keeper.chain.height:
                place = None
            elif not self._has(place):
                place = await self._moved(txid)
        self._places.pop(txid, None)
        self._places[txid] = _Known(tip.hash, place)
        if len(self._places) > PLACES_MAX:
            del self._places[next(iter(self._places))]
        return place

    async def _moved(self, txid: bytes) -> Inclusion | None:
        """Ask once more, as a reorganisation may have come in between."""
        place = await self._chain.inclusion(txid)
        if place is None or self._has(place):
            return place
        own = self._keeper.chain
        where = f"at height {place.height} that is not among our {self.network} headers"
        if place.height < own.base_height:
            where = f"below height {own.base_height}, where our {self.network} headers begin"
        msg = f"the server says {display(txid)} is in a Bitcoin block {where}"
        raise RemoteProtocolError(msg)

    def _has(self, place: Inclusion) -> bool:
        own = self._keeper.chain
        if not own.base_height <= place.height <= own.height:
            return False
        return double_sha256(own.header(place.height)) == place.block_hash

    async def confirmations(self, txid: bytes) -> int:
        """Count the headers on top of, and including, that of a transaction."""
        place = await self.inclusion(txid)
        return 0 if place is None else self._keeper.chain.height - place.height + 1

    async def merkle_branch(self, txid: bytes) -> MerkleBranch | None:
        """Give the branch of a mined transaction, which leads to a header of ours."""
        place = await self.inclusion(txid)
        branch = None if place is None else await self._chain.merkle_branch(txid)
        if place is None or branch is None:
            return None
        if double_sha256(branch.header) != place.block_hash:
            return None  # it has just been reorganised
        return branch

    async def broadcast(self, raw: bytes) -> bytes | Rejected:
        """Hand a transaction to the network."""
        return await self._chain.broadcast(raw)

    async def fee_rate_sat_vb(self) -> float | None:
        """Estimate the fee rate for the next hours."""
        return await self._chain.fee_rate_sat_vb()

    async def utxos(self, script_pubkey: bytes) -> list[Utxo]:
        """List what can be spent from a script now."""
        return await self._chain.utxos(script_pubkey)

    async def is_unspent(self, coin: Outpoint) -> bool:
        """Tell whether nothing has spent an output."""
        return await self._chain.is_unspent(coin)

    async def utxos_of(self, scripts: Sequence[bytes]) -> list[Utxo]:
        """List the same of several scripts."""
        return await self._chain.utxos_of(scripts)
