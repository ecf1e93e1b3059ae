import pytest

from ambientd.codec.canonical import encode
from ambientd.codec.statements import task_id
from ambientd.ledger.awaiting import awaited_ms
from ambientd.ledger.conditions import SHORTENED_MAX
from ambientd.ledger.entries import NodeEntry
from ambientd.ledger.events import SlotReleased
from ambientd.model.genesis import Rules
from ambientd.model.record import Admit, Commits, Fraud, NodeReport, Registry
from ambientd.model.task import Assurance
from tests.ledger.cluster import UNTIL_MS, TestCluster, rejections, result, spec


def test_only_members_report_conditions_and_only_of_known_nodes() -> None:
    cluster = TestCluster()
    cluster.block(cluster.join(50))
    report = NodeReport(node=cluster.node(1), accepting=False)
    assert "only committee" in rejections(cluster.block((50, Registry(reports=(report,)))))[0]
    unknown = NodeReport(node=cluster.node(60), accepting=True)
    assert "no known node" in rejections(cluster.block((0, Registry(reports=(report, unknown)))))[0]
    nothing = cluster.state.report(cluster.node(1), cluster.node(0))
    assert nothing is None, "a rejected record changes nothing"


def test_a_node_in_safe_mode_gets_nothing() -> None:
    cluster = TestCluster()
    safe = NodeReport(node=cluster.node(1), accepting=True, safe_mode=True)
    cluster.report(safe)
    for number in range(20):
        slots = cluster.task(cluster.admit(nonce=b"%d" % number)).slots
        assert cluster.node(1) not in {slot.worker for slot in slots}


def test_a_node_that_went_away_keeps_its_slots_only_for_a_lease() -> None:
    cluster = TestCluster(rules=Rules(lease_ms=1000))
    task = cluster.admit(wall_ms_max=600_000)
    worker = cluster.task(task).slots[0].worker
    away = NodeReport(node=worker, accepting=False)
    cluster.report(away)
    assert awaited_ms(cluster.state) == 0
    cluster.block()
    assert awaited_ms(cluster.state) == cluster.time_ms + 1000
    events = cluster.block(after_ms=1000)
    released = [event.worker for event in events if isinstance(event, SlotReleased)]
    assert released == [worker]


def test_a_convicted_node_keeps_its_slots_only_for_a_lease() -> None:
    cluster = TestCluster(rules=Rules(lease_ms=1000))
    task = cluster.admit(wall_ms_max=600_000)
    worker = cluster.task(task).slots[0].worker
    said = (cluster.receipt(task, 0), cluster.receipt(task, 0, result(b"lie")))
    first, second = map(encode, said)
    cluster.block((0, Fraud(culprit=worker, kind="receipt", first=first, second=second)))
    cluster.block()
    events = cluster.block(after_ms=1000)
    assert [event.worker for event in events if isinstance(event, SlotReleased)] == [worker]


def test_of_leases_that_nodes_left_behind_a_block_shortens_some_and_the_next_the_rest() -> None:
    """All are gone at once, and hold more slots than a block looks at."""
    rules = Rules(lease_ms=10_000)
    cluster = TestCluster(rules=rules, grant_msat=10**12)
    roomy = tuple(NodeReport(node=cluster.node(n), accepting=True, capacity=64) for n in range(4))
    cluster.report(*roomy)
    wanted = spec(wall_ms_max=600_000, gas_max=12 * 10**9, assurance=Assurance.NONE, replicas=1)
    tasks = [task_id(cluster.node(0), b"%d" % number, wanted) for number in range(600)]
    for first in range(0, len(tasks), 100):
        nonces = (b"%d" % number for number in range(first, first + 100))
        admits = (Admit(nonce=nonce, spec=wanted, until_ms=UNTIL_MS) for nonce in nonces)
        cluster.block(*((0, admit) for admit in admits))
    assert awaited_ms(cluster.state) != 0
    cluster.report(*(NodeReport(node=cluster.node(n), accepting=False) for n in range(4)))

    def longer() -> int:
        end = cluster.state.meta.running_ms + rules.lease_ms
        return sum(cluster.task(task).deadline_ms > end for task in tasks)

    left = [longer()]
    while awaited_ms(cluster.state) == 0:
        cluster.block()
        left.append(longer())
    assert left == [600, 600 - SHORTENED_MAX, 600 - 2 * SHORTENED_MAX, 0]


# One liar decides nothing


def found(cluster: TestCluster, number: int) -> NodeEntry:
    entry = cluster.state.node(cluster.node(number))
    assert entry is not None
    return entry


@pytest.mark.parametrize(("members", "enough"), [(1, 1), (2, 1), (3, 1), (4, 2), (7, 3), (10, 4)])
def test_a_node_is_gone_once_more_members_say_so_than_may_lie(members: int, enough: int) -> None:
    cluster = TestCluster(members)
    node = NodeReport(node=cluster.node(0), accepting=False, safe_mode=True)
    for member in range(enough):
        assert (found(cluster, 0).accepting, found(cluster, 0).safe_mode) == (True, False)
        cluster.block((member, Registry(reports=(node, node))))
        cluster.block((member, Registry(reports=(node,), observed_ms=1)))
    assert (found(cluster, 0).accepting, found(cluster, 0).safe_mode) == (False, True)
    back = NodeReport(node=cluster.node(0), accepting=True)
    cluster.block((0, Registry(reports=(back,), observed_ms=2)))
    assert (found(cluster, 0).accepting, found(cluster, 0).safe_mode) == (True, False)


def test_a_member_that_reports_everyone_else_gone_gets_no_more_work_than_before() -> None:
    liar, honest = TestCluster(), TestCluster()
    gone = tuple(NodeReport(node=liar.node(n), accepting=False) for n in range(2))
    friends = tuple(NodeReport(node=liar.node(n), accepting=True, capacity=9) for n in (2, 3))
    liar.block((3, Registry(reports=(*gone, *friends))))
    honest.block()
    for number in range(20):
        nonce = b"%d" % number
        given = [
            [slot.worker for slot in cluster.task(cluster.admit(nonce=nonce)).slots]
            for cluster in (liar, honest)
        ]
        assert given[0] == given[1]


def test_a_member_that_says_gone_and_back_again_shortens_no_lease() -> None:
    cluster = TestCluster(rules=Rules(lease_ms=1000))
    task = cluster.admit(wall_ms_max=600_000)
    before = cluster.task(task)
    for number in range(10):
        reports = tuple(
            NodeReport(node=cluster.node(n), accepting=bool(number % 2)) for n in range(4)
        )
        cluster.block((3, Registry(reports=reports, observed_ms=number)))
    assert cluster.task(task) == before


def test_numbers_are_the_median_of_what_members_say_and_no_liar_moves_them() -> None:
    cluster = TestCluster()
    before = found(cluster, 1)
    reports = [
        NodeReport(node=cluster.node(1), accepting=True, capacity=c, load_percent=load)
        for c, load in ((1024, 0), (4, 20), (5, 25), (4, 30))
    ]
    for member, report in enumerate(reports[:2]):
        cluster.block((member, Registry(reports=(report,))))
    assert found(cluster, 1) == before, "two reports may be one honest member's and a liar's"
    for member, report in enumerate(reports[2:], start=2):
        cluster.block((member, Registry(reports=(report,))))
    assert (found(cluster, 1).capacity, found(cluster, 1).load_percent) == (4, 20)


def test_the_engine_is_what_more_members_say_than_may_lie() -> None:
    cluster = TestCluster()

    def say(member: int, engine: int) -> int:
        report = NodeReport(node=cluster.node(1), accepting=True, engine=engine)
        cluster.block((member, Registry(reports=(report,), observed_ms=cluster.time_ms)))
        return found(cluster, 1).engine

    assert [say(0, 3), say(1, 3)] == [0, 0], "two members are too few to speak for all"
    assert say(2, 1) == 3
    assert say(3, 2) == 3
    assert say(1, 2) == 2


def test_a_convicted_member_reports_nothing_and_what_it_reported_counts_no_more() -> None:
    cluster = TestCluster()
    gone = NodeReport(node=cluster.node(0), accepting=False)
    cluster.block((3, Registry(reports=(gone,))))
    task = cluster.admit()
    pair = [encode(cluster.verdict(task, 3, result(each))) for each in (b"a", b"b")]
    cluster.block(
        (0, Fraud(culprit=cluster.node(3), kind="verdict", first=pair[0], second=pair[1]))
    )
    assert "convicted" in rejections(cluster.block((3, Registry(reports=(gone,)))))[0]
    cluster.block((1, Registry(reports=(gone,))))
    assert found(cluster, 0).accepting


def test_a_restart_keeps_every_members_reports() -> None:
    cluster = TestCluster()
    gone = NodeReport(node=cluster.node(1), accepting=False)
    cluster.block((0, Registry(reports=(gone,))))
    again = cluster.restarted()
    assert again.report(cluster.node(1), cluster.node(0)) == gone
    assert again.report(cluster.node(1), cluster.node(2)) is None


def test_no_liar_brings_back_what_an_honest_member_said_before() -> None:
    cluster = TestCluster()
    gone = Registry(reports=(NodeReport(node=cluster.node(0), accepting=False),), observed_ms=5)
    here = Registry(reports=(NodeReport(node=cluster.node(0), accepting=True),), observed_ms=6)
    cluster.block((1, gone))
    cluster.block((1, here))
    events = cluster.block((1, gone), (3, gone))
    assert found(cluster, 0).accepting, "one liar and an older word decided"
    assert "has spoken since" in rejections(events)[0]
    cluster.block((2, gone))
    assert not found(cluster, 0).accepting


def test_a_worker_that_sealed_may_go_while_its_task_waits_for_another() -> None:
    cluster = TestCluster(rules=Rules(lease_ms=1000))
    task = cluster.admit()
    sealed, late = (slot.worker for slot in cluster.task(task).slots)
    cluster.block((0, Commits(commits=cluster.commits(task).commits[:1])))
    others = [cluster.node(number) for number in range(4) if cluster.node(number) != sealed]
    cluster.report(*(NodeReport(node=node, accepting=False) for node in sorted(others)))
    cluster.block(after_ms=10_000)
    assert [slot.worker for slot in cluster.task(task).slots] == [sealed, b""]
    assert late != sealed
    cluster.report(NodeReport(node=sealed, accepting=False))
    assert cluster.task(task).deadline_ms == 0
