"""Audits: who is drawn, who audits, what follows, and what a lie opens again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import audit_id, result_root, revocation_leaf
from ambientd.ledger.apply import BlockContext, apply_block
from ambientd.ledger.audit_entries import AuditEntry, AuditSource, AuditState
from ambientd.ledger.audits import REOPENED_MAX
from ambientd.ledger.awaiting import awaited_ms
from ambientd.ledger.entries import (
    META_KEY,
    Account,
    EvidenceEntry,
    Leaf,
    Table,
    audit_key,
    leaf_key,
    reputation_key,
)
from ambientd.ledger.events import (
    AuditOpened,
    AuditUndecided,
    LiarNamed,
    Paid,
    PayLost,
    PremiumPaid,
    ResultConfirmed,
    ResultRevoked,
    ResultSuspected,
    TaskDisputed,
)
from ambientd.ledger.evidence import EVIDENCE_OF_LIE, evidence_name
from ambientd.model.base import NodeId, TaskId
from ambientd.model.genesis import NodeKind, Profile, Rules
from ambientd.model.receipt import Revocation
from ambientd.model.record import Admit, Cancel, Fraud
from ambientd.model.reputation import Reputation
from ambientd.model.task import Assurance, Constraint, TaskState
from ambientd.rules.auditing import is_audited
from ambientd.rules.reputation import UNIT
from ambientd.rules.verdicts import convicts
from tests.ledger.cluster import BOND_MSAT, TestCluster, rejections, result, spec

LIE = result(b"lie")
WINDOW_MS = 8_000
ALL = Rules(audit_window_ms=WINDOW_MS, audit_permille=1000)
NONE = Rules(audit_window_ms=10 * WINDOW_MS, audit_permille=0)


def alone(
    cluster: TestCluster, nonce: bytes = b"alone", *, lie: bool = False
) -> tuple[TaskId, NodeId]:
    """Let one worker answer a task alone."""
    task = cluster.admit(nonce=nonce, assurance=Assurance.NONE, replicas=1)
    cluster.work(task, {0: LIE} if lie else {})
    return task, cluster.task(task).slots[0].worker


def drawn(cluster: TestCluster) -> None:
    """Let so much time pass that the committee's chain has drawn."""
    cluster.block(after_ms=WINDOW_MS // 4)


def about(cluster: TestCluster, task: TaskId) -> AuditEntry:
    entry = cluster.state.get(audit_key(task))
    assert isinstance(entry, AuditEntry)
    return entry


def told(cluster: TestCluster, kind: type) -> list:
    return [event for event in cluster.events if isinstance(event, kind)]


def decided(cluster: TestCluster, audit: TaskId, found: object) -> None:
    """Let three referees find the same."""
    for referee in range(3):
        cluster.block(cluster.finding(audit, referee, found))  # type: ignore[arg-type]


def convicted_otherwise(cluster: TestCluster, task: TaskId) -> None:
    """Convict a task's worker by two answers to it."""
    worker = cluster.task(task).slots[0].worker
    first, second = (encode(cluster.receipt(task, 0, each)) for each in (result(), LIE))
    cluster.block((0, Fraud(culprit=worker, kind="receipt", first=first, second=second)))


def rewritten(cluster: TestCluster, writes: dict) -> None:
    """Put entries into both replicas."""
    for state in (cluster.state, cluster.replica):
        state.commit(cluster.index, writes, state.tree.updated(writes))


def fill_reserve(cluster: TestCluster, amount_msat: int) -> None:
    """Let a node's credits be what premiums have brought."""
    payer = (Table.ACCOUNT, cluster.node(3))
    balance_msat = cluster.state.balance_msat(cluster.node(3)) - amount_msat
    reserve_msat = cluster.state.meta.reserve_msat + amount_msat
    meta = replace(cluster.state.meta, reserve_msat=reserve_msat)
    rewritten(cluster, {META_KEY: meta, payer: Account(balance_msat=balance_msat)})


def streaks(cluster: TestCluster, nodes: list[NodeId], streak: int) -> None:
    """Let nodes have so many verified outcomes since their last fault."""
    known = Reputation(good=12 * UNIT, bad=3 * UNIT, streak=streak, day=10**6)
    rewritten(cluster, {reputation_key(node, "general"): known for node in nodes})


def test_an_audit_that_finds_the_same_confirms_the_answer() -> None:
    cluster = TestCluster(rules=ALL)
    task, worker = alone(cluster)
    before = cluster.state.reputation_permille(worker)
    drawn(cluster)
    audit = audit_id(task, 0)
    assert told(cluster, AuditOpened) == [AuditOpened(task, audit, AuditSource.COMMITTEE)]
    auditor = cluster.task(audit).slots[0].worker
    assert auditor != worker
    settled = encode(cluster.task(task))
    cluster.work(audit)
    assert told(cluster, ResultConfirmed) == [ResultConfirmed(task, worker)]
    assert about(cluster, task).confirmed_by == (auditor,)
    assert encode(cluster.task(task)) == settled, "what is final never changes"
    if worker != cluster.node(0):
        assert cluster.state.reputation_permille(worker) > before
    cluster.block(after_ms=WINDOW_MS)
    assert Paid(task, worker, 500) in told(cluster, Paid)


def test_an_auditor_that_differs_convicts_nobody_without_the_referees() -> None:
    cluster = TestCluster(rules=ALL)
    task, worker = alone(cluster)
    drawn(cluster)
    audit = audit_id(task, 0)
    auditor = cluster.task(audit).slots[0].worker
    events = cluster.work(audit, {0: LIE})
    assert any(isinstance(event, TaskDisputed) for event in events)
    assert told(cluster, LiarNamed) == []
    decided(cluster, audit, result())
    assert [event.node for event in told(cluster, LiarNamed)] == [auditor]
    assert about(cluster, task).state is AuditState.CONFIRMED
    assert not cluster.state.node(worker).tombstoned


def test_a_lie_that_the_referees_confirm_costs_the_worker_everything() -> None:
    cluster = TestCluster(rules=ALL)
    task, worker = alone(cluster, lie=True)
    drawn(cluster)
    audit = audit_id(task, 0)
    cluster.work(audit)
    decided(cluster, audit, result())
    assert [event.node for event in told(cluster, LiarNamed)] == [worker]
    assert told(cluster, PayLost) == [PayLost(task, worker, 500)]
    entry = cluster.state.node(worker)
    assert (entry.tombstoned, entry.bond_msat) == (True, 0)
    evidence = cluster.state.get((Table.EVIDENCE, evidence_name(EVIDENCE_OF_LIE, task, worker)))
    assert isinstance(evidence, EvidenceEntry)
    members = frozenset(cluster.state.members)
    assert convicts(evidence.receipt, evidence.verdicts, members, cluster.id)
    assert not convicts(evidence.receipt, evidence.verdicts[:2], members, cluster.id)


def test_a_revocation_is_a_leaf_that_says_what_is_right() -> None:
    cluster = TestCluster(rules=ALL)
    task, worker = alone(cluster, lie=True)
    drawn(cluster)
    audit = audit_id(task, 0)
    cluster.work(audit)
    decided(cluster, audit, result())
    (revoked,) = told(cluster, ResultRevoked)
    leaf = cluster.state.get(leaf_key(revoked.leaf))
    said = Revocation(
        task=task,
        worker=worker,
        leaf=cluster.task(task).leaf,
        found=result_root(result()),
        audit=audit,
        revoked_ms=cluster.time_ms,
    )
    assert leaf == Leaf(digest=revocation_leaf(said), task=task)
    assert (revoked.task, revoked.submitter, revoked.worker) == (task, cluster.node(0), worker)
    assert about(cluster, task).revocation == revoked.leaf


def test_one_lie_opens_all_other_answers_of_its_worker_again() -> None:
    cluster = TestCluster(rules=NONE)
    tasks = [alone(cluster, nonce=b"%d" % number) for number in range(40)]
    cluster.block(after_ms=10 * WINDOW_MS // 4)
    liar = tasks[0][1]
    own = [task for task, worker in tasks if worker == liar]
    assert len(own) > REOPENED_MAX
    assert {about(cluster, task).state for task in own} == {AuditState.PASSED}
    convicted_otherwise(cluster, own[0])
    assert awaited_ms(cluster.state) == 0
    while cluster.state.audits.suspects(1):
        before = len(told(cluster, ResultSuspected))
        cluster.block()
        assert len(told(cluster, ResultSuspected)) - before <= REOPENED_MAX
    suspected = told(cluster, ResultSuspected)
    assert [event.task for event in suspected] == own, "each once, in the order of settling"
    assert {event.submitter for event in suspected} == {cluster.node(0)}
    assert {about(cluster, task).source for task in own} == {AuditSource.LIE}
    assert {event.task for event in told(cluster, PayLost)} == set(own)


def test_the_lost_bond_refills_the_reserve_by_what_the_other_answers_may_cost() -> None:
    cluster = TestCluster(rules=NONE)
    tasks = [alone(cluster, nonce=b"%d" % number) for number in range(20)]
    liar = tasks[0][1]
    own = [task for task, worker in tasks if worker == liar]
    convicted_otherwise(cluster, own[0])
    meta = cluster.state.meta
    assert meta.reserve_msat == len(own) * 2 * 500
    assert meta.reserve_msat + meta.fee_pool_msat == BOND_MSAT


def test_an_answer_is_suspect_again_when_its_auditor_is_convicted_too() -> None:
    cluster = TestCluster(members=7, rules=ALL)
    task, worker = alone(cluster, lie=True)
    drawn(cluster)
    first = audit_id(task, 0)
    auditor = cluster.task(first).slots[0].worker
    cluster.work(first, {0: LIE})
    assert about(cluster, task).state is AuditState.CONFIRMED
    convicted_otherwise(cluster, task)
    cluster.block()
    assert told(cluster, ResultSuspected) == [], "the auditor still vouches for it"
    assert cluster.state.node(worker).tombstoned
    convicted_otherwise(cluster, first)
    cluster.block()
    assert [event.task for event in told(cluster, ResultSuspected)] == [task]
    second = audit_id(task, 1)
    assert cluster.task(second).slots[0].worker not in {worker, auditor}


def test_an_audit_without_a_decision_lets_the_pay_vest() -> None:
    cluster = TestCluster(rules=Rules(audit_window_ms=WINDOW_MS, audit_permille=1000))
    task, worker = alone(cluster)
    drawn(cluster)
    audit = audit_id(task, 0)
    cluster.work(audit, {0: LIE})
    for referee, output in enumerate((b"a", b"b", b"c")):
        cluster.block(cluster.finding(audit, referee, result(output)))
    assert told(cluster, AuditUndecided) == [AuditUndecided(task)]
    cluster.block(after_ms=WINDOW_MS)
    assert Paid(task, worker, 500) in told(cluster, Paid)


def test_pay_waits_while_an_audit_is_open() -> None:
    cluster = TestCluster(rules=ALL)
    task, worker = alone(cluster)
    drawn(cluster)
    audit = audit_id(task, 0)
    cluster.work(audit, {0: LIE})
    cluster.leap(after_ms=WINDOW_MS)
    assert cluster.task(audit).state is TaskState.DISPUTED
    assert told(cluster, Paid) == []
    decided(cluster, audit, result())
    cluster.block()
    assert Paid(task, worker, 500) in told(cluster, Paid)


def test_nobody_but_time_ends_an_audit() -> None:
    cluster = TestCluster(rules=ALL)
    task, _ = alone(cluster)
    drawn(cluster)
    events = cluster.block((0, Cancel(task=audit_id(task, 0))))
    assert rejections(events) == ["an audit cannot be cancelled"]
    assert cluster.state.tasks_by.open_of(cluster.node(0)) == 0


def test_an_audit_is_forgotten_with_its_answer_and_its_money_is_not() -> None:
    cluster = TestCluster(rules=Rules(audit_permille=1000, keep_ms=WINDOW_MS, lease_ms=10**6))
    wanted = spec(assurance=Assurance.NONE, replicas=1)
    cluster.block((0, Admit(nonce=b"n", spec=wanted, until_ms=cluster.time_ms + 1_000)))
    task = next(task for task, _ in cluster.state.tasks())
    cluster.work(task)
    worker = cluster.task(task).slots[0].worker
    cluster.close_batch()
    drawn(cluster)
    audit = audit_id(task, 0)
    assert cluster.state.task(audit) is not None
    escrow_msat = cluster.task(audit).escrow_msat
    assert escrow_msat > 0
    cluster.block(after_ms=2 * WINDOW_MS)
    assert cluster.state.task(task) is None
    assert cluster.state.get(audit_key(task)) is None
    assert cluster.state.open_tasks() == []
    assert cluster.state.meta.reserve_msat == escrow_msat
    assert Paid(task, worker, 500) in told(cluster, Paid)


def test_an_audit_that_ends_with_its_answer_amid_an_outage_has_ended_for_good() -> None:
    cluster = TestCluster(rules=Rules(audit_permille=1000, keep_ms=WINDOW_MS, lease_ms=10**6))
    wanted = spec(assurance=Assurance.NONE, replicas=1)
    cluster.block((0, Admit(nonce=b"n", spec=wanted, until_ms=cluster.time_ms + 1_000)))
    task = next(task for task, _ in cluster.state.tasks())
    cluster.work(task)
    cluster.close_batch()
    drawn(cluster)
    assert cluster.state.task(audit_id(task, 0)) is not None
    cluster.leap(after_ms=2 * WINDOW_MS)
    assert cluster.task(audit_id(task, 0)).state is TaskState.EXPIRED
    assert cluster.state.open_tasks() == []
    assert cluster.state.meta.escrow_msat == 0


def test_who_gets_itself_convicted_takes_nothing_out_of_the_reserve() -> None:
    cluster = TestCluster(rules=NONE)
    for number in (50, 51):
        profile = Profile(name=f"guest-{number}", region="mars", kind=NodeKind.EDGE)
        cluster.block(cluster.join(number, invite=900 + number, profile=profile))
    fill_reserve(cluster, 10_000)
    there = (Constraint(key="region", value="mars"),)
    task = cluster.admit(assurance=Assurance.NONE, replicas=1, constraints=there)
    cluster.work(task)
    cluster.block(after_ms=10 * WINDOW_MS)
    assert len(told(cluster, Paid)) == 1, "the pay has vested"
    convicted_otherwise(cluster, task)
    cluster.block()
    audit = audit_id(task, 0)
    assert cluster.task(audit).slots[0].worker in {cluster.node(50), cluster.node(51)}
    cluster.work(audit)
    assert about(cluster, task).state is AuditState.CONFIRMED
    assert cluster.task(audit).payments == ()
    assert cluster.state.meta.reserve_msat == 10_000


def test_a_lost_bond_pays_for_audits_as_far_as_it_reaches() -> None:
    cluster = TestCluster(rules=NONE, bond_msat=5_000)
    fill_reserve(cluster, 50_000)
    tasks = [alone(cluster, nonce=b"%d" % number) for number in range(40)]
    cluster.block(after_ms=11 * WINDOW_MS)
    liar = tasks[0][1]
    own = [task for task, worker in tasks if worker == liar]
    assert len(own) > 5
    convicted_otherwise(cluster, own[0])
    while cluster.state.audits.suspects(1):
        cluster.block()
    paid_for = [cluster.task(audit_id(task, 0)).escrow_msat for task in own]
    assert paid_for == [1_000] * 5 + [0] * (len(own) - 5)
    assert cluster.restarted().root == cluster.state.root


def test_a_share_is_drawn_for_which_a_premium_was_paid_whatever_the_worker_does_then() -> None:
    cluster = TestCluster(rules=Rules(audit_window_ms=WINDOW_MS, audit_permille=100))
    nodes = [cluster.node(number) for number in range(4)]
    streaks(cluster, nodes, 100)
    tasks = [
        cluster.admit(nonce=b"%d" % n, assurance=Assurance.AUDITED, replicas=1) for n in range(40)
    ]
    for task in tasks:
        cluster.work(task)
    assert {event.amount_msat for event in told(cluster, PremiumPaid)} == {50}
    assert {about(cluster, task).permille for task in tasks} == {100}
    streaks(cluster, nodes, 0)
    waiting = {task for task in tasks if about(cluster, task).state is AuditState.AWAITING}
    assert waiting
    cluster.term += 1
    cluster.block()
    for task in waiting:
        is_open = about(cluster, task).state is AuditState.OPEN
        assert is_open == is_audited(cluster.beacon, task, 100)


def test_a_referee_is_not_paid_for_finding_out_itself() -> None:
    cluster = TestCluster(rules=ALL)
    task, worker = alone(cluster, lie=True)
    fill_reserve(cluster, 10_000)
    drawn(cluster)
    audit = audit_id(task, 0)
    auditor = cluster.task(audit).slots[0].worker
    cluster.work(audit)
    others = [number for number in range(4) if cluster.node(number) not in {worker, auditor}]
    (own,) = (number for number in range(4) if cluster.node(number) == worker)
    for referee in (own, *others):
        cluster.block(cluster.finding(audit, referee, result()))
    assert about(cluster, task).state is AuditState.REFUTED
    paid = {payment.node for payment in cluster.task(audit).payments}
    assert paid == {auditor, *(cluster.node(number) for number in others)}


def test_an_answer_that_is_drawn_as_its_worker_is_convicted_has_one_audit() -> None:
    cluster = TestCluster(rules=ALL)
    task, _ = alone(cluster, lie=True)
    convicted_otherwise(cluster, task)
    cluster.term += 1
    cluster.block()
    assert len(told(cluster, AuditOpened)) == 1
    assert [entry.audits is None for _, entry in cluster.state.open_tasks()] == [False]


def test_an_audit_is_paid_as_far_as_the_reserve_reaches() -> None:
    cluster = TestCluster(rules=Rules(audit_window_ms=WINDOW_MS, audit_permille=1000))
    task, _ = alone(cluster)
    assert cluster.state.meta.reserve_msat == 500
    drawn(cluster)
    assert cluster.task(audit_id(task, 0)).escrow_msat == 500, "less than twice the pay"
    cluster.work(audit_id(task, 0))
    paid = cluster.task(audit_id(task, 0)).payments
    assert sum(payment.amount_msat for payment in paid) == 500
    assert cluster.state.meta.reserve_msat == 0


def test_who_allows_much_gas_and_uses_little_locks_none_of_the_reserve() -> None:
    """What an audit locks goes by what its task's premium was paid for."""
    cluster = TestCluster(rules=ALL, grant_msat=10**12)
    fill_reserve(cluster, 10_000)
    greedy = [
        cluster.admit(nonce=b"%d" % n, assurance=Assurance.NONE, replicas=1, gas_max=10**12)
        for n in range(5)
    ]
    for task in greedy:
        cluster.work(task, {0: result(gas=1)})
    modest, _ = alone(cluster)
    drawn(cluster)
    assert [cluster.task(audit_id(task, 0)).escrow_msat for task in greedy] == [2] * 5
    assert cluster.task(audit_id(modest, 0)).escrow_msat == 1_000
    assert cluster.state.meta.reserve_msat >= 9_000


@pytest.mark.parametrize("bond_msat", [BOND_MSAT, 0])
def test_who_finds_more_gas_than_was_claimed_is_paid_by_who_claimed_it(bond_msat: int) -> None:
    """And where that has nothing, by nobody: the premiums of others are not for it."""
    cluster = TestCluster(rules=ALL, bond_msat=bond_msat)
    task = cluster.admit(assurance=Assurance.NONE, replicas=1)
    cluster.work(task, {0: result(b"lie", gas=1)})
    fill_reserve(cluster, 10_000)
    drawn(cluster)
    audit = audit_id(task, 0)
    assert cluster.task(audit).escrow_msat == 2
    auditor = cluster.task(audit).slots[0].worker
    reserve_msat = cluster.state.meta.reserve_msat
    cluster.work(audit)
    decided(cluster, audit, result())
    assert about(cluster, task).state is AuditState.REFUTED
    paid = {each.node: each.amount_msat for each in cluster.task(audit).payments}
    assert cluster.state.meta.reserve_msat >= reserve_msat
    if bond_msat:
        assert paid[auditor] >= 500
    else:
        assert sum(paid.values()) <= 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 3), st.integers(0, 2**32))
def test_the_draw_is_of_a_beacon_that_comes_after_the_settlement(
    permille: int, count: int, salt: int
) -> None:
    cluster = TestCluster(rules=Rules(audit_window_ms=WINDOW_MS, audit_permille=permille))
    tasks = [alone(cluster, nonce=b"%d %d" % (salt, number))[0] for number in range(count)]
    assert {about(cluster, task).state for task in tasks} == {AuditState.AWAITING}
    settled = {task: about(cluster, task).settled_ms for task in tasks}
    while waiting := [t for t in tasks if about(cluster, t).state is AuditState.AWAITING]:
        cluster.block()
        beacon = cluster.beacon
        for task in waiting:
            if about(cluster, task).state is not AuditState.AWAITING:
                assert cluster.time_ms >= settled[task] + WINDOW_MS // 4
                is_open = about(cluster, task).state is AuditState.OPEN
                assert is_open == is_audited(beacon, task, permille)


def test_a_later_term_draws_at_once() -> None:
    cluster = TestCluster(rules=ALL)
    task, _ = alone(cluster)
    cluster.block()
    assert about(cluster, task).state is AuditState.AWAITING
    cluster.term += 1
    cluster.block()
    assert about(cluster, task).state is AuditState.OPEN


def test_what_becomes_of_answers_survives_a_restart() -> None:
    cluster = TestCluster(rules=NONE)
    tasks = [alone(cluster, nonce=b"%d" % number)[0] for number in range(12)]
    convicted_otherwise(cluster, tasks[0])
    again = cluster.restarted()
    assert again.root == cluster.state.root
    suspects = cluster.state.audits.suspects(100)
    assert suspects
    assert again.audits.suspects(100) == suspects
    assert again.audits.awaiting(cluster.time_ms, 100) == cluster.state.audits.awaiting(
        cluster.time_ms, 100
    )


def test_an_auditor_is_no_dispute_of_its_own_however_large_the_task() -> None:
    rules = Rules(audit_window_ms=WINDOW_MS, audit_permille=1000, referee_gas_max=1)
    cluster = TestCluster(rules=rules)
    task, worker = alone(cluster)
    drawn(cluster)
    audit = audit_id(task, 0)
    cluster.work(audit, {0: LIE})
    assert cluster.task(audit).state is TaskState.DISPUTED
    decided(cluster, audit, result())
    assert about(cluster, task).state is AuditState.CONFIRMED
    assert not cluster.state.node(worker).tombstoned


def test_who_is_audited_hangs_on_a_beacon_that_no_state_before_it_holds() -> None:
    cluster = TestCluster(rules=Rules(audit_window_ms=100 * WINDOW_MS, audit_permille=500))
    tasks = [alone(cluster, nonce=b"%d" % number)[0] for number in range(16)]
    drawn_by = []
    for beacon in (b"one", b"another"):
        context = BlockContext(
            index=cluster.index + 1,
            term=cluster.term + 1,
            time_ms=cluster.time_ms + 100,
            beacon=sha256(beacon),
            proposer=cluster.node(0),
        )
        writes = apply_block(cluster.state, context, []).writes
        found = {task: writes.get(audit_key(task)) for task in tasks}
        drawn_by.append([task for task, each in found.items() if each.state is AuditState.OPEN])
        assert 0 < len(drawn_by[-1]) < len(tasks)
    assert drawn_by[0] != drawn_by[1]


def test_an_audit_that_only_the_audited_node_could_do_ends_with_its_window() -> None:
    cluster = TestCluster(members=1, rules=ALL)
    task, worker = alone(cluster)
    drawn(cluster)
    audit = audit_id(task, 0)
    assert cluster.task(audit).state is TaskState.PENDING
    for _ in range(2):
        cluster.block(after_ms=WINDOW_MS)
    assert cluster.task(audit).state is TaskState.EXPIRED
    assert told(cluster, AuditUndecided) == [AuditUndecided(task)]
    assert Paid(task, worker, 500) in told(cluster, Paid)
