"""How the ledger gets where the log is: block by block, or to a later state that is proven."""

from ambientd.consensus import effects as log_effects
from ambientd.consensus.beacon import BeaconLink
from ambientd.ledger.apply import ProveFraud, apply_block, decode_record
from ambientd.ledger.draft import BlockContext
from ambientd.ledger.entries import Entry, Key
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.node.compaction import Compactor, PersistSnapshot
from ambientd.node.effect import Persist, PersistLedger, Told
from ambientd.node.installing import beacons_of, changes, pages_of, state_of
from ambientd.node.roots import RecentRoots


class Applier:
    """Brings a ledger forward, and says what to keep of each step."""

    def __init__(
        self, ledger: LedgerState, roots: RecentRoots, judge: ProveFraud, compactor: Compactor
    ) -> None:
        self._ledger = ledger
        self._roots = roots
        self._judge = judge
        self._compactor = compactor

    def apply(self, committed: log_effects.Committed) -> tuple[list[Persist], list[Told]]:
        """Run committed blocks through the ledger; give what to keep, and then what happened."""
        ledger = self._ledger
        writes: dict[Key, Entry | None] = {}
        told: list[Told] = []
        snapshots: list[PersistSnapshot] = []
        for block in committed.blocks:
            epoch = ledger.epoch.number
            header = block.block.header
            context = BlockContext(
                index=header.index,
                term=header.term,
                time_ms=header.time_ms,
                beacon=header.beacon,
                proposer=NodeId(header.proposer),
                hash=block.hash,
            )
            records = [decode_record(raw) for raw in block.block.records]
            result = apply_block(ledger, context, records, self._judge)
            ledger.commit(context.index, result.writes, result.tree)
            writes.update(result.writes)
            self._roots.add(context.index, result.root, ledger.epoch_due)
            told += [Told(event, context.index, context.time_ms) for event in result.events]
            snapshots += self._compactor.on_block(
                block, epoch, ledger.tree, ends_epoch=ledger.epoch.number != epoch
            )
        return [PersistLedger.of(committed, writes, ledger), *snapshots], told

    def install(
        self, fetched: log_effects.SnapshotFetched
    ) -> tuple[list[Persist], tuple[BeaconLink, ...]]:
        """Go over to a later state that the log has proven; what happened meanwhile is not told.

        Give what to keep, and how far each member's beacon chain is revealed there.
        """
        ledger = self._ledger
        later = state_of(fetched, ledger)
        writes, head_index = changes(ledger, later), ledger.applied_index
        ledger.become(later)
        beacons = beacons_of(ledger)
        committed = log_effects.Committed((fetched.block,), beacons, fetched.dropped)
        self._roots.add(ledger.applied_index, ledger.root, ledger.epoch_due)
        snapshot = self._compactor.installed(
            fetched.snapshot, pages_of(fetched), fetched.ends, head_index
        )
        return [PersistLedger.of(committed, writes, ledger, is_leap=True), snapshot], beacons
