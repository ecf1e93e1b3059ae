"""A chain of Bitcoin blocks as the peg meets it: real transactions, real headers, signatures."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from ambientd.codec.secp256k1 import verify
from ambientd.model.receipt import AnchorProof
from ambientd.rules.bitcoin import (
    CONFIRMATIONS_MIN,
    REGTEST,
    Outpoint,
    Output,
    Transaction,
    compact_size,
    decode_transaction,
    double_sha256,
    encode_header,
    merkle_branch,
    merkle_root,
)

BITS = 0x207FFFFF
TIME_S = 1_700_000_000
KEY_PUSH = 34
_CHECKMULTISIG = 0xAE


@dataclass(frozen=True)
class Mined:
    """A Bitcoin block: its header, its transactions and their names."""

    header: bytes
    txs: tuple[Transaction, ...]
    names: tuple[bytes, ...]


def payment_from_outside(script: bytes, value_sat: int, mark: int) -> bytes:
    """Give a transaction that pays a script with somebody else's coin."""
    spent = sha256(b"outside %d" % mark).digest() + bytes(4) + b"\x00" + b"\xff" * 4
    output = value_sat.to_bytes(8, "little") + compact_size(len(script)) + script
    return b"\x02\x00\x00\x00\x01" + spent + b"\x01" + output + bytes(4)


@dataclass
class PegChain:
    """The best chain and what waits; coins of scripts to a witness are spent by signatures."""

    rng: random.Random
    blocks: list[Mined] = field(default_factory=list)
    waiting: dict[bytes, Transaction] = field(default_factory=dict)
    unspent: dict[Outpoint, Output] = field(default_factory=dict)
    spends: dict[Outpoint, bytes] = field(default_factory=dict)
    heights: dict[bytes, int] = field(default_factory=dict)
    kept: dict[bytes, Transaction] = field(default_factory=dict)
    were_deep: set[bytes] = field(default_factory=set)
    favoured: set[bytes] = field(default_factory=set)
    count: int = 0
    rate_sat_kvb: int = 1_000

    def pay(self, script: bytes, value_sat: int) -> None:
        """Let somebody pay a script."""
        self.count += 1
        transaction = decode_transaction(payment_from_outside(script, value_sat, self.count))
        self.waiting[transaction.txid] = transaction

    def send(self, raw: bytes) -> str | None:
        """Take a transaction of the federation's, or say why not."""
        transaction = decode_transaction(raw)
        if transaction.txid in self.waiting or self.height_of(transaction.txid) is not None:
            return None
        spent = [self._output(each.outpoint) for each in transaction.inputs]
        if None in spent:
            return "bad-txns-inputs-missingorspent"
        known = [each for each in spent if each is not None]
        if not _is_signed(transaction, known):
            return "mandatory-script-verify-flag-failed"
        rivals = self._rivals(transaction)
        if self._fee(transaction) < sum(self._fee(each) for each in rivals) + (
            transaction.vsize if rivals else 0
        ):
            return "insufficient fee, rejecting replacement"
        for rival in rivals:
            del self.waiting[rival.txid]
        self.waiting[transaction.txid] = transaction
        return None

    def keep(self, raw: bytes) -> None:
        """Let a miner keep a transaction for later."""
        transaction = decode_transaction(raw)
        self.kept[transaction.txid] = transaction

    def _rivals(self, transaction: Transaction) -> list[Transaction]:
        outpoints = {each.outpoint for each in transaction.inputs}
        return [
            other
            for other in self.waiting.values()
            if outpoints & {each.outpoint for each in other.inputs}
        ]

    def _fee(self, transaction: Transaction) -> int:
        spent = (self._output(each.outpoint) for each in transaction.inputs)
        paid = sum(each.value_sat for each in transaction.outputs)
        return sum(each.value_sat for each in spent if each) - paid

    def _output(self, outpoint: Outpoint) -> Output | None:
        parent = self.waiting.get(outpoint.txid)
        if parent is not None:
            return parent.outputs[outpoint.index]
        return self.unspent.get(outpoint)

    def mine(self, first: Sequence[Transaction] = ()) -> None:
        """Mine a block of what pays enough; payments from outside always do."""
        chosen = list(first)
        for transaction in list(self.waiting.values()):
            if self._is_ready(transaction):
                chosen.append(transaction)
                del self.waiting[transaction.txid]
        self._add(chosen)

    def _is_ready(self, transaction: Transaction) -> bool:
        spent = [self.unspent.get(each.outpoint) for each in transaction.inputs]
        if None in spent:
            return transaction.raw[4:6] != b"\x00\x01"
        if transaction.txid in self.favoured:
            return True
        return self._fee(transaction) * 1_000 >= self.rate_sat_kvb * transaction.vsize

    def _add(self, chosen: list[Transaction]) -> None:
        self.count += 1
        coinbase = decode_transaction(payment_from_outside(b"\x51", 1, self.count))
        txs = (coinbase, *chosen)
        previous = double_sha256(self.blocks[-1].header) if self.blocks else bytes(32)
        names = tuple(each.txid for each in txs)
        root = merkle_root(names)
        nonce = 0
        while True:
            header = encode_header(4, previous, root, TIME_S + self.count, BITS, nonce)
            if int.from_bytes(double_sha256(header), "little") <= REGTEST.pow_limit:
                break
            nonce += 1
        self.heights.update(dict.fromkeys(names, len(self.blocks)))
        self.blocks.append(Mined(header, txs, names))
        self._apply(self.blocks[-1])

    def _apply(self, block: Mined) -> None:
        for transaction, name in zip(block.txs, block.names, strict=True):
            for each in transaction.inputs:
                if self.unspent.pop(each.outpoint, None) is not None:
                    self.spends[each.outpoint] = name
            for place, output in enumerate(transaction.outputs):
                self.unspent[Outpoint(name, place)] = output

    def reorganise(
        self, depth: int, *, drops: bool, leaving: bytes = b"", swaps: bool = False
    ) -> None:
        """Replace the last blocks, without one transaction.

        Payments from outside are lost for ever if it drops them. If it swaps, then what was ever
        signed may be mined in the place of what spends the same.
        """
        undone = [each for block in self.blocks[-depth:] for each in block.txs[1:]]
        undone = [each for each in undone if each.txid != leaving]
        del self.blocks[-depth:]
        self.unspent.clear()
        self.spends.clear()
        self.heights.clear()
        for height, block in enumerate(self.blocks):
            self.heights.update(dict.fromkeys(block.names, height))
            self._apply(block)
        for transaction in undone:
            is_ours = transaction.raw[4:6] == b"\x00\x01"
            mined = self._swapped(transaction) if is_ours and swaps else transaction
            if (is_ours or not drops) and not self._rivals(mined):
                self.waiting[mined.txid] = mined
                self.favoured.add(mined.txid)
        self._drop_orphans()
        for _ in range(depth + 1):
            self.mine()

    def _swapped(self, transaction: Transaction) -> Transaction:
        """Give a transaction, or at times another that spends the same."""
        spent = {each.outpoint for each in transaction.inputs}
        rivals = [
            each
            for txid, each in self.kept.items()
            if txid != transaction.txid and spent & {other.outpoint for other in each.inputs}
        ]
        return self.rng.choice(rivals) if rivals and self.rng.random() < 0.7 else transaction

    def _drop_orphans(self) -> None:
        """Forget what spends what is not there any more."""
        while True:
            orphans = [
                txid
                for txid, each in self.waiting.items()
                if each.raw[4:6] == b"\x00\x01"
                and not all(self._output(spent.outpoint) for spent in each.inputs)
            ]
            for txid in orphans:
                del self.waiting[txid]
            if not orphans:
                return

    def has(self, txid: bytes) -> bool:
        """Tell whether a transaction is mined, or waits."""
        return txid in self.heights or txid in self.waiting

    def forget(self, txid: bytes) -> None:
        """Take a transaction out of the chain's youngest blocks and out of what waits."""
        height = self.height_of(txid)
        if height is not None:
            self.reorganise(len(self.blocks) - height, drops=False, leaving=txid)
        self.waiting.pop(txid, None)

    def height_of(self, txid: bytes) -> int | None:
        """Find a transaction in the best chain."""
        return self.heights.get(txid)

    def is_deep(self, txid: bytes) -> bool:
        """Tell whether a transaction has the confirmations that count."""
        height = self.height_of(txid)
        if height is None or len(self.blocks) - height < CONFIRMATIONS_MIN:
            return False
        self.were_deep.add(txid)
        return True

    def proof(self, txid: bytes) -> AnchorProof:
        """Prove where a transaction is mined."""
        height = self.height_of(txid)
        assert height is not None, "only what is mined is proven"
        block = self.blocks[height]
        branch = merkle_branch(block.names, block.names.index(txid))
        following = self.blocks[height + 1 :][: CONFIRMATIONS_MIN - 1]
        return AnchorProof(
            raw_tx=block.txs[branch.index].raw,
            index=branch.index,
            siblings=branch.siblings,
            height=height,
            header=block.header,
            following_headers=tuple(each.header for each in following),
        )


def _is_signed(transaction: Transaction, spent: Sequence[Output]) -> bool:
    """Tell whether every input has as many good signatures as its script asks for (BIP 143)."""
    witnesses = _witnesses(transaction)
    base, version, locktime = transaction.base, transaction.base[:4], transaction.base[-4:]
    names = [
        each.outpoint.txid + each.outpoint.index.to_bytes(4, "little")
        for each in transaction.inputs
    ]
    sequences = b"".join(each.sequence.to_bytes(4, "little") for each in transaction.inputs)
    paid = b"".join(
        each.value_sat.to_bytes(8, "little") + compact_size(len(each.script)) + each.script
        for each in transaction.outputs
    )
    assert base.endswith(locktime)
    for place, (stack, output) in enumerate(zip(witnesses, spent, strict=True)):
        script = stack[-1]
        if output.script != b"\x00\x20" + sha256(script).digest() or stack[0]:
            return False
        signed = (
            version
            + double_sha256(b"".join(names))
            + double_sha256(sequences)
            + names[place]
            + compact_size(len(script))
            + script
            + output.value_sat.to_bytes(8, "little")
            + sequences[4 * place :][:4]
            + double_sha256(paid)
            + locktime
            + b"\x01\x00\x00\x00"
        )
        keys = [script[at + 1 : at + KEY_PUSH] for at in range(1, len(script) - 2, KEY_PUSH)]
        if not _multisig(script[0] - 0x50, keys, stack[1:-1], double_sha256(signed)):
            return False
    return True


def _multisig(needed: int, keys: list[bytes], signatures: list[bytes], digest: bytes) -> bool:
    """Check signatures in the order of their keys, as OP_CHECKMULTISIG does."""
    rest = iter(keys)
    good = all(any(verify(key, digest, _compact(each)) for key in rest) for each in signatures)
    return good and len(signatures) == needed


def _compact(der: bytes) -> bytes:
    size = der[3]
    r, s = der[4 : 4 + size], der[6 + size : -1]
    return r.lstrip(b"\x00").rjust(32, b"\x00") + s.lstrip(b"\x00").rjust(32, b"\x00")


def _witnesses(transaction: Transaction) -> list[list[bytes]]:
    """Read the witnesses; they follow the outputs, and sizes here are of one or three bytes."""
    raw, at = transaction.raw, len(transaction.base) - 4 + 2
    stacks = []
    for _ in transaction.inputs:
        count, at = raw[at], at + 1
        stack = []
        for _ in range(count):
            size, at = raw[at], at + 1
            if size == 0xFD:
                size, at = int.from_bytes(raw[at : at + 2], "little"), at + 2
            stack.append(raw[at : at + size])
            at += size
        stacks.append(stack)
    return stacks
