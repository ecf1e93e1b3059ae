"""Proven training: what participants sign of it, and which of it is executed again (16 §8).

A lesson that is drawn becomes a task that one worker has answered, and its audit is one like any
other (protocols/03 §10): auditors, disputes, convictions and certificates know no difference.
"""

from msgspec.structs import replace

from ambientd.codec.digest import tagged
from ambientd.codec.statements import receipt_hash, settlement_leaf, spec_hash, verify_receipt
from ambientd.ledger.audit_entries import AuditEntry, AuditSource
from ambientd.ledger.audits import open_audit
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import Slot, TaskEntry, lesson_key
from ambientd.ledger.learning_entries import LessonEntry, RoundEntry, StudyEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.execution import OutcomeKind
from ambientd.model.learning import Lesson, StudyId
from ambientd.model.learning_record import FlUpdate
from ambientd.model.receipt import Settlement, SignedReceipt
from ambientd.model.task import SlotState, TaskState, Verdict
from ambientd.rules.lessons import is_proven, lesson_of, output_bytes
from ambientd.rules.rewards import reward_msat
from ambientd.rules.studies import drawn

Rejection = str | None


def lesson_in(
    state: LedgerState, study: StudyId, entry: StudyEntry, row: RoundEntry, node: NodeId
) -> Lesson | None:
    """Give the lesson of a participant in the present round; None where nothing is proven."""
    said = [each for each in entry.consents if each.node == node]
    if not is_proven(entry.plan) or not said or not said[0].samples:
        return None
    return lesson_of(
        study,
        entry.round,
        node,
        entry.plan,
        entry.terms,
        row.before,
        said[0].data,
        said[0].samples,
        state.genesis.rules.price_msat_per_mgas_min,
    )


def take(
    draft: Draft, author: NodeId, body: FlUpdate, entry: StudyEntry, row: RoundEntry
) -> Rejection:
    """Take what a participant has signed of its training, or say why it proves nothing."""
    lesson = lesson_in(draft.state, body.study, entry, row, author)
    if lesson is None:
        return None if body.receipt is None else "nothing is proven in this study"
    if body.receipt is None:
        return "an update of this study comes with the signed receipt of the training"
    fault = _receipt_fault(draft, author, body, lesson, body.receipt, output_bytes(entry.plan))
    if fault is not None:
        return fault
    if draft.get(lesson_key(lesson.task)) is None:
        draft.put(lesson_key(lesson.task), LessonEntry(receipt=body.receipt, parts=lesson.parts))
    return None


def _receipt_fault(
    draft: Draft,
    author: NodeId,
    body: FlUpdate,
    lesson: Lesson,
    signed: SignedReceipt,
    size_bytes: int,
) -> Rejection:
    """Say why a receipt is not of this lesson and update; whether it is true is for audits."""
    receipt, spec = signed.receipt, lesson.spec
    place = (receipt.task, receipt.slot, receipt.attempt, receipt.worker)
    named = (receipt.spec, receipt.module, receipt.input)
    if place != (lesson.task, 0, 0, author) or named != (spec_hash(spec), spec.module, spec.input):
        return "the receipt is not of this participant's training in this round"
    result = receipt.result
    if (result.kind, result.output) != (OutcomeKind.COMPLETED, body.update):
        return "the update is not what the receipt says that training gave"
    if result.output_size_bytes != size_bytes or not 0 < result.gas <= spec.gas_max:
        return f"training gives {size_bytes} bytes, for {spec.gas_max} gas at most"
    is_signed = verify_receipt(signed, draft.state.cluster)
    return None if is_signed else "the receipt's signature does not hold"


def draw(draft: Draft, study: StudyId, entry: StudyEntry, row: RoundEntry) -> StudyEntry:
    """Let some of a round's updates be audited, drawn by lot when all of them are in the log."""
    if not is_proven(entry.plan):
        return entry
    place = entry.round.to_bytes(8, "big")
    seed = tagged("ambient/lesson-draw/1", draft.context.beacon, study, place)
    for node in drawn((each.node for each in row.contributed), seed)[: entry.terms.audits]:
        lesson = lesson_in(draft.state, study, entry, row, node)
        known = None if lesson is None else draft.get(lesson_key(lesson.task))
        if lesson is not None and isinstance(known, LessonEntry):
            entry = _audit(draft, entry, lesson, known)
    return entry


def _audit(draft: Draft, entry: StudyEntry, lesson: Lesson, known: LessonEntry) -> StudyEntry:
    """Make a lesson a task with one answer, which the study's author pays an audit of."""
    receipt, task, now_ms = known.receipt, lesson.task, draft.context.time_ms
    result, node = receipt.receipt.result, lesson.submitter
    settlement = Settlement(
        task=task,
        submitter=node,
        spec=spec_hash(lesson.spec),
        verdict=Verdict.NONE,
        result=result,
        receipts=(receipt_hash(receipt),),
        referees=(),
        liars=(),
        settled_ms=now_ms,
    )
    answered = TaskEntry(
        submitter=node,
        nonce=lesson.nonce,
        until_ms=now_ms,
        admit_signature=b"",
        spec=lesson.spec,
        state=TaskState.FINAL,
        admitted_ms=now_ms,
        escrow_msat=0,
        slots=(Slot(slot=0, attempt=0, worker=node, state=SlotState.REVEALED, receipt=receipt),),
        settlement=settlement,
        leaf=draft.append_leaf(settlement_leaf(settlement), task),
        ended_ms=now_ms,
        answered=True,
    )
    draft.put_task(task, answered)
    about = AuditEntry(
        worker=node,
        settled_ms=now_ms,
        term=draft.context.term,
        source=AuditSource.COMMITTEE,
        pay_msat=reward_msat(result.gas, lesson.spec.price_msat_per_mgas),
        permille=1000,
    )
    paid_msat = min(entry.escrow_msat, about.cost_msat)
    draft.move_escrow(-paid_msat)
    draft.move_reserve(paid_msat)
    open_audit(draft, task, about, paid_msat)
    return replace(entry, escrow_msat=entry.escrow_msat - paid_msat)


def drop_rest(draft: Draft, study: StudyId, entry: StudyEntry, row: RoundEntry) -> None:
    """Forget the lessons of a round that nobody audits; the others go with their tasks."""
    for said in row.contributed:
        lesson = lesson_in(draft.state, study, entry, row, said.node)
        if lesson is not None and draft.task(lesson.task) is None:
            draft.drop(lesson_key(lesson.task))
