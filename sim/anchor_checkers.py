"""What must hold of anchors in worlds of whole nodes: in the log, and in the chain at the end."""

from collections import Counter
from collections.abc import Sequence

from ambientd.ledger.admission import decode_record
from ambientd.ledger.entries import CheckpointEntry, Table
from ambientd.model.base import NodeId
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import Anchor
from ambientd.node.effect import PersistLedger
from ambientd.roles.anchoring.book import Stage
from ambientd.rules.bitcoin import double_sha256
from sim.anchor_chain import BLOCK_MS, AnchorChain
from sim.checkers import InvariantViolation, Kinds
from sim.disk import DiskLost
from sim.machine import Effect, Host
from sim.node_checkers import NodeChecker, written
from sim.node_machine import Persisted
from sim.vices import Resident
from sim.wallets import Wallet

CONTENDED_MAX = 8
"""Two anchors of a root may both be in the chain, and a proof of each under way: no more turns."""
SETTLING_MS = 15 * BLOCK_MS
"""How long a batch may be on its way into the chain: sent, outbid, bumped once, and mined."""


class LogsAnchors(NodeChecker):
    """An anchor in the log was mined once; another block's takes its place only with more work."""

    effects: Kinds = (Persisted, DiskLost)

    def __init__(self, chain: AnchorChain | None) -> None:
        self._chain = chain
        self._kept: dict[tuple[bytes, bytes], AnchorProof] = {}
        self._contended: Counter[tuple[bytes, bytes]] = Counter()
        self._closed_ms: dict[int, int] = {}
        self.replaced = 0

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Follow each batch's anchor, as each honest node has it."""
        if isinstance(effect, DiskLost):
            self._kept = {key: kept for key, kept in self._kept.items() if key[0] != node.key}
        for step, rows in written(effect) if self._chain is not None and node.is_honest else ():
            for table, name, entry, _ in rows:
                if table is Table.CHECKPOINT and isinstance(entry, CheckpointEntry):
                    self._closed_ms.setdefault(entry.note.size, now)
                    fault = self._fault((node.key, name), entry, step)
                    if fault is not None:
                        text = f"{fault}, size {entry.note.size} at {now} ms"
                        raise InvariantViolation("the log's anchors only gain work", text)

    def due_by(self, now: int) -> int:
        """Give how many receipts were closed so long ago that they must be in the chain."""
        closed = (size for size, ms in self._closed_ms.items() if ms <= now - SETTLING_MS)
        return max(closed, default=0)

    def _fault(
        self, key: tuple[bytes, bytes], entry: CheckpointEntry, step: PersistLedger
    ) -> str | None:
        assert self._chain is not None, "somebody anchors"
        known, found = self._kept.get(key), entry.anchor
        if found is None:
            return None if known is None else "an anchor is gone"
        block = self._chain.made.get(double_sha256(found.header))
        if block is None or all(entry.note.root not in tx.roots for tx in block.txs):
            return "an anchor was never mined"
        self._kept[key] = found
        if known is None or found == known:
            return None
        self.replaced += 1
        # Each of the chain's headers has the same work.
        if len(found.following_headers) <= len(known.following_headers):
            return "an anchor gave way to one with no more work"
        # Between two anchors of one step, or in what a node has leapt over, was another block's.
        passed = step.is_leap or _anchors_in(step, entry.note.size) > 1
        if found.header == known.header and not passed:
            return "an anchor gave way to one of its own block"
        was, now = (double_sha256(each.header) for each in (known, found))
        if was != now and self._chain.holds(was) and self._chain.holds(now):
            self._contended[key] += 1
        if self._contended[key] > CONTENDED_MAX:
            return "anchors that are all in the best chain take turns"
        return None


def _anchors_in(step: PersistLedger, size: int) -> int:
    """Count the proofs of one batch that a step's blocks hold."""
    records = (decode_record(data) for each in step.committed.blocks for data in each.block.records)
    bodies = (record.body for record in records)
    return sum(isinstance(body, Anchor) and body.size == size for body in bodies)


def check_anchors(chain: AnchorChain, hosts: Sequence[Resident], due: int) -> None:
    """At the end all receipts that are due are in the best chain, each batch paid for once."""
    ledger = hosts[0].ledger
    anchored = {root for block in chain.blocks for tx in block.txs for root in tx.roots}
    sizes = [
        size
        for size in ledger.checkpoint_sizes()
        if (entry := ledger.checkpoint(size)) is not None and entry.note.root in anchored
    ]
    held = max(sizes, default=0)
    if held < due:
        text = f"{due} receipts are due in the best chain, {held} are there"
        raise InvariantViolation("no batch is lost", text)
    _check_payers(chain, hosts)
    for host in hosts:
        if NodeId(host.key) not in ledger.members:
            continue
        assert isinstance(host.notary, Wallet), "who anchors has a wallet"
        for progress in host.notary.progress:
            root = progress.entry
            kept = ledger.checkpoint(root.size)
            # An older batch may have no anchor of its own: a later one holds it.
            if root.stage is not Stage.PROVEN or kept is None or kept.anchor is None:
                continue
            if not chain.holds(double_sha256(kept.anchor.header)):
                text = f"that of {root.size} receipts is in no block of the best chain"
                raise InvariantViolation("the log's anchors are in the best chain", text)


def _check_payers(chain: AnchorChain, hosts: Sequence[Resident]) -> None:
    """Find a root that one wallet has brought into the chain twice."""
    wallets = {
        host.notary.purse.script: host.notary for host in hosts if isinstance(host.notary, Wallet)
    }
    paid: set[tuple[bytes, bytes]] = set()
    for block in chain.blocks:
        for tx in block.txs:
            for root in tx.roots:
                owner = tx.pays[1][1]
                wallet = wallets.get(owner)
                if (root, owner) in paid and wallet is not None and not wallet.has_begun_anew:
                    text = f"root {root.hex()[:12]} is in the chain twice, paid by one wallet"
                    raise InvariantViolation("no batch is paid for twice", text)
                paid.add((root, owner))
