"""A task's way through the ledger (COORDINATION, Through the log).

pending ─► assigned ─► committed ─► final        a late slot goes back to pending alone;
│            └─► disputed ─► final  cancelled and expired end without a leaf
└─► cancelled, expired
"""

from msgspec.structs import replace

from ambientd.codec.statements import (
    commitment,
    spec_hash,
    task_id,
    verify_commit,
    verify_receipt,
    verify_verdict,
)
from ambientd.ledger import disputes, marks, proofs
from ambientd.ledger.assigning import (
    fill,
    leave_queue,
    next_deadline,
    release,
    withhold,
)
from ambientd.ledger.audits import confirms
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import Slot, TaskEntry
from ambientd.ledger.events import (
    RefereeSpoke,
    SlotCommitted,
    SlotRevealed,
    TaskAdmitted,
    TaskCommitted,
)
from ambientd.ledger.settling import (
    cancel_task,
    convict_referee,
    expire_task,
    miss_deadline,
    settle_agreed,
    settle_dispute,
)
from ambientd.ledger.versions import MARKS_VERSION
from ambientd.model.base import DIGEST_BYTES, NodeId, TaskId
from ambientd.model.execution import OutcomeKind
from ambientd.model.receipt import RefereeVerdict, SignedReceipt
from ambientd.model.record import Admit, Cancel, Commits, DisputeStep, Record, Settle
from ambientd.model.task import (
    BEFORE_SEALED,
    TERMINAL,
    Commit,
    SlotState,
    TaskSpec,
    TaskState,
)
from ambientd.rules.bundles import extent_fits
from ambientd.rules.rewards import escrow_of
from ambientd.rules.terms import terms_fault
from ambientd.rules.verdicts import agreed, decided, differ, quorum, still_possible

Rejection = str | None
"""Why a record changes nothing; None when it does, or when it is here already."""

OPEN_TASKS_MAX = 4_096
"""Of one submitter, as the block before left them: a task that nobody can take never ends."""


def admit(draft: Draft, record: Record, body: Admit) -> Rejection:
    """Take a task in, its fee into escrow, and give out its slots."""
    submitter, spec = record.author, body.spec
    task = task_id(submitter, body.nonce, spec)
    if draft.task(task) is not None:
        return None
    fault = _until_fault(draft, body.until_ms) or _spec_fault(draft, submitter, spec)
    if fault is not None:
        return fault
    if spec.marks_max and draft.state.version < MARKS_VERSION:
        return f"the state is of version {draft.state.version}: marks begin with {MARKS_VERSION}"
    if draft.state.tasks_by.open_of(submitter) >= OPEN_TASKS_MAX:
        return f"the submitter has {OPEN_TASKS_MAX} open tasks: wait for some to end, or cancel"
    escrow = escrow_of(spec, draft.state.genesis.rules.audit_permille)
    balance = draft.balance_msat(submitter)
    if balance < escrow:
        return f"the task may cost {escrow} msat, the submitter has {balance}"
    draft.credit(submitter, -escrow)
    draft.move_escrow(escrow)
    entry = TaskEntry(
        submitter=submitter,
        nonce=body.nonce,
        until_ms=body.until_ms,
        admit_signature=record.signature,
        spec=spec,
        state=TaskState.PENDING,
        admitted_ms=draft.context.time_ms,
        escrow_msat=escrow,
        slots=tuple(Slot(slot=number, attempt=0) for number in range(spec.replicas)),
        expires_ms=spec.deadline_ms and spec.deadline_ms - draft.meta.lost_ms,
    )
    draft.tell(TaskAdmitted(task, escrow))
    fill(draft, task, entry)
    return None


def _until_fault(draft: Draft, until_ms: int) -> Rejection:
    """Say why a task is not admitted now, so that no record brings back what was forgotten."""
    now, keep_ms = draft.context.time_ms, draft.state.genesis.rules.keep_ms
    if not now <= until_ms <= now + keep_ms:
        return (
            f"the task may be admitted until {until_ms}; that is not within {keep_ms} ms from now"
        )
    return None


def _spec_fault(draft: Draft, submitter: NodeId, spec: TaskSpec) -> Rejection:
    if _is_tombstoned(draft, submitter):
        return "the submitter is not a node of this cluster, or was convicted"
    able = draft.state.able_nodes()
    if spec.replicas_max > able:
        return f"{spec.replicas_max} replicas are asked for, this cluster can give {able}"
    return terms_fault(spec, draft.state.genesis.rules, draft.context.time_ms)


def _is_tombstoned(draft: Draft, node: NodeId) -> bool:
    entry = draft.node(node)
    return entry is None or entry.tombstoned


def cancel(draft: Draft, record: Record, body: Cancel) -> Rejection:
    """Take a task back for its submitter, as long as answers are not all sealed."""
    entry = draft.task(body.task)
    if entry is None:
        return "no such task"
    if entry.submitter != record.author:
        return "only its submitter can cancel a task"
    if entry.audits is not None:
        return "an audit cannot be cancelled"
    if entry.state is TaskState.CANCELLED:
        return None
    if entry.state not in BEFORE_SEALED:
        return f"a task that is {entry.state.name.lower()} cannot be cancelled"
    cancel_task(draft, body.task, entry)
    return None


def commits(draft: Draft, body: Commits) -> Rejection:
    """Take sealed answers; what is here already is passed over."""
    fault: Rejection = None
    for each in body.commits:
        fault = _commit(draft, each) or fault
    return fault if not draft.events else None


def _commit(draft: Draft, commit: Commit) -> Rejection:
    entry = draft.task(commit.task)
    if entry is None:
        return "a sealed answer to no known task"
    slot = _slot_of(entry, commit.slot, commit.attempt, commit.worker)
    if slot is None or entry.state in TERMINAL:
        return "a sealed answer to a slot that is not this worker's"
    if slot.state is not SlotState.ASSIGNED:
        return None
    if _is_tombstoned(draft, commit.worker):
        return "a sealed answer of a convicted worker"
    if not verify_commit(commit, draft.state.cluster):
        return "a sealed answer with a wrong signature"
    sealed = replace(slot, state=SlotState.COMMITTED, commit=commit, deadline_ms=0)
    leave_queue(draft, entry.spec, slot)
    entry = replace(_with_slot(entry, sealed), answered=True)
    draft.tell(SlotCommitted(commit.task, slot.slot, slot.worker))
    if all(each.state in {SlotState.COMMITTED, SlotState.REVEALED} for each in entry.slots):
        until_ms = draft.running_ms + draft.state.genesis.rules.reveal_ms
        slots = tuple(
            replace(each, deadline_ms=until_ms) if each.state is SlotState.COMMITTED else each
            for each in entry.slots
        )
        entry = replace(entry, slots=slots, state=TaskState.COMMITTED, deadline_ms=until_ms)
        draft.tell(TaskCommitted(commit.task))
    draft.put_task(commit.task, entry)
    return None


def settle(draft: Draft, body: Settle) -> Rejection:
    """Take opened answers; with the last one the task is decided or disputed."""
    entry = draft.task(body.task)
    if entry is None:
        return "opened answers to no known task"
    if entry.state is TaskState.FINAL or entry.state is TaskState.DISPUTED:
        return None
    if entry.state is not TaskState.COMMITTED:
        return "answers are opened once all are sealed, not before"
    fault: Rejection = None
    for signed in body.receipts:
        opened = _opened(draft, entry, signed)
        if isinstance(opened, str):
            fault = opened
        elif opened is not None:
            entry = _with_slot(entry, opened)
            draft.tell(SlotRevealed(body.task, opened.slot, opened.worker, signed))
    if not draft.events:
        return fault
    if any(slot.state is not SlotState.REVEALED for slot in entry.slots):
        draft.put_task(body.task, replace(entry, deadline_ms=next_deadline(entry)))
    elif entry.spec.proof is not None:
        proofs.begin(draft, body.task, entry)
    elif agreed(entry.receipts) and confirms(draft, entry, entry.receipts[0].receipt.result):
        settle_agreed(draft, body.task, entry)
    else:
        disputes.begin(draft, body.task, entry)
    return None


def _opened(draft: Draft, entry: TaskEntry, signed: SignedReceipt) -> Slot | str | None:
    """Give the slot with its opened answer; None when it is open already, else what is wrong."""
    receipt, spec = signed.receipt, entry.spec
    slot = _slot_of(entry, receipt.slot, receipt.attempt, receipt.worker)
    if slot is None or slot.commit is None:
        return "an opened answer to a slot that is not this worker's"
    if slot.state is SlotState.REVEALED:
        return None
    if len(entry.slots) == 1 and _is_tombstoned(draft, receipt.worker):
        return "an opened answer of a convicted worker, which nothing could confirm"
    result = receipt.result
    if commitment(receipt) != slot.commit.commitment:
        return "an opened answer that is not the sealed one"
    answers = (receipt.spec, receipt.module, receipt.input)
    if answers != (spec_hash(spec), spec.module, spec.input):
        return "an opened answer to another task"
    if (
        not 0 <= result.gas <= spec.gas_max
        or not extent_fits(result, spec)
        or result.kind not in set(OutcomeKind)
        or len(result.reason) > 1024
    ):
        return "an opened answer outside the task's limits"
    if spec.proof is not None and len(receipt.nonce) != DIGEST_BYTES:
        return "an opened answer that names no proof"
    fault = marks.receipt_fault(draft, receipt)
    if fault is not None:
        return fault
    if not verify_receipt(signed, draft.state.cluster):
        return "an opened answer with a wrong signature"
    return replace(slot, state=SlotState.REVEALED, receipt=signed, deadline_ms=0)


def dispute_step(draft: Draft, record: Record, body: DisputeStep) -> Rejection:
    """Take a referee's finding; a quorum of equal ones decides."""
    verdict = body.verdict
    fault = _verdict_fault(draft, record, verdict)
    if fault is not None:
        return fault
    entry = draft.task(verdict.task)
    if entry is None:
        return "a finding on no known task"
    for said in entry.verdicts:
        if said.referee == verdict.referee:
            if differ(said, verdict) and verify_verdict(said, draft.state.cluster):
                convict_referee(draft, verdict.task, said, verdict)
            return None
    if entry.state in TERMINAL:
        return None
    if entry.state is not TaskState.DISPUTED:
        return "a finding on a task that is not disputed"
    if not disputes.is_whole(draft, verdict.task):
        return "a finding on a task that is being bisected"
    entry = replace(entry, verdicts=(*entry.verdicts, verdict))
    draft.tell(RefereeSpoke(verdict.task, verdict))
    members = len(draft.state.members)
    found = decided(entry.verdicts, quorum(members))
    if found is None and still_possible(entry.verdicts, members):
        draft.put_task(verdict.task, entry)
    else:
        settle_dispute(draft, verdict.task, entry, found)
    return None


def _verdict_fault(draft: Draft, record: Record, verdict: RefereeVerdict) -> Rejection:
    if record.author != verdict.referee or verdict.referee not in draft.state.members:
        return "only committee members are referees, each for itself"
    if _is_tombstoned(draft, verdict.referee):
        return "a finding of a convicted referee"
    result = verdict.result
    if result.kind not in set(OutcomeKind) or result.gas < 0 or len(result.reason) > 1024:
        return "a finding outside the limits"
    if not verify_verdict(verdict, draft.state.cluster):
        return "a finding with a wrong signature"
    return None


def run_out(draft: Draft, task: TaskId, entry: TaskEntry) -> None:
    """Do what time does to a task: assign what waits, take late slots away, end disputes."""
    now = draft.running_ms
    if entry.state is TaskState.DISPUTED:
        disputes.run_out(draft, task, entry)
        return
    row = draft.proof(task)
    if row is not None:
        proofs.run_out(draft, task, entry, row)
        return
    is_over = 0 < entry.expires_ms <= now
    if is_over and entry.state in BEFORE_SEALED:
        miss_deadline(draft, task, entry)
        return
    # Once an answer is open, another worker could copy it: the referees answer instead of one.
    is_open = any(slot.state is SlotState.REVEALED for slot in entry.slots)
    slots: list[Slot] = []
    for slot in entry.slots:
        if slot.deadline_ms and slot.deadline_ms <= now:
            sealed = slot.state is SlotState.COMMITTED
            # A task that nobody has answered yet may be one that nobody can: no worker's fault.
            if entry.answered:
                draft.blame(slot.worker, entry, is_withheld=sealed)
            reason = "did not open its answer" if sealed else "did not answer in time"
            if is_open:
                slots.append(withhold(draft, task, slot, reason))
            else:
                slots.append(release(draft, task, entry.spec, slot, reason))
        else:
            slots.append(slot)
    entry = replace(entry, slots=tuple(slots))
    attempts_max = entry.spec.attempts or draft.state.genesis.rules.attempts_max
    if is_open:
        disputes.begin(draft, task, entry)
    elif is_over:
        miss_deadline(draft, task, entry)
    elif any(slot.attempt >= attempts_max for slot in slots):
        expire_task(draft, task, entry)
    else:
        fill(draft, task, entry)


def _slot_of(entry: TaskEntry, number: int, attempt: int, worker: NodeId) -> Slot | None:
    for slot in entry.slots:
        if (slot.slot, slot.attempt, slot.worker) == (number, attempt, worker):
            return slot
    return None


def _with_slot(entry: TaskEntry, changed: Slot) -> TaskEntry:
    slots = tuple(changed if slot.slot == changed.slot else slot for slot in entry.slots)
    entry = replace(entry, slots=slots)
    return replace(entry, deadline_ms=next_deadline(entry))
