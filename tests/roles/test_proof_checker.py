"""A member checks the proof of an opened answer, says what it finds, and does nothing else."""

import dataclasses

from msgspec.structs import replace

from ambientd.codec.statements import verify_proof_word
from ambientd.ledger.events import EpochBegan, SlotRevealed, TaskAdmitted, TaskClosed
from ambientd.model.base import Digest, TaskId
from ambientd.model.effect import Abandon, Assignment, CheckProof, Execute, Propose, Purpose
from ambientd.model.execution import AbortCause
from ambientd.model.genesis import Rules
from ambientd.model.proof import Finding
from ambientd.model.record import Commits, ProofFound, Prover, SeatVote, SeatWish, Settle
from ambientd.model.task import TaskState
from ambientd.roles.proof_checker import INSIST_MS, RETRY_MS, ProofChecker
from ambientd.roles.prover import AGAIN_MS, ProverAnnouncer
from ambientd.roles.worker import NOT_PROVABLE_RETRY_MS, Worker
from ambientd.rules.images import TRANSLATION
from ambientd.wasm.prepare import REWRITER_VERSION
from tests.ledger.cluster import START_MS, TestCluster, result, spec
from tests.ledger.imaging import TRUE, go_over, named
from tests.ledger.proving import CYCLES, TERMS, ProvingCluster
from tests.roles.stage import kinds, place, report

NOW = START_MS + 1_000


def opened() -> tuple[ProvingCluster, TaskId, SlotRevealed]:
    cluster = ProvingCluster.made()
    task = cluster.prove()
    [event] = [each for each in cluster.events if isinstance(each, SlotRevealed)]
    return cluster, task, event


def checker(cluster: TestCluster, number: int = 0) -> ProofChecker:
    return ProofChecker(cluster.signer(number))


def test_an_opened_answer_is_checked_and_the_word_signed_and_said_until_it_is_there() -> None:
    cluster, task, event = opened()
    role = checker(cluster)
    [check] = role.on_ledger(event, cluster.state)
    assert isinstance(check, CheckProof)
    where = Assignment(Purpose.PROOF, task, 0, 0)
    receipt = cluster.task(task).receipts[0].receipt
    assert (check.assignment, check.proof, check.result) == (where, receipt.nonce, receipt.result)
    assert check.holders[0] == receipt.worker
    [proposed] = role.on_checked(where, Finding.HOLDS, CYCLES, cluster.state, NOW)
    assert isinstance(proposed, Propose)
    assert isinstance(proposed.body, ProofFound)
    assert verify_proof_word(proposed.body.word, cluster.id)
    assert proposed.body.word.cycles == CYCLES
    assert role.on_checked(where, Finding.WRONG, 0, cluster.state, NOW) == []
    assert role.on_tick(cluster.state, NOW + INSIST_MS - 1) == []
    assert role.on_tick(cluster.state, NOW + INSIST_MS) == [proposed]
    cluster.block((0, proposed.body))
    role.resume(cluster.state)
    assert role.next_deadline is None


def decided_on(cluster: ProvingCluster) -> ProvingCluster:
    """Bring a cluster to state version 2, and let f + 1 members name its tasks' module's image."""
    go_over(cluster)
    words = [named(cluster, n, module=spec().module, translation=TRANSLATION) for n in (0, 1)]
    cluster.block(*words)
    return cluster


def test_prover_and_checkers_take_the_image_that_the_ledger_has_for_the_module() -> None:
    plain, _, event = opened()
    [check] = checker(plain).on_ledger(event, plain.state)
    assert isinstance(check, CheckProof)
    assert check.own_image is None
    cluster = decided_on(ProvingCluster.made())
    task = cluster.admit(assurance=TERMS, replicas=1)
    number = cluster.number(cluster.task(task).slots[0].worker)
    [execute] = Worker(cluster.signer(number), b"secret").resume(cluster.state, NOW)
    assert isinstance(execute, Execute)
    assert execute.own_image == TRUE
    cluster.work(task)
    [check] = checker(cluster).resume(cluster.state)
    assert isinstance(check, CheckProof)
    assert check.own_image == TRUE


def lose_a_word(cluster: ProvingCluster) -> None:
    """Let one of the two who stand by the image give up its seat."""
    cluster.block((1, SeatVote(node=cluster.node(1), wish=SeatWish.OUT, said_ms=2)))
    assert cluster.state.epoch_due is not None
    cluster.block((0, cluster.state.epoch_due))


def test_a_proof_by_an_image_that_too_few_present_members_stand_by_is_left_to_be_judged() -> None:
    cluster = decided_on(ProvingCluster.made())
    cluster.prove()
    lose_a_word(cluster)
    [check] = checker(cluster).resume(cluster.state)
    assert isinstance(check, CheckProof)
    assert (check.own_image, check.doubted_image) == (None, TRUE)
    other = cluster.admit(nonce=b"other", assurance=TERMS, replicas=1)
    [worker] = {slot.worker for slot in cluster.task(other).slots}
    role = Worker(cluster.signer(cluster.number(worker)), b"secret")
    begun = [each for each in role.resume(cluster.state, NOW) if isinstance(each, Execute)]
    [execute] = [each for each in begun if each.assignment.task == other]
    assert execute.own_image is None, "it is proven with the universal one"
    assert execute.doubted_image == TRUE, "unless a proof by it is kept: its seal may be on its way"


def test_what_was_sealed_by_an_image_that_is_doubted_since_stays_what_it_is() -> None:
    cluster = decided_on(ProvingCluster.made())
    task = cluster.admit(assurance=TERMS, replicas=1)
    number = cluster.number(cluster.task(task).slots[0].worker)
    cluster.block((0, cluster.commits(task)))
    lose_a_word(cluster)
    [execute] = Worker(cluster.signer(number), b"secret").resume(cluster.state, NOW)
    assert isinstance(execute, Execute)
    assert execute.own_image == TRUE


def test_what_is_decided_while_a_proof_is_checked_counts_when_it_is_tried_again() -> None:
    cluster = ProvingCluster.made()
    go_over(cluster)
    task = cluster.prove()
    role = checker(cluster)
    [check] = role.resume(cluster.state)
    assert isinstance(check, CheckProof)
    assert check.own_image is None
    words = [named(cluster, n, module=spec().module, translation=TRANSLATION) for n in (0, 1)]
    cluster.block(*words)
    role.on_aborted(check.assignment, NOW)
    assert role.on_tick(cluster.state, NOW + RETRY_MS) == [
        dataclasses.replace(check, own_image=TRUE)
    ]
    assert task == check.assignment.task


def test_a_task_of_no_proof_is_executed_without_an_image() -> None:
    cluster = decided_on(ProvingCluster.made())
    task = cluster.admit()
    number = cluster.number(cluster.task(task).slots[0].worker)
    [execute] = Worker(cluster.signer(number), b"secret").resume(cluster.state, NOW)
    assert isinstance(execute, Execute)
    assert execute.own_image is None


def test_outsiders_and_those_who_have_spoken_check_nothing() -> None:
    cluster, task, event = opened()
    assert checker(cluster, 9).on_ledger(event, cluster.state) == []
    cluster.block(cluster.word(task, 0, Finding.HOLDS))
    assert checker(cluster).resume(cluster.state) == []
    assert kinds(checker(cluster, 1).resume(cluster.state)) == ["CheckProof"]
    assert kinds(checker(cluster, 1).on_ledger(EpochBegan(2, ()), cluster.state)) == ["CheckProof"]
    assert checker(cluster, 1).on_ledger(TaskAdmitted(task, 1), cluster.state) == []


def test_a_missing_proof_is_asked_for_again_until_half_of_the_time_is_over() -> None:
    cluster, _, event = opened()
    role = checker(cluster)
    [check] = role.on_ledger(event, cluster.state)
    assert isinstance(check, CheckProof)
    where = check.assignment
    assert role.on_checked(where, Finding.MISSING, 0, cluster.state, NOW) == []
    assert role.on_tick(cluster.state, NOW + RETRY_MS) == [check]
    cluster.block(after_ms=cluster.genesis.rules.dispute_ms // 2)
    [proposed] = role.on_checked(where, Finding.MISSING, 0, cluster.state, NOW)
    assert isinstance(proposed, Propose)
    assert isinstance(proposed.body, ProofFound)
    assert proposed.body.word.finding is Finding.MISSING


def test_what_a_host_could_not_do_is_tried_again_and_a_settled_task_abandoned() -> None:
    cluster, task, event = opened()
    role = checker(cluster)
    [check] = role.on_ledger(event, cluster.state)
    assert isinstance(check, CheckProof)
    role.on_aborted(check.assignment, NOW)
    assert role.next_deadline == NOW + RETRY_MS
    assert role.on_tick(cluster.state, NOW + RETRY_MS) == [check]
    cluster.say(task, Finding.HOLDS)
    closed = TaskClosed(task, TaskState.FINAL)
    assert role.on_ledger(closed, cluster.state) == [Abandon(check.assignment)]
    assert role.on_ledger(closed, cluster.state) == []


def test_a_member_of_another_version_says_nothing() -> None:
    cluster = ProvingCluster.made()
    task = cluster.admit(assurance=TERMS, replicas=1)
    cluster.work(task, {0: replace(result(), rewriter_version=REWRITER_VERSION - 1)})
    assert cluster.state.proof(task) is not None
    assert checker(cluster).resume(cluster.state) == []


def test_a_prover_announces_itself_until_the_ledger_has_it_and_takes_it_back() -> None:
    cluster = TestCluster(rules=Rules())
    role = ProverAnnouncer(cluster.node(1), 1 << 20)
    assert role.next_deadline(cluster.state) == 0
    [said] = role.on_tick(cluster.state, NOW)
    assert isinstance(said, Propose)
    assert isinstance(said.body, Prover)
    assert role.on_tick(cluster.state, NOW + AGAIN_MS - 1) == []
    cluster.block((1, said.body))
    assert role.next_deadline(cluster.state) is None
    gone = ProverAnnouncer(cluster.node(1), 0)
    [taken] = gone.on_tick(cluster.state, 0)
    assert isinstance(taken, Propose)
    cluster.block((1, taken.body))
    assert gone.next_deadline(cluster.state) is None
    assert ProverAnnouncer(cluster.node(2), 0).next_deadline(cluster.state) is None


def test_what_cannot_be_proven_is_told_and_not_tried_again_and_again() -> None:
    cluster = ProvingCluster.made(provers=(1,))
    task = cluster.admit(assurance=TERMS, replicas=1)
    worker = Worker(cluster.signer(1), b"secret")
    worker.resume(cluster.state, NOW)
    told = worker.on_aborted(place(cluster, task, 0), AbortCause.NOT_PROVABLE, NOW)
    assert kinds(told) == ["SendJob"]
    assert worker.on_tick(NOW + NOT_PROVABLE_RETRY_MS - 1) == []
    assert worker.unwanted == ()


def test_a_worker_seals_a_proven_answer_with_its_proof_and_rests_once_it_is_open() -> None:
    cluster = ProvingCluster.made(provers=(1,))
    task = cluster.admit(assurance=TERMS, replicas=1)
    worker = Worker(cluster.signer(1), b"secret")
    assert kinds(worker.resume(cluster.state, NOW)) == ["Execute"]
    where = place(cluster, task, 0)
    worker.on_report(where, report(), Digest(bytes(32)))
    assert worker.seal(NOW) == []  # without a proof it is no answer
    proof = Digest(b"p" * 32)
    worker.on_report(where, dataclasses.replace(report(), proof=proof), Digest(bytes(32)))
    [sealed] = worker.seal(NOW)
    assert isinstance(sealed, Propose)
    assert isinstance(sealed.body, Commits)
    events = cluster.block((1, sealed.body))
    effects = [out for event in events for out in worker.on_ledger(event, cluster.state, NOW)]
    [settle] = [
        each.body for each in effects if isinstance(each, Propose) and isinstance(each.body, Settle)
    ]
    assert settle.receipts[0].receipt.nonce == proof
    for event in cluster.block((1, settle)):
        assert worker.on_ledger(event, cluster.state, NOW) == []
    assert worker.next_deadline is None
