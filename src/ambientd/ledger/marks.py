"""Marks: from where the next worker of a slot may go on (protocols/03 §12, ADR 85)."""

from ambientd.codec.digest import tagged
from ambientd.codec.statements import mark_hash, verify_mark
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import Table, TaskEntry
from ambientd.ledger.events import StateMarked
from ambientd.ledger.state import LedgerState
from ambientd.ledger.word_entries import MarkEntry
from ambientd.model.base import NodeId, TaskId
from ambientd.model.mark import FROM_BEGINNING, MARKED_STATE_BYTES_MAX, Mark
from ambientd.model.receipt import Receipt
from ambientd.model.record import Marked, Record
from ambientd.model.task import BEFORE_SEALED, SlotState
from ambientd.rules.marks import path_to
from ambientd.rules.rewards import mark_fee_msat

KEEPERS = 2
"""One may be down when the maker is."""


def take(draft: Draft, record: Record, body: Marked) -> str | None:
    """Take a worker's word on where its execution stands, in the place of its last one."""
    mark = body.mark
    entry, row = draft.task(mark.task), draft.marks(mark.task)
    if entry is None:
        return "a mark of no known task"
    if mark in row.marks:
        return None
    fault = _slot_fault(draft, record, entry, mark) or _mark_fault(entry, mark)
    if fault is not None:
        return fault
    if len(row.marks) >= entry.spec.marks_max:
        return f"the task has had its {entry.spec.marks_max} marks"
    gas_index = mark.point.gas_index
    if any(own.attempt == mark.attempt and gas_index <= own.point.gas_index for own in row.marks):
        return "a mark that is not beyond this attempt's last one"
    if mark.follows != FROM_BEGINNING:
        before = row.before(mark.attempt)
        followed = next((each for each in before if mark_hash(each) == mark.follows), None)
        if followed is None:
            return "a mark that follows none of an earlier attempt"
        if gas_index <= followed.point.gas_index:
            return "a mark that is not beyond the one that it follows"
    if not verify_mark(mark, draft.state.cluster):
        return "a mark with a wrong signature"
    draft.put_marks(mark.task, MarkEntry((*row.marks, mark)))
    draft.tell(StateMarked(mark.task, mark))
    return None


def _slot_fault(draft: Draft, record: Record, entry: TaskEntry, mark: Mark) -> str | None:
    """Say why this is not the word of who executes the slot now."""
    held = (mark.slot, mark.attempt, mark.worker, SlotState.ASSIGNED)
    slots = {(each.slot, each.attempt, each.worker, each.state) for each in entry.slots}
    if record.author != mark.worker or held not in slots or entry.state not in BEFORE_SEALED:
        return "a mark of somebody who does not execute this slot now"
    node = draft.node(mark.worker)
    return "a mark of a convicted worker" if node is None or node.tombstoned else None


def _mark_fault(entry: TaskEntry, mark: Mark) -> str | None:
    """Say why no execution of this task has such a state, or none that is handed on."""
    if not 0 < mark.point.gas_index <= entry.spec.gas_max:
        return "a mark outside the task's gas"
    if not 0 < mark.state_size_bytes <= MARKED_STATE_BYTES_MAX:
        return f"a marked state has 1 to {MARKED_STATE_BYTES_MAX} bytes"
    return None if len(mark.point.root) == len(mark.state) else "a root has 32 bytes"


def receipt_fault(draft: Draft, receipt: Receipt) -> str | None:
    """Say why an answer does not stand on the marks that it names; it may name none."""
    if isinstance(receipt.started_ms, int):
        return None
    named, known = receipt.marks, draft.marks(receipt.task).before(receipt.attempt)
    is_path = bool(named) and named[-1] in known and path_to(named[-1], known) == named
    return None if is_path else "an opened answer with marks that are not the log's"


def fee_msat(draft: Draft, task: TaskId, entry: TaskEntry) -> int:
    """Give what a task's marks have cost so far."""
    return len(draft.marks(task).marks) * mark_fee_msat(entry.spec)


def drop(draft: Draft, task: TaskId) -> None:
    """Forget from where others could go on with a task that has ended."""
    if draft.get((Table.MARKS, task)) is not None:
        draft.drop((Table.MARKS, task))


def keepers_of(mark: Mark, state: LedgerState) -> tuple[NodeId, ...]:
    """Give who keeps the state of a mark besides its maker."""
    others = (member for member in _drawn(mark.task, state) if member != mark.worker)
    return tuple(others)[:KEEPERS]


def all_keepers_of(task: TaskId, state: LedgerState) -> tuple[NodeId, ...]:
    """Give who keeps states of a task, whoever makes them."""
    return tuple(_drawn(task, state)[: KEEPERS + 1])


def _drawn(task: TaskId, state: LedgerState) -> list[NodeId]:
    return sorted(state.members, key=lambda member: tagged("ambient/keeper/1", task, member))
