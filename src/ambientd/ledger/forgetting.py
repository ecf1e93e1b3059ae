"""What ended long ago is forgotten, so that the state stays small (protocols/03 section 8).

A task goes with its leaf of the receipt log, once a closed batch holds that leaf: receipt files
carry their own proof. Leaves go from the left, in the order in which they came.
"""

from msgspec.structs import replace

from ambientd.codec.merkle import Frontier
from ambientd.codec.statements import audit_id
from ambientd.ledger import vesting
from ambientd.ledger.audit_entries import AuditEntry, AuditState
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import Leaf, Payment, Table, audit_key, leaf_key, lesson_key
from ambientd.ledger.settling import expire_task
from ambientd.model.base import Digest, TaskId

FORGOTTEN_MAX = 64
"""How many tasks a block forgets at most; the next blocks do the rest."""


def forget_ended(draft: Draft) -> None:
    """Forget the tasks that ended `keep_ms` ago, the oldest first."""
    state, meta = draft.state, draft.meta
    before_ms = draft.context.time_ms - state.genesis.rules.keep_ms
    edge = Frontier(meta.kept_from, tuple(meta.kept_edge))
    present: Digest | None = None
    for task, leaf in state.tasks_by.ended(before_ms, FORGOTTEN_MAX):
        if leaf is not None:
            if leaf >= meta.checkpoint_size:
                break
            # What lies between is of epochs: their leaves go with the next task's.
            for index in range(edge.size, leaf + 1):
                entry = draft.get(leaf_key(index))
                assert isinstance(entry, Leaf), "leaves go from the left"
                edge = edge.extended([entry.digest])
                draft.drop(leaf_key(index))
                if index == state.epoch_leaf:
                    present = entry.digest
        for payment in _payments(draft, task):
            vesting.vest(draft, payment.node, task)
        _forget_audit(draft, task)
        if draft.get(lesson_key(task)) is not None:
            draft.drop(lesson_key(task))
        draft.drop((Table.TASK, task))
    if edge.size == meta.kept_from:
        return
    draft.put_meta(
        replace(
            draft.meta,
            kept_from=edge.size,
            kept_edge=tuple(Digest(each) for each in edge.hashes),
        )
    )
    for size in state.forgotten_checkpoints(edge.size):
        draft.drop((Table.CHECKPOINT, size.to_bytes(8, "big")))
    if present is not None:
        draft.append_leaf(present, TaskId(b""))  # so that recent batches name the present epoch


def _payments(draft: Draft, task: TaskId) -> tuple[Payment, ...]:
    """Give what was paid for a task; what still waits of it could be lost by nothing any more."""
    entry = draft.task(task)
    return () if entry is None else entry.payments


def _forget_audit(draft: Draft, task: TaskId) -> None:
    """Forget what became of an answer; an audit under way has nothing left to judge."""
    about = draft.get(audit_key(task))
    if not isinstance(about, AuditEntry):
        return
    draft.drop(audit_key(task))
    if about.state is AuditState.OPEN:
        audit = audit_id(task, about.round - 1)
        entry = draft.task(audit)
        assert entry is not None, "an audit under way is there"
        expire_task(draft, audit, entry)
