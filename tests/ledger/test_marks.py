"""Marks in the ledger: who may set one, what it costs, and what an answer may stand on."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.api import requests
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import (
    mark_hash,
    sign_commit,
    sign_mark,
    sign_receipt,
    sign_record,
)
from ambientd.ledger.admission import is_admissible, may_propose
from ambientd.ledger.entries import Slot
from ambientd.ledger.events import ResultRevoked, StateMarked
from ambientd.model.base import Digest, TaskId
from ambientd.model.dispute import TracePoint
from ambientd.model.genesis import Rules
from ambientd.model.learning import StudyId
from ambientd.model.learning_record import FlUpdate
from ambientd.model.mark import FROM_BEGINNING, MARKS_MAX, Attempts, GoneOn, Mark
from ambientd.model.offer import Closed, SlotName
from ambientd.model.receipt import Receipt, SignedReceipt
from ambientd.model.record import Admit, Commits, Fraud, Marked, Offer, Settle
from ambientd.model.task import Assurance, TaskState
from ambientd.rules.marks import STARTS_MAX, marks_fault, path_to, starts
from ambientd.rules.rewards import escrow_of, mark_fee_msat
from ambientd.rules.verdicts import convicts
from tests.ledger.cluster import UNTIL_MS, TestCluster, rejections, result, spec
from tests.ledger.imaging import go_over

MARKED: dict[str, object] = {
    "assurance": Assurance.NONE,
    "replicas": 1,
    "attempts_max": Attempts(attempts_max=0, marks_max=2),
}


def test_callers_may_ask_for_as_many_marks_as_a_task_has() -> None:
    assert requests.MARKS_MAX == MARKS_MAX


def cluster_of(rules: Rules | None = None) -> TestCluster:
    """A cluster whose log is of the version that knows marks already."""
    cluster = TestCluster(rules=rules)
    go_over(cluster)
    return cluster


def slot_of(cluster: TestCluster, task: TaskId) -> Slot:
    return cluster.task(task).slots[0]


def number_of(cluster: TestCluster, task: TaskId) -> int:
    worker = slot_of(cluster, task).worker
    return next(n for n in range(cluster.members) if cluster.node(n) == worker)


def mark_of(cluster: TestCluster, task: TaskId, gas: int, follows: Digest = FROM_BEGINNING) -> Mark:
    slot = slot_of(cluster, task)
    unsigned = Mark(
        task=task,
        slot=0,
        attempt=slot.attempt,
        worker=slot.worker,
        point=TracePoint(gas, sha256(b"root %d" % gas)),
        state=Digest(sha256(b"state %d" % gas)),
        state_size_bytes=1000,
        follows=follows,
        signature=b"",
    )
    return sign_mark(cluster.signers[slot.worker], unsigned)


def hand_back(cluster: TestCluster, task: TaskId) -> None:
    """Have the worker's device become too hot, so that another has the slot."""
    slot, author = slot_of(cluster, task), number_of(cluster, task)
    name = SlotName(task=task, slot=0, attempt=slot.attempt)
    offer = Offer(closed=Closed.HOT, refuses=(), hands_back=(name,), said_ms=cluster.time_ms)
    cluster.block((author, offer))
    assert slot_of(cluster, task).worker not in {slot.worker, b""}


def answer(cluster: TestCluster, task: TaskId, *marks: Mark) -> SignedReceipt:
    """Give the worker's answer, as one that stands on these marks."""
    signed = cluster.receipt(task, 0)
    started = GoneOn(5, marks) if marks else 5
    receipt = replace(signed.receipt, started_ms=started)
    return sign_receipt(cluster.signers[receipt.worker], receipt)


def finish(cluster: TestCluster, task: TaskId, signed: SignedReceipt) -> list[str]:
    worker = cluster.signers[signed.receipt.worker]
    cluster.block((0, Commits(commits=(sign_commit(worker, signed.receipt),))))
    return rejections(cluster.block((0, Settle(task=task, receipts=(signed,)))))


def test_the_next_worker_is_told_the_last_mark_and_its_answer_names_it() -> None:
    cluster = cluster_of()
    task = cluster.admit(**MARKED)
    first = mark_of(cluster, task, 1_000_000)
    maker = number_of(cluster, task)
    assert StateMarked(task, first) in cluster.block((maker, Marked(mark=first)))
    hand_back(cluster, task)
    assert cluster.state.marks(task).before(1) == (first,)
    signed = answer(cluster, task, first)
    assert finish(cluster, task, signed) == []
    entry = cluster.task(task)
    assert entry.state is TaskState.FINAL
    assert marks_fault(signed.receipt, entry.spec, cluster.id) is None
    assert cluster.state.marks(task).marks == (), "a mark goes with its task"


def test_a_chain_of_marks_names_each_maker_once() -> None:
    cluster = cluster_of()
    task = cluster.admit(**MARKED)
    first = mark_of(cluster, task, 1_000_000)
    cluster.block((number_of(cluster, task), Marked(mark=first)))
    hand_back(cluster, task)
    second = mark_of(cluster, task, 2_000_000, mark_hash(first))
    cluster.block((number_of(cluster, task), Marked(mark=second)))
    hand_back(cluster, task)
    assert cluster.state.marks(task).before(2) == (first, second)
    signed = answer(cluster, task, first, second)
    assert finish(cluster, task, signed) == []
    spec_of = cluster.task(task).spec
    assert marks_fault(signed.receipt, spec_of, cluster.id) is None
    assert "follow" in str(marks_fault(answer_with(signed, second), spec_of, cluster.id))
    forged = replace(first, point=TracePoint(1_000_001, first.point.root))
    assert "sign" in str(marks_fault(answer_with(signed, forged), spec_of, cluster.id))


def answer_with(signed: SignedReceipt, *marks: Mark) -> Receipt:
    return replace(signed.receipt, started_ms=GoneOn(5, marks))


def test_who_begins_anew_takes_nothing_from_who_was_there_before() -> None:
    """Else a mark at gas 1, which is no lie, would cost others all that was done before."""
    cluster = cluster_of()
    task = cluster.admit(**MARKED)
    first = mark_of(cluster, task, 2_000_000)
    cluster.block((number_of(cluster, task), Marked(mark=first)))
    hand_back(cluster, task)
    anew = mark_of(cluster, task, 1)
    cluster.block((number_of(cluster, task), Marked(mark=anew)))
    assert cluster.state.marks(task).marks == (first, anew)
    assert finish(cluster, task, answer(cluster, task, first)) == []


def test_an_answer_stands_on_any_path_of_marks_that_the_log_has_and_on_nothing_else() -> None:
    made: list[Mark] = []

    def third() -> TestCluster:
        """A task in its third attempt, whose second one has followed a mark, or has not."""
        cluster = cluster_of()
        task = cluster.admit(**MARKED)
        made[:] = [mark_of(cluster, task, 1_000_000)]
        cluster.block((number_of(cluster, task), Marked(mark=made[0])))
        hand_back(cluster, task)
        made.append(mark_of(cluster, task, 2_000_000, mark_hash(made[0])))
        cluster.block((number_of(cluster, task), Marked(mark=made[1])))
        hand_back(cluster, task)
        return cluster

    good, bad = ((), (0,), (0, 1)), ((1,), (1, 0), (0, 0))
    for names in (*good, *bad):
        cluster = third()
        task = made[0].task
        found = finish(cluster, task, answer(cluster, task, *(made[name] for name in names)))
        assert (found == []) is (names in good), names


def test_a_mark_may_follow_any_of_an_earlier_attempt_that_it_is_beyond() -> None:
    cluster = cluster_of()
    task = cluster.admit(**MARKED | {"attempts_max": Attempts(attempts_max=0, marks_max=4)})
    maker = number_of(cluster, task)
    first, second = (mark_of(cluster, task, gas) for gas in (1_000_000, 2_000_000))
    cluster.block((maker, Marked(mark=first)), (maker, Marked(mark=second)))
    hand_back(cluster, task)
    taker = number_of(cluster, task)
    short = mark_of(cluster, task, 1_000_000, mark_hash(first))
    assert "not beyond the one" in rejections(cluster.block((taker, Marked(mark=short))))[0]
    on = mark_of(cluster, task, 1_500_000, mark_hash(first))
    cluster.block((taker, Marked(mark=on)))
    own = mark_of(cluster, task, 1_600_000, mark_hash(on))
    assert "none of an earlier" in rejections(cluster.block((taker, Marked(mark=own))))[0]
    assert cluster.state.marks(task).marks == (first, second, on)


def test_of_each_attempt_the_last_mark_is_tried_first_and_the_furthest_of_these() -> None:
    """Who marks what it has not makes others wait for one state, and then for somebody else's."""
    cluster = cluster_of()
    task = cluster.admit(**MARKED)
    point = mark_of(cluster, task, 1)

    def at(attempt: int, gas: int) -> Mark:
        return replace(point, attempt=attempt, point=TracePoint(gas, point.point.root))

    good = [at(0, gas) for gas in (100, 200)]
    lies = [at(1, gas) for gas in range(900, 910)]
    late = at(2, 250)
    found = starts((*good, *lies, late))
    assert found == (lies[-1], late, good[1], lies[-2], good[0], lies[-3])
    assert len(found) == STARTS_MAX


def test_an_answer_stands_on_no_mark_but_the_log_s() -> None:
    cluster = cluster_of()
    task = cluster.admit(**MARKED)
    unheard = mark_of(cluster, task, 1_000_000)
    hand_back(cluster, task)
    assert "not the log's" in finish(cluster, task, answer(cluster, task, unheard))[0]


def test_marks_of_others_late_ones_and_more_than_were_asked_for_are_rejected() -> None:
    cluster = cluster_of()
    task = cluster.admit(**MARKED)
    maker = number_of(cluster, task)
    first = mark_of(cluster, task, 1_000_000)
    stranger = (maker + 1) % cluster.members
    for author, mark, why in (
        (stranger, first, "does not execute"),
        (maker, replace(first, point=TracePoint(2, first.point.root)), "wrong signature"),
        (maker, mark_of(cluster, task, 10**9), "outside the task's gas"),
        (maker, mark_of(cluster, task, 5, Digest(sha256(b"another"))), "follows none"),
    ):
        assert why in rejections(cluster.block((author, Marked(mark=mark))))[0]
    cluster.block((maker, Marked(mark=first)))
    lower = mark_of(cluster, task, 999_999)
    assert "not beyond" in rejections(cluster.block((maker, Marked(mark=lower))))[0]
    cluster.block((maker, Marked(mark=mark_of(cluster, task, 2_000_000))))
    third = mark_of(cluster, task, 3_000_000)
    assert "had its 2 marks" in rejections(cluster.block((maker, Marked(mark=third))))[0]
    hand_back(cluster, task)
    assert "does not execute" in rejections(cluster.block((maker, Marked(mark=third))))[0]


def test_each_mark_costs_its_submitter_and_no_money_is_made() -> None:
    cluster = cluster_of()
    task = cluster.admit(**MARKED)
    entry = cluster.task(task)
    fee = mark_fee_msat(entry.spec)
    plain = replace(entry.spec, attempts_max=0)
    permille = cluster.genesis.rules.audit_permille
    assert escrow_of(entry.spec, permille) == escrow_of(plain, permille) + 2 * fee > 0
    cluster.block((number_of(cluster, task), Marked(mark=mark_of(cluster, task, 1_000_000))))
    before = cluster.state.meta.fee_pool_msat
    assert finish(cluster, task, answer(cluster, task)) == []
    assert cluster.state.meta.fee_pool_msat == before + fee


def test_only_tasks_of_one_unchecked_answer_have_marks() -> None:
    cluster = cluster_of()
    allowed = Attempts(attempts_max=0, marks_max=2)
    for changes, why in (
        ({"attempts_max": allowed}, "assurance none"),
        (MARKED | {"assurance": Assurance.AUDITED}, "assurance none"),
        (MARKED | {"attempts_max": Attempts(attempts_max=0, marks_max=0)}, "0 marks"),
        (MARKED | {"attempts_max": replace(allowed, marks_max=MARKS_MAX + 1)}, "17 marks"),
    ):
        cluster.events.clear()
        cluster.admit(**changes)
        assert why in rejections(cluster.events)[0]
    assert spec().marks_max == 0


def test_a_refuted_answer_that_stands_on_another_s_state_convicts_nobody() -> None:
    cluster = cluster_of(Rules(audit_permille=1000))
    task = cluster.admit(**MARKED)
    first = mark_of(cluster, task, 1_000_000)
    cluster.block((number_of(cluster, task), Marked(mark=first)))
    hand_back(cluster, task)
    worker = slot_of(cluster, task).worker
    assert finish(cluster, task, answer(cluster, task, first)) == []
    cluster.term += 1
    cluster.block()
    audit = next(name for name, entry in cluster.state.tasks() if entry.audits is not None)
    assert cluster.task(audit).spec.marks_max == 0
    found = result(b"another")
    cluster.work(audit, {0: found})
    events = [
        each
        for referee in range(cluster.members)
        for each in cluster.block(cluster.finding(audit, referee, found))
    ]
    assert any(isinstance(each, ResultRevoked) for each in events)
    for node in (worker, first.worker):
        about = cluster.state.node(node)
        assert about is not None
        assert not about.tombstoned


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("mark"), st.integers(1, 12), st.booleans()),
        st.tuples(st.just("late mark"), st.integers(1, 12), st.booleans()),
        st.tuples(st.just("hand back"), st.just(0), st.booleans()),
    ),
    max_size=10,
)


@given(steps=STEPS, goes_on=st.booleans(), pick=st.integers(0, 3))
def test_whatever_is_marked_handed_back_or_late_one_answer_stands_on_what_the_log_has(
    steps: list[tuple[str, int, bool]], pick: int, *, goes_on: bool
) -> None:
    """Money is kept by each block, an honest answer is always taken, and nobody is convicted.

    A mark may be a liar's, and its state with nobody: who goes on says so, who cannot begins anew.
    """
    cluster = cluster_of()
    task = cluster.admit(**MARKED | {"attempts_max": Attempts(attempts_max=0, marks_max=4)})
    former = number_of(cluster, task)
    handed = 0
    for kind, gas, follows in steps:
        before = cluster.state.marks(task).before(slot_of(cluster, task).attempt)
        last = mark_hash(before[-1]) if follows and before else FROM_BEGINNING
        mark = mark_of(cluster, task, gas * 100_000, last)
        if kind == "mark":
            cluster.block((number_of(cluster, task), Marked(mark=mark)))
        elif kind == "late mark":
            known = cluster.state.marks(task).marks
            stale = replace(mark, attempt=mark.attempt - 1 if mark.attempt else 7)
            cluster.block((former, Marked(mark=stale)))
            assert cluster.state.marks(task).marks == known
        elif handed < 2:
            former = number_of(cluster, task)
            hand_back(cluster, task)
            handed += 1
    row = cluster.state.marks(task)
    assert len(row.marks) <= 4
    before = row.before(slot_of(cluster, task).attempt)
    named = path_to(starts(before)[pick % len(before)], before) if goes_on and before else ()
    signed = answer(cluster, task, *named)
    assert marks_fault(signed.receipt, cluster.task(task).spec, cluster.id) is None
    assert finish(cluster, task, signed) == []
    entry = cluster.task(task)
    assert entry.state is TaskState.FINAL
    fees = len(row.marks) * mark_fee_msat(entry.spec)
    assert cluster.state.meta.fee_pool_msat == fees
    nodes = [cluster.state.node(cluster.node(number)) for number in range(cluster.members)]
    assert not any(node is None or node.tombstoned for node in nodes)


def test_in_the_version_before_members_vote_for_no_list_where_a_number_was() -> None:
    """Programs of before cannot read such a record at all, also one that no rule ever takes."""
    early = TestCluster()
    none_allowed = spec(**MARKED | {"attempts_max": Attempts(attempts_max=0, marks_max=0)})
    task = early.admit(assurance=Assurance.NONE, replicas=1)
    names_none = replace(early.receipt(task, 0).receipt, started_ms=GoneOn(5, ()))
    signed = sign_receipt(early.signers[names_none.worker], names_none)
    update = FlUpdate(study=StudyId(task), round=1, update=Digest(task), samples=1, receipt=signed)
    for body in (
        Admit(nonce=b"m", spec=spec(**MARKED), until_ms=UNTIL_MS),
        Admit(nonce=b"m", spec=none_allowed, until_ms=UNTIL_MS),
        Settle(task=task, receipts=(signed,)),
        update,
    ):
        record = sign_record(early.signer(0), body)
        assert not is_admissible(encode(record), early.id, 1), body
        assert not may_propose(record, early.state)
        assert is_admissible(encode(record), early.id, 2)


def test_two_answers_convict_nobody_where_one_stands_on_another_s_state() -> None:
    """Its maker's lie, and a start after which nobody had that state, must not cost the bond."""
    cluster = cluster_of()
    task = cluster.admit(**MARKED)
    false = mark_of(cluster, task, 1_000_000)
    cluster.block((number_of(cluster, task), Marked(mark=false)))
    hand_back(cluster, task)
    worker = slot_of(cluster, task).worker
    gone_on = answer(cluster, task, false)
    truth = replace(cluster.receipt(task, 0).receipt, result=result(b"the truth"))
    anew = sign_receipt(cluster.signers[worker], truth)
    for first, second in ((gone_on, anew), (anew, gone_on)):
        both = {"first": encode(first), "second": encode(second)}
        fraud = Fraud(culprit=worker, kind="receipt", **both)
        assert "do not contradict" in rejections(cluster.block((0, fraud)))[0]
    found = [cluster.verdict(task, number, truth.result) for number in range(3)]
    members = frozenset(cluster.state.members)
    assert not convicts(gone_on, found, members, cluster.id)
    assert convicts(
        sign_receipt(cluster.signers[worker], plain(gone_on)), found, members, cluster.id
    )


def plain(signed: SignedReceipt) -> Receipt:
    return replace(signed.receipt, started_ms=5)
