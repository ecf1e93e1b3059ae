import pytest
from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.codec.statements import audit_id, sign_record
from ambientd.ledger import tasks
from ambientd.ledger.awaiting import awaited_ms
from ambientd.ledger.draft import BlockContext, Draft
from ambientd.ledger.entries import Key, NodeEntry, Table
from ambientd.ledger.suitors import SAMPLE_NODES
from ambientd.ledger.versions import QUEUES_VERSION
from ambientd.model.base import NodeId
from ambientd.model.genesis import Rules
from ambientd.model.record import Admit, NodeReport
from ambientd.model.reputation import Reputation
from ambientd.model.task import Assurance, SlotState, TaskState
from ambientd.rules.scheduling import SLOTS_PER_CAPACITY
from tests.ledger.cluster import START_MS, UNTIL_MS, TestCluster, profile, spec
from tests.ledger.imaging import gone_over


def entry_of(cluster: TestCluster, number: int) -> NodeEntry:
    entry = cluster.state.node(cluster.node(number))
    assert entry is not None
    return entry


def put_nodes(cluster: TestCluster, nodes: dict[Key, NodeEntry], **changes: int) -> None:
    """Put nodes as they shall be into the state of both replicas."""
    writes = {key: replace(entry, **changes) for key, entry in nodes.items()}
    for state in (cluster.state, cluster.replica):
        state.commit(0, writes, state.tree.updated(writes))


def add_guests(cluster: TestCluster, count: int, *, busy: int) -> None:
    """Put guests into the state of both replicas, the first so many with a full queue."""
    guests: dict[Key, NodeEntry] = {
        (Table.NODE, sha256(b"guest %d" % number)): NodeEntry(
            profile=profile("guest"), is_member=False, open_slots=8 * (number < busy)
        )
        for number in range(count)
    }
    put_nodes(cluster, guests)


def nodes_of(cluster: TestCluster) -> list[tuple[NodeId, NodeEntry]]:
    found = ((node, cluster.state.node(node)) for node in cluster.state.nodes())
    return [(node, entry) for node, entry in found if entry is not None]


FULL = {"open_slots": SLOTS_PER_CAPACITY}


class CountingDraft(Draft):
    looks = 0

    def node(self, node: NodeId) -> NodeEntry | None:
        self.looks += 1
        return super().node(node)


def test_a_slot_looks_at_a_sample_of_nodes_however_many_there_are_and_all_busy() -> None:
    cluster = TestCluster()
    add_guests(cluster, 5_000, busy=5_000)
    context = BlockContext(index=1, term=1, time_ms=START_MS, beacon=bytes(32))
    draft = CountingDraft(cluster.state, cluster.state, context)
    body = Admit(nonce=b"n", spec=spec(replicas=8, strategy="least-loaded"), until_ms=UNTIL_MS)
    assert tasks.admit(draft, sign_record(cluster.signer(0), body), body) is None
    assert SAMPLE_NODES <= draft.looks < 8 * 3 * SAMPLE_NODES


class WeighingDraft(Draft):
    weighed = 0

    def reputation(self, node: NodeId, task_class: str) -> Reputation:
        self.weighed += 1
        return super().reputation(node, task_class)


def test_nobody_is_weighed_for_a_slot_that_no_queue_has_room_for() -> None:
    cluster = TestCluster()
    put_nodes(cluster, {(Table.NODE, node): entry for node, entry in nodes_of(cluster)}, **FULL)
    context = BlockContext(index=1, term=1, time_ms=START_MS, beacon=bytes(32))
    draft = WeighingDraft(cluster.state, cluster.state, context)
    body = Admit(nonce=b"n", spec=spec(), until_ms=UNTIL_MS)
    assert tasks.admit(draft, sign_record(cluster.signer(0), body), body) is None
    assert draft.weighed == 0


def test_nobody_is_weighed_where_only_the_submitter_has_room() -> None:
    cluster = TestCluster()
    others = {
        (Table.NODE, node): entry for node, entry in nodes_of(cluster) if node != cluster.node(0)
    }
    put_nodes(cluster, others, **FULL)
    context = BlockContext(index=1, term=1, time_ms=START_MS, beacon=bytes(32))
    draft = WeighingDraft(cluster.state, cluster.state, context)
    body = Admit(nonce=b"n", spec=spec(), until_ms=UNTIL_MS)
    assert tasks.admit(draft, sign_record(cluster.signer(0), body), body) is None
    assert draft.weighed == 0


@pytest.mark.parametrize(
    ("founded", "version"), [(1, 1), (1, QUEUES_VERSION), (QUEUES_VERSION, QUEUES_VERSION)]
)
def test_who_comes_does_not_overtake_those_that_wait_from_state_version_2_on(
    founded: int, version: int
) -> None:
    cluster = TestCluster(state_version=founded) if version == founded else gone_over()
    alone = {"assurance": Assurance.NONE, "replicas": 1}
    first = cluster.admit(nonce=b"first", **alone)
    put_nodes(cluster, {(Table.NODE, node): entry for node, entry in nodes_of(cluster)}, **FULL)
    waiting = [cluster.admit(nonce=b"waits%d" % number, **alone) for number in range(3)]
    assert {cluster.task(task).state for task in waiting} == {TaskState.PENDING}
    last = Admit(nonce=b"last", spec=spec(**alone), until_ms=UNTIL_MS)
    cluster.block((0, cluster.commits(first)), (0, last))
    (late,) = [task for task, entry in cluster.state.open_tasks() if entry.nonce == b"last"]
    has_overtaken = cluster.task(late).state is TaskState.ASSIGNED
    assert has_overtaken == (version == 1)
    cluster.block()
    states = [cluster.task(task).state for task in waiting]
    assert states.count(TaskState.ASSIGNED) == (0 if has_overtaken else 1)
    assert (cluster.task(late).state is TaskState.PENDING) == (not has_overtaken)


def test_a_lease_leaves_time_to_make_a_large_module_ready() -> None:
    ends = []
    for size_bytes in (100, 6_000_000):
        cluster = TestCluster(rules=Rules(lease_ms=1_000))
        entry = cluster.task(cluster.admit(module_size_bytes=size_bytes, gas_max=10**9))
        ends.append(entry.slots[0].deadline_ms - cluster.state.meta.time_ms)
    assert ends == [2_000, 2_000 + 46_875]


def test_a_lease_is_no_longer_than_the_gas_that_was_paid_for_takes() -> None:
    cluster = TestCluster(rules=Rules(lease_ms=1_000))
    entry = cluster.task(cluster.admit(wall_ms_max=3_600_000, gas_max=1_000_001))
    assert entry.slots[0].deadline_ms == cluster.state.meta.time_ms + 1_000 + 51


def test_a_lease_leaves_time_for_the_work_of_others_that_came_before() -> None:
    cluster = TestCluster(members=1, rules=Rules(lease_ms=1_000))
    alone = {"assurance": Assurance.NONE, "replicas": 1}
    long = cluster.admit(nonce=b"long", wall_ms_max=60_000, gas_max=10**10, **alone)
    short = cluster.admit(nonce=b"short", wall_ms_max=100, gas_max=10**10, **alone)
    ends = cluster.task(short).slots[0].deadline_ms
    capacity = entry_of(cluster, 0).capacity
    assert ends == cluster.state.meta.time_ms + 1_000 + 60_000 // capacity + 100
    assert entry_of(cluster, 0).queued_ms == 60_100
    cluster.work(long)
    assert entry_of(cluster, 0).queued_ms == 100


def test_who_fills_the_queues_of_others_is_hardly_ever_alone_with_a_checked_task() -> None:
    cluster = TestCluster(members=7)
    friends = {cluster.node(5), cluster.node(6)}
    alone = {"assurance": Assurance.NONE, "replicas": 1, "wall_ms_max": 3_600_000}
    flood = 0
    while any(entry_of(cluster, number).open_slots < SLOTS_PER_CAPACITY for number in range(5)):
        flood += 1
        task = cluster.admit(submitter=5, nonce=b"flood%d" % flood, gas_max=10**6, **alone)
        if {slot.worker for slot in cluster.task(task).slots} & friends:
            cluster.work(task)
    wanted = [cluster.admit(nonce=b"own%d" % number) for number in range(12)]
    assert {cluster.task(task).state for task in wanted} == {TaskState.PENDING}
    while any(cluster.task(task).state is TaskState.PENDING for task in wanted):
        cluster.block(after_ms=10_000)
        assert cluster.time_ms < START_MS + 300_000, "no lease of the flood is long"
    workers = [{slot.worker for slot in cluster.task(task).slots} for task in wanted]
    together = sum(held <= friends for held in workers)
    assert together <= len(wanted) // 4, "all of them, where whoever has room is drawn"


def test_of_many_nodes_no_sample_is_drawn_until_half_of_them_have_room() -> None:
    cluster = TestCluster()
    add_guests(cluster, 996, busy=600)
    wanted = [cluster.admit(nonce=b"%d" % number) for number in range(8)]
    unchecked = cluster.admit(nonce=b"un", assurance=Assurance.NONE, replicas=1)
    for _ in range(30):
        cluster.block()
    assert {cluster.task(task).state for task in wanted} == {TaskState.PENDING}
    assert cluster.task(unchecked).state is TaskState.ASSIGNED
    assert awaited_ms(cluster.state) == cluster.task(unchecked).deadline_ms, "asleep until then"
    add_guests(cluster, 600, busy=0)
    assert awaited_ms(cluster.state) == 0
    cluster.block()
    assert {cluster.task(task).state for task in wanted} == {TaskState.ASSIGNED}


def test_an_audit_waits_like_all_that_is_checked_while_queues_are_full() -> None:
    cluster = TestCluster(members=7, rules=Rules(audit_window_ms=8_000, audit_permille=1000))
    audited = cluster.admit(assurance=Assurance.NONE, replicas=1)
    worker = cluster.task(audited).slots[0].worker
    cluster.work(audited)
    others = [number for number in range(7) if cluster.node(number) != worker]
    full: dict[Key, NodeEntry] = {
        (Table.NODE, cluster.node(number)): replace(entry_of(cluster, number), open_slots=8)
        for number in others[1:]
    }
    put_nodes(cluster, full)
    cluster.block(after_ms=2_000)
    audit = cluster.task(audit_id(audited, 0))
    assert (audit.state, audit.spec.assurance) == (TaskState.PENDING, Assurance.NONE)
    put_nodes(cluster, dict(list(full.items())[:3]), open_slots=0)
    cluster.block()
    assert cluster.task(audit_id(audited, 0)).state is TaskState.ASSIGNED


def test_a_sealed_answer_holds_no_place_in_a_queue_however_long_it_waits_for_others() -> None:
    cluster = TestCluster(members=7)
    cluster.report(NodeReport(node=cluster.node(6), accepting=False))
    for number in range(SLOTS_PER_CAPACITY):
        task = cluster.admit(nonce=b"%d" % number, replicas=7)
        assert {entry_of(cluster, each).open_slots for each in range(6)} == {1}
        cluster.block((0, cluster.commits(task)))
        states = [slot.state for slot in cluster.task(task).slots]
        assert sorted(states) == [SlotState.WAITING] + [SlotState.COMMITTED] * 6
    found = {(entry_of(cluster, n).open_slots, entry_of(cluster, n).queued_ms) for n in range(6)}
    assert found == {(0, 0)}
    assert cluster.task(cluster.admit(nonce=b"own")).state is TaskState.ASSIGNED
