"""What must hold of answers that one worker gave alone: their pay, and their audits."""

from collections.abc import Sequence
from typing import cast

from ambientd.codec.statements import result_root
from ambientd.ledger.audit_entries import AuditEntry, AuditState, Unvested
from ambientd.ledger.entries import META_KEY, Meta, Table, TaskEntry, audit_key
from ambientd.ledger.state import LedgerState
from ambientd.model.base import DIGEST_BYTES, NodeId, TaskId
from sim.checkers import InvariantViolation, Kinds
from sim.disk import DiskLost
from sim.machine import Effect, Host
from sim.node_checkers import EntryChecker, NodeChecker, written
from sim.node_machine import Persisted
from sim.vices import Resident, honest_answer


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
        for change, rows in written(effect) if node.is_honest else ():
            assert isinstance(node, Resident)
            time_ms = cast("Meta", change.writes[META_KEY]).time_ms
            begun_ms = self._times.get(node.key, 0)
            for table, name, entry, _ in rows:
                if table is not Table.UNVESTED:
                    continue
                known = self._waiting.get((node.key, name))
                if entry is not None:
                    if known is None or known[0] != entry:  # else it is only written anew
                        self._waiting[node.key, name] = cast("Unvested", entry), begun_ms
                elif (node.key, name) in self._waiting:
                    unvested, since_ms = self._waiting.pop((node.key, name))
                    due_ms = max(unvested.due_ms, since_ms + self._window_ms)
                    if time_ms < due_ms and not self._may_lose(node.ledger, name):
                        text = f"{due_ms - time_ms} ms early at {now} ms"
                        raise InvariantViolation("pay vests after its window", text)
                    self.vested += 1
            self._times[node.key] = 0 if change.is_leap else time_ms

    @staticmethod
    def _may_lose(ledger: LedgerState, name: bytes) -> bool:
        """Tell whether its worker was convicted, or its answer refuted: one with marks alone is."""
        entry = ledger.node(NodeId(name[:DIGEST_BYTES]))
        about = ledger.get(audit_key(TaskId(name[DIGEST_BYTES:])))
        is_refuted = isinstance(about, AuditEntry) and about.state is AuditState.REFUTED
        return entry is None or entry.tombstoned or is_refuted


class FairAudits(EntryChecker):
    """Nobody audits itself, no right answer is revoked, and no honest auditor confirms a lie."""

    def __init__(self, honest: frozenset[bytes]) -> None:
        super().__init__()
        self._honest = honest
        self.confirmed = 0
        self.refuted = 0

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Judge who audits, and what audits find."""
        del table
        if isinstance(entry, TaskEntry) and entry.audits is not None:
            if any(slot.worker == entry.audits.worker for slot in entry.slots):
                text = f"audit {name.hex()[:12]} at {now} ms"
                raise InvariantViolation("nobody audits itself", text)
        elif isinstance(entry, AuditEntry):
            fault = self._fault(node.ledger, TaskId(name), entry)
            if fault is not None:
                text = f"{fault}, task {name.hex()[:12]} at {now} ms"
                raise InvariantViolation("audits are fair", text)

    def _fault(self, ledger: LedgerState, task: TaskId, about: AuditEntry) -> str | None:
        audited = ledger.task(task)
        if audited is None:
            return None
        said = result_root(audited.answer_of(about.worker).receipt.result)
        is_right = said == result_root(honest_answer(audited.spec))
        if about.state is AuditState.CONFIRMED:
            self.confirmed += 1
            if not is_right and self._honest & set(about.confirmed_by):
                return "an honest auditor is said to have found a lie"
        if about.state is AuditState.REFUTED:
            self.refuted += 1
            liar = ledger.node(about.worker)
            stands_alone = not audited.answer_of(about.worker).receipt.marks
            spared = liar is None or (stands_alone and not liar.tombstoned)
            if is_right or about.revocation is None or spared:
                return "an answer was refuted that is right, or its worker kept its name"
        return None


def has_suspects(hosts: Sequence[Resident]) -> bool:
    """Tell whether the very last block may have made answers suspect: the next audits them."""
    return any(host.ledger.audits.suspects(1) for host in hosts)


def check_audits(hosts: Sequence[Resident]) -> None:
    """At the end no answer waits for a draw that was due, or stands on convicted nodes' word."""
    for host in hosts:
        ledger = host.ledger
        suspects = ledger.audits.suspects(1)
        late_ms = ledger.meta.time_ms - ledger.genesis.rules.audit_window_ms
        if waiting := suspects or ledger.audits.awaiting(late_ms, 1):
            text = f"task {waiting[0].hex()[:12]} was not audited"
            raise InvariantViolation("suspect and drawn answers are audited", text)
