"""What tasks ask of their workers, and when: classes, constraints, trust, priority, deadlines."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.codec.statements import audit_id
from ambientd.ledger.apply import LATE_MAX
from ambientd.ledger.awaiting import awaited_ms
from ambientd.ledger.entries import PRIORITY_MS, NodeEntry, Table, reputation_key
from ambientd.ledger.events import SlotAssigned
from ambientd.model.base import NodeId, TaskId
from ambientd.model.genesis import Label, NodeKind, Profile, Rules
from ambientd.model.receipt import SignedReceipt
from ambientd.model.record import Admit, Commits, NodeReport, Settle
from ambientd.model.reputation import Reputation
from ambientd.model.task import Assurance, Constraint, SlotState, TaskState, Verdict
from ambientd.rules.auditing import TRUSTED_STREAK
from ambientd.rules.reputation import UNIT
from ambientd.rules.rewards import cancel_fee_msat
from tests.ledger.cluster import GRANT_MSAT, START_MS, TestCluster, rejections, spec

GUESTS = range(50, 58)
REGIONS = ("eu", "us")
HERE = (Constraint(key="region", value="eu"),)


def guest_profile(number: int, refuses: tuple[str, ...] = ()) -> Profile:
    return Profile(
        name=f"guest-{number}",
        region=REGIONS[number % 2],
        kind=NodeKind.EDGE,
        owner=f"owner-{number % 4}",
        labels=(Label(key="rack", value=str(number % 3)),),
        refuses=refuses,
    )


def with_guests(*, rules: Rules | None = None, refuses: tuple[str, ...] = ()) -> TestCluster:
    """Let members only keep the log, and guests of two regions and four owners work."""
    cluster = TestCluster(rules=rules)
    changes = {
        "expires_ms": START_MS + 3_600_000,
    }
    for number in GUESTS:
        profile = guest_profile(number, refuses)
        cluster.block(cluster.join(number, invite=900 + number, profile=profile, **changes))
    away = (NodeReport(node=cluster.node(n), accepting=False) for n in range(4))
    cluster.report(*away)
    for number in GUESTS:
        cluster.signer(number)
    return cluster


def profiles(cluster: TestCluster, task: TaskId) -> list[Profile]:
    found = (cluster.state.node(slot.worker) for slot in cluster.task(task).slots if slot.worker)
    return [entry.profile for entry in found if entry is not None]


def trust(cluster: TestCluster, *numbers: int, task_class: str = "general") -> None:
    """Let nodes have verified outcomes enough to be trusted."""
    known = Reputation(good=12 * UNIT, bad=3 * UNIT, streak=TRUSTED_STREAK, day=10**6)
    writes = {reputation_key(cluster.node(number), task_class): known for number in numbers}
    cluster.state.commit(cluster.index, writes, cluster.state.tree.updated(writes))
    cluster.replica.commit(cluster.index, writes, cluster.replica.tree.updated(writes))


def test_only_who_is_what_a_task_asks_for_gets_a_slot() -> None:
    cluster = with_guests()
    for number in range(10):
        task = cluster.admit(nonce=b"%d" % number, constraints=HERE)
        assert {profile.region for profile in profiles(cluster, task)} == {"eu"}
        cluster.work(task)
    rack = Constraint(key="rack", value="1", is_excluded=True)
    task = cluster.admit(constraints=(*HERE, rack), replicas=3)
    assert all(p.region == "eu" and p.labels[0].value != "1" for p in profiles(cluster, task))


def test_a_task_that_asks_for_more_nodes_than_there_are_waits_and_lets_the_log_rest() -> None:
    cluster = with_guests()
    task = cluster.admit(constraints=(Constraint(key="owner", value="owner-1"),), replicas=3)
    entry = cluster.task(task)
    assert entry.state is TaskState.PENDING
    assert sum(slot.state is SlotState.ASSIGNED for slot in entry.slots) == 2
    assert awaited_ms(cluster.state) == entry.deadline_ms
    alone = cluster.admit(constraints=(Constraint(key="region", value="mars"),))
    assert profiles(cluster, alone) == []
    assert awaited_ms(cluster.state) == entry.deadline_ms


def test_owners_take_no_tasks_of_classes_that_they_refuse() -> None:
    cluster = with_guests(refuses=("media",))
    assert profiles(cluster, cluster.admit(task_class="media")) == []
    assert len(profiles(cluster, cluster.admit(task_class="learning"))) == 2


def test_replicas_are_of_different_owners_and_regions_where_there_are_such() -> None:
    cluster = with_guests()
    for number in range(12):
        task = cluster.admit(nonce=b"%d" % number, distinct=("owner", "region"))
        first, second = profiles(cluster, task)
        assert first.owner != second.owner
        assert first.region != second.region
        cluster.work(task)


def test_a_strategy_is_the_tasks_own() -> None:
    cluster = with_guests()
    clean = cluster.node(GUESTS[3])
    cluster.report(
        *(NodeReport(node=cluster.node(n), accepting=True, carbon_g_per_kwh=400) for n in GUESTS)
    )
    cluster.report(NodeReport(node=clean, accepting=True, carbon_g_per_kwh=20))
    for number in range(3):
        task = cluster.admit(nonce=b"%d" % number, strategy="carbon-aware")
        assert cluster.task(task).slots[0].worker == clean


def test_tasks_of_a_module_come_to_the_node_that_had_it_and_others_elsewhere() -> None:
    cluster = with_guests()
    workers = set()
    for number in range(6):
        task = cluster.admit(
            nonce=b"%d" % number,
            strategy="locality-aware",
            assurance=Assurance.NONE,
            replicas=1,
            input=sha256(b"%d" % number),
        )
        workers.add(cluster.task(task).slots[0].worker)
        cluster.work(task)
    assert len(workers) == 1
    for number in range(20):
        module = sha256(b"another %d" % number)
        terms = {"module": module, "strategy": "locality-aware", "replicas": 1}
        task = cluster.admit(nonce=module, assurance=Assurance.NONE, **terms)
        workers.add(cluster.task(task).slots[0].worker)
        cluster.work(task)
    assert len(workers) > 2


# Assurance


def test_an_audited_task_is_for_its_worker_alone_if_that_is_trusted() -> None:
    cluster = with_guests()
    trusted = GUESTS[2:6]
    trust(cluster, *trusted)
    alone = {cluster.node(number) for number in trusted}
    seen = set()
    for number in range(24):
        task = cluster.admit(nonce=b"%d" % number, assurance=Assurance.AUDITED, replicas=1)
        slots = cluster.task(task).slots
        assert len(slots) == (1 if slots[0].worker in alone else 2)
        seen.add(len(slots))
    assert seen == {1, 2}


def test_trust_in_one_class_is_none_in_another() -> None:
    cluster = with_guests()
    trust(cluster, *GUESTS, task_class="media")
    task = cluster.admit(assurance=Assurance.AUDITED, replicas=1)
    assert len(cluster.task(task).slots) == 2


def test_where_nobody_is_trusted_an_audited_task_is_replicated() -> None:
    cluster = with_guests()
    task = cluster.admit(assurance=Assurance.AUDITED, replicas=1)
    assert [slot.state for slot in cluster.task(task).slots] == 2 * [SlotState.ASSIGNED]
    cluster.work(task)
    settlement = cluster.task(task).settlement
    assert settlement is not None
    assert settlement.verdict is Verdict.AGREED


def test_nobody_is_trusted_with_its_own_task() -> None:
    cluster = TestCluster(members=2)
    trust(cluster, 0)
    task = cluster.admit(assurance=Assurance.AUDITED, replicas=1)
    assert len(cluster.task(task).slots) == 2


# Deadlines, attempts, priority


def test_a_task_that_nobody_took_by_its_deadline_expires_and_is_refunded() -> None:
    cluster = with_guests()
    nowhere = (Constraint(key="region", value="mars"),)
    task = cluster.admit(constraints=nowhere, deadline_ms=cluster.time_ms + 2_000)
    assert awaited_ms(cluster.state) == cluster.task(task).expires_ms
    cluster.block(after_ms=1_000)
    assert cluster.task(task).state is TaskState.PENDING
    cluster.block(after_ms=1_000)
    assert cluster.task(task).state is TaskState.EXPIRED
    assert cluster.state.balance_msat(cluster.node(0)) == GRANT_MSAT


def test_of_tasks_whose_deadlines_come_together_a_block_ends_a_bounded_number() -> None:
    cluster = with_guests()
    there = (Constraint(key="region", value="mars"),)
    wanted = spec(constraints=there, deadline_ms=cluster.time_ms + 10_000)
    admits = (
        (0, Admit(nonce=b"%d" % number, spec=wanted, until_ms=cluster.time_ms + 10_000))
        for number in range(LATE_MAX + 10)
    )
    cluster.block(*admits)
    cluster.block(after_ms=8_000)
    assert len(cluster.state.open_tasks()) == LATE_MAX + 10
    for left in (10, 0):
        cluster.leap(after_ms=1_950)
        assert len(cluster.state.open_tasks()) == left
        assert awaited_ms(cluster.state) == (cluster.time_ms - 50 if left else None)


def test_who_has_sealed_an_answer_by_the_deadline_gets_a_tenth_and_nobody_is_blamed() -> None:
    cluster = with_guests()
    task = cluster.admit(deadline_ms=cluster.time_ms + 1_500)
    entry = cluster.task(task)
    cluster.block((0, replace(cluster.commits(task), commits=cluster.commits(task).commits[:1])))
    before = [cluster.state.reputation_permille(cluster.node(n)) for n in GUESTS]
    cluster.block(after_ms=1_900)
    ended = cluster.task(task)
    assert ended.state is TaskState.EXPIRED
    share = cancel_fee_msat(entry.spec.gas_max, entry.spec.price_msat_per_mgas)
    assert [(p.node, p.amount_msat) for p in ended.payments] == [(entry.slots[0].worker, share)]
    assert before == [cluster.state.reputation_permille(cluster.node(n)) for n in GUESTS]


def test_once_all_answers_are_sealed_a_deadline_takes_nobody_its_pay() -> None:
    cluster = with_guests()
    task = cluster.admit(deadline_ms=cluster.time_ms + 1_000)
    opened: list[SignedReceipt] = []
    cluster.block((0, cluster.commits(task)))
    opened += (cluster.receipt(task, slot) for slot in range(2))
    cluster.block(after_ms=1_500)
    cluster.block((0, Settle(task=task, receipts=tuple(opened))))
    assert cluster.task(task).state is TaskState.FINAL


def test_nobody_else_is_asked_when_an_answer_stays_sealed_past_the_deadline() -> None:
    cluster = with_guests()
    task = cluster.admit(deadline_ms=cluster.time_ms + 1_000)
    cluster.block((0, cluster.commits(task)))
    cluster.block(after_ms=6_000)
    ended = cluster.task(task)
    assert (ended.state, ended.payments) == (TaskState.EXPIRED, ())
    assert all(entry.open_slots == 0 for entry in map(cluster.state.node, cluster.state.nodes()))


def test_an_outage_puts_a_deadline_off() -> None:
    cluster = with_guests()
    nowhere = (Constraint(key="region", value="mars"),)
    task = cluster.admit(constraints=nowhere, deadline_ms=cluster.time_ms + 5_000)
    cluster.leap(after_ms=10_000)
    assert cluster.task(task).state is TaskState.PENDING
    cluster.block(after_ms=6_000)
    assert cluster.task(task).state is TaskState.EXPIRED


def test_a_task_has_no_more_attempts_than_it_asks_for() -> None:
    cluster = with_guests()
    once = cluster.admit(attempts_max=1)
    often = cluster.admit(nonce=b"m")
    cluster.block(after_ms=8_000)
    assert cluster.task(once).state is TaskState.EXPIRED
    assert cluster.task(often).state is TaskState.ASSIGNED


def test_a_higher_priority_goes_first_and_starves_nobody() -> None:
    cluster = with_guests()
    cluster.report(*(NodeReport(node=cluster.node(n), accepting=False) for n in GUESTS))
    low = cluster.admit(nonce=b"low", priority=0)
    cluster.block(after_ms=PRIORITY_MS)
    early = cluster.admit(nonce=b"early", priority=1)
    cluster.block(after_ms=1_000)
    high = cluster.admit(nonce=b"high", priority=9)
    assert cluster.state.tasks_by.waiting_part(0, 10**6)[0] == high
    assert set(cluster.state.tasks_by.waiting_part(0, 10**6)[1:]) == {low, early}
    cluster.block(after_ms=9 * PRIORITY_MS)
    last = cluster.admit(nonce=b"last", priority=9)
    assert cluster.state.tasks_by.waiting_part(0, 10**6)[-1] == last


@pytest.mark.parametrize("place", [0, 8, 17, 31])
def test_tasks_that_nobody_can_take_hold_up_no_other_wherever_it_stands(place: int) -> None:
    cluster = with_guests()
    cluster.report(*(NodeReport(node=cluster.node(n), accepting=False) for n in GUESTS))
    there = (Constraint(key="region", value="mars"),)
    tasks = [
        cluster.admit(nonce=b"%d" % number, constraints=HERE if number == place else there)
        for number in range(32)
    ]
    assert cluster.state.tasks_by.waiting_part(0, 10**6).index(tasks[place]) == place
    cluster.report(*(NodeReport(node=cluster.node(n), accepting=True) for n in GUESTS))
    for _ in range(8):
        cluster.block()
    assert cluster.task(tasks[place]).state is TaskState.ASSIGNED


@settings(max_examples=40, deadline=None)
@example([("eu", 2, False, "media"), ("eu", 3, False, "general"), ("eu", 2, False, "media")], {50})
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["eu", "us", "mars"]),
            st.integers(2, 5),
            st.booleans(),
            st.sampled_from(["general", "media"]),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sets(st.sampled_from(list(GUESTS))),
)
def test_the_log_rests_exactly_when_a_block_would_give_no_work(
    wanted: list[tuple[str, int, bool, str]], away: set[int]
) -> None:
    cluster = _prepared()
    gone = (NodeReport(node=cluster.node(n), accepting=False) for n in sorted(away))
    cluster.report(*gone)
    for number, (region, replicas, is_excluded, task_class) in enumerate(wanted):
        asked = (Constraint(key="region", value=region, is_excluded=is_excluded),)
        cluster.admit(
            nonce=b"%d" % number, constraints=asked, replicas=replicas, task_class=task_class
        )
    cluster.report(*(NodeReport(node=cluster.node(n), accepting=True) for n in sorted(away)[:2]))
    for _ in range(3):
        expected = awaited_ms(cluster.state) == 0
        # Each second block begins its walk somewhere else, and may not come to a task that waits.
        events = cluster.block(after_ms=1) + cluster.block(after_ms=1)
        assert any(isinstance(event, SlotAssigned) for event in events) == expected


def _prepared() -> TestCluster:
    return with_guests(refuses=("media",))


def test_of_many_nodes_the_submitter_never_works_for_itself() -> None:
    cluster = TestCluster()
    profile = guest_profile(0)
    guests = {
        (Table.NODE, number.to_bytes(32, "big")): NodeEntry(profile=profile, is_member=False)
        for number in range(200)
    }
    for state in (cluster.state, cluster.replica):
        state.commit(0, guests, state.tree.updated(guests))
    kind = (Constraint(key="region", value="eu-central"),)
    cluster.report(*(NodeReport(node=cluster.node(n), accepting=False) for n in (1, 2, 3)))
    task = cluster.admit(constraints=kind)
    for _ in range(20):
        cluster.block()
    assert all(slot.worker != cluster.node(0) for slot in cluster.task(task).slots)
    assert awaited_ms(cluster.state) is None


@pytest.mark.parametrize("assurance", [Assurance.NONE, Assurance.AUDITED])
def test_a_lone_answer_earns_no_reputation_by_itself(assurance: Assurance) -> None:
    cluster = with_guests()
    trust(cluster, *GUESTS)
    task = cluster.admit(assurance=assurance, replicas=1)
    worker = NodeId(cluster.task(task).slots[0].worker)
    before = cluster.state.reputations.of(worker, "general", cluster.time_ms)
    cluster.work(task)
    assert cluster.state.reputations.of(worker, "general", cluster.time_ms) == before


def streaks(cluster: TestCluster, task: TaskId) -> list[int]:
    workers = [NodeId(slot.worker) for slot in cluster.task(task).slots]
    found = (cluster.state.reputations.of(w, "general", cluster.time_ms) for w in workers)
    return [each.streak for each in found]


@pytest.mark.parametrize(
    ("asked", "earned"),
    [
        ({}, 1),
        ({"distinct": ("owner",)}, 1),
        ({"constraints": HERE}, 0),
        ({"strategy": "carbon-aware"}, 0),
        ({"strategy": "locality-aware"}, 0),
    ],
)
def test_who_was_chosen_by_the_submitter_earns_no_trust_by_agreeing(
    asked: dict[str, object], earned: int
) -> None:
    cluster = with_guests()
    task = cluster.admit(**asked)
    cluster.work(task)
    assert cluster.task(task).state is TaskState.FINAL
    assert streaks(cluster, task) == [earned, earned]


def test_who_is_asked_because_others_missed_their_turn_earns_no_trust() -> None:
    """A submitter can serve its input to its friends alone."""
    cluster = with_guests(rules=Rules(lease_ms=1_000))
    task = cluster.admit()
    first = cluster.commits(task).commits[:1]
    cluster.block((0, Commits(commits=first)))
    cluster.block(after_ms=2_500)
    assert [slot.attempt for slot in cluster.task(task).slots] == [0, 1]
    cluster.work(task)
    assert cluster.task(task).state is TaskState.FINAL
    assert streaks(cluster, task) == [0, 0]


def test_who_was_chosen_by_the_submitter_is_blamed_like_anybody() -> None:
    cluster = with_guests()
    trust(cluster, *GUESTS)
    task = cluster.admit(constraints=HERE)
    workers = [slot.worker for slot in cluster.task(task).slots]
    cluster.block((0, cluster.commits(task)))
    cluster.block(after_ms=2 * Rules().reveal_ms)
    found = [cluster.state.reputations.of(NodeId(w), "general", cluster.time_ms) for w in workers]
    assert [each.streak for each in found] == [0, 0]


@pytest.mark.parametrize(("asked", "earned"), [({}, 1), ({"constraints": HERE}, 0)])
def test_an_audit_earns_trust_only_where_chance_chose_the_auditor(
    asked: dict[str, object], earned: int
) -> None:
    """Whatever the strategy of the audited task was: an audit's own is to draw."""
    cluster = with_guests(rules=Rules(audit_window_ms=3_000, audit_permille=1000))
    task = cluster.admit(assurance=Assurance.NONE, replicas=1, strategy="carbon-aware", **asked)
    cluster.work(task)
    cluster.block(after_ms=3_000)
    audit = audit_id(task, 0)
    cluster.work(audit)
    assert cluster.task(audit).state is TaskState.FINAL
    assert streaks(cluster, task) == streaks(cluster, audit) == [earned]


def test_a_convicted_node_has_no_reputation_and_comes_back_by_no_invitation() -> None:
    cluster = with_guests()
    trust(cluster, GUESTS[0])
    node = cluster.node(GUESTS[0])
    entry = cluster.state.node(node)
    assert entry is not None
    gone = {(Table.NODE, bytes(node)): replace(entry, tombstoned=True, accepting=False)}
    for state in (cluster.state, cluster.replica):
        state.commit(cluster.index, gone, state.tree.updated(gone))
    assert cluster.state.reputation_permille(node) == 0
    cluster.block(cluster.join(GUESTS[0], invite=999))
    cluster.report(NodeReport(node=node, accepting=True))
    after = cluster.state.node(node)
    assert after is not None
    assert after.tombstoned
    assert not after.is_fit
    assert rejections(cluster.block()) == []
