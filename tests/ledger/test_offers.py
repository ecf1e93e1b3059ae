"""What an owner lets its node take is what the scheduler gives it, and slots come back unblamed."""

import pytest
from msgspec.structs import replace

from ambientd.api.why import explain
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.ledger.events import NodeOffered, SlotAssigned, SlotReleased
from ambientd.ledger.offers import HANDED_BACK_MAX, OFFER_MS, REASON
from ambientd.ledger.weighing import Standing, weigh
from ambientd.model.base import NodeId, TaskId
from ambientd.model.bundle import Bundle
from ambientd.model.genesis import Rules
from ambientd.model.offer import Closed, SlotName
from ambientd.model.record import Cancel, Commits, Fraud, NodeReport, Offer
from ambientd.model.task import Assurance, SlotState, TaskState
from ambientd.rules.executions import limits_of, memory_need_bytes
from tests.ledger.cluster import TestCluster, rejections, result, spec
from tests.roles.stage import number_of


def offer(
    cluster: TestCluster,
    closed: int = Closed.PAUSED,
    refuses: tuple[str, ...] = (),
    hands_back: tuple[SlotName, ...] = (),
    memory_bytes_max: int = 0,
) -> Offer:
    return Offer(
        closed=closed,
        refuses=refuses,
        hands_back=hands_back,
        said_ms=cluster.time_ms,
        memory_bytes_max=memory_bytes_max,
    )


def held(cluster: TestCluster, task: TaskId, node: NodeId) -> tuple[SlotName, ...]:
    return tuple(
        SlotName(task=task, slot=slot.slot, attempt=slot.attempt)
        for slot in cluster.task(task).slots
        if slot.worker == node
    )


def sealed_by(cluster: TestCluster, task: TaskId, slot: int) -> Commits:
    every = cluster.commits(task).commits
    return Commits(commits=tuple(each for each in every if each.slot == slot))


def workers(cluster: TestCluster, task: TaskId) -> set[NodeId]:
    return {slot.worker for slot in cluster.task(task).slots}


def test_a_node_that_its_owner_paused_gets_nothing_until_it_is_open_again() -> None:
    cluster = TestCluster()
    assert cluster.block((1, offer(cluster))) == [NodeOffered(cluster.node(1), Closed.PAUSED)]
    for number in range(12):
        task = cluster.admit(nonce=b"%d" % number)
        assert cluster.node(1) not in workers(cluster, task)
        cluster.work(task)
    waiting = cluster.admit(nonce=b"all", replicas=4)
    assert cluster.task(waiting).state is TaskState.PENDING
    opened = cluster.block((1, offer(cluster, Closed.OPEN)), after_ms=OFFER_MS)
    assert NodeOffered(cluster.node(1), Closed.OPEN) in opened
    cluster.block()
    assert cluster.node(1) in workers(cluster, waiting)


@pytest.mark.parametrize(
    ("closed", "standing"),
    [
        (Closed.PAUSED, Standing.PAUSED),
        (Closed.HOURS, Standing.OTHER_HOURS),
        (Closed.BATTERY, Standing.ON_BATTERY),
        (Closed.METERED, Standing.ON_METERED),
        (Closed.HOT, Standing.TOO_HOT),
        (99, Standing.CLOSED),
    ],
)
def test_why_a_node_takes_nothing_is_told(closed: int, standing: Standing) -> None:
    cluster = TestCluster()
    cluster.block((3, offer(cluster, closed)))
    task = cluster.admit(replicas=4)
    seen = {each.node: each.standing for each in weigh(cluster.state, cluster.task(task))}
    assert seen[cluster.node(3)] is standing


@pytest.mark.parametrize("items", [0, 3])
def test_a_task_goes_only_where_as_much_memory_as_it_needs_is_stated(items: int) -> None:
    size = 10 if not items else Bundle(size_bytes=10, items=items, root=sha256(b"items"))
    wanted = spec(input_size_bytes=size, replicas=1, assurance=Assurance.NONE)
    need = memory_need_bytes(limits_of(wanted), 10)
    assert need == (1 << 20) + 3 * (10 + 1_000 + 65_536)
    for stated, is_given in ((need, True), (need - 1, False), (1, False), (0, True)):
        cluster = TestCluster()
        others = [(n, offer(cluster)) for n in range(cluster.members) if n != 1]
        cluster.block(*others, (1, offer(cluster, Closed.OPEN, memory_bytes_max=stated)))
        task = cluster.admit(
            input_size_bytes=size, replicas=1, assurance=Assurance.NONE, nonce=b"%d" % stated
        )
        cluster.block()
        assert (cluster.node(1) in workers(cluster, task)) is is_given


def test_a_task_that_needs_more_waits_unblamed_until_a_cap_is_lifted() -> None:
    cluster = TestCluster()
    small = 1 << 20
    told = cluster.block(
        *((n, offer(cluster, Closed.OPEN, memory_bytes_max=small)) for n in range(cluster.members))
    )
    assert NodeOffered(cluster.node(1), Closed.OPEN, small) in told
    task = cluster.admit(replicas=1, assurance=Assurance.NONE)
    for _ in range(20):
        cluster.block(after_ms=10_000)
    entry = cluster.task(task)
    assert (entry.state, entry.slots[0].attempt) == (TaskState.PENDING, 0)
    seen = {each.standing for each in weigh(cluster.state, entry)}
    assert seen == {Standing.NO_MEMORY}
    why = explain(cluster.state, task, entry, "")
    assert f"owners of {cluster.members} lend less memory than it needs" in why.text
    cluster.block((1, offer(cluster, Closed.OPEN)))
    cluster.block()
    assert workers(cluster, task) == {cluster.node(1)}


def test_reports_open_no_node_that_its_owner_has_closed() -> None:
    cluster = TestCluster()
    cluster.block((2, offer(cluster)))
    cluster.report(NodeReport(node=cluster.node(2), accepting=True, capacity=9))
    entry = cluster.state.node(cluster.node(2))
    assert entry is not None
    assert (entry.is_fit, entry.capacity) == (False, 9)


def test_a_closed_node_finishes_what_it_has_unless_it_is_gone() -> None:
    cluster = TestCluster(rules=Rules(lease_ms=1_000))
    task = cluster.admit(wall_ms_max=600_000)
    worker = cluster.task(task).slots[0].worker
    number = number_of(cluster, worker)
    before = cluster.task(task).slots[0].deadline_ms
    cluster.block((number, offer(cluster)))
    cluster.report(NodeReport(node=worker, accepting=True, capacity=2))
    assert cluster.task(task).slots[0].deadline_ms == before, "there is time to finish"
    cluster.report(NodeReport(node=worker, accepting=False))
    cluster.block()
    assert cluster.task(task).slots[0].deadline_ms < before, "it will not finish"


def test_slots_that_are_handed_back_go_to_another_and_nobody_is_blamed() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    worker = cluster.task(task).slots[0].worker
    cluster.block((0, sealed_by(cluster, task, 1)))
    number, names = number_of(cluster, worker), held(cluster, task, worker)
    before = cluster.state.reputation_permille(worker)
    events = cluster.block((number, offer(cluster, hands_back=names)))
    assert SlotReleased(task, 0, worker, REASON) in events
    [given] = [event for event in events if isinstance(event, SlotAssigned)]
    assert (given.slot, given.attempt) == (0, 1)
    assert given.worker != worker
    assert cluster.state.reputation_permille(worker) == before
    after = cluster.state.node(worker)
    assert after is not None
    assert after.open_slots == 0
    cluster.work(task)
    assert cluster.task(task).state is TaskState.FINAL


def test_an_open_node_hands_back_what_it_cannot_do_and_goes_on() -> None:
    cluster = TestCluster()
    task = cluster.admit(wall_ms_max=3_600_000)
    worker = cluster.task(task).slots[0].worker
    names = held(cluster, task, worker)
    events = cluster.block((number_of(cluster, worker), offer(cluster, Closed.OPEN, (), names)))
    assert SlotReleased(task, 0, worker, REASON) in events
    assert worker not in workers(cluster, task)
    after = cluster.state.node(worker)
    assert after is not None
    assert (after.is_fit, after.open_slots) == (True, 0)


def test_what_is_sealed_or_not_its_own_cannot_be_handed_back() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    first, second = (slot.worker for slot in cluster.task(task).slots)
    cluster.block((0, sealed_by(cluster, task, 0)))
    sealed, others = held(cluster, task, first), held(cluster, task, second)
    stale = tuple(replace(name, attempt=7) for name in others)
    unknown = SlotName(task=TaskId(bytes(32)), slot=0, attempt=0)
    names = (*sealed, *others, *stale, unknown)
    events = cluster.block((number_of(cluster, first), offer(cluster, hands_back=names)))
    assert not [event for event in events if isinstance(event, SlotReleased)]
    states = [slot.state for slot in cluster.task(task).slots]
    assert states == [SlotState.COMMITTED, SlotState.ASSIGNED]


@pytest.mark.parametrize("is_answered", [True, False])
def test_handing_back_again_and_again_is_blamed_like_lateness(*, is_answered: bool) -> None:
    cluster = TestCluster()
    node, blamed = cluster.node(1), []
    for turn in range(4 * HANDED_BACK_MAX):
        cluster.block((1, offer(cluster, Closed.OPEN)), after_ms=OFFER_MS)
        task = cluster.admit(nonce=b"%d" % turn, replicas=4)
        others = [slot.slot for slot in cluster.task(task).slots if slot.worker != node]
        if is_answered:
            cluster.block((0, sealed_by(cluster, task, others[0])))
        before = cluster.state.reputation_permille(node)
        names = held(cluster, task, node)
        cluster.block((1, offer(cluster, hands_back=names)), after_ms=OFFER_MS)
        blamed.append(cluster.state.reputation_permille(node) < before)
        cluster.block((0, Cancel(task=task)))
        if blamed[-1]:
            break
    assert blamed == [False] * HANDED_BACK_MAX + [True]


def test_refused_classes_can_be_changed_at_any_time() -> None:
    cluster = TestCluster()
    cluster.block((1, offer(cluster, Closed.OPEN, refuses=("media",))))
    for number in range(12):
        task = cluster.admit(nonce=b"%d" % number, task_class="media")
        assert cluster.node(1) not in workers(cluster, task)
        cluster.work(task)
    cluster.block((1, offer(cluster, Closed.OPEN)), after_ms=OFFER_MS)
    task = cluster.admit(nonce=b"all", task_class="media", replicas=4)
    assert cluster.node(1) in workers(cluster, task)


def test_an_offer_that_is_old_hasty_or_malformed_changes_nothing() -> None:
    cluster = TestCluster()
    first = offer(cluster)
    cluster.block((1, first))
    assert "since" in rejections(cluster.block((1, first), after_ms=OFFER_MS))[0]
    cluster.block((1, offer(cluster, Closed.OPEN)), after_ms=OFFER_MS)
    assert "ms old" in rejections(cluster.block((1, offer(cluster))))[0]
    task = cluster.admit(replicas=4)
    faults = [
        offer(cluster, refuses=("No Class",)),
        offer(cluster, refuses=tuple(f"class{n}" for n in range(17))),
    ]
    for fault in faults:
        body = replace(fault, said_ms=cluster.time_ms)
        assert rejections(cluster.block((1, body), after_ms=OFFER_MS))
    entry = cluster.state.node(cluster.node(1))
    assert entry is not None
    assert entry.closed == Closed.OPEN
    assert cluster.node(1) in workers(cluster, task)


def test_a_convicted_node_makes_no_offers() -> None:
    cluster = TestCluster()
    found = [cluster.verdict(cluster.admit(), 1, result(answer)) for answer in (b"one", b"two")]
    first, second = map(encode, found)
    cluster.block((0, Fraud(culprit=cluster.node(1), kind="verdict", first=first, second=second)))
    assert "convicted" in rejections(cluster.block((1, offer(cluster))))[0]
