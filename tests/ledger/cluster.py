"""A ledger driven by hand: signed records in, blocks applied, the other replica compared."""

from dataclasses import dataclass, field

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.signing import Signer
from ambientd.codec.statements import (
    fingerprint,
    grant_payload,
    join_payload,
    sign_commit,
    sign_receipt,
    sign_record,
    sign_verdict,
    spec_hash,
    task_id,
)
from ambientd.ledger.apply import BlockContext, apply_block, is_admissible
from ambientd.ledger.entries import TaskEntry, decode_key, encode_key
from ambientd.ledger.events import LedgerEvent, RecordRejected
from ambientd.ledger.outages import STEP_MS_MAX
from ambientd.ledger.state import LedgerState
from ambientd.ledger.versions import VERSIONS, Versions
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.genesis import FIRST_STATE_VERSION, Genesis, Member, NodeKind, Profile, Rules
from ambientd.model.peg import MSAT_PER_SAT
from ambientd.model.receipt import (
    CheckpointNote,
    Cosignature,
    Receipt,
    RefereeVerdict,
    SignedReceipt,
)
from ambientd.model.record import (
    Admit,
    Body,
    Checkpoint,
    Commits,
    DisputeStep,
    Join,
    NodeReport,
    Record,
    Registry,
    Settle,
)
from ambientd.model.task import Assurance, Result, SlotState, TaskSpec
from ambientd.rules.notes import note_text
from ambientd.rules.verdicts import quorum
from ambientd.wasm.prepare import REWRITER_VERSION

START_MS = 1_700_000_000_000
UNTIL_MS = START_MS + 3_600_000
GRANT_MSAT = 1_000_000_000
BOND_MSAT = 50_000_000
OUTPUT = b"the answer"


def seed_of(number: int) -> bytes:
    return sha256(b"test seed %d" % number)


def profile(name: str) -> Profile:
    return Profile(name=name, region="eu-central", kind=NodeKind.COMPUTE)


def genesis(
    members: int = 4,
    rules: Rules | None = None,
    network: str = "regtest",
    grant_msat: int = GRANT_MSAT,
    bond_msat: int = BOND_MSAT,
    state_version: int = FIRST_STATE_VERSION,
) -> Genesis:
    return Genesis(
        state_version=state_version,
        name="test",
        created_ms=START_MS,
        bitcoin_network=network,
        members=tuple(
            Member(
                node=NodeId(Signer(seed_of(number), b"").public_key),
                profile=profile(f"node-{number}"),
                beacon_tip=sha256(b"beacon %d" % number),
                grant_msat=grant_msat,
                bond_msat=bond_msat,
            )
            for number in range(members)
        ),
        rules=rules or Rules(),
    )


def spec(**changes: object) -> TaskSpec:
    values: dict[str, object] = {
        "module": sha256(b"module"),
        "input": sha256(b"input"),
        "module_size_bytes": 100,
        "input_size_bytes": 10,
        "gas_max": 10_000_000,
        "memory_bytes_max": 1 << 20,
        "wall_ms_max": 1_000,
        "output_bytes_max": 1_000,
        "assurance": Assurance.REPLICATED,
        "replicas": 2,
        "price_msat_per_mgas": 100,
    }
    return TaskSpec(**(values | changes))  # type: ignore[arg-type]


def result(
    output: bytes = OUTPUT, gas: int = 5_000_000, kind: int = 0, prepared: bytes = b"prepared"
) -> Result:
    return Result(
        kind=kind,
        reason="",
        output=Digest(sha256(output)),
        output_size_bytes=len(output),
        gas=gas,
        prepared=Digest(sha256(prepared)),
        rewriter_version=REWRITER_VERSION,
    )


@dataclass
class TestCluster:
    """Members and guests around one ledger, with a second replica that applies the same."""

    __test__ = False

    members: int = 4
    rules: Rules | None = None
    network: str = "regtest"
    time_ms: int = START_MS
    index: int = 0
    term: int = 1
    events: list[LedgerEvent] = field(default_factory=list)
    working_ms: int = 5
    energy_mj: int = 12
    grant_msat: int = GRANT_MSAT
    bond_msat: int = BOND_MSAT
    versions: Versions = VERSIONS
    state_version: int = FIRST_STATE_VERSION

    def __post_init__(self) -> None:
        self.genesis = genesis(
            self.members,
            self.rules,
            self.network,
            self.grant_msat,
            self.bond_msat,
            self.state_version,
        )
        self.id = fingerprint(self.genesis)
        self.signers: dict[NodeId, Signer] = {}
        for number in range(self.members):
            self.signer(number)
        self.state = LedgerState.from_genesis(self.genesis, self.versions)
        self.replica = LedgerState.from_genesis(self.genesis, self.versions)
        self.total_msat = self.state.total_msat()

    def signer(self, number: int) -> Signer:
        signer = Signer(seed_of(number), self.id)
        self.signers[NodeId(signer.public_key)] = signer
        return signer

    def node(self, number: int) -> NodeId:
        return NodeId(self.signer(number).public_key)

    def block(self, *records: tuple[int, Body], after_ms: int = 100) -> list[LedgerEvent]:
        """Apply a block of records, after as many empty ones as let that time pass."""
        events: list[LedgerEvent] = []
        while after_ms > STEP_MS_MAX:
            events += self.leap(after_ms=STEP_MS_MAX)
            after_ms -= STEP_MS_MAX
        return events + self.leap(*records, after_ms=after_ms)

    def leap(self, *records: tuple[int, Body], after_ms: int = 100) -> list[LedgerEvent]:
        """Apply one block of records, each signed by the node of that number."""
        signed = [sign_record(self.signer(author), body) for author, body in records]
        return self.apply(signed, after_ms=after_ms)

    def apply(self, signed: list[Record], *, after_ms: int = 100) -> list[LedgerEvent]:
        """Apply one block of signed records."""
        self.time_ms += after_ms
        self.index += 1
        context = BlockContext(
            index=self.index,
            term=self.term,
            time_ms=self.time_ms,
            beacon=self.beacon,
            proposer=self.node(self.index % self.members),
            hash=sha256(b"block %d" % self.index),
        )
        assert all(is_admissible(encode(record), self.id) for record in signed)
        done = apply_block(self.state, context, signed)
        again = apply_block(self.replica, context, signed)
        assert (done.root, done.events) == (again.root, again.events)
        self.state.commit(context.index, done.writes, done.tree)
        self.replica.commit(context.index, again.writes, again.tree)
        peg = self.state.peg
        pegged_msat = (peg.in_sat - peg.out_sat - peg.fees_sat) * MSAT_PER_SAT
        assert self.state.total_msat() == self.total_msat + pegged_msat, "money was made or lost"
        self.events += done.events
        return list(done.events)

    @property
    def beacon(self) -> bytes:
        """Give the last block's randomness."""
        return sha256(b"%d" % self.index)

    def restarted(self) -> LedgerState:
        """Give the state as it comes back from a store."""
        state, form = self.state, self.state.form
        rows = {encode_key(key): form.encode(key, each) for key, each in state.items().items()}
        items = {
            decode_key(key): form.decode(decode_key(key), value)
            for key, value in sorted(rows.items())
        }
        return LedgerState.from_items(self.genesis, items, self.index, state.version, self.versions)

    # What the roles would do

    def admit(self, submitter: int = 0, nonce: bytes = b"n", **changes: object) -> TaskId:
        wanted = spec(**changes)
        self.block((submitter, Admit(nonce=nonce, spec=wanted, until_ms=UNTIL_MS)))
        return task_id(self.node(submitter), nonce, wanted)

    def task(self, task: TaskId) -> TaskEntry:
        entry = self.state.task(task)
        assert entry is not None
        return entry

    def receipt(self, task: TaskId, slot: int, answer: Result | None = None) -> SignedReceipt:
        entry = self.task(task)
        worker = entry.slots[slot].worker
        receipt = Receipt(
            task=task,
            slot=slot,
            attempt=entry.slots[slot].attempt,
            worker=worker,
            spec=spec_hash(entry.spec),
            module=entry.spec.module,
            input=entry.spec.input,
            result=answer or result(),
            engine="wasmtime",
            engine_version="50.0.0",
            nonce=Digest(sha256(task + bytes([slot]))),
            started_ms=self.time_ms,
            finished_ms=self.time_ms + self.working_ms,
            telemetry=Digest(bytes(32)),
            energy_mj=self.energy_mj,
            energy_source="model",
        )
        return sign_receipt(self.signers[worker], receipt)

    def commits(self, task: TaskId, answers: dict[int, Result] | None = None) -> Commits:
        slots = [s.slot for s in self.task(task).slots if s.state is SlotState.ASSIGNED]
        answers = answers or {}
        signed = [self.receipt(task, slot, answers.get(slot)) for slot in slots]
        return Commits(
            commits=tuple(sign_commit(self.signers[s.receipt.worker], s.receipt) for s in signed)
        )

    def settle(self, task: TaskId, answers: dict[int, Result] | None = None) -> Settle:
        answers = answers or {}
        slots = [s.slot for s in self.task(task).slots if s.state is SlotState.COMMITTED]
        return Settle(
            task=task, receipts=tuple(self.receipt(task, slot, answers.get(slot)) for slot in slots)
        )

    def work(self, task: TaskId, answers: dict[int, Result] | None = None) -> list[LedgerEvent]:
        """Seal and open all of a task's answers."""
        self.block((0, self.commits(task, answers)))
        return self.block((0, self.settle(task, answers)))

    def verdict(self, task: TaskId, referee: int, found: Result) -> RefereeVerdict:
        return sign_verdict(self.signer(referee), task, found)

    def finding(self, task: TaskId, referee: int, found: Result) -> tuple[int, DisputeStep]:
        return referee, DisputeStep(verdict=self.verdict(task, referee, found))

    def join(self, number: int, invite: int = 900, **changes: object) -> tuple[int, Join]:
        inviter = self.signer(0)
        invite_key = Signer(seed_of(invite), self.id)
        values: dict[str, object] = {
            "node": self.node(number),
            "profile": profile(f"guest-{number}"),
            "inviter": NodeId(inviter.public_key),
            "invite_key": invite_key.public_key,
            "expires_ms": START_MS + 3_600_000,
            "grant_signature": b"",
            "invite_signature": b"",
        }
        values |= changes
        body = Join(**values)  # type: ignore[arg-type]
        values["grant_signature"] = self.signer(0).sign(
            "invite", grant_payload(body.invite_key, body.expires_ms)
        )
        values["invite_signature"] = invite_key.sign("join", join_payload(body))
        return number, Join(**(values | changes))  # type: ignore[arg-type]

    def report(self, *reports: NodeReport) -> list[LedgerEvent]:
        """Let all members report the same."""
        body = Registry(reports=reports, observed_ms=self.time_ms)
        return self.block(*((member, body) for member in range(self.members)))

    def note(self, size: int | None = None, signers: int | None = None) -> CheckpointNote:
        size = self.state.receipt_log_size() if size is None else size
        root = self.state.receipt_log_root(size)
        text = note_text(self.id, size, root)
        count = quorum(self.members) if signers is None else signers
        return CheckpointNote(
            size=size,
            root=root,
            cosignatures=tuple(
                Cosignature(member=self.node(n), signature=self.signer(n).sign_note(text))
                for n in range(count)
            ),
        )

    def close_batch(self) -> list[LedgerEvent]:
        return self.block((0, Checkpoint(note=self.note())))


def rejections(events: list[LedgerEvent]) -> list[str]:
    return [event.reason for event in events if isinstance(event, RecordRejected)]
