"""A chain of Bitcoin blocks as anchoring may meet it: reorganisations, fees, forgetful nodes."""

import random
from dataclasses import dataclass, field
from hashlib import sha256

from ambientd.model.receipt import AnchorProof
from ambientd.roles.anchoring.book import Coin, Place
from ambientd.roles.anchoring.events import Look, View
from ambientd.rules.anchor_costs import anchor_vsize
from ambientd.rules.bitcoin import (
    Outpoint,
    committed_roots,
    decode_transaction,
    double_sha256,
    encode_header,
    merkle_branch,
    merkle_root,
    target_from_bits,
)

REGTEST_BITS = 0x207FFFFF
TARGET = target_from_bits(REGTEST_BITS)
TIME_S = 1_700_000_000
BLOCK_MS = 600
"""How long a Bitcoin block takes where minutes must do for days."""


@dataclass(frozen=True)
class Tx:
    """A transaction: what it spends, what it pays to whom, and the roots in it."""

    txid: bytes
    spends: tuple[Outpoint, ...]
    pays: tuple[tuple[int, bytes], ...]
    roots: tuple[bytes, ...]
    fee_sat: int
    raw: bytes = b""

    @property
    def vsize(self) -> int:
        """Give its virtual bytes."""
        return anchor_vsize(max(1, len(self.spends)))


@dataclass
class Block:
    """A Bitcoin block, its header mined as cheaply as on regtest."""

    header: bytes
    coinbase: bytes
    txs: list[Tx]
    hash: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Name it."""
        self.hash = double_sha256(self.header)

    @property
    def txids(self) -> list[bytes]:
        """Give the names of all its transactions, in order."""
        return [self.coinbase, *(tx.txid for tx in self.txs)]


@dataclass
class AnchorChain:
    """The best chain, one node's waiting transactions, and all that anybody ever saw."""

    rng: random.Random
    blocks: list[Block] = field(default_factory=list)
    waiting: dict[bytes, Tx] = field(default_factory=dict)
    seen: dict[bytes, Tx] = field(default_factory=dict)
    unspent: dict[Outpoint, tuple[int, bytes]] = field(default_factory=dict)
    rate_msat_vb: int = 1_000
    count: int = 0
    made: dict[bytes, Block] = field(default_factory=dict)
    _heights: dict[bytes, int] = field(default_factory=dict)

    @property
    def height(self) -> int:
        """Give the tip's height."""
        return len(self.blocks) - 1

    def place_of(self, txid: bytes) -> Place | None:
        """Find a transaction in the best chain."""
        height = self._heights.get(txid)
        if height is None:
            return None
        return Place(txid=txid, height=height, block_hash=self.blocks[height].hash)

    def holds(self, block_hash: bytes) -> bool:
        """Tell whether a Bitcoin block is in the best chain."""
        return any(block.hash == block_hash for block in self.blocks)

    def proof(self, place: Place, following: int) -> AnchorProof | None:
        """Prove a transaction with so many later headers; None when the chain has moved on."""
        if self.place_of(place.txid) != place:
            return None
        block = self.blocks[place.height]
        txids = block.txids
        branch = merkle_branch(txids, txids.index(place.txid))
        after = self.blocks[place.height + 1 : place.height + 1 + following]
        return AnchorProof(
            raw_tx=self.seen[place.txid].raw,
            index=branch.index,
            siblings=branch.siblings,
            height=place.height,
            header=block.header,
            following_headers=tuple(each.header for each in after),
        )

    def look(self, wanted: Look, script: bytes) -> View:
        """Look as an adapter does."""
        spent = {spend for tx in self.waiting.values() for spend in tx.spends}
        coins = tuple(
            Coin(txid=outpoint.txid, index=outpoint.index, value_sat=value_sat)
            for outpoint, (value_sat, owner) in self.unspent.items()
            if owner == script and outpoint not in spent
        )
        estimate = None if self.rng.random() < 0.3 else self.rate_msat_vb
        return View(
            height=self.height,
            places={txid: self.place_of(txid) for txid in wanted.txids},
            hashes={
                height: self.blocks[height].hash if height <= self.height else None
                for height in wanted.heights
            },
            waiting=frozenset(txid for txid in wanted.waiting if txid in self.waiting),
            coins=coins if wanted.coins else None,
            rate_msat_vb=estimate if wanted.coins else None,
        )

    def send(self, raw: bytes) -> str | None:
        """Take an anchor, or say why not."""
        decoded = decode_transaction(raw)
        known = [self._output(spend.outpoint) for spend in decoded.inputs]
        pays = tuple((output.value_sat, output.script) for output in decoded.outputs)
        if decoded.txid in self.waiting or self.place_of(decoded.txid) is not None:
            return None
        if len({spend.outpoint for spend in decoded.inputs}) != len(known):
            return "bad-txns-inputs-duplicate"
        if None in known:
            return "bad-txns-inputs-missingorspent"
        value_sat = sum(found[0] for found in known if found is not None)
        tx = Tx(
            decoded.txid,
            tuple(spend.outpoint for spend in decoded.inputs),
            pays,
            tuple(committed_roots(decoded)),
            value_sat - sum(value for value, _ in pays),
            raw,
        )
        return self.accept(tx)

    def accept(self, tx: Tx) -> str | None:
        """Let a transaction wait, replacing those it conflicts with (BIP 125)."""
        self.seen[tx.txid] = tx
        rivals = self._rivals(tx)
        if any(spend.txid in rivals for spend in tx.spends):
            return "bad-txns-spends-conflicting-tx"
        if rivals and tx.fee_sat < sum(each.fee_sat for each in rivals.values()) + tx.vsize:
            return "insufficient fee, rejecting replacement"
        for rival in rivals:
            self.waiting.pop(rival, None)
        self.waiting[tx.txid] = tx
        return None

    def _output(self, outpoint: Outpoint) -> tuple[int, bytes] | None:
        parent = self.waiting.get(outpoint.txid)
        if parent is not None and outpoint.index < len(parent.pays):
            return parent.pays[outpoint.index]
        return self.unspent.get(outpoint)

    def _rivals(self, tx: Tx) -> dict[bytes, Tx]:
        """Give what waits and spends the same, with all that spends from it."""
        rivals: dict[bytes, Tx] = {}
        for each in self.waiting.values():  # parents come before children
            if set(each.spends) & set(tx.spends) or any(s.txid in rivals for s in each.spends):
                rivals[each.txid] = each
        rivals.pop(tx.txid, None)
        return rivals

    def fund(self, script: bytes, value_sat: int) -> None:
        """Mine a payment from outside."""
        self.mine([Tx(self._name(b"fund"), (), ((value_sat, script),), (), 0)])

    def steal(self, script: bytes) -> bool:
        """Mine a transaction of somebody else who has the wallet's key."""
        owned = [outpoint for outpoint, (_, owner) in self.unspent.items() if owner == script]
        if not owned:
            return False
        coin = self.rng.choice(owned)
        value_sat = self.unspent[coin][0]
        self.mine([Tx(self._name(b"theft"), (coin,), ((value_sat, b"elsewhere"),), (), 0)])
        return True

    def mine(self, first: list[Tx] | None = None) -> None:
        """Mine a block of what pays enough, by itself or with the child that pays for it."""
        chosen: list[Tx] = []
        for tx in [*(first or []), *list(self.waiting.values())]:
            if tx.txid in {each.txid for each in chosen} or not self._is_spendable(tx, chosen):
                continue
            if tx in (first or []) or self._pays(tx):
                chosen.append(tx)
        self._append(chosen)
        self.waiting = {
            txid: tx
            for txid, tx in self.waiting.items()
            if all(self._output(spend) is not None for spend in tx.spends)
            and self.place_of(txid) is None
        }
        self._drop_orphans()

    def _append(self, chosen: list[Tx]) -> None:
        """Put a Bitcoin block on top, with the first nonce that will do: every other does."""
        coinbase, height = self._name(b"block"), len(self.blocks)
        previous = self.blocks[-1].hash if self.blocks else bytes(32)
        root = merkle_root([coinbase, *(tx.txid for tx in chosen)])
        nonce = 0
        while True:
            header = encode_header(4, previous, root, TIME_S + height, REGTEST_BITS, nonce)
            if int.from_bytes(double_sha256(header), "little") <= TARGET:
                break
            nonce += 1
        block = Block(header, coinbase, chosen)
        self.blocks.append(block)
        self.made[block.hash] = block
        for tx in chosen:
            self._heights[tx.txid] = height
            self._apply(tx)

    def _pays(self, tx: Tx) -> bool:
        family = [tx]
        for each in self.waiting.values():  # parents come before children
            if {spend.txid for spend in each.spends} & {member.txid for member in family}:
                family.append(each)
        fee_sat, vsize = sum(each.fee_sat for each in family), sum(each.vsize for each in family)
        best = max(tx.fee_sat * 1_000 // tx.vsize, fee_sat * 1_000 // vsize)
        return best >= self.rate_msat_vb

    def _is_spendable(self, tx: Tx, chosen: list[Tx]) -> bool:
        spent = {spend for each in chosen for spend in each.spends}
        made = {each.txid for each in chosen}
        return all(
            (spend in self.unspent or spend.txid in made) and spend not in spent
            for spend in tx.spends
        ) and (self.place_of(tx.txid) is None)

    def _apply(self, tx: Tx) -> None:
        for spend in tx.spends:
            del self.unspent[spend]
        for index, (value_sat, owner) in enumerate(tx.pays):
            if value_sat:
                self.unspent[Outpoint(tx.txid, index)] = (value_sat, owner)

    def _drop_orphans(self) -> None:
        waiting, self.waiting = self.waiting, {}
        for tx in waiting.values():
            if all(self._output(spend) is not None for spend in tx.spends):
                self.waiting[tx.txid] = tx

    def reorganise(self, depth: int) -> None:
        """Replace the last blocks by others; payments from outside are made again at once."""
        undone = self.blocks[len(self.blocks) - depth :]
        del self.blocks[len(self.blocks) - depth :]
        self.unspent.clear()
        self._heights.clear()
        for height, block in enumerate(self.blocks):
            for tx in block.txs:
                self._heights[tx.txid] = height
                self._apply(tx)
        returned = [tx for block in undone for tx in block.txs]
        funding = [tx for tx in returned if not tx.spends]
        memory = [tx for tx in self.seen.values() if self.rng.random() < 0.2]
        candidates = [*memory, *(tx for tx in returned if self.rng.random() < 0.5)]
        self.mine(funding + [tx for tx in candidates if tx.roots])
        for tx in returned:
            if (
                tx.roots
                and self.place_of(tx.txid) is None
                and self.rng.random() < 0.7
                and all(self._output(spend) is not None for spend in tx.spends)
            ):
                self.accept(tx)
        for _ in range(depth):
            self.mine()

    def forget(self) -> None:
        """Lose everything that waits, as a node does that starts again."""
        self.waiting.clear()

    def _name(self, what: bytes) -> bytes:
        self.count += 1
        return sha256(what + b"%d" % self.count).digest()
