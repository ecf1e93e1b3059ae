"""Which blobs the ledger's tasks still need, and since when the others are needed no more."""

from dataclasses import dataclass

from ambientd.ledger.audit_entries import AuditEntry, AuditState
from ambientd.ledger.audit_index import is_reopened_by_a_lie
from ambientd.ledger.entries import TaskEntry, audit_key, lesson_key
from ambientd.ledger.learning_entries import LessonEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, TaskId
from ambientd.model.learning import NO_DATA, NO_MODULE
from ambientd.model.proof import NO_PROOF
from ambientd.model.task import TERMINAL

UNDECIDED = frozenset({AuditState.AWAITING, AuditState.OPEN})


@dataclass(frozen=True, slots=True)
class Need:
    """What a task has brought; `ended_ms` is when it was needed last, None while it still is."""

    inputs: tuple[Digest, ...]
    outputs: tuple[Digest, ...]
    ended_ms: int | None


def need_of(state: LedgerState, task: TaskId, entry: TaskEntry) -> Need:
    """Give the blobs of a task, and whether anybody may still ask for them."""
    opened = (signed.receipt.result.output for signed in entry.receipts)
    proofs = () if entry.spec.proof is None else (s.receipt.nonce for s in entry.receipts)
    settled = () if entry.settlement is None else (entry.settlement.result.output,)
    is_needed = (
        entry.state not in TERMINAL
        or _may_be_audited(state, task)
        or (entry.leaf is not None and entry.leaf >= state.anchored_size())
    )
    return Need(
        inputs=(
            *(entry.spec.module, entry.spec.input),
            *_lesson_parts(state, entry.seed_task or task),
            *_disputed_states(state, task),
        ),
        outputs=(*settled, *opened, *proofs),
        ended_ms=None if is_needed else entry.ended_ms,
    )


def _lesson_parts(state: LedgerState, task: TaskId) -> tuple[Digest, ...]:
    """Give what a lesson's input is put together of."""
    known = state.get(lesson_key(task))
    return (known.parts.model, known.parts.data) if isinstance(known, LessonEntry) else ()


def _disputed_states(state: LedgerState, task: TaskId) -> tuple[Digest, ...]:
    """Give the states from which a dispute's parties and referees go on, and a stretch's proof."""
    row = state.dispute(task)
    if row is None or row.game is None:
        return ()
    step = state.step(task)
    proofs = () if step is None or step.proof == NO_PROOF else (step.proof,)
    said = (*row.game.traces, *row.game.claimed)
    return proofs + tuple(trace.state for trace in said if trace is not None)


def _may_be_audited(state: LedgerState, task: TaskId) -> bool:
    """Tell whether an answer may yet be executed again: to audit it, or as its worker lied."""
    about = state.get(audit_key(task))
    if not isinstance(about, AuditEntry):
        return False
    return about.state in UNDECIDED or is_reopened_by_a_lie(about)


def studies_need(state: LedgerState) -> set[Digest]:
    """Give the blobs of the studies that go on: models, and the updates of the present round."""
    needed: set[Digest] = set()
    for study in state.studies.open:
        entry = state.study(study)
        assert entry is not None, "the list names studies that exist"
        needed |= {entry.model, entry.plan.module} - {NO_MODULE}
        needed |= {each.data for each in entry.consents} - {NO_DATA}
        row = state.round(study, entry.round)
        if row is not None:
            needed |= {each.update for each in row.contributed}
            needed |= {each.after for each in row.findings}
    return needed
