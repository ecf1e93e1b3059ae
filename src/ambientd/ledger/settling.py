"""How tasks end: who is paid, who is refunded, who is convicted, and the leaf that says so."""

from msgspec.structs import replace

from ambientd.codec.statements import (
    receipt_hash,
    result_root,
    settlement_leaf,
    spec_hash,
    verdict_hash,
)
from ambientd.ledger import marks, step_rows
from ambientd.ledger.assigning import give_back
from ambientd.ledger.audits import (
    await_draw,
    conclude,
    confirms,
    owed_msat,
    share_permille,
    topped_up,
)
from ambientd.ledger.dispute_entries import RefereedGas
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import EvidenceEntry, Payment, Table, TaskEntry, dispute_key
from ambientd.ledger.events import Paid, PremiumPaid, Refunded, TaskClosed, TaskFinal
from ambientd.ledger.evidence import EVIDENCE_OF_LIE, EVIDENCE_OF_TWO_VERDICTS, evidence_name
from ambientd.ledger.vesting import let_wait
from ambientd.model.base import NodeId, TaskId
from ambientd.model.execution import OutcomeKind
from ambientd.model.receipt import RefereeVerdict, Settlement
from ambientd.model.task import Result, SlotState, TaskState, Verdict
from ambientd.rules.rewards import (
    cancel_fee_msat,
    cancel_share_msat,
    premium_msat,
    proof_pay_msat,
    reward_msat,
    slot_fee_msat,
)
from ambientd.rules.verdicts import NO_RESULT


def settle_agreed(draft: Draft, task: TaskId, entry: TaskEntry) -> None:
    """End a task whose replicas say the same."""
    receipts = entry.receipts
    result = receipts[0].receipt.result
    # An audit agrees with the answer that it audits.
    is_checked = len(receipts) > 1 or entry.audits is not None
    verdict = Verdict.AGREED if is_checked else Verdict.NONE
    workers = [signed.receipt.worker for signed in receipts]
    _finish(draft, task, entry, verdict, result, workers, ())


def settle_dispute(draft: Draft, task: TaskId, entry: TaskEntry, found: Result | None) -> None:
    """End a disputed task by what a quorum of referees found, or inconclusively."""
    if found is None:
        _finish(draft, task, entry, Verdict.INCONCLUSIVE, NO_RESULT, [], ())
        return
    root = result_root(found)
    receipts = entry.receipts
    honest = [s for s in receipts if result_root(s.receipt.result) == root]
    lying = [s for s in receipts if result_root(s.receipt.result) != root]
    agreeing = tuple(v for v in entry.verdicts if result_root(v.result) == root)
    for signed in lying:
        culprit = signed.receipt.worker
        name = evidence_name(EVIDENCE_OF_LIE, task, culprit)
        evidence = EvidenceEntry(
            culprit=culprit,
            kind=EVIDENCE_OF_LIE,
            task=task,
            receipt=signed,
            verdicts=agreeing,
        )
        draft.convict(name, evidence, owed_msat(entry))
    liars = tuple(signed.receipt.worker for signed in lying)
    row = draft.dispute(task)
    unpaid = () if row is None else row.unpaid
    workers = [s.receipt.worker for s in honest if s.receipt.worker not in unpaid]
    verdict = Verdict.DIVERGENT if liars else Verdict.AGREED
    _finish(draft, task, entry, verdict, found, workers, liars)


def settle_bisected(draft: Draft, task: TaskId, entry: TaskEntry, result: Result) -> None:
    """End a task whose only standing answer is this: all others took a false step."""
    root = result_root(result)
    receipts = [signed.receipt for signed in entry.receipts]
    workers = [each.worker for each in receipts if result_root(each.result) == root]
    liars = tuple(each.worker for each in receipts if result_root(each.result) != root)
    row = draft.dispute(task)
    assert row is not None, "a row says how a bisection went"
    paid = [worker for worker in workers if worker not in row.unpaid]
    refereed = tuple(each for each in row.refereed if each.referee not in row.unpaid)
    _finish(draft, task, entry, Verdict.BISECTED, result, paid, liars, refereed)


def settle_proven(draft: Draft, task: TaskId, entry: TaskEntry, cycles: int) -> None:
    """End a task whose proof holds; its worker is paid for what it has proven, too."""
    receipt = entry.receipts[0].receipt
    pay = Payment(node=receipt.worker, amount_msat=proof_pay_msat(entry.spec, cycles))
    _finish(draft, task, entry, Verdict.PROVEN, receipt.result, [receipt.worker], (), more=(pay,))


def convict_of_two(
    draft: Draft, kind: str, task: TaskId, culprit: NodeId, first: bytes, second: bytes
) -> None:
    """Convict a node that has signed two statements in a dispute that exclude each other."""
    evidence = EvidenceEntry(
        culprit=culprit,
        kind=kind,
        task=task,
        receipt=None,
        verdicts=(),
        first=first,
        second=second,
    )
    draft.convict(evidence_name(kind, task, culprit), evidence)


def convict_referee(
    draft: Draft, task: TaskId, first: RefereeVerdict, second: RefereeVerdict
) -> None:
    """Convict a referee that has signed two different findings on one task."""
    culprit = first.referee
    evidence = EvidenceEntry(
        culprit=culprit,
        kind=EVIDENCE_OF_TWO_VERDICTS,
        task=task,
        receipt=None,
        verdicts=(first, second),
    )
    draft.convict(evidence_name(EVIDENCE_OF_TWO_VERDICTS, task, culprit), evidence)


def cancel_task(draft: Draft, task: TaskId, entry: TaskEntry) -> None:
    """End a task that its submitter takes back; workers under way get their tenth of the gas.

    Whether one of them proves or is silent nobody sees: the tenth of a proof's fee is the pool's.
    """
    spec, under_way = entry.spec, [slot.worker for slot in entry.slots if slot.worker]
    share = cancel_fee_msat(spec.gas_max, spec.price_msat_per_mgas)
    payments = [Payment(node=worker, amount_msat=share) for worker in under_way]
    pool_msat = (cancel_share_msat(spec) - share) * len(under_way)
    _close(draft, task, entry, TaskState.CANCELLED, payments, pool_msat)


def expire_task(draft: Draft, task: TaskId, entry: TaskEntry) -> None:
    """End a task whose attempts are used up; nobody is paid.

    When nobody ever sealed an answer, the task held up workers for nothing: the submitter pays
    the fee of cancelling for each slot given out, to the pool, as silence shall earn nothing.
    """
    _close(draft, task, entry, TaskState.EXPIRED, [], _held_up_msat(entry))


def miss_deadline(draft: Draft, task: TaskId, entry: TaskEntry) -> None:
    """End a task whose own deadline has come; who has sealed an answer gets a tenth for it."""
    share = cancel_share_msat(entry.spec)
    sealed = [slot.worker for slot in entry.slots if slot.state is SlotState.COMMITTED]
    payments = [Payment(node=worker, amount_msat=share) for worker in sealed]
    _close(draft, task, entry, TaskState.EXPIRED, payments, _held_up_msat(entry))


def _held_up_msat(entry: TaskEntry) -> int:
    """Give what a task that nobody ever answered costs: it held up workers for nothing."""
    if entry.answered or entry.audits is not None:
        return 0
    given_out = sum(slot.attempt + bool(slot.worker) for slot in entry.slots)
    each = cancel_share_msat(entry.spec)
    return min(entry.escrow_msat, given_out * each)


def _finish(
    draft: Draft,
    task: TaskId,
    entry: TaskEntry,
    verdict: Verdict,
    result: Result,
    workers: list[NodeId],
    liars: tuple[NodeId, ...],
    refereed: tuple[RefereedGas, ...] = (),
    more: tuple[Payment, ...] = (),
) -> None:
    """Write the settlement and its leaf, then pay."""
    settlement = Settlement(
        task=task,
        submitter=entry.submitter,
        spec=spec_hash(entry.spec),
        verdict=verdict,
        result=result,
        receipts=tuple(receipt_hash(signed) for signed in entry.receipts),
        referees=tuple(verdict_hash(each) for each in entry.verdicts),
        liars=liars,
        settled_ms=draft.context.time_ms,
    )
    leaf = draft.append_leaf(settlement_leaf(settlement), task)
    entry = replace(entry, settlement=settlement, leaf=leaf)
    # A refusal costs nothing and one's own task proves nothing: neither earns reputation.
    verified = {Verdict.AGREED, Verdict.DIVERGENT, Verdict.BISECTED}
    if verdict in verified and result.kind != OutcomeKind.REFUSED:
        for worker in workers:
            # What stands on one worker's word is verified by its audit.
            if worker not in {entry.submitter, entry.lone_worker}:
                draft.praise(worker, entry)
    draft.tell(TaskFinal(task, settlement, leaf))
    refuted = () if confirms(draft, entry, result) else tuple(entry.barred)
    payments = _payments(entry, result, workers, {*liars, *refuted}, refereed)
    payments = _together([*payments, *more])
    if entry.audits is not None:
        conclude(draft, task, entry, None if verdict is Verdict.INCONCLUSIVE else result)
        wanted_msat = sum(payment.amount_msat for payment in payments)
        entry = topped_up(draft, entry, (*liars, *refuted), wanted_msat)
    _close(draft, task, entry, TaskState.FINAL, payments)


def _together(payments: list[Payment]) -> list[Payment]:
    """Give each node one payment."""
    due: dict[NodeId, int] = {}
    for each in payments:
        due[each.node] = due.get(each.node, 0) + each.amount_msat
    return [Payment(node=node, amount_msat=amount) for node, amount in due.items()]


def _payments(
    entry: TaskEntry,
    result: Result,
    workers: list[NodeId],
    liars: set[NodeId],
    refereed: tuple[RefereedGas, ...] = (),
) -> list[Payment]:
    """Pay workers for verified gas, and referees who were right from the reserve.

    A liar is no referee of its own lie: it would earn on being found out.
    """
    spec = entry.spec
    if result.kind == OutcomeKind.REFUSED:
        return []
    reward = reward_msat(result.gas, spec.price_msat_per_mgas)
    due = dict.fromkeys(workers, reward)
    root = result_root(result)
    found = {v.referee: reward for v in entry.verdicts if result_root(v.result) == root}
    found |= {each.referee: reward_msat(each.gas, spec.price_msat_per_mgas) for each in refereed}
    right = {referee: pay for referee, pay in found.items() if referee not in liars}
    if right:
        share = slot_fee_msat(spec.gas_max, spec.price_msat_per_mgas) // len(right)
        for referee, pay in right.items():
            due[referee] = due.get(referee, 0) + min(share, pay)
    return [Payment(node=node, amount_msat=amount) for node, amount in due.items()]


def _close(
    draft: Draft,
    task: TaskId,
    entry: TaskEntry,
    state: TaskState,
    payments: list[Payment],
    fee_msat: int = 0,
) -> None:
    """Empty the escrow: payments and the pool's fee first, the rest back to the submitter."""
    give_back(draft, entry)
    paid = [payment for payment in payments if payment.amount_msat > 0]
    paid_msat = sum(payment.amount_msat for payment in paid)
    premium = 0
    if entry.audits is not None:
        paid = _within(paid, entry.escrow_msat)
        paid_msat = sum(payment.amount_msat for payment in paid)
    lone = entry.lone_worker
    waiting = [payment for payment in paid if payment.node == lone]
    if lone is not None:
        premium = premium_msat(sum(p.amount_msat for p in waiting), share_permille(draft, entry))
        draft.move_reserve(premium)
        draft.tell(PremiumPaid(task, premium))
        let_wait(draft, task, waiting)
        await_draw(draft, task, entry, lone)
    for payment in paid:
        if payment.node != lone:
            draft.credit(payment.node, payment.amount_msat)
            draft.tell(Paid(task, payment.node, payment.amount_msat))
    left_msat = entry.escrow_msat - premium - paid_msat
    fee_msat = min(left_msat, fee_msat + marks.fee_msat(draft, task, entry))
    rest = left_msat - fee_msat
    assert rest >= 0, "an escrow covers every payment"
    draft.move_escrow(-entry.escrow_msat)
    if fee_msat:
        draft.move_pool(fee_msat)
    back = 0 if entry.audits is not None else rest
    if back:
        draft.credit(entry.submitter, back)
        draft.tell(Refunded(task, entry.submitter, back))
    else:
        draft.move_reserve(rest)
    ended = replace(
        entry,
        state=state,
        slots=tuple(replace(slot, commit=None, deadline_ms=0) for slot in entry.slots),
        deadline_ms=0,
        payments=tuple(paid),
        refunded_msat=back,
        ended_ms=draft.context.time_ms,
    )
    draft.put_task(task, ended)
    if draft.dispute(task) is not None:
        draft.drop(dispute_key(task))
    if draft.proof(task) is not None:
        draft.drop((Table.PROOF, task))
    step_rows.drop(draft, task)
    marks.drop(draft, task)
    draft.tell(TaskClosed(task, state))
    if ended.audits is not None and ended.settlement is None:
        conclude(draft, task, ended, None)


def _within(payments: list[Payment], escrow_msat: int) -> list[Payment]:
    """Cut payments for an audit alike, where the reserve did not reach for them."""
    wanted_msat = sum(payment.amount_msat for payment in payments)
    if wanted_msat <= escrow_msat:
        return payments
    cut = [replace(p, amount_msat=p.amount_msat * escrow_msat // wanted_msat) for p in payments]
    return [payment for payment in cut if payment.amount_msat]
