"""What must hold of tasks and nodes in the ledger, judged from what honest nodes persist."""

from collections.abc import Iterator
from typing import cast

from ambientd.codec.signing import verify_note
from ambientd.codec.statements import (
    commitment,
    fingerprint,
    result_root,
    verify_commit,
    verify_receipt,
    verify_verdict,
)
from ambientd.ledger.entries import CheckpointEntry, Table, TaskEntry
from ambientd.ledger.events import SlotAssigned
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import Assignment, Purpose
from ambientd.model.genesis import FIRST_EPOCH, Genesis
from ambientd.model.task import DEFAULT_CLASS, Assurance, TaskState, Verdict
from ambientd.node.effect import Told
from ambientd.rules.notes import note_text
from sim.checkers import InvariantViolation, Kinds
from sim.disk import DiskLost
from sim.judge import needed
from sim.machine import Effect, Host
from sim.node_checkers import EntryChecker, NodeChecker, ledger_changes
from sim.node_machine import Persisted
from sim.proofs import is_right
from sim.vices import Resident, honest_answer


class SignedAnswers(EntryChecker):
    """No sealed answer, opened answer or finding stands in the ledger without its signature."""

    def __init__(self, genesis: Genesis) -> None:
        super().__init__()
        self._cluster = fingerprint(genesis)

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Check the signatures within a task."""
        del node, table
        if isinstance(entry, TaskEntry) and not all(self._hold(entry)):
            text = f"task {name.hex()[:12]} by {now} ms"
            raise InvariantViolation("answers are signed", text)

    def _hold(self, entry: TaskEntry) -> Iterator[bool]:
        for slot in entry.slots:
            yield slot.commit is None or verify_commit(slot.commit, self._cluster)
            yield slot.receipt is None or verify_receipt(slot.receipt, self._cluster)
        for said in entry.verdicts:
            yield verify_verdict(said, self._cluster)


class SealedAnswers(EntryChecker):
    """An opened answer is the one that its worker had sealed before it saw others."""

    def __init__(self) -> None:
        super().__init__()
        self._seals: dict[tuple[bytes, int, int], Digest] = {}

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Hold opened answers against seals, which the ledger may forget at a task's end."""
        del node, table
        for slot in entry.slots if isinstance(entry, TaskEntry) else ():
            place = (name, slot.slot, slot.attempt)
            if slot.commit is not None:
                self._seals[place] = slot.commit.commitment
            if slot.receipt is None:
                continue
            opened = commitment(slot.receipt.receipt)
            if self._seals.get(place, opened) != opened:
                text = f"task {name.hex()[:12]}, slot {slot.slot} by {now} ms"
                raise InvariantViolation("answers are as sealed", text)


class FairVerdicts(EntryChecker):
    """Agreed means unanimous, divergent means found by a quorum of referees, and true."""

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Judge a settlement, and what it does to liars."""
        del table
        if not isinstance(entry, TaskEntry) or entry.settlement is None:
            return
        fault = self._fault(node.ledger, entry)
        if fault is not None:
            text = f"{fault}, task {name.hex()[:12]} by {now} ms"
            raise InvariantViolation("verdicts are fair", text)

    def _fault(self, ledger: LedgerState, entry: TaskEntry) -> str | None:
        settlement = entry.settlement
        assert settlement is not None
        said = {result_root(signed.receipt.result) for signed in entry.receipts}
        root = result_root(settlement.result)
        if settlement.verdict is Verdict.INCONCLUSIVE:
            return None
        if settlement.verdict is Verdict.PROVEN:
            receipt = entry.receipts[0].receipt
            place = Assignment(Purpose.PROOF, receipt.task, receipt.slot, receipt.attempt)
            holds = is_right(place, entry.spec, settlement.result, receipt.nonce)
            return None if holds else "a proof that is none was called one"
        if entry.spec.proof is not None:
            return "a proven task was settled without its proof"
        if settlement.verdict is Verdict.BISECTED:
            return self._liars_fault(ledger, entry)
        if not entry.verdicts:
            is_audited = entry.spec.assurance is Assurance.AUDITED
            asked = len(entry.slots) if is_audited else entry.spec.replicas
            unanimous = said == {root} and len(entry.receipts) == asked
            return None if unanimous else "answers that differ, or too few, were called agreed"
        found = {v.referee for v in entry.verdicts if result_root(v.result) == root}
        if not any(len(found & seats) >= needed(len(seats)) for seats in _committees(ledger)):
            return "too few referees decided"
        if root != result_root(honest_answer(entry.spec)):
            return "a quorum of referees found what is not so"
        return self._liars_fault(ledger, entry)

    def _liars_fault(self, ledger: LedgerState, entry: TaskEntry) -> str | None:
        assert entry.settlement is not None
        root = result_root(entry.settlement.result)
        liars = {s.receipt.worker for s in entry.receipts if result_root(s.receipt.result) != root}
        named = set(entry.settlement.liars)
        convicted = {liar for liar in liars if self._is_convicted(ledger, liar)}
        return None if liars == named == convicted else "a liar was not convicted, or another was"

    @staticmethod
    def _is_convicted(ledger: LedgerState, node: NodeId) -> bool:
        entry = ledger.node(node)
        left_msat = ledger.moves(node).waiting_msat + (0 if entry is None else entry.bond_msat)
        return entry is not None and entry.tombstoned and left_msat == 0


def _committees(ledger: LedgerState) -> Iterator[frozenset[NodeId]]:
    """Give the committee of each epoch so far."""
    for number in range(FIRST_EPOCH, ledger.epoch.number + 1):
        entry = ledger.epoch_entry(number)
        if entry is not None:
            yield frozenset(entry.epoch.members)


class OthersFirst(NodeChecker):
    """A submitter works for itself only when nobody else can."""

    effects: Kinds = (Persisted, Told, DiskLost)

    def __init__(self) -> None:
        self._fit: dict[bytes, frozenset[NodeId]] = {}
        self._others: dict[bytes, frozenset[NodeId]] = {}

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Judge steps of one block without reports by who was fit before and after it."""
        if not isinstance(node, Resident):
            return
        if isinstance(effect, DiskLost):
            self._fit.pop(node.key, None)
        if changes := ledger_changes(effect):
            blocks = sum(len(change.committed.blocks) for change in changes)
            tables = {table for change in changes for table, _ in change.writes}
            known = self._fit.get(node.key)
            before = frozenset() if known is None else known
            after = _fit(node.ledger) if known is None or Table.NODE in tables else known
            is_plain = blocks == 1 and not {Table.REPORT, Table.OFFER} & tables
            self._others[node.key] = before & after if is_plain else frozenset()
            self._fit[node.key] = after
        if isinstance(effect, Told) and isinstance(effect.event, SlotAssigned):
            entry = node.ledger.task(effect.event.task)
            if entry is None or entry.submitter != effect.event.worker:
                return
            barred = {entry.submitter, *entry.tried, *entry.barred}
            barred |= {slot.worker for slot in entry.slots}
            if entry.spec.constraints or entry.spec.task_class != DEFAULT_CLASS:
                return  # others who could work may be none of those that it asks for
            others = self._others.get(node.key, frozenset()) - barred
            if any(_takes(node.ledger, each, entry.spec.task_class) for each in others):
                text = f"task {effect.event.task.hex()[:12]} at {now} ms"
                raise InvariantViolation("others work before the submitter", text)


def _takes(ledger: LedgerState, node: NodeId, task_class: str) -> bool:
    entry = ledger.node(node)
    return entry is not None and task_class not in entry.profile.refuses


def _fit(ledger: LedgerState) -> frozenset[NodeId]:
    found = ((node, ledger.node(node)) for node in ledger.nodes())
    return frozenset(node for node, entry in found if entry is not None and entry.is_fit)


class CosignedBatches(EntryChecker):
    """A closed batch has a quorum of good cosignatures by members."""

    def __init__(self, genesis: Genesis) -> None:
        super().__init__()
        self._cluster = fingerprint(genesis)

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Count the cosignatures."""
        del name
        if table is not Table.CHECKPOINT:
            return
        closed = cast("CheckpointEntry", entry)
        note = closed.note
        epoch = node.ledger.epoch_entry(closed.epoch)
        members = () if epoch is None else epoch.epoch.members
        text = note_text(self._cluster, note.size, note.root)
        good = {
            each.member
            for each in note.cosignatures
            if each.member in members and verify_note(each.member, text, each.signature)
        }
        if len(good) < needed(len(members)):
            said = f"{len(good)} cosignatures at size {note.size} by {now} ms"
            raise InvariantViolation("batches are cosigned by a quorum", said)


class InvitedOnly(EntryChecker):
    """Nobody is on the allow-list who was not invited."""

    def __init__(self, invited: frozenset[bytes]) -> None:
        super().__init__()
        self._invited = invited

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Look at who is a node."""
        del node, entry
        if table is Table.NODE and name not in self._invited:
            text = f"{name.hex()[:12]} by {now} ms"
            raise InvariantViolation("only who was invited joins", text)


class OpenAreDue(EntryChecker):
    """A slot in a worker's hands has an end that is near: no lease lasts for ever."""

    def __init__(self, lease_ms_max: int) -> None:
        super().__init__()
        self._lease_ms_max = lease_ms_max

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Hold deadlines against the ledger's time."""
        del table
        if not isinstance(entry, TaskEntry) or entry.state is not TaskState.ASSIGNED:
            return
        latest = max((slot.deadline_ms for slot in entry.slots), default=0)
        if latest > node.ledger.meta.running_ms + self._lease_ms_max:
            text = f"task {name.hex()[:12]} at {now} ms"
            raise InvariantViolation("leases end", text)
