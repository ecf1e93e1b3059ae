"""Audits: answers that one worker gave alone are drawn and executed again (protocols/03 §10).

awaiting ─► passed          a conviction of all who vouched for an answer opens it again
│            │  ┌─► confirmed
└────────────┴► open ─► refuted, with a revocation in the receipt log
                └─► undecided
"""

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from ambientd.codec.statements import audit_id, result_root, revocation_leaf
from ambientd.ledger.assigning import fill
from ambientd.ledger.audit_entries import AuditEntry, AuditSource, AuditState, Refill
from ambientd.ledger.audit_index import is_reopened_by_a_lie
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import Audited, EvidenceEntry, Slot, TaskEntry, audit_key
from ambientd.ledger.events import (
    AuditOpened,
    AuditUndecided,
    ResultConfirmed,
    ResultRevoked,
    ResultSuspected,
)
from ambientd.ledger.evidence import EVIDENCE_OF_LIE, evidence_name
from ambientd.ledger.headers import window_of
from ambientd.ledger.vesting import forfeit, window_ms
from ambientd.model.base import NodeId, TaskId
from ambientd.model.execution import OutcomeKind
from ambientd.model.receipt import Revocation
from ambientd.model.task import Assurance, Result, TaskState, Verdict
from ambientd.rules.auditing import AUDITORS, audit_spec, is_audited, lone_permille
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN, double_sha256
from ambientd.rules.header_window import Window
from ambientd.rules.rewards import reward_msat, slot_fee_msat

DRAWN_MAX = 64
REOPENED_MAX = 8
"""Answers that a block draws, and that it opens again because of a lie, at most."""

COMMITTEE_SHARE = 4
"""The committee's chain draws in a later term, at the latest after a quarter of the window."""

BITCOIN_SHARE = 2
"""It draws for Bitcoin's, too, which has said nothing for half of the window."""

DRAW_AHEAD = 3
"""A block draws that comes so far after the last that the ledger knew: others may know more."""


def await_draw(draft: Draft, task: TaskId, entry: TaskEntry, lone: NodeId) -> None:
    """Let an answer of one worker wait for a seed that nobody knows yet.

    What a dispute has left is audited at once: that others lied shows nothing of who is left.
    """
    assert entry.settlement is not None, "an answer is settled before it is drawn"
    about = AuditEntry(
        worker=lone,
        settled_ms=draft.context.time_ms,
        term=draft.context.term,
        height=window_of(draft.state).tip,
        pay_msat=reward_msat(entry.settlement.result.gas, entry.spec.price_msat_per_mgas),
        permille=share_permille(draft, entry),
    )
    if _is_left(entry):
        open_audit(draft, task, replace(about, source=AuditSource.DISPUTE), about.cost_msat)
    else:
        draft.put(audit_key(task), about)


def _is_left(entry: TaskEntry) -> bool:
    """Tell whether an answer of one worker is what a dispute has left."""
    return entry.settlement is not None and entry.settlement.verdict is Verdict.BISECTED


def about_of(draft: Draft, task: TaskId) -> AuditEntry | None:
    """Give what becomes of an unreplicated answer."""
    return cast("AuditEntry | None", draft.get(audit_key(task)))


def share_permille(draft: Draft, entry: TaskEntry) -> int:
    """Give the share of answers like this one that is audited: trusted workers' by their streak."""
    if _is_left(entry):
        return 1000
    permille = draft.state.genesis.rules.audit_permille
    if entry.spec.assurance is not Assurance.AUDITED:
        return permille
    found = draft.reputation(entry.slots[0].worker, entry.spec.task_class)
    return lone_permille(found.streak, permille)


def draw(draft: Draft) -> None:
    """Draw which answers are audited, in the order in which they were settled."""
    window = window_of(draft)
    for task in draft.state.audits.awaiting(draft.context.time_ms, DRAWN_MAX):
        about, entry = about_of(draft, task), draft.task(task)
        if about is None or entry is None:
            continue  # forgotten in this block
        drawn_by = _seed(draft, window, about)
        if drawn_by is None:
            break
        source, seed = drawn_by
        drawn = replace(about, source=source, state=AuditState.PASSED)
        if is_audited(seed, task, about.permille):
            open_audit(draft, task, drawn, about.cost_msat)
        else:
            draft.put(audit_key(task), drawn)


def _seed(draft: Draft, window: Window, about: AuditEntry) -> tuple[AuditSource, bytes] | None:
    """Give what draws an answer: nobody knew it when the answer was settled; None before then."""
    passed_ms = draft.context.time_ms - about.settled_ms
    if about.height is not None:
        height = about.height + DRAW_AHEAD
        header = window.at(height)
        tip = -1 if window.tip is None else window.tip
        if header is not None and tip >= height + CONFIRMATIONS_MIN - 1:
            return AuditSource.BITCOIN, double_sha256(header)
        is_ready = passed_ms >= window_ms(draft) // BITCOIN_SHARE
    else:
        is_ready = passed_ms >= window_ms(draft) // COMMITTEE_SHARE
        is_ready = is_ready or draft.context.term != about.term
    return (AuditSource.COMMITTEE, draft.context.beacon) if is_ready else None


def reopen(draft: Draft) -> None:
    """Audit answers that stand on nobody's word any more."""
    for task in draft.state.audits.suspects(REOPENED_MAX):
        about, entry = about_of(draft, task), draft.task(task)
        if about is None or entry is None or not is_reopened_by_a_lie(about):
            continue  # forgotten in this block, or drawn
        draft.tell(ResultSuspected(task, entry.submitter, about.worker))
        found_msat = forfeit(draft, about.worker, task)
        for voucher in about.vouchers:
            found_msat += _refill_msat(draft, voucher, about.cost_msat - found_msat)
        open_audit(draft, task, replace(about, source=AuditSource.LIE), found_msat)


def _refill_msat(draft: Draft, convict: NodeId, wanted_msat: int) -> int:
    """Take from what a convict's bond has left for such audits, which the reserve holds."""
    refill = draft.refill(convict)
    taken_msat = max(0, min(wanted_msat, refill.left_msat))
    if taken_msat:
        draft.put_refill(convict, Refill(left_msat=refill.left_msat - taken_msat))
    return taken_msat


def owed_msat(audit: TaskEntry) -> int:
    """Give what finding out a lie costs at most: who lies in an audit owes it; else nothing."""
    fee_msat = slot_fee_msat(audit.spec.gas_max, audit.spec.price_msat_per_mgas)
    return 0 if audit.audits is None else fee_msat * (AUDITORS + 1)


def topped_up(
    draft: Draft, audit: TaskEntry, culprits: Sequence[NodeId], most_msat: int
) -> TaskEntry:
    """Let what an audit's culprits have lost pay for what was not set aside for it.

    A liar that claims little gas has little set aside for who finds out how much it takes.
    """
    for culprit in culprits:
        wanted_msat = min(most_msat - audit.escrow_msat, draft.meta.reserve_msat)
        found_msat = _refill_msat(draft, culprit, wanted_msat)
        draft.move_reserve(-found_msat)
        draft.move_escrow(found_msat)
        audit = replace(audit, escrow_msat=audit.escrow_msat + found_msat)
    return audit


def open_audit(draft: Draft, task: TaskId, about: AuditEntry, most_msat: int) -> None:
    """Let others execute a task again, which the reserve pays for as far as it reaches."""
    entry = draft.task(task)
    assert entry is not None, "an answer is forgotten with its task"
    audit = audit_id(task, about.round)
    escrow = min(draft.meta.reserve_msat, about.cost_msat, most_msat)
    draft.move_reserve(-escrow)
    draft.move_escrow(escrow)
    opened = TaskEntry(
        submitter=entry.submitter,
        nonce=b"",
        until_ms=entry.until_ms,
        admit_signature=b"",
        spec=audit_spec(entry.spec),
        state=TaskState.PENDING,
        admitted_ms=draft.context.time_ms,
        escrow_msat=escrow,
        slots=tuple(Slot(slot=number, attempt=0) for number in range(AUDITORS)),
        audits=Audited(task=task, worker=about.worker),
        # The only node that suits the task may be the one that is audited.
        expires_ms=draft.running_ms + window_ms(draft),
    )
    draft.put(audit_key(task), replace(about, state=AuditState.OPEN, round=about.round + 1))
    draft.tell(AuditOpened(task, audit, about.source))
    fill(draft, audit, opened)


def confirms(draft: Draft, entry: TaskEntry, found: Result) -> bool:
    """Tell whether a result is the audited one; True for what audits nothing."""
    audited = None if entry.audits is None else draft.task(entry.audits.task)
    if entry.audits is None or audited is None:
        return True
    answer = audited.answer_of(entry.audits.worker).receipt
    return result_root(answer.result) == result_root(found)


def conclude(draft: Draft, audit: TaskId, entry: TaskEntry, found: Result | None) -> None:
    """Let an audit that has ended speak for or against the answer; only referees speak against."""
    assert entry.audits is not None, "only audits are concluded"
    task = entry.audits.task
    about, audited = about_of(draft, task), draft.task(task)
    if about is None or audited is None:
        return
    if found is None:
        draft.put(audit_key(task), replace(about, state=AuditState.UNDECIDED))
        draft.tell(AuditUndecided(task))
    elif confirms(draft, entry, found):
        root = result_root(found)
        same = [each.receipt for each in entry.receipts if result_root(each.receipt.result) == root]
        vouchers = dict.fromkeys((*about.confirmed_by, *(receipt.worker for receipt in same)))
        confirmed = replace(about, state=AuditState.CONFIRMED, confirmed_by=tuple(vouchers))
        draft.put(audit_key(task), confirmed)
        draft.tell(ResultConfirmed(task, about.worker))
        if found.kind != OutcomeKind.REFUSED and about.worker != audited.submitter:
            draft.praise(about.worker, entry)
    else:
        _revoke(draft, audit, entry, audited, found)


def _revoke(
    draft: Draft, audit: TaskId, entry: TaskEntry, audited: TaskEntry, found: Result
) -> None:
    """Take the result back, and convict who gave the answer where it is the worker's word alone."""
    assert entry.audits is not None, "only audits are concluded"
    assert audited.leaf is not None, "an audited task is settled"
    task, worker = entry.audits.task, entry.audits.worker
    about = about_of(draft, task)
    assert about is not None, "an audit is of an answer that is there"
    root = result_root(found)
    evidence = EvidenceEntry(
        culprit=worker,
        kind=EVIDENCE_OF_LIE,
        task=task,
        receipt=audited.answer_of(worker),
        verdicts=tuple(v for v in entry.verdicts if result_root(v.result) == root),
    )
    if not audited.answer_of(worker).receipt.marks:
        # Else this does not show whose word was false: the worker's, or one that it went on from.
        name = evidence_name(EVIDENCE_OF_LIE, task, worker)
        draft.convict(name, evidence, owed_msat(entry))
    forfeit(draft, worker, task)
    revocation = Revocation(
        task=task,
        worker=worker,
        leaf=audited.leaf,
        found=root,
        audit=audit,
        revoked_ms=draft.context.time_ms,
    )
    leaf = draft.append_leaf(revocation_leaf(revocation), task)
    draft.put(audit_key(task), replace(about, state=AuditState.REFUTED, revocation=leaf))
    draft.tell(ResultRevoked(task, audited.submitter, worker, leaf))
