"""Every member says how it finds the nodes, and says it again only when it has changed."""

from msgspec.structs import replace

from ambientd.model.effect import Propose
from ambientd.model.record import NodeReport, Registry
from ambientd.roles.reporter import MEASURES_BEATS, MEASURES_MS, NEWS_MS, REPORT_MS, Reporter
from ambientd.rules.pace import PROMPT_NODES_MAX, beat_ms, next_beat_ms
from tests.ledger.cluster import START_MS, TestCluster, result

NOW = START_MS + 1_000


def reporter(cluster: TestCluster, number: int = 0) -> Reporter:
    return Reporter(cluster.node(number))


def test_conditions_are_reported_when_they_are_due_and_news() -> None:
    cluster = TestCluster()
    role = reporter(cluster)
    here = NodeReport(node=cluster.node(0), accepting=True)
    away = NodeReport(node=cluster.node(1), accepting=False)
    stranger = NodeReport(node=cluster.node(9), accepting=True)
    assert role.is_due(cluster.state, NOW)
    [proposed] = role.on_reports((here, away, stranger), cluster.state, NOW)
    assert proposed == Propose(Registry(reports=(here, away), observed_ms=NOW))
    assert isinstance(proposed, Propose)
    cluster.block((0, proposed.body))
    assert role.on_reports((here, away), cluster.state, NOW) == []
    assert not role.is_due(cluster.state, NOW + REPORT_MS - 1)
    role.hasten(cluster.state, NOW)
    assert role.is_due(cluster.state, NOW + 1)


def test_a_report_that_never_reached_the_log_is_said_again() -> None:
    cluster = TestCluster()
    role = reporter(cluster)
    away = NodeReport(node=cluster.node(1), accepting=False)
    for now in (NOW, NOW + REPORT_MS):
        [proposed] = role.on_reports((away,), cluster.state, now)
        assert proposed == Propose(Registry(reports=(away,), observed_ms=now))


def test_a_word_waits_until_the_one_before_is_in_the_log() -> None:
    cluster = TestCluster()
    role = reporter(cluster)
    away = NodeReport(node=cluster.node(1), accepting=False)
    [first] = role.on_reports((away,), cluster.state, NOW)
    role.hasten(cluster.state, NOW)
    assert not role.is_due(cluster.state, NOW + REPORT_MS - 1)
    assert role.is_due(cluster.state, NOW + REPORT_MS)
    assert isinstance(first, Propose)
    cluster.block((0, first.body))
    assert role.is_due(cluster.state, NOW + 1)


def test_what_decides_who_works_is_told_within_a_second_of_being_heard() -> None:
    cluster = TestCluster()
    role = reporter(cluster)
    unknown = NodeReport(node=cluster.node(1), accepting=True)
    [first] = role.on_reports((unknown,), cluster.state, NOW)
    assert isinstance(first, Propose)
    cluster.block((0, first.body))
    role.heard(replace(unknown, latency_ms=5), cluster.state, NOW)
    assert role.next_deadline(cluster.state) == NOW + REPORT_MS
    role.heard(replace(unknown, engine=2), cluster.state, NOW)
    assert role.next_deadline(cluster.state) == NOW + NEWS_MS


def test_among_many_all_members_speak_on_the_beat_and_tell_what_they_measured_seldom() -> None:
    cluster = TestCluster()
    for number in range(4, PROMPT_NODES_MAX + 1):
        cluster.block(cluster.join(number, invite=900 + number))
    apart_ms = beat_ms(len(cluster.state.nodes()))
    role = reporter(cluster)
    known = NodeReport(node=cluster.node(1), accepting=True)
    now = NOW - NOW % MEASURES_MS + MEASURES_MS
    [first] = role.on_reports((known,), cluster.state, now)
    assert isinstance(first, Propose)
    cluster.block((0, first.body))
    cluster.admit()
    role.heard(replace(known, engine=2), cluster.state, now + NEWS_MS + 1)
    due_ms = role.next_deadline(cluster.state)
    assert due_ms is not None
    assert due_ms % apart_ms == 0
    assert now + NEWS_MS < due_ms <= now + NEWS_MS + apart_ms
    role.hasten(cluster.state, now + 1)
    assert role.next_deadline(cluster.state) == next_beat_ms(now + 1, len(cluster.state.nodes()))
    slower = replace(known, latency_ms=2)
    early_ms, late_ms = now + (MEASURES_BEATS - 1) * apart_ms, now + MEASURES_BEATS * apart_ms
    assert role.on_reports((slower,), cluster.state, early_ms) == []
    assert role.on_reports((slower,), cluster.state, late_ms)


def test_a_node_that_was_away_for_a_moment_is_said_to_be_back() -> None:
    cluster = TestCluster()
    role = reporter(cluster)
    back = NodeReport(node=cluster.node(1), accepting=True)
    away = NodeReport(node=cluster.node(1), accepting=False)
    for report in (back, away):
        [proposed] = role.on_reports((report,), cluster.state, NOW)
        assert isinstance(proposed, Propose)
        role.hasten(cluster.state, NOW)
        assert not role.is_due(cluster.state, NOW)
        cluster.block((0, proposed.body))
        assert role.is_due(cluster.state, NOW)
    assert role.on_reports((back,), cluster.state, NOW)


def test_no_two_reports_are_the_same_record() -> None:
    cluster = TestCluster()
    role = reporter(cluster)
    back = NodeReport(node=cluster.node(1), accepting=True)
    away = NodeReport(node=cluster.node(1), accepting=False)
    seen = set()
    for now, report in ((NOW, away), (NOW + 1, back), (NOW + 2, away)):
        [proposed] = role.on_reports((report,), cluster.state, now)
        assert isinstance(proposed, Propose)
        seen.add(proposed.body)
    assert len(seen) == 3


def test_a_member_whose_clock_was_set_back_is_heard_all_the_same() -> None:
    cluster = TestCluster()
    role = reporter(cluster)
    away = NodeReport(node=cluster.node(1), accepting=False)
    for now, report in ((NOW, away), (NOW - 60_000, replace(away, accepting=True))):
        [proposed] = role.on_reports((report,), cluster.state, now)
        assert isinstance(proposed, Propose)
        cluster.block((0, proposed.body))
        assert cluster.state.report(report.node, cluster.node(0)) == report


def test_a_node_outside_the_committee_reports_nothing() -> None:
    cluster = TestCluster()
    assert not reporter(cluster, 9).is_due(cluster.state, NOW)


def test_a_convicted_node_is_no_news() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task, {1: result(b"a lie")})
    liar = cluster.task(task).slots[1].worker
    for referee in range(4):
        if cluster.node(referee) != liar:
            cluster.block(cluster.finding(task, referee, result()))
    report = NodeReport(node=liar, accepting=True)
    assert reporter(cluster).on_reports((report,), cluster.state, NOW) == []


def test_what_was_only_measured_waits_for_the_minute_while_no_task_is_open() -> None:
    cluster = TestCluster()
    role = reporter(cluster)
    report = NodeReport(node=cluster.node(1), accepting=True, latency_ms=1)
    [first] = role.on_reports((report,), cluster.state, NOW)
    assert isinstance(first, Propose)
    cluster.block((0, first.body))
    slower = replace(report, latency_ms=2)
    assert role.on_reports((slower,), cluster.state, NOW + REPORT_MS) == []
    away = replace(slower, accepting=False)
    assert role.on_reports((away,), cluster.state, NOW + 2 * REPORT_MS)
    assert role.on_reports((slower,), cluster.state, NOW + MEASURES_MS)
    cluster.admit()
    assert role.on_reports((slower,), cluster.state, NOW + MEASURES_MS + REPORT_MS)
