"""Proven training: what is signed of it, what is drawn, and what becomes of who lies about it."""

import pytest
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import audit_id, sign_receipt, spec_hash
from ambientd.ledger.audit_entries import AuditEntry, AuditState
from ambientd.ledger.entries import audit_key, lesson_key
from ambientd.ledger.events import LedgerEvent, RecordRejected
from ambientd.ledger.lessons import lesson_in
from ambientd.ledger.needs import need_of
from ambientd.model.base import Digest, TaskId
from ambientd.model.learning import Lesson, Plan, RoundState, StudyState
from ambientd.model.learning_record import FlJoin, FlStop, FlUpdate
from ambientd.model.receipt import Receipt
from ambientd.model.record import Bond, Transfer
from ambientd.model.task import Result
from ambientd.rules.lessons import (
    data_fault,
    data_samples,
    input_of,
    joined,
    lesson_parts,
    whole_input,
)
from ambientd.rules.study_price import held_price_msat
from tests.ledger.cluster import TestCluster, result
from tests.ledger.studies import GUESTS, OPEN, TRAIN_MS, Studied

EVERY = tuple(GUESTS)
LIAR = EVERY[0]
PROVEN: Plan = replace(OPEN, trainer="wasm", module=Digest(sha256(b"trainer")))
OUTPUT_BYTES = 8 + 4 * 23
SAMPLES = 10


class Proven(Studied):
    """A study whose participants prove their training."""

    def __init__(self, audits: int = 4, **changes: int) -> None:
        changes = {"module_size_bytes": 1_000, "audits": audits} | changes
        super().__init__(plan=PROVEN, changes=changes, joins=False)
        self.block(*((guest, self.joined()) for guest in GUESTS))

    def joined(self, said_ms: int = 1, data: bytes = b"data", samples: int = SAMPLES) -> FlJoin:
        return replace(super().joined(said_ms), data=Digest(sha256(data)), samples=samples)

    def lesson(self, guest: int) -> Lesson:
        node = self.cluster.node(guest)
        lesson = lesson_in(self.cluster.state, self.study, self.entry, self.row, node)
        assert lesson is not None
        return lesson

    def update(self, guest: int, output: bytes = b"trained", **changes: object) -> FlUpdate:
        lesson, found = self.lesson(guest), self.found(guest, output)
        receipt = Receipt(
            task=lesson.task, slot=0, attempt=0, worker=self.cluster.node(guest),
            spec=spec_hash(lesson.spec), module=lesson.spec.module, input=lesson.spec.input,
            result=found, engine="e", engine_version="1", nonce=Digest(bytes(32)),
            started_ms=0, finished_ms=0, telemetry=Digest(bytes(32)), energy_mj=None,
            energy_source="unknown",
        )  # fmt: skip
        signed = sign_receipt(self.cluster.signer(guest), replace(receipt, **changes))
        return FlUpdate(
            study=self.study, round=self.entry.round, update=found.output,
            samples=SAMPLES, receipt=signed,
        )  # fmt: skip

    def found(self, guest: int, output: bytes = b"trained") -> Result:
        made = output + bytes([guest])
        return replace(result(made), output_size_bytes=OUTPUT_BYTES)

    def train(self, *liars: int) -> list[LedgerEvent]:
        lies = dict.fromkeys(liars, b"made up")
        return self.block(*((g, self.update(g, lies.get(g, b"trained"))) for g in EVERY))


def rejections(events: list[LedgerEvent]) -> list[str]:
    return [event.reason for event in events if isinstance(event, RecordRejected)]


def audits_of(study: Proven) -> dict[int, Lesson]:
    """Give whose updates were drawn."""
    state = study.cluster.state
    return {g: study.lesson(g) for g in EVERY if state.task(study.lesson(g).task) is not None}


def test_so_many_updates_are_drawn_as_the_study_says_and_become_tasks_that_are_audited() -> None:
    study = Proven(audits=3)
    study.train()
    assert study.state is RoundState.SURVIVORS
    drawn = audits_of(study)
    assert len(drawn) == 3
    for guest, lesson in drawn.items():
        entry = study.cluster.task(lesson.task)
        assert entry.lone_worker == study.cluster.node(guest)
        about = study.cluster.task(audit_id(lesson.task, 0))
        assert about.audits is not None
        assert about.slots[0].worker != study.cluster.node(guest), "nobody audits itself"
        need = need_of(study.cluster.state, audit_id(lesson.task, 0), about)
        assert {lesson.parts.model, lesson.parts.data} <= set(need.inputs)
        assert need.ended_ms is None


def test_who_reports_another_update_than_its_training_gives_is_convicted() -> None:
    study = Proven()
    study.train(*EVERY)
    guest, lesson = next(iter(audits_of(study).items()))
    cluster, node = study.cluster, study.cluster.node(guest)
    bond_msat = give_bond(cluster, guest)
    audit = audit_id(lesson.task, 0)
    truth = study.found(guest)
    cluster.work(audit, {0: truth})
    cluster.block(*(cluster.finding(audit, referee, truth) for referee in range(3)))
    found = cluster.state.node(node)
    assert found is not None
    assert found.tombstoned
    assert found.bond_msat == 0 < bond_msat
    assert cluster.state.conviction(node) is not None
    about = about_of(cluster, lesson.task)
    assert about.state is AuditState.REFUTED
    held = tuple(each for each in EVERY if each != guest)
    study.block((study.number(study.row.aggregators[0]), study.survivors(*EVERY)))
    assert study.state is RoundState.SURVIVORS, "a convict is no survivor"
    study.name_survivors(*held)
    study.find()
    study.say(*held)
    assert study.entry.round == 2
    assert node not in study.row.roster, "nor in any later round"


def about_of(cluster: TestCluster, task: TaskId) -> AuditEntry:
    found = cluster.state.get(audit_key(task))
    assert isinstance(found, AuditEntry)
    return found


def give_bond(cluster: TestCluster, guest: int) -> int:
    cluster.block((0, Transfer(to=cluster.node(guest), amount_msat=5_000, said_ms=900)))
    cluster.block((guest, Bond(amount_msat=4_000, said_ms=901)))
    entry = cluster.state.node(cluster.node(guest))
    assert entry is not None
    return entry.bond_msat


def test_an_honest_update_is_confirmed_and_an_auditor_that_lies_is_convicted_instead() -> None:
    study = Proven()
    study.train()
    cluster = study.cluster
    (first, one), (second, other) = list(audits_of(study).items())[:2]
    cluster.work(audit_id(one.task, 0), {0: study.found(first)})
    assert about_of(cluster, one.task).state is AuditState.CONFIRMED
    audit = audit_id(other.task, 0)
    liar = cluster.task(audit).slots[0].worker
    cluster.work(audit, {0: study.found(second, b"false")})
    findings = (cluster.finding(audit, each, study.found(second)) for each in range(3))
    cluster.block(*findings)
    assert cluster.state.conviction(liar) is not None
    assert about_of(cluster, other.task).state is AuditState.CONFIRMED


def test_an_update_counts_only_with_the_receipt_of_its_own_training() -> None:
    study = Proven()
    right = study.update(LIAR)
    other = study.update(EVERY[1])
    wrong = {
        "comes with": replace(right, receipt=None),
        "not of this participant": replace(right, receipt=other.receipt),
        "not what the receipt": replace(right, update=Digest(sha256(b"another"))),
        "does not hold": with_signature(right, bytes(64)),
        "100 bytes": study_update_of_size(study, 99),
    }
    for text, body in wrong.items():
        [reason] = rejections(study.block((LIAR, body)))
        assert text in reason
    assert rejections(study.block((LIAR, study.update(LIAR, slot=1))))
    assert not rejections(study.block((LIAR, right)))
    assert not rejections(study.block((LIAR, right))), "saying it again changes nothing"


def with_signature(body: FlUpdate, signature: bytes) -> FlUpdate:
    assert body.receipt is not None
    return replace(body, receipt=replace(body.receipt, signature=signature))


def study_update_of_size(study: Proven, size_bytes: int) -> FlUpdate:
    found = replace(study.found(LIAR), output_size_bytes=size_bytes)
    return study.update(LIAR, result=found)


def test_data_are_committed_to_once() -> None:
    study = Proven(wanted=20)
    for said_ms, change, text in (
        (2, {"data": b"other"}, "other data"),
        (3, {"samples": 9}, "other data"),
    ):
        [reason] = rejections(study.block((LIAR, study.joined(said_ms, **change))))
        assert text in reason
    study.block((LIAR, study.left(4)))
    [reason] = rejections(study.block((LIAR, study.joined(5, data=b"other"))))
    assert "other data" in reason
    assert not rejections(study.block((LIAR, study.joined(6))))


def test_who_names_no_data_or_too_many_samples_does_not_join() -> None:
    study = Proven(wanted=20)
    guest = 1
    for body, text in (
        (FlJoin(study=study.study, said_ms=1), "hash of what"),
        (study.joined(samples=0), "0 samples"),
        (study.joined(samples=2_000_000), "counts for"),
    ):
        [reason] = rejections(study.block((guest, body)))
        assert text in reason


def test_lessons_that_nobody_audits_are_forgotten_with_their_round() -> None:
    study = Proven(audits=1)
    lessons = [study.lesson(guest) for guest in EVERY]
    study.train()
    state = study.cluster.state
    assert all(state.get(lesson_key(each.task)) for each in lessons)
    drawn = audits_of(study)
    study.block(after_ms=100)
    while study.entry.round == 1:
        study.block(after_ms=TRAIN_MS)
    kept = [each for each in lessons if state.get(lesson_key(each.task))]
    assert [each.task for each in kept] == [each.task for each in drawn.values()]


def test_the_author_pays_rounds_and_audits_and_gets_the_rest_back() -> None:
    study = Proven(audits=2)
    cluster, author = study.cluster, study.cluster.node(0)
    before_msat = study.entry.escrow_msat
    total_msat = money(cluster)
    study.train()
    spent_msat = before_msat - study.entry.escrow_msat
    audits = [cluster.task(audit_id(each.task, 0)) for each in audits_of(study).values()]
    assert spent_msat == sum(each.escrow_msat for each in audits) > 0
    balance_msat = cluster.state.balance_msat(author)
    left_msat, began_ms, entry = study.entry.escrow_msat, study.row.began_ms, study.entry
    study.block((0, FlStop(study=study.study)))
    assert study.entry.state is StudyState.STOPPED
    assert study.entry.escrow_msat == 0
    held_msat = held_price_msat(entry.plan, entry.terms, cluster.time_ms - began_ms, 1)
    assert cluster.state.balance_msat(author) == balance_msat + left_msat - held_msat
    assert money(cluster) == total_msat


def money(cluster: TestCluster) -> int:
    state = cluster.state
    meta = state.meta
    balances = sum(state.balance_msat(node) for node in state.nodes())
    return balances + meta.escrow_msat + meta.fee_pool_msat + meta.reserve_msat


def test_a_lessons_input_is_put_together_of_what_the_ledger_names() -> None:
    study = Proven()
    lesson = study.lesson(LIAR)
    model, data = b"model", b"data"
    whole = whole_input(lesson.parts, model, data)
    parts = replace(
        lesson.parts, model=Digest(sha256(model)), model_size_bytes=5,
        data=Digest(sha256(data)), data_size_bytes=4,
    )  # fmt: skip
    digest, executed = input_of(lesson.spec, whole)
    assert executed == joined(parts, model, data)
    assert digest == sha256(encode(parts))
    assert lesson_parts(lesson.spec, encode(parts)) == parts
    assert lesson_parts(replace(lesson.spec, task_class="general"), encode(parts)) is None
    assert lesson_parts(lesson.spec, b"no manifest") is None
    assert data_samples(lesson.parts) == SAMPLES
    assert lesson.spec.input == sha256(encode(lesson.parts))


def test_training_that_takes_more_gas_than_a_task_has_is_refused() -> None:
    assert data_fault(PROVEN, 999_999) is None
    assert "gas" in str(data_fault(replace(PROVEN, passes=4), 999_999))


@pytest.mark.parametrize("number", [1, 2])
def test_another_round_is_another_lesson(number: int) -> None:
    study = Proven()
    row = replace(study.row, before=Digest(sha256(b"%d" % number)))
    node = study.cluster.node(LIAR)
    entry = replace(study.entry, round=number + 1)
    lesson = lesson_in(study.cluster.state, study.study, entry, row, node)
    assert lesson is not None
    assert lesson.task != study.lesson(LIAR).task
    assert lesson.parts.header != study.lesson(LIAR).parts.header
