"""What a node answers to each operation; field names are a contract with scripts."""

from enum import StrEnum

import msgspec

from ambientd.api.owner_standing import OwnerStanding
from ambientd.api.privacy_standing import PrivacyStanding
from ambientd.api.seen_values import Seen


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A node's side of an operation."""


class Pong(Reply, frozen=True):
    """I am here."""

    version: str
    now_ms: int


class HeadersStatus(Reply, frozen=True):
    """The Bitcoin headers that this node has checked; `state` says what keeps them, if anything."""

    state: str
    base_height: int
    height: int
    tip: str


class ChainStatus(Reply, frozen=True):
    """The Bitcoin chain this node anchors to."""

    kind: str
    state: str
    height: int | None = None
    detail: str = ""
    headers: HeadersStatus | None = None


class SafeMode(Reply, frozen=True):
    """Whether a circuit breaker has tripped, and why."""

    active: bool
    reasons: tuple[str, ...] = ()


class Sandbox(Reply, frozen=True):
    """What locks the workers down on this machine, and what is missing."""

    active: tuple[str, ...]
    missing: tuple[str, ...] = ()


class TroubleKind(StrEnum):
    """What can be wrong with a node's part in the log, or with its receipts."""

    CONVICTED = "convicted"
    CONVICTED_MEMBERS = "convicted_members"
    VOTE_LOST = "vote_lost"
    OUTDATED = "outdated"
    NO_QUORUM = "no_quorum"
    LOG_STANDS = "log_stands"
    ANCHOR_LATE = "anchor_late"
    CHAIN_AWAY = "chain_away"
    PEG_UNSIGNED = "peg_unsigned"
    PEG_NOT_AUDITED = "peg_not_audited"
    PROFILE_DIFFERS = "profile_differs"
    BACKUP_FAILS = "backup_fails"
    INVISIBLE = "invisible"


class Trouble(Reply, frozen=True):
    """Something that the node's owner should know of, and what to do about it."""

    kind: TroubleKind
    text: str
    hint: str


class Status(Reply, frozen=True):
    """How a node is; `coordinator` is null while a term has none."""

    node: str
    name: str
    version: str
    cluster: str
    fingerprint: str
    uptime_ms: int
    term: int
    coordinator: str | None
    committed_height: int
    committee: int
    peers: tuple[str, ...]
    health_percent: int | None
    safe_mode: SafeMode
    tasks: dict[str, int]
    engine: str
    engines_installed: tuple[str, ...]
    sandbox: Sandbox
    chain: ChainStatus
    balance_msat: int
    faults: str = "none"
    epoch: int = 1
    troubles: tuple[Trouble, ...] = ()
    silent_ms: int = 0
    """Since the last block was committed."""
    owner: OwnerStanding = OwnerStanding()
    privacy: PrivacyStanding = PrivacyStanding()
    seen: Seen = Seen()
    """What peers lately said of this node."""
    state_version: int = 1
    known_version: int = 1
    """The newest state version that this node's program knows."""
    tasks_waiting: int = 0
    """Of this node's, on its disk until the log takes them."""


class NodeInfo(Reply, frozen=True):
    """One node as the ledger and this node's telemetry know it."""

    id: str
    name: str
    region: str
    kind: str
    committee: bool
    connected: bool
    health_percent: int | None
    reputation: float
    safe_mode: bool
    engine: str
    balance_msat: int
    bond_msat: int
    tombstoned: bool
    accepting: bool
    """Whether the ledger gives it work, when it has room."""
    load_percent: int | None = None
    latency_us: int | None = None
    """To this node and back, as far as it is known here."""
    open_slots: int = 0
    capacity: int | None = None
    closed: str = ""
    """Why its owner lets it take none, as the ledger has it; nothing when it takes some."""
    owner: str = ""
    labels: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()
    """What its owner says of it, as the ledger has it."""
    link_us: int | None = None
    """One way from here, as measured lately; null when nothing was."""
    causes: tuple[str, ...] = ()
    """The breakers that hold it in safe mode, as it says itself."""


class Nodes(Reply, frozen=True):
    """Who is in the cluster; the answering node is `self`, `next` is where the list goes on."""

    self_id: str
    nodes: tuple[NodeInfo, ...]
    next: str | None = None


class Submitted(Reply, frozen=True):
    """The task is in the log and its fee in escrow; `known` when it was there before."""

    task_id: str
    known: bool = False


class TaskLine(Reply, frozen=True):
    """A task in a list."""

    task_id: str
    state: str
    outcome: str
    verdict: str
    gas: int | None
    replicas: int
    submitter: str
    submitted_ms: int
    audits: str | None = None
    items: int | None = None
    items_completed: int | None = None
    """Of a bundle: its inputs, and how many have an output, once that is known here."""


class Tasks(Reply, frozen=True):
    """Tasks, the newest first; `total` counts all that match, `next` is where the list goes on."""

    tasks: tuple[TaskLine, ...]
    total: int
    next: str | None = None


class SlotInfo(Reply, frozen=True):
    """One replica: who has it, and how far it is."""

    slot: int
    attempt: int
    worker: str
    state: str


class EvidenceInfo(Reply, frozen=True):
    """What convicts a node, and what it did to its reputation."""

    culprit: str
    kind: str
    detail: str
    reputation_before: float | None = None
    reputation_after: float | None = None


class EnergyInfo(Reply, frozen=True):
    """What one replica used; null with the reason as source when the device cannot tell."""

    worker: str
    slot: int
    millijoules: int | None
    source: str
    doubt: str = ""
    """Why the figure cannot be true; empty when nothing speaks against it."""
    modelled: bool = False
    """Whether it was computed from a model, as nothing measures it there."""


class WorkerPay(Reply, frozen=True):
    """What one worker was paid."""

    worker: str
    amount_msat: int


class ReceiptState(Reply, frozen=True):
    """How far a receipt has come: none, settled, batched or anchored."""

    state: str
    height: int | None = None
    confirmations: int | None = None
    txid: str | None = None


class HistoryLine(Reply, frozen=True):
    """One thing that happened to a task."""

    time_ms: int
    text: str


class Task(Reply, frozen=True):
    """Everything about a task; what has not happened yet is null, empty or "none"."""

    task_id: str
    state: str
    submitter: str
    submitted_ms: int
    assurance: str
    replicas: int
    module_sha256: str
    input_sha256: str
    gas_max: int
    price_msat_per_mgas: int
    slots: tuple[SlotInfo, ...]
    outcome: str
    reason: str
    gas: int | None
    output_sha256: str | None
    output_size_bytes: int | None
    verdict: str
    liars: tuple[str, ...]
    evidence: tuple[EvidenceInfo, ...]
    fee_msat: int
    escrow_msat: int
    paid_msat: int
    refunded_msat: int
    payments: tuple[WorkerPay, ...]
    energy: tuple[EnergyInfo, ...]
    receipt: ReceiptState
    history: tuple[HistoryLine, ...]
    pooled_msat: int = 0
    audits: str | None = None  # the task whose answer this one audits, if it is an audit
    standing: str = ""
    """Of an answer that one worker gave alone: unaudited, audited, suspect or revoked, in words."""
    premium_msat: int = 0
    """What an answer of one worker alone pays for audits; the most of it until it has ended."""
    task_class: str = ""
    constraints: tuple[str, ...] = ()
    distinct: tuple[str, ...] = ()
    priority: int = 4
    deadline_ms: int | None = None
    strategy: str = ""
    attempts_max: int = 0
    marks_max: int = 0  # how many states of it may be handed on to who has it next
    published_as: tuple[str, ...] = ()
    """Names under which its module is published, as PUBLISHER/NAME@VERSION with whole ids."""
    items: int | None = None  # of a bundle; gas and output are those of all together
    proof_sha256: str | None = None
    items_completed: int | None = None
    """How many of them have an output; null until the outcomes lie on this node's device."""


class Output(Reply, frozen=True):
    """A task's output, and how far it can be relied on if one worker gave it alone."""

    task_id: str
    data: bytes
    sha256: str
    standing: str = ""


class ReceiptFileReply(Reply, frozen=True):
    """A receipt file in canonical bytes, and how far its anchor is."""

    task_id: str
    data: bytes
    receipt: ReceiptState
    standing: str = ""


class Invitation(Reply, frozen=True):
    """A join token; whoever holds it can bring one node in until it expires.

    `addresses` are those the token names; `loopback` when only this machine can dial them.
    """

    token: str
    expires_ms: int
    addresses: tuple[str, ...] = ()
    loopback: bool = False


class LogUpdateReply(Reply, frozen=True):
    """The newest head of the receipt log, in the bytes that witnesses pass on."""

    size: int
    update: bytes


class SeatWordInfo(Reply, frozen=True):
    """What one node wants for a seat: in, out or instead (of another)."""

    node: str
    wish: str


class SeatInfo(Reply, frozen=True):
    """A member, or a node that asks for a seat; `next` is null unless a change is decided."""

    id: str
    name: str
    member: bool
    asking: bool
    next: bool | None
    standing: int
    bond_msat: int
    tombstoned: bool
    words: tuple[SeatWordInfo, ...]
    known_version: int = 0
    """The newest state version that the member says it knows; 0 of who is none."""


class Members(Reply, frozen=True):
    """The committee of the present epoch, and who asks for a seat in it."""

    self_id: str
    epoch: int
    epoch_hash: str
    since_height: int
    quorum: int
    seats: tuple[SeatInfo, ...]
    next: str | None = None
    state_version: int = 1


class SeatSaid(Reply, frozen=True):
    """What the ledger took; `epoch_due` is the epoch that a quorum has decided on, if any."""

    node: str
    wish: str
    epoch: int
    epoch_due: int | None


class Account(Reply, frozen=True):
    """What a node has; what waits of its bond is back at `due_ms`, or when nothing holds it.

    `held_by` is "seat" or "task" while the node has one of these, else empty.
    """

    node: str
    name: str
    balance_msat: int
    bond_msat: int
    waiting_msat: int
    due_ms: int | None
    held_by: str
    escrow_msat: int
    tombstoned: bool
    time_ms: int
    unvested_msat: int = 0
    """Its pay for answers that it gave alone; the first of it vests at `vests_ms`."""
    vests_ms: int | None = None


class AccountMoved(Reply, frozen=True):
    """What the ledger took (transfer, bond or unbond), and this node's account after it."""

    kind: str
    amount_msat: int
    to: str | None
    account: Account


class EventKind(StrEnum):
    """Kinds of events with their fields; a listener ignores kinds it does not know."""

    TASK_ADMITTED = "task_admitted"  # task, escrow_msat
    TASK_ASSIGNED = "task_assigned"  # task, slot, attempt, node
    TASK_RELEASED = "task_released"  # task, slot, node, reason
    TASK_MARKED = "task_marked"  # task, slot, attempt, node, gas, state
    TASK_COMMITTED = "task_committed"  # task, slot, node
    TASK_REVEALED = "task_revealed"  # task, slot, node
    TASK_DISPUTED = "task_disputed"  # task
    ROUND_BEGAN = "round_began"  # task, game, round, low_gas, until_gas, parties
    PARTY_SPOKE = "party_spoke"  # task, round, node
    PARTY_BLAMED = "party_blamed"  # task, node
    SEGMENT_REACHED = "segment_reached"  # task, low_gas, until_gas
    WHOLE_WANTED = "whole_wanted"  # task, reason
    STEP_PROOF = "step_proof"  # task, node, state: promised, shown, or given_up with a reason
    REFEREE_SPOKE = "referee_spoke"  # task, node
    LIAR_NAMED = "liar_named"  # task, node, evidence, reputation_before, reputation_after
    TASK_PAID = "task_paid"  # task, node, amount_msat
    AUDIT_OPENED = "audit_opened"  # task, audit
    AUDIT_UNDECIDED = "audit_undecided"  # task
    RESULT_SUSPECTED = "result_suspected"  # task, node
    RESULT_CONFIRMED = "result_confirmed"  # task, node
    RESULT_REVOKED = "result_revoked"  # task, node, leaf
    PAY_WAITS = "pay_waits"  # task, node, amount_msat, due_ms
    PAY_LOST = "pay_lost"  # task, node, amount_msat
    PREMIUM_PAID = "premium_paid"  # task, amount_msat
    TASK_REFUNDED = "task_refunded"  # task, amount_msat
    TASK_ENERGY = "task_energy"  # task, node, millijoules | null, source, modelled
    TASK_ENDED = "task_ended"  # task, state, outcome, verdict, gas, items of a bundle
    BATCH_CLOSED = "batch_closed"  # size, root
    ANCHOR_SENT = "anchor_sent"  # root, txid, op_return
    ANCHOR_CONFIRMED = "anchor_confirmed"  # root, txid, height, confirmations
    COORDINATOR_ELECTED = "coordinator_elected"  # term, node
    NODE_JOINED = "node_joined"  # node, name
    NODE_CONVICTED = "node_convicted"  # node, kind
    NODE_CLOSED = "node_closed"  # node, reason
    NODE_OPENED = "node_opened"  # node
    SEAT_SPOKEN = "seat_spoken"  # node, speaker, wish
    EPOCH_DUE = "epoch_due"  # epoch, members
    EPOCH_BEGAN = "epoch_began"  # epoch, members
    CREDITS_TRANSFERRED = "credits_transferred"  # node, to, amount_msat
    BOND_RAISED = "bond_raised"  # node, amount_msat
    BOND_ASKED_BACK = "bond_asked_back"  # node, amount_msat, due_ms
    BOND_RETURNED = "bond_returned"  # node, amount_msat
    WALLET_FORMED = "wallet_formed"  # wallet
    PEG_ADDRESS_GIVEN = "peg_address_given"  # node, index
    PEG_IN_CREDITED = "peg_in_credited"  # node, coin, amount_msat
    PEG_RETURN_ASKED = "peg_return_asked"  # node, coin
    PAYMENT_VERSIONED = "payment_versioned"  # payment, version
    PAYMENT_SIGNED = "payment_signed"  # payment, version
    PAYMENT_FINAL = "payment_final"  # payment, version, txid
    MODULE_PUBLISHED = "module_published"  # node, name, version, manifest
    MODULE_YANKED = "module_yanked"  # node, name, version, reason
    IMAGE = "image"  # module, image, state: named or denied with a node, or decided
    STUDY_BEGAN = "study_began"  # study, node
    STUDY_JOINED = "study_joined"  # study, node, is_in
    STUDY_ROUND_MOVED = "study_round_moved"  # study, round, state
    STUDY_ROUND_HEARD = "study_round_heard"  # study, round, state, node
    STUDY_ROUND_ENDED = "study_round_ended"  # study, round, state, survivors, correct, total, leaf
    STUDY_ENDED = "study_ended"  # study, state, reason
    SAFE_MODE_CHANGED = "safe_mode_changed"  # node, active, reasons


class BackupMade(Reply, frozen=True):
    """A backup that is on disk."""

    path: str
    height: int
    state_root: str
    size_bytes: int
    from_height: int = 0
    """The lowest height that it can restore."""
    sealed: bool = False


class Event(Reply, frozen=True):
    """Something that has happened, in block time; node and task ids in `fields` are full."""

    time_ms: int
    kind: str
    text: str
    fields: dict[str, str | int | float | bool | list[str] | None]
