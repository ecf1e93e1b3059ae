"""What a ledger decides, played through for real and put into words and replies."""

from dataclasses import replace
from typing import get_args

import pytest

from ambientd.api.story import tell
from ambientd.api.views import node_info, receipt_file, receipt_state, task_line, task_reply
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import audit_id, sign_proof_word
from ambientd.ledger import events as ledger
from ambientd.ledger import image_events as image
from ambientd.ledger import learning_events as learning
from ambientd.ledger import peg_events as peg
from ambientd.ledger.audit_entries import AuditSource
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import AbortCause
from ambientd.model.genesis import Rules
from ambientd.model.learning import RoundReceipt, RoundState, Score, StudyId, StudyState
from ambientd.model.mark import FROM_BEGINNING, Mark
from ambientd.model.proof import Finding
from ambientd.model.record import Anchor, Cancel, SeatWish
from ambientd.model.task import Assurance, TaskState
from ambientd.node.effect import Told
from ambientd.ports.anchors import AnchorSent
from ambientd.roles.submitter import HeardAbort
from ambientd.rules.receipt_check import check_receipt_file
from ambientd.runtime.news import OwnTold
from sim.traces import TraceVice
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import OUTPUT, TestCluster, result
from tests.ledger.games import Match
from tests.telemetry.test_condition import GOOD

LIE = result(b"a lie")
SILENT = {"TaskCommitted", "RecordRejected", "HeadersTaken"}
"""What nobody has to be told: the first goes with slots, the second is for its author alone."""


def mark_of(task: TaskId, worker: NodeId) -> Mark:
    return Mark(
        task=task,
        slot=0,
        attempt=0,
        worker=worker,
        point=TracePoint(1, bytes(32)),
        state=Digest(bytes(32)),
        state_size_bytes=1,
        follows=FROM_BEGINNING,
        signature=b"",
    )


def played() -> tuple[TestCluster, TaskId, TaskId]:
    """A cluster with an honest task, a disputed one, a cancelled one, a guest, and an anchor."""
    cluster = TestCluster()
    cluster.block(cluster.join(50))
    honest = cluster.admit(nonce=b"honest")
    cluster.work(honest)
    disputed = cluster.admit(nonce=b"disputed")
    cluster.work(disputed, {1: LIE})
    liar = cluster.task(disputed).slots[1].worker
    for referee in range(4):
        is_open = cluster.task(disputed).state is TaskState.DISPUTED
        if is_open and cluster.node(referee) != liar:
            cluster.block(cluster.finding(disputed, referee, result()))
    cancelled = cluster.admit(nonce=b"cancelled")
    cluster.block((0, Cancel(task=cancelled)))
    cluster.close_batch()
    size = cluster.state.checkpoint_size()
    root = cluster.state.receipt_log_root(size)
    cluster.block((0, Anchor(size=size, root=root, proof=anchor_proof(root))))
    return cluster, honest, disputed


def test_every_event_of_the_ledger_is_told_or_silent_on_purpose() -> None:
    cluster, _, _ = played()
    seen = {type(event).__name__: event for event in cluster.events}
    node, task = cluster.node(0), TaskId(bytes(32))
    seen.setdefault("NodeConvicted", ledger.NodeConvicted(node, "log"))
    pair = (node, cluster.node(1))
    seen.setdefault("NodeOffered", ledger.NodeOffered(node, 1))
    seen.setdefault("RoundBegan", ledger.RoundBegan(task, 0, 1, pair, 5, 9))
    seen.setdefault("PartySpoke", ledger.PartySpoke(task, 0, 1, node))
    seen.setdefault("PartyBlamed", ledger.PartyBlamed(task, 0, node))
    found = Finding.HOLDS
    word = sign_proof_word(cluster.signer(0), task, 0, Digest(bytes(32)), found, 1 << 16)
    seen.setdefault("ProofSpoke", ledger.ProofSpoke(task, word))
    seen.setdefault("StepPromised", ledger.StepPromised(task, 0, node))
    seen.setdefault("StepShown", ledger.StepShown(task, 0, node))
    seen.setdefault("StepGivenUp", ledger.StepGivenUp(task, 0, node, "it was late", True))
    seen.setdefault("SegmentReached", ledger.SegmentReached(task, 0, 5, 9))
    seen.setdefault("SlotReleased", ledger.SlotReleased(task, 0, node, "was late"))
    seen.setdefault("SeatSpoken", ledger.SeatSpoken(node, cluster.node(1), SeatWish.INSTEAD))
    seen.setdefault("EpochDue", ledger.EpochDue(2, (node,)))
    seen.setdefault("EpochBegan", ledger.EpochBegan(2, (node,)))
    seen.setdefault("Transferred", ledger.Transferred(node, cluster.node(1), 7, 1))
    seen.setdefault("BondRaised", ledger.BondRaised(node, 7, 1))
    seen.setdefault("BondAskedBack", ledger.BondAskedBack(node, 7, 9, 1))
    seen.setdefault("BondReturned", ledger.BondReturned(node, 7))
    seen.setdefault("HeadersTaken", ledger.HeadersTaken(7))
    seen.setdefault("AuditOpened", ledger.AuditOpened(task, task, AuditSource.BITCOIN))
    seen.setdefault("AuditUndecided", ledger.AuditUndecided(task))
    seen.setdefault("ResultSuspected", ledger.ResultSuspected(task, node, node))
    seen.setdefault("ResultConfirmed", ledger.ResultConfirmed(task, node))
    seen.setdefault("ResultRevoked", ledger.ResultRevoked(task, node, node, 7))
    seen.setdefault("PayWaits", ledger.PayWaits(task, node, 7, 9))
    seen.setdefault("PayLost", ledger.PayLost(task, node, 7))
    seen.setdefault("PremiumPaid", ledger.PremiumPaid(task, 7))
    seen.setdefault("WalletFormed", peg.WalletFormed(2))
    seen.setdefault("AddressGiven", peg.AddressGiven(node, 3))
    seen.setdefault("PegInCredited", peg.PegInCredited(node, bytes(32), 1, 7))
    seen.setdefault("ReturnAsked", peg.ReturnAsked(node, bytes(32), 1, 7))
    seen.setdefault("PaymentVersioned", peg.PaymentVersioned(1, 0, node))
    seen.setdefault("PaymentSigned", peg.PaymentSigned(1, 0))
    seen.setdefault("PaymentFinal", peg.PaymentFinal(1, 0, bytes(32)))
    seen.setdefault("ModulePublished", ledger.ModulePublished(node, "sums", "1.0.0", task))
    seen.setdefault("ModuleYanked", ledger.ModuleYanked(node, "sums", "1.0.0", "it was wrong"))
    seen.setdefault("StateMarked", ledger.StateMarked(task, mark_of(task, node)))
    seen.setdefault("ImageNamed", image.ImageNamed(task, task, task, node))
    seen.setdefault("ImageDecided", image.ImageDecided(task, task, task))
    seen.setdefault("ImageDenied", image.ImageDenied(task, task, node))
    study = StudyId(bytes(32))
    seen.setdefault("StudyBegan", learning.StudyBegan(study, node))
    seen.setdefault("StudyJoined", learning.StudyJoined(study, node, is_in=True))
    seen.setdefault("RoundMoved", learning.RoundMoved(study, 1, RoundState.TRAINING))
    seen.setdefault("RoundHeard", learning.RoundHeard(study, 1, RoundState.TRAINING, node))
    ended = RoundReceipt(
        study=study,
        round=1,
        plan=task,
        state=RoundState.DONE,
        before=task,
        after=task,
        contributed=(),
        survivors=(),
        left_out=(),
        aggregators=(),
        score=Score(correct=0, total=0, loss_micro=0),
        began_ms=1,
        ended_ms=2,
    )
    seen.setdefault("RoundEnded", learning.RoundEnded(ended, 0, ""))
    seen.setdefault("StudyEnded", learning.StudyEnded(study, StudyState.DONE, ""))
    seen.setdefault("RecordRejected", ledger.RecordRejected(node, "admit", "no", None))
    assert set(seen) == {kind.__name__ for kind in get_args(ledger.LedgerEvent)}
    for name, event in seen.items():
        lines = tell(Told(event, 7, 123))
        assert bool(lines) == (name not in SILENT), name
        for line in lines:
            assert line.time_ms == 123
            assert line.text
            assert line.kind


def test_an_anchor_that_is_sent_is_told_with_what_it_carries() -> None:
    (line,) = tell(OwnTold(AnchorSent(b"r" * 32, "ab" * 32), 123))
    assert (line.kind, line.time_ms) == ("anchor_sent", 123)
    assert line.fields["op_return"] == (b"AMB1" + b"r" * 32).hex()
    assert f"transaction {'ab' * 32} sent, OP_RETURN {b'AMB1'.hex()}" in line.text


def test_the_end_of_a_task_is_told_once_whichever_way_it_ends() -> None:
    task = TaskId(b"t" * 32)
    assert tell(Told(ledger.TaskClosed(task, TaskState.FINAL), 1, 1)) == []
    (expired,) = tell(Told(ledger.TaskClosed(task, TaskState.EXPIRED), 1, 1))
    assert (expired.kind, expired.fields["state"]) == ("task_ended", "expired")


def test_energy_that_was_not_measured_is_unknown_and_not_zero() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    events = cluster.work(task)
    opened = next(each for each in events if isinstance(each, ledger.SlotRevealed))
    _, energy = tell(Told(opened, 1, 1))
    assert energy.fields["millijoules"] == 12
    receipt = opened.receipt.receipt
    fields = {name: getattr(receipt, name) for name in receipt.__struct_fields__}
    blind = type(receipt)(**{**fields, "energy_mj": None, "energy_source": "no meter"})
    signed = type(opened.receipt)(receipt=blind, signature=opened.receipt.signature)
    revealed = ledger.SlotRevealed(task, 0, opened.worker, signed)
    _, energy = tell(Told(revealed, 1, 1))
    assert energy.fields["millijoules"] is None
    assert energy.text.endswith("unknown (no meter)")


def test_a_disputed_task_names_its_liar_with_the_evidence_and_what_it_cost() -> None:
    cluster, _, disputed = played()
    entry = cluster.task(disputed)
    reply = task_reply(cluster.state, disputed, entry, ())
    liar = entry.slots[1].worker
    assert (reply.state, reply.verdict) == ("final", "divergent")
    assert reply.liars == (liar.hex(),)
    (evidence,) = reply.evidence
    assert evidence.culprit == liar.hex()
    assert evidence.reputation_before is not None
    assert evidence.reputation_before > 0
    assert evidence.reputation_after == 0.0
    assert "signed findings" in evidence.detail
    assert liar.hex() not in {payment.worker for payment in reply.payments}
    info = node_info(cluster.state, liar, None, connected=False)
    assert (info.tombstoned, info.reputation, info.bond_msat) == (True, 0.0, 0)
    line = task_line(disputed, entry)
    assert (line.state, line.outcome, line.verdict) == ("final", "completed", "divergent")


def test_an_open_task_shows_its_escrow_and_nothing_that_has_not_happened() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    reply = task_reply(cluster.state, task, cluster.task(task), ())
    assert (reply.state, reply.outcome, reply.verdict) == ("assigned", "none", "none")
    assert reply.escrow_msat == cluster.task(task).escrow_msat > 0
    assert (reply.gas, reply.output_sha256, reply.paid_msat) == (None, None, 0)
    assert receipt_state(cluster.state, cluster.task(task)).state == "none"
    assert receipt_file(cluster.state, cluster.task(task), cluster.signer(0)) is None
    assert task_line(task, cluster.task(task)).outcome == "none"


def test_a_receipt_goes_from_settled_over_batched_to_anchored() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task)
    assert receipt_state(cluster.state, cluster.task(task)).state == "settled"
    early = receipt_file(cluster.state, cluster.task(task), cluster.signer(0))
    assert early is not None
    assert early.note is None
    cluster.close_batch()
    assert receipt_state(cluster.state, cluster.task(task)).state == "batched"
    root = cluster.state.receipt_log_root(1)
    cluster.block((0, Anchor(size=1, root=root, proof=anchor_proof(root))))
    come = receipt_state(cluster.state, cluster.task(task))
    assert (come.state, come.confirmations) == ("anchored", 7)
    assert len(come.txid or "") == 64
    file = receipt_file(cluster.state, cluster.task(task), cluster.signer(0))
    assert file is not None
    report = check_receipt_file(encode(file), output=OUTPUT)
    assert report.valid, [check for check in report.checks if not check.ok]


def test_an_inconclusive_task_has_no_output() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task, {1: LIE})
    for referee in range(4):
        if cluster.task(task).state is TaskState.DISPUTED:
            found = result(b"finding %d" % referee)
            cluster.block(cluster.finding(task, referee, found))
    entry = cluster.task(task)
    assert entry.state is TaskState.FINAL
    reply = task_reply(cluster.state, task, entry, ())
    assert reply.verdict == "inconclusive"
    assert (reply.output_sha256, reply.output_size_bytes, reply.liars) == (None, None, ())


@pytest.mark.parametrize("assurance", [Assurance.NONE])
def test_a_task_that_nobody_checked_says_so(assurance: Assurance) -> None:
    cluster = TestCluster()
    task = cluster.admit(assurance=assurance, replicas=1)
    cluster.work(task)
    reply = task_reply(cluster.state, task, cluster.task(task), ())
    assert (reply.assurance, reply.verdict) == ("none", "none")
    assert reply.output_sha256 == sha256(OUTPUT).hex()
    assert Digest(sha256(OUTPUT)) == cluster.task(task).settlement.result.output


def test_a_node_is_told_with_its_load_and_what_it_has_in_hand() -> None:
    cluster = TestCluster()
    cluster.admit()
    node = NodeId(cluster.node(0))
    seen = replace(GOOD, node=node, load_permille=251, latency_us=1_500)
    info = node_info(cluster.state, node, seen, connected=True)
    assert (info.health_percent, info.load_percent) == (seen.health.score_permille // 10, 25)
    assert (info.latency_us, info.capacity) == (1_500, 1)
    unheard = node_info(cluster.state, node, None, connected=False)
    assert (unheard.health_percent, unheard.load_percent, unheard.latency_us) == (None,) * 3


@pytest.mark.parametrize("cause", AbortCause)
def test_a_task_without_an_outcome_says_why_its_worker_gave_up(cause: AbortCause) -> None:
    cluster = TestCluster()
    task = cluster.admit()
    worker = cluster.task(task).slots[0].worker
    heard = HeardAbort(worker, cause)
    reason = task_reply(cluster.state, task, cluster.task(task), (), heard).reason
    assert reason.startswith(f"{worker.hex()[:12]} says: ")
    cluster.work(task)
    assert task_reply(cluster.state, task, cluster.task(task), (), heard).reason == ""


def test_an_audit_in_a_list_names_the_task_that_it_audits() -> None:
    cluster = TestCluster(rules=Rules(audit_window_ms=8_000, audit_permille=1000))
    task = cluster.admit(assurance=Assurance.NONE, replicas=1)
    cluster.work(task)
    cluster.block(after_ms=2_000)
    audit = audit_id(task, 0)
    assert task_line(audit, cluster.task(audit)).audits == task.hex()
    assert task_line(task, cluster.task(task)).audits is None


def test_a_task_that_a_dispute_left_to_one_worker_shows_what_its_audit_costs() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    entry = match.play()
    shown = task_reply(match.cluster.state, match.task, entry, ())
    paid = sum(payment.amount_msat for payment in shown.payments)
    assert shown.premium_msat > 0
    assert paid + shown.premium_msat + shown.refunded_msat == entry.escrow_msat
