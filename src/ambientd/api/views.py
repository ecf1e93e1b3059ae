"""The ledger as callers see it: pure functions from entries to replies."""

from collections.abc import Sequence

from ambientd.api.energy import energy_infos
from ambientd.api.naming import match_node
from ambientd.api.registry_views import published_as
from ambientd.api.replies import (
    EvidenceInfo,
    HeadersStatus,
    HistoryLine,
    NodeInfo,
    ReceiptState,
    SlotInfo,
    Task,
    TaskLine,
    WorkerPay,
)
from ambientd.api.standing import batch_of, doubt, standing
from ambientd.api.story import anchor_txid, outcome_name
from ambientd.api.terms import constraint_text
from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import file_payload
from ambientd.consensus.messages import EpochEnd
from ambientd.ledger.entries import CheckpointEntry, EvidenceEntry, Slot, Table, TaskEntry
from ambientd.ledger.evidence import (
    EVIDENCE_OF_FALSE_STEP,
    EVIDENCE_OF_LIE,
    EVIDENCE_OF_WRONG_PROOF,
    evidence_name,
)
from ambientd.ledger.state import LedgerState
from ambientd.ledger.weighing import closed_standing
from ambientd.model.base import NodeId, TaskId
from ambientd.model.bundle import size_of
from ambientd.model.execution import AbortCause, EngineCode, OutcomeKind
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.model.receipt import EpochLeaf, ReceiptFile
from ambientd.model.task import Assurance, Verdict
from ambientd.ports.headers import Headers
from ambientd.roles.submitter import HeardAbort
from ambientd.rules.auditing import TRUSTED_STREAK, lone_permille
from ambientd.rules.bitcoin_codec import display
from ambientd.rules.bundles import is_bundle
from ambientd.rules.receipt_check import FILE_VERSION
from ambientd.rules.rewards import premium_msat, proof_fee_msat, slot_fee_msat
from ambientd.telemetry.condition import Condition, causes_of

NONE = "none"
_CAUSES = {
    AbortCause.OTHER: "this device could not finish the execution",
    AbortCause.NOT_ALLOWED: "the task asks for more than this device's owner allows",
    AbortCause.NOT_FETCHED: "module or input could not be fetched",
    AbortCause.PREPARATION: "preparing the module took too much time or memory",
    AbortCause.WALL_TIME: "the execution took longer than its limit of wall time",
    AbortCause.WORKER_LOST: "the worker process ended during the execution",
    AbortCause.MEMORY: "this device has not the memory that the task asks for",
    AbortCause.BUSY: "this device is busy",
    AbortCause.NOT_PAUSABLE: "the module cannot be paused",
    AbortCause.NOT_PROVABLE: "no proof of it was made within the cycles that were asked for",
}


def receipt_state(state: LedgerState, entry: TaskEntry) -> ReceiptState:
    """Tell how far a task's receipt has come."""
    if entry.leaf is None:
        return ReceiptState(state=NONE)
    closed = state.checkpoint_covering(entry.leaf)
    if closed is None:
        return ReceiptState(state="settled")
    if closed.anchor is None:
        return ReceiptState(state="batched")
    proof = closed.anchor
    return ReceiptState(
        state="anchored",
        height=proof.height,
        confirmations=1 + len(proof.following_headers),
        txid=anchor_txid(proof.raw_tx),
    )


def task_line(task: TaskId, entry: TaskEntry) -> TaskLine:
    """Give a task's line in a list."""
    settled = entry.settlement
    return TaskLine(
        task_id=task.hex(),
        state=entry.state.name.lower(),
        outcome=NONE if settled is None else outcome_name(settled.result.kind),
        verdict=NONE if settled is None else settled.verdict.name.lower(),
        gas=None if settled is None else settled.result.gas,
        replicas=len(entry.slots),
        submitter=entry.submitter.hex(),
        submitted_ms=entry.admitted_ms,
        audits=None if entry.audits is None else entry.audits.task.hex(),
        items=entry.spec.items if is_bundle(entry.spec) else None,
    )


def why_not(abort: HeardAbort | None) -> str:
    """Say why a worker could not finish, as it told the submitter; nothing if none told."""
    return "" if abort is None else f"{abort.worker.hex()[:12]} says: {_CAUSES[abort.cause]}"


def _evidence(state: LedgerState, task: TaskId, liar: NodeId) -> EvidenceInfo | None:
    kinds = (EVIDENCE_OF_LIE, EVIDENCE_OF_FALSE_STEP, EVIDENCE_OF_WRONG_PROOF)
    kept = (state.get((Table.EVIDENCE, evidence_name(kind, task, liar))) for kind in kinds)
    found = next((each for each in kept if isinstance(each, EvidenceEntry)), None)
    if found is None:
        return None
    detail = f"its signed receipt against {len(found.verdicts)} signed findings of the committee"
    if found.kind == EVIDENCE_OF_FALSE_STEP:
        detail = "one signed step of its execution against signed findings of the committee"
    if found.kind == EVIDENCE_OF_WRONG_PROOF:
        detail = "its signed receipt against signed words of the committee on its proof"
    return EvidenceInfo(
        culprit=liar.hex(),
        kind=found.kind,
        detail=detail,
        reputation_before=found.reputation_before_permille / 1000,
        reputation_after=0.0,
    )


def task_reply(
    state: LedgerState,
    task: TaskId,
    entry: TaskEntry,
    history: tuple[HistoryLine, ...],
    abort: HeardAbort | None = None,
) -> Task:
    """Give everything about a task; while it has no outcome, `abort` says why."""
    settled, spec = entry.settlement, entry.spec
    liars = () if settled is None else settled.liars
    result = settled.result if settled is not None else None
    has_output = (
        settled is not None
        and settled.verdict is not Verdict.INCONCLUSIVE
        and settled.result.kind == OutcomeKind.COMPLETED
    )
    fee = slot_fee_msat(spec.gas_max, spec.price_msat_per_mgas) * spec.replicas_max
    fee += proof_fee_msat(spec)
    paid = sum(payment.amount_msat for payment in entry.payments)
    left = entry.escrow_msat - paid - entry.refunded_msat
    found = (_evidence(state, task, liar) for liar in liars)
    return Task(
        task_id=task.hex(),
        state=entry.state.name.lower(),
        submitter=entry.submitter.hex(),
        submitted_ms=entry.admitted_ms,
        assurance=spec.assurance_name,
        replicas=len(entry.slots),
        module_sha256=spec.module.hex(),
        published_as=published_as(state, spec.module),
        input_sha256=spec.input.hex(),
        gas_max=spec.gas_max,
        price_msat_per_mgas=spec.price_msat_per_mgas,
        slots=tuple(map(_slot_info, entry.slots)),
        outcome=NONE if result is None else outcome_name(result.kind),
        reason=why_not(abort) if result is None else result.reason,
        gas=None if result is None else result.gas,
        output_sha256=result.output.hex() if result is not None and has_output else None,
        output_size_bytes=(
            size_of(result.output_size_bytes) if result is not None and has_output else None
        ),
        items=spec.items if is_bundle(spec) else None,
        verdict=NONE if settled is None else settled.verdict.name.lower(),
        liars=tuple(liar.hex() for liar in liars),
        evidence=tuple(each for each in found if each is not None),
        fee_msat=fee,
        escrow_msat=0 if entry.ended_ms else entry.escrow_msat,
        paid_msat=paid,
        refunded_msat=entry.refunded_msat,
        pooled_msat=0 if settled is not None or not entry.ended_ms else left,
        premium_msat=_premium_msat(state, entry),
        payments=tuple(
            WorkerPay(worker=each.node.hex(), amount_msat=each.amount_msat)
            for each in entry.payments
        ),
        energy=energy_infos(state, task, entry),
        receipt=receipt_state(state, entry),
        history=history,
        audits=None if entry.audits is None else entry.audits.task.hex(),
        standing=standing(state, task),
        task_class=spec.task_class,
        constraints=tuple(map(constraint_text, spec.constraints)),
        distinct=spec.distinct,
        priority=spec.priority,
        deadline_ms=spec.deadline_ms or None,
        strategy=spec.strategy or state.genesis.rules.strategy,
        attempts_max=spec.attempts or state.genesis.rules.attempts_max,
        marks_max=spec.marks_max,
        proof_sha256=_proof_of(entry),
    )


def _proof_of(entry: TaskEntry) -> str | None:
    """Give the name of the proof that settled a task; None where none did."""
    if entry.settlement is None or entry.settlement.verdict is not Verdict.PROVEN:
        return None
    return entry.receipts[0].receipt.nonce.hex()


def _slot_info(slot: Slot) -> SlotInfo:
    return SlotInfo(
        slot=slot.slot,
        attempt=slot.attempt,
        worker=slot.worker.hex(),
        state=slot.state.name.lower(),
    )


def _premium_msat(state: LedgerState, entry: TaskEntry) -> int:
    """Give what a task may pay for audits: nothing when its answer is checked at once."""
    if entry.audits is not None or entry.spec.proof is not None:
        return 0
    if entry.ended_ms and entry.lone_worker is None:
        return 0
    if entry.settlement is not None:
        paid = sum(payment.amount_msat for payment in entry.payments)
        return entry.escrow_msat - paid - entry.refunded_msat
    if len(entry.slots) > 1:
        return 0
    fee = slot_fee_msat(entry.spec.gas_max, entry.spec.price_msat_per_mgas)
    permille = state.genesis.rules.audit_permille
    if entry.spec.assurance is Assurance.AUDITED:
        permille = lone_permille(TRUSTED_STREAK, permille)
    return premium_msat(fee, permille)


def node_info(
    state: LedgerState,
    node: NodeId,
    condition: Condition | None,
    *,
    connected: bool,
    engine: str | None = None,
) -> NodeInfo:
    """Give one node as the ledger and this node's telemetry know it.

    The ledger hears of engines some seconds after the start; this node knows its own at once.
    """
    entry = state.node(node)
    assert entry is not None, "nodes are listed from the ledger"
    load = None if condition is None else condition.load_permille
    return NodeInfo(
        id=node.hex(),
        name=entry.profile.name,
        region=entry.profile.region,
        kind=entry.profile.kind.value,
        committee=entry.is_member,
        connected=connected,
        health_percent=None if condition is None else condition.health.score_permille // 10,
        reputation=state.reputation_permille(node) / 1000,
        safe_mode=entry.safe_mode,
        engine=engine or _engine(entry.engine),
        balance_msat=state.balance_msat(node),
        bond_msat=entry.bond_msat,
        tombstoned=entry.tombstoned,
        accepting=entry.is_fit,
        load_percent=None if load is None else load // 10,
        latency_us=None if condition is None else condition.latency_us,
        open_slots=entry.open_slots,
        capacity=entry.capacity,
        owner=entry.profile.owner,
        labels=tuple(f"{each.key}={each.value}" for each in entry.profile.labels),
        refuses=entry.profile.refuses,
        link_us=None if condition is None else condition.link_us,
        causes=causes(condition),
        closed=closed_standing(entry.closed).value if entry.closed else "",
    )


def causes(condition: Condition | None) -> tuple[str, ...]:
    """Give the breakers that hold a node in safe mode, as it says itself."""
    if condition is None or not condition.safe_mode:
        return ()
    return causes_of(condition.observations)


def _engine(code: int) -> str:
    """Name an engine by the code that the ledger knows; a later version may know more."""
    return next((each.name.lower() for each in EngineCode if each == code), f"engine {code}")


def receipt_file(
    state: LedgerState, entry: TaskEntry, signer: Signer, ends: Sequence[EpochEnd] = ()
) -> ReceiptFile | None:
    """Put a settled task's receipt file together, as complete as it is now."""
    if entry.settlement is None or entry.leaf is None:
        return None
    task = entry.settlement.task
    closed = batch_of(state, task, entry.leaf)
    size = state.receipt_log_size() if closed is None else closed.note.size
    path = state.inclusion_path(entry.leaf, size)
    file = ReceiptFile(
        version=FILE_VERSION,
        genesis=state.genesis,
        submitter=entry.submitter,
        nonce=entry.nonce,
        spec=entry.spec,
        until_ms=entry.until_ms,
        admit_signature=entry.admit_signature,
        settlement=entry.settlement,
        receipts=entry.receipts,
        verdicts=entry.verdicts,
        leaf_index=entry.leaf,
        path=path,
        epochs=() if closed is None else tuple(map(encode, ends[: closed.epoch - FIRST_EPOCH])),
        epoch_leaf=None if closed is None else _epoch_leaf(state, closed),
        note=None if closed is None else closed.note,
        anchor=None if closed is None else closed.anchor,
        doubt=doubt(state, task, entry, size),
        issuer=NodeId(signer.public_key),
        signature=b"",
    )
    return ReceiptFile(
        **{name: getattr(file, name) for name in file.__struct_fields__[:-1]},
        signature=signer.sign("receipt-file", file_payload(file)),
    )


def _epoch_leaf(state: LedgerState, closed: CheckpointEntry) -> EpochLeaf | None:
    """Give the present epoch's place in a batch that its committee has closed, if it is there."""
    leaf, size = state.epoch_leaf, closed.note.size
    if leaf is None or leaf >= size or closed.epoch != state.epoch.number:
        return None
    return EpochLeaf(leaf_index=leaf, path=state.inclusion_path(leaf, size))


def name_of(state: LedgerState, node: NodeId) -> str:
    """Give what people call a node, and the id that tells it from others of that name."""
    entry = state.node(node)
    short = node.hex()[:12]
    return short if entry is None else f"{entry.profile.name} ({short})"


def names_of(state: LedgerState) -> dict[str, str]:
    """Give what each node calls itself, by its id."""
    return {
        node.hex(): "" if entry is None else entry.profile.name
        for node, entry in ((each, state.node(each)) for each in state.nodes())
    }


def find_node(state: LedgerState, text: str) -> NodeId:
    """Find the node that a person means; raise OperationError for none or two."""
    return NodeId(bytes.fromhex(match_node(text, names_of(state))))


def headers_status(headers: Headers | None) -> HeadersStatus | None:
    """Tell how far the Bitcoin headers have come; None without a chain."""
    if headers is None:
        return None
    found = headers.status()
    return HeadersStatus(
        state=found.state,
        base_height=found.base_height,
        height=found.height,
        tip=display(found.tip_hash),
    )
