"""What must hold of answers that one worker gave alone: their pay, and their audits."""

from typing import cast

from ambientd.ledger.entries import META_KEY, Meta, Table, Unvested
from ambientd.ledger.state import LedgerState
from ambientd.model.base import DIGEST_BYTES, NodeId
from sim.checkers import InvariantViolation, Kinds
from sim.disk import DiskLost
from sim.machine import Effect, Host
from sim.node_checkers import NodeChecker, ledger_changes
from sim.node_machine import Persisted
from sim.vices import Resident


class PayVests(NodeChecker):
    """Pay for an answer that nobody else gave waits for its window, and a liar's is lost."""

    effects: Kinds = (Persisted, DiskLost)

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._waiting: dict[tuple[bytes, bytes], tuple[Unvested, int]] = {}
        self._times: dict[bytes, int] = {}
        self.vested = 0

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Follow what waits, as each honest node has it."""
        if isinstance(effect, DiskLost):
            self._times.pop(node.key, None)
        for change in ledger_changes(effect) if node.is_honest else []:
            assert isinstance(node, Resident)
            time_ms = cast("Meta", change.writes[META_KEY]).time_ms
            begun_ms = self._times.get(node.key, 0)
            for (table, name), entry in sorted(change.writes.items(), key=lambda each: each[0]):
                if table is not Table.UNVESTED:
                    continue
                if entry is not None:
                    self._waiting[node.key, name] = cast("Unvested", entry), begun_ms
                elif (node.key, name) in self._waiting:
                    unvested, since_ms = self._waiting.pop((node.key, name))
                    due_ms = max(unvested.due_ms, since_ms + self._window_ms)
                    if time_ms < due_ms and self._is_honest(node.ledger, name):
                        text = f"{due_ms - time_ms} ms early at {now} ms"
                        raise InvariantViolation("pay vests after its window", text)
                    self.vested += 1
            self._times[node.key] = 0 if change.is_leap else time_ms

    @staticmethod
    def _is_honest(ledger: LedgerState, name: bytes) -> bool:
        entry = ledger.node(NodeId(name[:DIGEST_BYTES]))
        return entry is not None and not entry.tombstoned
