"""A worker executes what is its own, seals before it opens, and insists when nobody listens."""

import pytest
from msgspec.structs import replace

from ambientd.codec.signing import SIGNATURE_BYTES
from ambientd.codec.statements import commitment, verify_commit, verify_receipt
from ambientd.ledger.events import SlotAssigned, SlotReleased, TaskClosed, TaskCommitted
from ambientd.model.base import Digest, TaskId
from ambientd.model.effect import (
    Abandon,
    Assignment,
    Execute,
    Propose,
    Purpose,
    RoleEffect,
    SendJob,
    SendParcel,
)
from ambientd.model.execution import AbortCause
from ambientd.model.message import PARCEL_BYTES_MAX, AbortSent, CommitSent, RevealSent
from ambientd.model.record import Commits, Settle
from ambientd.model.task import Result, SlotState, TaskState
from ambientd.roles.worker import ABORTED_RETRY_MS, RESEND_MS, SENDS_BEFORE_PROPOSING, Worker
from tests.ledger.cluster import START_MS, TestCluster, result
from tests.roles.stage import kinds, number_of, place, report

NOW = START_MS + 1_000
ZEROS = Digest(bytes(32))


def reported(worker: Worker, where: Assignment, answer: Result | None = None) -> list[RoleEffect]:
    """Let a worker hear of an execution, as the last thing of a moment."""
    worker.on_report(where, report(answer), ZEROS)
    return worker.seal(NOW)


class Stage:
    """A task with two slots, and the worker of the first one."""

    def __init__(self) -> None:
        self.cluster = TestCluster()
        self.task = self.cluster.admit()
        self.number = number_of(self.cluster, self.cluster.task(self.task).slots[0].worker)
        self.worker = self.fresh()
        self.place = place(self.cluster, self.task, 0)
        self.coordinator = self.cluster.node((self.number + 1) % 4)

    def fresh(self) -> Worker:
        return Worker(self.cluster.signer(self.number), b"nonce secret")

    def tell(self) -> list[object]:
        """Let the worker see all that has happened."""
        events, state = self.cluster.events, self.cluster.state
        return [effect for event in events for effect in self.worker.on_ledger(event, state, NOW)]

    def sealed(self) -> list[RoleEffect]:
        """Bring the worker to its sealed answer."""
        self.worker.on_coordinator(self.coordinator, NOW)
        self.tell()
        return reported(self.worker, self.place)


def test_a_worker_executes_its_own_slots_only() -> None:
    stage = Stage()
    spec = stage.cluster.task(stage.task).spec
    assert stage.tell() == [Execute(stage.place, spec, (stage.cluster.node(0),))]
    assert stage.worker.busy == 1


def test_an_assignment_of_a_task_that_is_not_here_is_ignored() -> None:
    stage = Stage()
    event = SlotAssigned(TaskId(bytes(32)), 0, 0, stage.cluster.node(stage.number), 0)
    assert stage.worker.on_ledger(event, stage.cluster.state, NOW) == []


def test_a_finished_execution_is_sealed_towards_the_coordinator() -> None:
    stage = Stage()
    [sent] = stage.sealed()
    assert isinstance(sent, SendJob)
    assert isinstance(sent.message, CommitSent)
    assert sent.to == stage.coordinator
    commit = sent.message.commit
    assert verify_commit(commit, stage.cluster.id)
    assert (commit.task, commit.slot, commit.attempt) == (stage.task, 0, 0)


def test_an_answer_stays_sealed_until_all_have_sealed() -> None:
    stage = Stage()
    [sent] = stage.sealed()
    assert isinstance(sent, SendJob)
    for turn in range(1, SENDS_BEFORE_PROPOSING):
        assert kinds(stage.worker.on_tick(NOW + turn * RESEND_MS)) == ["SendJob"]
    committed = TaskCommitted(stage.task)
    opened, parcel = stage.worker.on_ledger(committed, stage.cluster.state, NOW)
    assert parcel == SendParcel(stage.cluster.node(0), stage.task, result().output)
    assert isinstance(opened, SendJob)
    assert isinstance(opened.message, RevealSent)
    assert isinstance(sent.message, CommitSent)
    signed = opened.message.receipt
    assert verify_receipt(signed, stage.cluster.id)
    assert commitment(signed.receipt) == sent.message.commit.commitment
    # Opening another task changes nothing here.
    other = TaskCommitted(TaskId(bytes(32)))
    assert stage.worker.on_ledger(other, stage.cluster.state, NOW) == []


@pytest.mark.parametrize(("opened", "body"), [(False, Commits), (True, Settle)])
def test_a_worker_that_is_not_heard_proposes_its_answer_itself(opened: bool, body: type) -> None:
    stage = Stage()
    stage.sealed()
    if opened:
        stage.worker.on_ledger(TaskCommitted(stage.task), stage.cluster.state, NOW)
    turns = range(1, SENDS_BEFORE_PROPOSING + 1)
    effects = [e for turn in turns for e in stage.worker.on_tick(NOW + turn * RESEND_MS)]
    assert kinds(effects) == ["SendJob"] * (SENDS_BEFORE_PROPOSING - 1) + ["Propose"]
    assert isinstance(effects[-1], Propose)
    assert isinstance(effects[-1].body, body)


@pytest.mark.parametrize("size_bytes", [0, PARCEL_BYTES_MAX + 1])
def test_an_output_that_is_empty_or_large_is_left_to_be_fetched(size_bytes: int) -> None:
    stage = Stage()
    stage.tell()
    answer = replace(result(), output_size_bytes=size_bytes)
    reported(stage.worker, stage.place, answer)
    effects = stage.worker.on_ledger(TaskCommitted(stage.task), stage.cluster.state, NOW)
    assert kinds(effects) == ["Propose"]


def test_the_first_slots_worker_alone_hands_the_output_over() -> None:
    stage = Stage()
    second = stage.cluster.task(stage.task).slots[1].worker
    stage.number = number_of(stage.cluster, second)
    stage.worker, stage.place = stage.fresh(), place(stage.cluster, stage.task, 1)
    stage.sealed()
    effects = stage.worker.on_ledger(TaskCommitted(stage.task), stage.cluster.state, NOW)
    assert kinds(effects) == ["SendJob"]


def test_without_a_coordinator_a_worker_proposes_at_once() -> None:
    stage = Stage()
    stage.tell()
    [effect] = reported(stage.worker, stage.place)
    assert isinstance(effect, Propose)
    assert stage.worker.on_tick(NOW + 1) == []


def test_a_new_coordinator_is_told_at_once() -> None:
    stage = Stage()
    stage.sealed()
    [sent] = stage.worker.on_coordinator(stage.cluster.node(stage.number), NOW + 1)
    assert isinstance(sent, SendJob)
    assert sent.to == stage.cluster.node(stage.number)


def test_a_report_that_nobody_waits_for_is_dropped() -> None:
    stage = Stage()
    stage.sealed()
    again = reported(stage.worker, stage.place, result(b"other"))
    stale = Assignment(Purpose.SLOT, stage.task, 0, 7)
    unknown = Assignment(Purpose.SLOT, TaskId(bytes(32)), 0, 0)
    assert again == []
    for each in (stale, unknown):
        assert reported(stage.worker, each) == []


def test_what_a_host_could_not_do_is_tried_again() -> None:
    stage = Stage()
    stage.tell()
    for other in (
        Assignment(Purpose.SLOT, stage.task, 0, 7),
        Assignment(Purpose.SLOT, TaskId(bytes(32)), 0, 0),
    ):
        assert stage.worker.on_aborted(other, AbortCause.MEMORY, NOW) == []
    assert stage.worker.on_tick(NOW + ABORTED_RETRY_MS) == []
    stage.worker.on_aborted(stage.place, AbortCause.OTHER, NOW)
    assert stage.worker.on_tick(NOW + ABORTED_RETRY_MS - 1) == []
    assert kinds(stage.worker.on_tick(NOW + ABORTED_RETRY_MS)) == ["Execute"]
    assert kinds(reported(stage.worker, stage.place)) == ["Propose"]


@pytest.mark.parametrize("declined", [True, False])
def test_the_submitter_is_told_why_an_execution_was_aborted(declined: bool) -> None:
    stage = Stage()
    stage.tell()
    told = stage.worker.on_aborted(stage.place, AbortCause.PREPARATION, NOW, declined=declined)
    cause = int(AbortCause.PREPARATION)
    assert told == [
        SendJob(
            stage.cluster.task(stage.task).submitter,
            AbortSent(task=stage.task, slot=0, attempt=stage.place.attempt, cause=cause),
        )
    ]


def test_a_slot_that_is_taken_away_is_abandoned() -> None:
    stage = Stage()
    stage.tell()
    state, own = stage.cluster.state, stage.cluster.node(stage.number)
    other = SlotReleased(stage.task, 1, stage.cluster.task(stage.task).slots[1].worker, "late")
    assert stage.worker.on_ledger(other, state, NOW) == []
    released = SlotReleased(stage.task, 0, own, "late")
    assert stage.worker.on_ledger(released, state, NOW) == [Abandon(stage.place)]
    assert stage.worker.on_ledger(released, state, NOW) == []
    assert stage.worker.busy == 0


def test_the_end_of_a_task_ends_the_work_on_it() -> None:
    stage = Stage()
    stage.sealed()
    closed = TaskClosed(stage.task, TaskState.FINAL)
    assert stage.worker.on_ledger(closed, stage.cluster.state, NOW) == []
    assert stage.worker.busy == 0


def test_a_restarted_worker_takes_its_slots_up_again() -> None:
    stage = Stage()
    first = stage.sealed()[0]
    again = stage.fresh()
    state = stage.cluster.restarted()
    assert kinds(again.resume(state, NOW)) == ["Execute"]
    again.on_coordinator(stage.coordinator, NOW)
    assert reported(again, stage.place) == [first]


def test_a_worker_that_restarts_after_sealing_opens_the_same_answer() -> None:
    stage = Stage()
    cluster = stage.cluster
    [sent] = stage.sealed()
    assert isinstance(sent, SendJob)
    assert isinstance(sent.message, CommitSent)
    others = [c for c in cluster.commits(stage.task).commits if c.slot == 1]
    cluster.block((0, Commits(commits=(sent.message.commit, *others))))
    assert cluster.task(stage.task).state is TaskState.COMMITTED
    again = stage.fresh()
    assert kinds(again.resume(cluster.state, NOW)) == ["Execute"]
    again.on_coordinator(stage.coordinator, NOW)
    [opened] = reported(again, stage.place)
    assert isinstance(opened, SendJob)
    assert isinstance(opened.message, RevealSent)
    cluster.block((0, Settle(task=stage.task, receipts=(opened.message.receipt,))))
    assert cluster.task(stage.task).slots[0].state is SlotState.REVEALED


def test_a_restarted_worker_leaves_alone_what_it_has_opened_or_lost() -> None:
    stage = Stage()
    cluster = stage.cluster
    cluster.block((0, cluster.commits(stage.task)))
    receipt = cluster.receipt(stage.task, 0)
    cluster.block((0, Settle(task=stage.task, receipts=(receipt,))))
    assert stage.fresh().resume(cluster.state, NOW) == []
    cluster.block(after_ms=60_000)
    assert cluster.task(stage.task).state is TaskState.DISPUTED
    late = number_of(cluster, cluster.task(stage.task).slots[1].worker)
    assert Worker(cluster.signer(late), b"").resume(cluster.state, NOW) == []


def test_what_the_owner_does_not_want_executed_is_not_tried_again() -> None:
    stage = Stage()
    stage.tell()
    stage.worker.on_aborted(stage.place, AbortCause.NOT_ALLOWED, NOW, declined=True)
    assert [name.task for name in stage.worker.unwanted] == [stage.task], "it is handed back"
    assert stage.worker.on_tick(NOW + 60_000) == []


def test_a_receipt_and_its_seal_share_one_signature() -> None:
    stage = Stage()
    [sent] = stage.sealed()
    opened, _ = stage.worker.on_ledger(TaskCommitted(stage.task), stage.cluster.state, NOW)
    assert isinstance(sent, SendJob)
    assert isinstance(opened, SendJob)
    assert isinstance(sent.message, CommitSent)
    assert isinstance(opened.message, RevealSent)
    commit, receipt = sent.message.commit, opened.message.receipt
    assert commit.signature[:SIGNATURE_BYTES] == receipt.signature[:SIGNATURE_BYTES]
    assert verify_commit(commit, stage.cluster.id)
    assert verify_receipt(receipt, stage.cluster.id)


def test_an_answer_reported_twice_in_one_moment_is_signed_once() -> None:
    stage = Stage()
    stage.tell()
    stage.worker.on_report(stage.place, report(), ZEROS)
    stage.worker.on_report(stage.place, report(), ZEROS)
    assert kinds(stage.worker.seal(NOW)) == ["Propose"]
    assert stage.worker.seal(NOW) == []


def test_a_slot_taken_away_before_its_answer_was_signed_is_not_answered() -> None:
    stage = Stage()
    stage.tell()
    stage.worker.on_report(stage.place, report(), ZEROS)
    stage.worker.on_ledger(
        SlotReleased(stage.task, 0, stage.cluster.node(stage.number), "late"),
        stage.cluster.state,
        NOW,
    )
    assert stage.worker.seal(NOW) == []


def test_after_a_leap_what_is_in_hand_goes_on_and_what_has_ended_is_let_go() -> None:
    stage = Stage()
    stage.tell()
    worker, state = stage.worker, stage.cluster.state
    assert worker.resume(state, NOW) == [], "it runs already"
    reported(worker, stage.place)
    assert worker.resume(state, NOW) == [], "what is sealed is not executed again"
    worker = stage.worker = stage.fresh()
    stage.tell()
    stage.cluster.work(stage.task)
    assert stage.cluster.task(stage.task).state is TaskState.FINAL
    assert worker.resume(stage.cluster.state, NOW) == [Abandon(stage.place)]
    assert (worker.busy, worker.next_deadline) == (0, None)
