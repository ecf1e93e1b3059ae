"""A referee executes what is disputed, says what came out, and does nothing else."""

from ambientd.codec.statements import verify_verdict
from ambientd.ledger.dispute_entries import DisputeState
from ambientd.ledger.events import EpochBegan, TaskAdmitted, TaskClosed, TaskDisputed
from ambientd.model.base import Digest, TaskId
from ambientd.model.effect import Abandon, Assignment, Execute, Propose, Purpose, SegmentWanted
from ambientd.model.record import DisputeStep, Epoch
from ambientd.model.task import TaskState
from ambientd.roles.referee import INSIST_MS, RETRY_MS, Referee
from sim.traces import TraceVice
from tests.ledger.cluster import START_MS, TestCluster, result
from tests.ledger.games import Match
from tests.ledger.test_updates import older
from tests.roles.stage import kinds

NOW = START_MS + 1_000


def disputed() -> tuple[TestCluster, TaskId]:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task, {1: result(b"a lie")})
    assert cluster.task(task).state is TaskState.DISPUTED
    return cluster, task


def referee(cluster: TestCluster, number: int = 0) -> Referee:
    return Referee(cluster.signer(number))


def test_a_dispute_is_executed_and_its_outcome_signed() -> None:
    cluster, task = disputed()
    role = referee(cluster)
    [execute] = role.on_ledger(TaskDisputed(task), cluster.state)
    assert isinstance(execute, Execute)
    assert execute.assignment == Assignment(Purpose.REFEREE, task, 0, 0)
    assert {s.worker for s in cluster.task(task).slots} < set(execute.holders) | {cluster.node(0)}
    [proposed] = role.on_result(task, result(), NOW)
    assert isinstance(proposed, Propose)
    assert isinstance(proposed.body, DisputeStep)
    assert verify_verdict(proposed.body.verdict, cluster.id)
    assert role.on_result(task, result(), NOW) == []


def test_outsiders_are_no_referees() -> None:
    cluster, task = disputed()
    assert referee(cluster, 9).on_ledger(TaskDisputed(task), cluster.state) == []


def test_a_decided_dispute_is_abandoned() -> None:
    cluster, task = disputed()
    role = referee(cluster)
    [execute] = role.on_ledger(TaskDisputed(task), cluster.state)
    assert isinstance(execute, Execute)
    closed = TaskClosed(task, TaskState.FINAL)
    assert role.on_ledger(closed, cluster.state) == [Abandon(execute.assignment)]
    assert role.on_ledger(closed, cluster.state) == []
    assert role.on_result(task, result(), NOW) == []
    assert role.on_ledger(TaskAdmitted(task, 1), cluster.state) == []


def test_what_a_host_could_not_do_is_tried_again() -> None:
    cluster, task = disputed()
    role = referee(cluster)
    role.on_aborted(task, NOW)
    assert role.on_tick(cluster.state, NOW + RETRY_MS) == []
    role.on_ledger(TaskDisputed(task), cluster.state)
    role.on_aborted(task, NOW)
    assert role.on_tick(cluster.state, NOW + RETRY_MS - 1) == []
    assert kinds(role.on_tick(cluster.state, NOW + RETRY_MS)) == ["Execute"]
    assert role.on_tick(cluster.state, NOW + 9 * RETRY_MS) == []


def test_a_restarted_referee_takes_up_the_disputes_it_has_not_spoken_in() -> None:
    cluster, task = disputed()
    cluster.admit(nonce=b"another")
    cluster.block(cluster.finding(task, 1, result()))
    assert kinds(referee(cluster, 0).resume(cluster.state)) == ["Execute"]
    assert referee(cluster, 1).resume(cluster.state) == []


def test_a_finding_is_proposed_again_until_the_ledger_has_it() -> None:
    cluster, task = disputed()
    role = referee(cluster)
    role.on_ledger(TaskDisputed(task), cluster.state)
    [proposed] = role.on_result(task, result(), NOW)
    assert isinstance(proposed, Propose)
    assert role.on_tick(cluster.state, NOW + INSIST_MS - 1) == []
    assert role.on_tick(cluster.state, NOW + INSIST_MS) == [proposed]
    cluster.block((0, proposed.body))
    assert role.on_tick(cluster.state, NOW + 3 * INSIST_MS) == []


def test_a_new_committee_takes_up_what_is_disputed_and_the_old_one_drops_it() -> None:
    cluster, task = disputed()
    cluster.block(cluster.join(4))
    leaver, newcomer = referee(cluster, 3), referee(cluster, 4)
    assert kinds(leaver.on_ledger(TaskDisputed(task), cluster.state)) == ["Execute"]
    assert newcomer.on_ledger(TaskDisputed(task), cluster.state) == []
    members = tuple(sorted(cluster.node(n) for n in (0, 1, 2, 4)))
    body = Epoch(number=2, members=members, seed=Digest(bytes(32)), beacon_tips=(bytes(32),) * 4)
    [began] = [each for each in cluster.block((0, body)) if isinstance(each, EpochBegan)]
    assert kinds(leaver.on_ledger(began, cluster.state)) == ["Abandon"]
    assert kinds(newcomer.on_ledger(began, cluster.state)) == ["Execute"]
    assert newcomer.on_ledger(began, cluster.state) == []


def narrowed() -> Match:
    match = Match((None, TraceVice.GARBAGE_STATE))
    while match.row is not None and match.row.state is DisputeState.TRACING:
        match.events += match.step()
    return match


def test_a_segment_is_executed_from_what_either_party_shows() -> None:
    match = narrowed()
    role = referee(match.cluster, 5)
    [wanted] = role.resume(match.cluster.state)
    assert isinstance(wanted, SegmentWanted)
    shown = [wanted.start]
    for number in range(1, 4):
        role.on_aborted(match.task, NOW)
        [wanted] = role.on_tick(match.cluster.state, NOW + number * RETRY_MS)
        assert isinstance(wanted, SegmentWanted)
        shown.append(wanted.start)
    assert shown[0] == shown[2] == match.true.known(match.game.low)
    assert shown[1] == shown[3] != shown[0]
    end = match.true.at(wanted.until_gas)
    [proposed] = role.on_segment(wanted.assignment, end, match.cluster.state, NOW)
    assert isinstance(proposed, Propose)
    assert (5, proposed.body) == match.segment(5, end)
    assert role.on_segment(wanted.assignment, end, match.cluster.state, NOW) == []
    match.cluster.block((5, proposed.body))
    assert role.on_tick(match.cluster.state, NOW + 9 * INSIST_MS) == []


def test_a_bisected_task_is_not_executed_as_a_whole_until_that_is_wanted() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    role = referee(match.cluster, 5)
    for event in match.events:
        assert role.on_ledger(event, match.cluster.state) == []
    effects = [
        each for event in match.late() for each in role.on_ledger(event, match.cluster.state)
    ]
    assert kinds(effects) == ["Execute"]


def test_a_segment_without_quorum_gives_way_to_the_whole() -> None:
    match = narrowed()
    role = referee(match.cluster, 5)
    [wanted] = role.resume(match.cluster.state)
    assert isinstance(wanted, SegmentWanted)
    effects = [
        each for event in match.late() for each in role.on_ledger(event, match.cluster.state)
    ]
    assert kinds(effects) == ["Abandon", "Execute"]


def test_a_member_finds_nothing_where_every_answer_is_of_another_version() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    while match.row is not None and match.row.state is DisputeState.TRACING:
        match.step()
    assert kinds(referee(match.cluster).resume(match.cluster.state)) == ["SegmentWanted"]
    older(match.cluster, match)
    assert referee(match.cluster).resume(match.cluster.state) == []
