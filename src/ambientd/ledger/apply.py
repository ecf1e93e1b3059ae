"""Apply a block: first what time does, then each record, all or nothing each.

`apply_block` changes nothing by itself; its caller commits the writes. A record that fails is a
rejected no-op with a reason, never a fault of the block.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from ambientd.ledger import (
    accounts,
    audits,
    conditions,
    disputes,
    forgetting,
    headers,
    images,
    learning,
    marks,
    modules,
    offers,
    outages,
    peg,
    proofs,
    seats,
    step_proofs,
    tasks,
    upkeep,
    vesting,
)
from ambientd.ledger.admission import decode_record, is_admissible
from ambientd.ledger.draft import BlockContext, Draft
from ambientd.ledger.entries import Entry, Key
from ambientd.ledger.events import LedgerEvent
from ambientd.ledger.peg_payments import BAD_SIGNATURE
from ambientd.ledger.rejections import rejection_of
from ambientd.ledger.state import LedgerState
from ambientd.ledger.state_tree import StateTree
from ambientd.ledger.versions import Changes
from ambientd.model.base import NodeId, TaskId
from ambientd.model.learning_record import LearningBody
from ambientd.model.record import (
    Admit,
    Anchor,
    BitcoinHeaders,
    Bond,
    Cancel,
    Checkpoint,
    ClusterBody,
    Commits,
    DisputeSegment,
    DisputeStep,
    DisputeTrace,
    Epoch,
    Fraud,
    ImageClaimed,
    Join,
    Marked,
    Offer,
    PegBody,
    PegSigned,
    ProofFound,
    Prover,
    Publish,
    Record,
    Registry,
    SeatAsked,
    SeatVote,
    Settle,
    StepFound,
    StepPromise,
    StepProof,
    Transfer,
    Unbond,
    VersionKnown,
    Yank,
)
from ambientd.model.task import TERMINAL

FRUITLESS_MAX = 8
"""Waiting tasks that a block tries in vain before it leaves the rest for the next."""

ONE_FORGERY = "a signature of this author in this block did not hold: no other is looked at"

WALKED_MAX = 64
"""Waiting tasks that a block looks at; the next blocks give out the rest, where there is room."""

LATE_MAX = 256
"""Tasks whose deadline has come and that a block advances; the next blocks do the rest."""

ProveFraud = Callable[[Fraud], bool]


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What a block does: news, changes, and the state's tree after it."""

    events: tuple[LedgerEvent, ...]
    writes: Mapping[Key, Entry | None]
    tree: StateTree

    @property
    def root(self) -> bytes:
        """Give the state root after the block."""
        return self.tree.root


def apply_block(
    state: LedgerState,
    context: BlockContext,
    records: Sequence[Record],
    prove_fraud: ProveFraud = lambda _: False,
) -> BlockResult:
    """Work out what a committed block does to the state.

    The first block of an epoch in another state version begins with the step to it.
    """
    changed: Changes = {}
    if state.version != state.epoch.state_version:
        state, changed = state.changed_over()
    block = Draft(state, state, context)
    outages.let_run(block)
    upkeep.revealed(block)
    forgetting.forget_ended(block)
    accounts.give_back(block)
    audits.draw(block)
    audits.reopen(block)
    vesting.release(block)
    conditions.shorten_leases(block)
    _let_time_pass(block)
    forgers: set[NodeId] = set()
    for record in records:
        step = Draft(state, block, context)
        if isinstance(record.body, PegSigned) and record.author in forgers:
            rejection: str | None = ONE_FORGERY
        else:
            rejection = _apply(step, record, prove_fraud)
        if rejection == BAD_SIGNATURE:
            forgers.add(record.author)
        if rejection is None:
            block.take_over(step)
        else:
            block.tell(rejection_of(record.author, record.body, rejection))
    seats.let_due(block)
    peg.let_move(block)
    learning.let_move(block)
    for move in state.form.moves:
        move(block)
    writes = {**changed, **block.writes}
    return BlockResult(tuple(block.events), writes, state.tree.updated(block.writes))


def _let_time_pass(block: Draft) -> None:
    """Do what time does to tasks: first those that are late, then those that wait for workers."""
    state, context = block.state, block.context
    for task in state.tasks_by.late(block.running_ms, LATE_MAX):
        _advance(block, task)
    # Every other block begins elsewhere: a few tasks that nobody can take hold up no others.
    turn = context.index // 2 if context.index % 2 else 0
    fruitless = 0
    for task in state.tasks_by.waiting_part(turn * FRUITLESS_MAX, WALKED_MAX):
        entry = state.task(task)
        if entry is None or 0 < entry.deadline_ms <= block.running_ms:
            continue  # late: that comes first
        if not _advance(block, task):
            fruitless += 1
            if fruitless == FRUITLESS_MAX:
                break


def _advance(block: Draft, task: TaskId) -> bool:
    """Advance one task in a draft of its own; tell whether anything changed."""
    step = Draft(block.state, block, block.context)
    entry = step.task(task)
    assert entry is not None, "an index names tasks that exist"
    if entry.state in TERMINAL:
        return True  # an audit, whose answer was forgotten in this block
    tasks.run_out(step, task, entry)
    block.take_over(step)
    return bool(step.writes)


def _apply(draft: Draft, record: Record, prove_fraud: ProveFraud) -> str | None:
    body = record.body
    if isinstance(body, PegBody):
        return peg.apply(draft, record, body)
    if isinstance(body, LearningBody):
        return learning.apply(draft, record, body)
    return _apply_cluster(draft, record, body, prove_fraud)


def _apply_cluster(
    draft: Draft, record: Record, body: ClusterBody, prove_fraud: ProveFraud
) -> str | None:
    match body:
        case Admit():
            return tasks.admit(draft, record, body)
        case Cancel():
            return tasks.cancel(draft, record, body)
        case Marked() | Commits() | Settle():
            return _apply_answer(draft, record, body)
        case DisputeStep() | DisputeTrace() | DisputeSegment() | ProofFound():
            return _apply_dispute(draft, record, body)
        case StepPromise() | StepProof() | StepFound():
            return _apply_step(draft, record, body)
        case Join() | Registry() | Offer() | Prover():
            return _apply_node(draft, record, body)
        case Checkpoint():
            return upkeep.checkpoint(draft, body)
        case Anchor():
            return upkeep.anchor(draft, record, body)
        case Fraud():
            return upkeep.fraud(draft, body, is_proven=prove_fraud(body))
        case SeatAsked():
            return seats.ask(draft, record, body)
        case SeatVote() | VersionKnown() | Epoch():
            return _apply_committee(draft, record, body)
        case Transfer() | Bond() | Unbond():
            return accounts.move(draft, record, body)
        case BitcoinHeaders():
            return headers.take(draft, record, body)
        case Publish() | Yank() | ImageClaimed():
            return _apply_module(draft, record, body)
        case _:
            assert_never(body)


def _apply_answer(draft: Draft, record: Record, body: Marked | Commits | Settle) -> str | None:
    match body:
        case Marked():
            return marks.take(draft, record, body)
        case Commits():
            return tasks.commits(draft, body)
        case Settle():
            return tasks.settle(draft, body)


def _apply_committee(
    draft: Draft, record: Record, body: SeatVote | VersionKnown | Epoch
) -> str | None:
    match body:
        case SeatVote():
            return seats.vote(draft, record, body)
        case VersionKnown():
            return seats.know(draft, record, body)
        case Epoch():
            return seats.begin(draft, body)


def _apply_node(draft: Draft, record: Record, body: Join | Registry | Offer | Prover) -> str | None:
    match body:
        case Join():
            return upkeep.join(draft, record, body)
        case Registry():
            return conditions.registry(draft, record, body)
        case Offer():
            return offers.take(draft, record, body)
        case Prover():
            return proofs.announce(draft, record, body)


def _apply_module(draft: Draft, record: Record, body: Publish | Yank | ImageClaimed) -> str | None:
    match body:
        case Publish() | Yank():
            return modules.take(draft, record, body)
        case ImageClaimed():
            return images.claim(draft, record, body)


def _apply_dispute(
    draft: Draft, record: Record, body: DisputeStep | DisputeTrace | DisputeSegment | ProofFound
) -> str | None:
    match body:
        case DisputeStep():
            return tasks.dispute_step(draft, record, body)
        case DisputeTrace():
            return disputes.trace(draft, record, body)
        case DisputeSegment():
            return disputes.segment(draft, record, body)
        case ProofFound():
            return proofs.found(draft, record, body)


def _apply_step(
    draft: Draft, record: Record, body: StepPromise | StepProof | StepFound
) -> str | None:
    match body:
        case StepPromise():
            return step_proofs.promise(draft, record, body)
        case StepProof():
            return step_proofs.proof(draft, record, body)
        case StepFound():
            return step_proofs.found(draft, record, body)


__all__ = [
    "BlockContext",
    "BlockResult",
    "ProveFraud",
    "apply_block",
    "decode_record",
    "is_admissible",
]
