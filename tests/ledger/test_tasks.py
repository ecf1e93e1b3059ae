from typing import TypeVar

import pytest
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_commit, sign_receipt, task_id
from ambientd.ledger.entries import NodeEntry, Table
from ambientd.ledger.events import (
    LiarNamed,
    Paid,
    Refunded,
    SlotAssigned,
    SlotReleased,
    TaskClosed,
    TaskCommitted,
    TaskDisputed,
    TaskFinal,
)
from ambientd.ledger.state import LedgerState
from ambientd.ledger.tasks import OPEN_TASKS_MAX
from ambientd.model.base import TaskId
from ambientd.model.genesis import Rules
from ambientd.model.record import (
    Admit,
    Cancel,
    Commits,
    DisputeStep,
    Fraud,
    NodeReport,
    Settle,
)
from ambientd.model.task import Assurance, Constraint, SlotState, TaskState, Verdict
from ambientd.rules.reputation import PRIOR_BAD, PRIOR_GOOD, permille
from tests.ledger.cluster import (
    BOND_MSAT,
    GRANT_MSAT,
    START_MS,
    UNTIL_MS,
    TestCluster,
    profile,
    rejections,
    result,
    spec,
)

T = TypeVar("T")
LIE = result(b"another answer")


def of(kind: type[T], events: list) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


def only(kind: type[T], events: list) -> T:
    found = of(kind, events)
    assert len(found) == 1, found
    return found[0]


# Admission


def test_an_admitted_task_has_its_fee_in_escrow_and_workers_at_once() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    entry = cluster.task(task)
    assert entry.state is TaskState.ASSIGNED
    assert entry.escrow_msat == 3 * 1000
    assert cluster.state.balance_msat(cluster.node(0)) == GRANT_MSAT - 3000
    assert len({slot.worker for slot in entry.slots}) == 2


def test_the_submitter_does_not_work_for_itself_while_others_can() -> None:
    cluster = TestCluster()
    for number in range(20):
        task = cluster.admit(nonce=b"%d" % number)
        assert cluster.node(0) not in {slot.worker for slot in cluster.task(task).slots}


def test_the_submitter_works_for_itself_when_nobody_else_is_left() -> None:
    cluster = TestCluster(members=2)
    workers = {slot.worker for slot in cluster.task(cluster.admit()).slots}
    assert workers == {cluster.node(0), cluster.node(1)}


def test_the_same_task_twice_is_the_same_task_once() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    before = cluster.state.balance_msat(cluster.node(0))
    assert cluster.block((0, Admit(nonce=b"n", spec=spec(), until_ms=UNTIL_MS))) == []
    assert cluster.state.balance_msat(cluster.node(0)) == before
    assert cluster.state.open_tasks()[0][0] == task


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"replicas": 0}, "two replicas or more"),
        ({"replicas": 1}, "two replicas or more"),
        ({"replicas": 5}, "this cluster can give 4"),
        ({"assurance": Assurance.NONE}, "one replica"),
        ({"price_msat_per_mgas": 0}, "price is 0"),
        ({"gas_max": 0}, "gas limit is 0"),
        ({"memory_bytes_max": 1}, "memory limit is 1"),
        ({"memory_bytes_max": (512 << 20) + 1}, "memory limit"),
        ({"wall_ms_max": 0}, "wall-clock limit is 0"),
        ({"wall_ms_max": 3_600_001}, "wall-clock limit"),
        ({"output_bytes_max": 1 << 40}, "output limit"),
        ({"module_size_bytes": 0}, "module size is 0"),
        ({"input_size_bytes": 1 << 40}, "input size"),
        ({"gas_max": 10**15}, "the submitter has"),
        ({"assurance": Assurance.AUDITED}, "one replica"),
        ({"assurance": Assurance.QUORUM}, "3 replicas or more"),
        ({"task_class": "poetry"}, "class 'poetry' is unknown; take one of general"),
        ({"strategy": "luck"}, "strategy 'luck' is unknown"),
        ({"priority": 10}, "priority is 10"),
        ({"attempts_max": 5}, "number of attempts is 5; it must lie between 0 and 4"),
        ({"deadline_ms": START_MS}, "is over"),
        ({"distinct": ("owner", "owner")}, "named twice"),
        ({"distinct": ("a", "b", "c", "d", "e")}, "at most 8 constraints and 4 distinct"),
        ({"constraints": 9 * (Constraint(key="a", value="b"),)}, "at most 8 constraints"),
        ({"constraints": (Constraint(key="a", value="b c"),)}, "'a' is no label"),
        ({"distinct": ("A",)}, "'A' is no label"),
    ],
)
def test_an_impossible_task_is_rejected_and_says_why(changes: dict, reason: str) -> None:
    cluster = TestCluster()
    events = cluster.block((0, Admit(nonce=b"n", spec=spec(**changes), until_ms=UNTIL_MS)))
    assert reason in rejections(events)[0]
    assert cluster.state.balance_msat(cluster.node(0)) == GRANT_MSAT


def test_a_submitter_has_so_many_open_tasks_and_no_more() -> None:
    cluster = TestCluster()
    one = cluster.task(cluster.admit(gas_max=1))
    items = dict(cluster.state.items())
    for number in range(1, OPEN_TASKS_MAX):
        items[Table.TASK, TaskId(number.to_bytes(32, "big"))] = one
    for state in (cluster.state, cluster.replica):
        state.become(LedgerState.from_items(cluster.genesis, items, state.applied_index))
    more = Admit(nonce=b"more", spec=spec(), until_ms=UNTIL_MS)
    assert f"{OPEN_TASKS_MAX} open tasks" in rejections(cluster.block((0, more)))[0]
    assert rejections(cluster.block((1, more))) == []
    cluster.block((0, Cancel(task=TaskId((1).to_bytes(32, "big")))))
    assert rejections(cluster.block((0, more))) == []


def test_a_stranger_cannot_submit() -> None:
    cluster = TestCluster()
    events = cluster.block((77, Admit(nonce=b"n", spec=spec(), until_ms=UNTIL_MS)))
    assert "not a node" in rejections(events)[0]


# The ordinary way


def test_answers_are_opened_only_when_all_are_sealed() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    commits = cluster.commits(task).commits
    events = cluster.block((0, Commits(commits=commits[:1])))
    assert of(TaskCommitted, events) == []
    early = Settle(task=task, receipts=(cluster.receipt(task, 0),))
    assert "not before" in rejections(cluster.block((0, early)))[0]
    assert only(TaskCommitted, cluster.block((0, Commits(commits=commits[1:])))).task == task


def test_equal_answers_are_final_paid_and_a_leaf_of_the_receipt_log() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    events = cluster.work(task)
    final = only(TaskFinal, events)
    assert final.settlement.verdict is Verdict.AGREED
    assert final.leaf == 0
    assert cluster.state.receipt_log_size() == 1
    workers = {slot.worker for slot in cluster.task(task).slots}
    assert {(paid.node, paid.amount_msat) for paid in of(Paid, events)} == {
        (worker, 500) for worker in workers
    }
    assert only(Refunded, events).amount_msat == 2000
    assert cluster.state.meta.escrow_msat == 0
    assert all(cluster.state.reputation_permille(worker) > 100 for worker in workers)
    assert all(cluster.state.node(worker).open_slots == 0 for worker in workers)


def test_statements_that_are_here_already_change_nothing() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    commits = cluster.commits(task)
    cluster.block((0, commits))
    assert cluster.block((1, commits)) == []
    settle = cluster.settle(task)
    cluster.block((0, settle))
    assert cluster.block((1, settle)) == []
    ended = cluster.task(task)
    assert cluster.block((0, settle), (1, commits), (0, Cancel(task=task)))
    assert cluster.task(task) == ended


def test_an_unreplicated_task_ends_with_its_one_receipt_and_earns_no_reputation() -> None:
    cluster = TestCluster()
    task = cluster.admit(assurance=Assurance.NONE, replicas=1)
    before = [cluster.state.reputation_permille(cluster.node(n)) for n in range(4)]
    final = only(TaskFinal, cluster.work(task))
    assert final.settlement.verdict is Verdict.NONE
    assert before == [cluster.state.reputation_permille(cluster.node(n)) for n in range(4)]


def test_a_refused_task_is_refunded_and_praises_nobody() -> None:
    cluster = TestCluster()
    refused = result(b"", gas=0, kind=3)
    task = cluster.admit()
    before = cluster.state.reputation_permille(cluster.task(task).slots[0].worker)
    events = cluster.work(task, {0: refused, 1: refused})
    assert of(Paid, events) == []
    assert only(Refunded, events).amount_msat == 3000
    assert cluster.state.reputation_permille(cluster.task(task).slots[0].worker) == before


@pytest.mark.parametrize("slot", [0, 1])
def test_an_answer_other_than_the_sealed_one_is_not_taken(slot: int) -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.block((0, cluster.commits(task)))
    body = Settle(task=task, receipts=(cluster.receipt(task, slot, LIE),))
    assert "not the sealed one" in rejections(cluster.block((0, body)))[0]


def test_a_sealed_answer_with_anothers_signature_is_not_taken() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    first, second = cluster.commits(task).commits
    forged = type(first)(
        **{name: getattr(first, name) for name in first.__struct_fields__[:-1]},
        signature=second.signature,
    )
    events = cluster.block((0, Commits(commits=(forged,))))
    assert "wrong signature" in rejections(events)[0]


def test_one_bad_statement_does_not_keep_the_good_ones_of_its_record_out() -> None:
    cluster = TestCluster()
    task, other = cluster.admit(nonce=b"a"), cluster.admit(nonce=b"b")
    good, bad = cluster.commits(task).commits[0], cluster.commits(other).commits[0]
    cluster.block((0, Cancel(task=other)))
    assert rejections(cluster.block((0, Commits(commits=(bad, good))))) == []
    assert cluster.task(task).slots[good.slot].state is SlotState.COMMITTED


# Time


def test_a_late_slot_alone_goes_to_somebody_else() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.block((0, Commits(commits=cluster.commits(task).commits[:1])))
    kept, late = cluster.task(task).slots
    deadline = late.deadline_ms
    events = cluster.block(after_ms=deadline - cluster.time_ms)
    assert only(SlotReleased, events).worker == late.worker
    assigned = only(SlotAssigned, events)
    assert (assigned.slot, assigned.attempt) == (1, 1)
    assert assigned.worker not in {kept.worker, late.worker}
    assert cluster.task(task).slots[0] == kept
    assert only(TaskFinal, cluster.work(task)).settlement.verdict is Verdict.AGREED


def test_a_task_that_nobody_could_answer_expires_and_costs_its_submitter_a_tenth_a_slot() -> None:
    cluster = TestCluster(rules=Rules(attempts_max=2))
    task = cluster.admit()
    cluster.block(after_ms=6_000)
    assert cluster.task(task).state is TaskState.ASSIGNED
    events = cluster.block(after_ms=6_000)
    assert only(TaskClosed, events).state is TaskState.EXPIRED
    assert cluster.state.balance_msat(cluster.node(0)) == GRANT_MSAT - 4 * 100
    assert cluster.state.meta.fee_pool_msat == 4 * 100
    assert of(Paid, events) == [], "silence earns nothing"
    assert all(cluster.state.node(cluster.node(n)).open_slots == 0 for n in range(4))


def test_a_task_that_somebody_answered_expires_at_no_cost() -> None:
    cluster = TestCluster(rules=Rules(attempts_max=1))
    task = cluster.admit()
    cluster.block((0, Commits(commits=cluster.commits(task).commits[:1])))
    events = cluster.block(after_ms=100_000)
    assert only(TaskClosed, events).state is TaskState.EXPIRED
    assert cluster.state.balance_msat(cluster.node(0)) == GRANT_MSAT


def test_a_worker_that_is_late_where_another_was_not_loses_reputation() -> None:
    cluster = TestCluster(members=3)
    task = cluster.admit()
    late = cluster.task(task).slots[1].worker
    before = cluster.state.reputation_permille(late)
    cluster.block((0, Commits(commits=cluster.commits(task).commits[:1])))
    cluster.block(after_ms=100_000)
    assert cluster.state.reputation_permille(late) < before


def test_tasks_that_nobody_can_answer_harm_no_workers_reputation() -> None:
    cluster = TestCluster(members=7)
    before = [cluster.state.reputation_permille(cluster.node(n)) for n in range(7)]
    for number in range(10):
        cluster.admit(nonce=b"%d" % number, wall_ms_max=1, gas_max=10, price_msat_per_mgas=1)
    for _ in range(8):
        cluster.block(after_ms=100_000)
    assert cluster.state.open_tasks() == []
    assert before == [cluster.state.reputation_permille(cluster.node(n)) for n in range(7)]


def test_when_nobody_opened_the_whole_task_goes_to_others() -> None:
    cluster = TestCluster(members=7)
    task = cluster.admit()
    first = {slot.worker for slot in cluster.task(task).slots}
    cluster.block((0, cluster.commits(task)))
    events = cluster.block(after_ms=5_000)
    assert len(of(SlotReleased, events)) == 2
    assert {slot.worker for slot in cluster.task(task).slots}.isdisjoint(first)


def test_once_an_answer_is_open_referees_replace_the_silent_worker_as_others_could_copy() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.block((0, cluster.commits(task)))
    opened = Settle(task=task, receipts=(cluster.receipt(task, 0),))
    cluster.block((0, opened))
    events = cluster.block(after_ms=5_000)
    assert only(TaskDisputed, events).task == task
    assert of(SlotAssigned, events) == []
    silent = only(SlotReleased, events).worker
    assert cluster.task(task).slots[1].state is SlotState.WITHHELD
    for referee in range(3):
        events = cluster.block(cluster.finding(task, referee, result()))
    final = only(TaskFinal, events)
    assert final.settlement.verdict is Verdict.AGREED
    assert final.settlement.liars == ()
    assert cluster.state.node(silent).open_slots == 0
    paid = {paid.node for paid in of(Paid, events)}
    assert cluster.state.reputation_permille(silent) < permille(PRIOR_GOOD, PRIOR_BAD)
    referees = {cluster.node(number) for number in range(3)}
    assert paid <= referees | {opened.receipts[0].receipt.worker}


def test_a_task_waits_while_nobody_accepts_and_goes_on_when_somebody_does() -> None:
    cluster = TestCluster()
    away = [NodeReport(node=cluster.node(n), accepting=False) for n in range(4)]
    back = [NodeReport(node=cluster.node(n), accepting=True) for n in range(4)]
    cluster.report(*away)
    task = cluster.admit()
    assert cluster.task(task).state is TaskState.PENDING
    cluster.block()
    cluster.report(*back)
    cluster.block()
    assert cluster.task(task).state is TaskState.ASSIGNED


def test_busy_workers_are_waited_for_and_the_submitter_does_not_step_in() -> None:
    cluster = TestCluster(members=3)
    tasks = [cluster.admit(nonce=b"%d" % n) for n in range(12)]
    workers = [s.worker for task in tasks for s in cluster.task(task).slots if s.worker]
    assert cluster.node(0) not in workers
    assert cluster.task(tasks[-1]).state is TaskState.PENDING
    for task in tasks[:4]:
        cluster.work(task)
    cluster.block()
    assert cluster.task(tasks[-1]).state is TaskState.ASSIGNED


def test_tasks_that_nobody_can_take_hold_up_no_others() -> None:
    cluster = TestCluster()
    nodes = [cluster.node(n) for n in range(4)]
    away = tuple(NodeReport(node=node, accepting=False) for node in nodes)
    cluster.report(*away)
    for number in range(40):
        cluster.admit(nonce=b"stuck%d" % number, replicas=4)
    single = cluster.admit(submitter=2, assurance=Assurance.NONE, replicas=1)
    back = NodeReport(node=nodes[1], accepting=True, capacity=1000)
    cluster.report(back)
    for _ in range(20):
        cluster.block()
    assert cluster.task(single).state is TaskState.ASSIGNED
    assert len(cluster.state.tasks_by.waiting_part(0, 10**6)) == 40


# Cancelling


def test_cancelling_costs_a_tenth_for_each_slot_under_way() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    events = cluster.block((0, Cancel(task=task)))
    assert [paid.amount_msat for paid in of(Paid, events)] == [100, 100]
    assert only(Refunded, events).amount_msat == 2800
    assert cluster.task(task).state is TaskState.CANCELLED
    assert cluster.block((0, Cancel(task=task))) == []


def test_only_the_submitter_cancels_and_only_before_all_answers_are_sealed() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    assert "only its submitter" in rejections(cluster.block((1, Cancel(task=task))))[0]
    cluster.block((0, cluster.commits(task)))
    assert "committed cannot" in rejections(cluster.block((0, Cancel(task=task))))[0]
    assert "no such task" in rejections(cluster.block((0, Cancel(task=TaskId(bytes(32))))))[0]


# Disputes


def disputed(cluster: TestCluster) -> TaskId:
    task = cluster.admit()
    assert only(TaskDisputed, cluster.work(task, {1: LIE})).task == task
    return task


def test_a_quorum_of_referees_decides_and_the_liar_loses_everything() -> None:
    cluster = TestCluster(members=4)
    task = disputed(cluster)
    honest, liar = (slot.worker for slot in cluster.task(task).slots)
    cluster.block(cluster.finding(task, 0, result()))
    cluster.block(cluster.finding(task, 1, result()))
    events = cluster.block(cluster.finding(task, 2, result()))
    settlement = only(TaskFinal, events).settlement
    assert settlement.verdict is Verdict.DIVERGENT
    assert settlement.liars == (liar,)
    named = only(LiarNamed, events)
    assert (named.node, named.bond_lost_msat) == (liar, BOND_MSAT)
    assert cluster.state.reputation_permille(liar) == 0
    assert cluster.state.node(liar).bond_msat == 0
    assert cluster.state.meta.fee_pool_msat == BOND_MSAT
    paid = {each.node: each.amount_msat for each in of(Paid, events)}
    assert liar not in paid or liar in {cluster.node(n) for n in range(3)}
    assert paid[honest] >= 500
    assert len(of(Paid, events)) == len(paid), "at most one payment a node and task"


def test_a_liar_gets_no_more_work_and_its_sealed_answers_are_not_taken() -> None:
    cluster = TestCluster(members=7)
    other = None
    task = cluster.admit(nonce=b"x")
    liar = cluster.task(task).slots[1].worker
    while other is None:
        candidate = cluster.admit(nonce=b"%d" % cluster.index, submitter=0)
        if liar in {slot.worker for slot in cluster.task(candidate).slots}:
            other = candidate
    cluster.work(task, {1: LIE})
    for referee in range(5):
        cluster.block(cluster.finding(task, referee, result()))
    assert cluster.state.node(liar).tombstoned
    commit = next(c for c in cluster.commits(other).commits if c.worker == liar)
    assert "convicted" in rejections(cluster.block((0, Commits(commits=(commit,)))))[0]
    for number in range(20):
        later = cluster.admit(nonce=b"later%d" % number)
        assert liar not in {slot.worker for slot in cluster.task(later).slots}


def test_without_a_quorum_in_time_a_dispute_is_inconclusive_and_refunded() -> None:
    cluster = TestCluster()
    task = disputed(cluster)
    cluster.block(cluster.finding(task, 0, result()))
    events = cluster.block(after_ms=100_000)
    assert only(TaskFinal, events).settlement.verdict is Verdict.INCONCLUSIVE
    assert cluster.state.balance_msat(cluster.node(0)) == GRANT_MSAT
    assert of(LiarNamed, events) == []


def test_a_dispute_ends_early_when_no_quorum_is_possible_any_more() -> None:
    cluster = TestCluster()
    task = disputed(cluster)
    cluster.block(cluster.finding(task, 0, result()), cluster.finding(task, 1, LIE))
    events = cluster.block(cluster.finding(task, 2, result(b"third")))
    assert only(TaskFinal, events).settlement.verdict is Verdict.INCONCLUSIVE


def test_a_referee_that_says_two_things_is_convicted_even_afterwards() -> None:
    cluster = TestCluster()
    task = disputed(cluster)
    for referee in range(3):
        cluster.block(cluster.finding(task, referee, result()))
    ended = cluster.task(task)
    was_liar = ended.settlement.liars
    referee = next(n for n in range(3) if cluster.node(n) not in was_liar)
    events = cluster.block(cluster.finding(task, referee, LIE))
    assert only(LiarNamed, events).node == cluster.node(referee)
    assert cluster.task(task) == ended
    assert cluster.block(cluster.finding(task, 3, result())) == [] or cluster.node(3) in was_liar


def test_a_finding_whose_own_signature_is_wrong_is_not_taken() -> None:
    cluster = TestCluster()
    task = disputed(cluster)
    verdict = cluster.verdict(task, 1, result())
    forged = type(verdict)(
        task=task, referee=verdict.referee, result=LIE, signature=verdict.signature
    )
    events = cluster.block((1, DisputeStep(verdict=forged)))
    assert "wrong signature" in rejections(events)[0]


def test_only_members_are_referees_and_only_of_disputed_tasks() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    assert "not disputed" in rejections(cluster.block(cluster.finding(task, 0, result())))[0]
    assert "only committee" in rejections(cluster.block(cluster.finding(task, 9, result())))[0]
    nothing = TaskId(bytes(32))
    assert "no known" in rejections(cluster.block(cluster.finding(nothing, 0, result())))[0]
    foreign = DisputeStep(verdict=cluster.verdict(task, 1, result()))
    assert "each for itself" in rejections(cluster.block((0, foreign)))[0]


def test_all_workers_lied_when_referees_find_a_third_answer() -> None:
    cluster = TestCluster(members=7)
    task = disputed(cluster)
    for referee in range(5):
        events = cluster.block(cluster.finding(task, referee, result(b"truth")))
    assert len(of(LiarNamed, events)) == 2
    assert len(only(TaskFinal, events).settlement.liars) == 2


def test_a_restart_gives_the_same_state_and_goes_on_the_same() -> None:
    cluster = TestCluster()
    open_task = cluster.admit(nonce=b"open")
    cluster.work(cluster.admit(nonce=b"done"))
    cluster.close_batch()
    cluster.replica = cluster.restarted()
    assert cluster.replica.items() == cluster.state.items()
    cluster.work(open_task)
    cluster.close_batch()
    cluster.block(after_ms=100_000)
    assert cluster.replica.root == cluster.state.root
    assert cluster.replica.receipt_log_root(2) == cluster.state.receipt_log_root(2)


def test_a_task_is_named_by_submitter_nonce_and_specification() -> None:
    cluster = TestCluster()
    assert cluster.admit() == task_id(cluster.node(0), b"n", spec())
    assert isinstance(cluster.signer(0), Signer)


def sealed_and_opened(cluster: TestCluster, **changes: object) -> str:
    """Seal and open a receipt that is bent in some field; give why it is not taken."""
    task = cluster.admit()
    good = cluster.receipt(task, 0)
    signer = cluster.signers[good.receipt.worker]
    bent = sign_receipt(signer, replace(good.receipt, **changes))
    commits = (sign_commit(signer, bent.receipt), cluster.commits(task).commits[1])
    cluster.block((0, Commits(commits=commits)))
    return rejections(cluster.block((0, Settle(task=task, receipts=(bent,)))))[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spec": bytes(32)}, "another task"),
        ({"module": bytes(32)}, "another task"),
        ({"input": bytes(32)}, "another task"),
        ({"result": result(gas=10_000_001)}, "limits"),
        ({"result": result(bytes(1001))}, "limits"),
        ({"result": result(kind=4)}, "limits"),
    ],
)
def test_a_sealed_answer_that_does_not_fit_the_task_is_not_taken(
    changes: dict, reason: str
) -> None:
    assert reason in sealed_and_opened(TestCluster(), **changes)


def test_an_opened_answer_is_signed_by_its_worker() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.block((0, cluster.commits(task)))
    forged = replace(cluster.receipt(task, 0), signature=bytes(64))
    events = cluster.block((0, Settle(task=task, receipts=(forged,))))
    assert "wrong signature" in rejections(events)[0]


def test_an_answer_of_a_convicted_worker_counts_only_next_to_an_independent_one() -> None:
    cluster = TestCluster()
    task = cluster.admit(assurance=Assurance.NONE, replicas=1)
    cluster.block((0, cluster.commits(task)))
    worker = cluster.task(task).slots[0].worker
    first, second = cluster.receipt(task, 0), cluster.receipt(task, 0, LIE)
    fraud = Fraud(culprit=worker, kind="receipt", first=encode(first), second=encode(second))
    cluster.block((0, fraud))
    assert "convicted worker" in rejections(cluster.block((0, cluster.settle(task))))[0]
    cluster.block(after_ms=5_000)
    assert cluster.task(task).slots[0].worker not in {b"", worker}


def test_in_a_large_cluster_slots_are_spread_over_a_sample_and_found_beyond_it() -> None:
    cluster = TestCluster()
    guests = [cluster.node(number) for number in range(100, 300)]
    entry = NodeEntry(profile=profile("guest"), is_member=False)
    for state in (cluster.state, cluster.replica):
        joined = {(Table.NODE, node): entry for node in guests}
        state.commit(0, joined, state.tree.updated(joined))
    workers = {
        slot.worker
        for number in range(60)
        for slot in cluster.task(cluster.admit(nonce=b"%d" % number)).slots
    }
    assert len(workers) > 20
    alone = guests[7]
    for start in range(0, 200, 50):
        away = [
            NodeReport(node=node, accepting=node == alone)
            for node in [*guests[start : start + 50], *cluster.state.members]
        ]
        cluster.report(*away)
    cluster.report(NodeReport(node=alone, accepting=True, capacity=99))
    for number in range(10):
        task = cluster.admit(nonce=b"x%d" % number, assurance=Assurance.NONE, replicas=1)
        assert cluster.task(task).slots[0].worker == alone


def test_open_tasks_stand_in_the_same_order_after_a_restart() -> None:
    cluster = TestCluster()
    admits = [
        (0, Admit(nonce=b"%d" % number, spec=spec(), until_ms=UNTIL_MS)) for number in range(8)
    ]
    cluster.block(*admits[:4])
    cluster.block(*admits[4:])
    tasks = [task for task, _ in cluster.state.open_tasks()]
    assert tasks == [task for task, _ in cluster.restarted().open_tasks()]
    times = [cluster.task(task).admitted_ms for task in tasks]
    assert times == sorted(times)
    cluster.work(tasks[2])
    assert [task for task, _ in cluster.state.open_tasks()] == tasks[:2] + tasks[3:]


def test_a_node_that_stops_taking_work_is_fit_no_more_and_again_when_it_is_back() -> None:
    cluster = TestCluster()
    node = cluster.node(1)
    assert node in cluster.state.fit_nodes()
    cluster.report(NodeReport(node=node, accepting=False))
    assert node not in cluster.state.fit_nodes()
    assert cluster.restarted().fit_nodes() == cluster.state.fit_nodes()
    cluster.report(NodeReport(node=node, accepting=True))
    assert cluster.state.fit_nodes() == cluster.state.nodes()


def test_equal_outputs_of_differently_prepared_modules_are_no_agreement() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    events = cluster.work(task, {1: result(prepared=b"another module")})
    assert only(TaskDisputed, events).task == task
    other = cluster.admit(nonce=b"m")
    events = cluster.work(other, {1: replace(result(), rewriter_version=2)})
    assert only(TaskDisputed, events).task == other
