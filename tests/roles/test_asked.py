"""What a node was asked to submit is kept once it waits, and until the log has decided on it."""

import pytest
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.merkle import leaf_hash
from ambientd.codec.statements import task_id
from ambientd.ledger.events import TaskAdmitted
from ambientd.ledger.rejections import rejection_of
from ambientd.model.base import TaskId
from ambientd.model.effect import PersistAsked, Propose, Withdraw
from ambientd.model.record import Admit, Body, Cancel
from ambientd.roles import asked as asked_module
from ambientd.roles.asked import KEPT_AFTER_MS, LOOK_MS, Asked
from tests.ledger.cluster import START_MS, UNTIL_MS, TestCluster, spec

NOW = START_MS + 1_000
LATER = NOW + KEPT_AFTER_MS


def words(nonce: bytes = b"n", until_ms: int = UNTIL_MS) -> Admit:
    return Admit(nonce=nonce, spec=spec(), until_ms=until_ms)


def name_of(cluster: TestCluster, admit: Admit) -> TaskId:
    return task_id(cluster.node(0), admit.nonce, admit.spec)


def signed(*admits: Admit, again: bytes = b"") -> dict[Body, bytes]:
    """Give a record of each, or another one of the same words."""
    return {admit: encode(admit) + again for admit in admits}


def hash_of(admit: Admit, again: bytes = b"") -> bytes:
    return leaf_hash(encode(admit) + again)


def waiting(cluster: TestCluster, *admits: Admit) -> Asked:
    role = Asked(cluster.node(0))
    role.on_signed(signed(*admits), NOW)
    return role


def kept(cluster: TestCluster, *admits: Admit) -> Asked:
    role = waiting(cluster, *admits)
    rows = [PersistAsked(name_of(cluster, each), each) for each in admits]
    assert role.on_tick(cluster.state, LATER) == rows
    return role


def test_what_the_log_takes_at_once_leaves_no_row_behind() -> None:
    cluster, admit = TestCluster(), words()
    role = waiting(cluster, admit)
    assert role.next_deadline == LATER
    assert role.on_tick(cluster.state, LATER - 1) == []
    cluster.block((0, admit))
    assert role.on_ledger(TaskAdmitted(name_of(cluster, admit), 1)) == []
    assert role.next_deadline is None
    assert role.on_tick(cluster.state, LATER) == []


def test_what_has_waited_is_kept_and_let_go_when_the_log_takes_it() -> None:
    cluster, admit = TestCluster(), words()
    role = kept(cluster, admit)
    assert len(role) == 1
    assert role.words_of(name_of(cluster, admit)) == admit
    gone = [PersistAsked(name_of(cluster, admit), None)]
    assert role.on_ledger(TaskAdmitted(name_of(cluster, admit), 1)) == gone
    assert len(role) == 0
    assert role.words_of(name_of(cluster, admit)) is None
    assert role.blobs == set()


def test_the_module_and_the_input_are_named_as_long_as_a_task_waits() -> None:
    cluster, admit = TestCluster(), words()
    needed = {admit.spec.module, admit.spec.input}
    assert waiting(cluster, admit).blobs == needed
    assert kept(cluster, admit).blobs == needed


def test_a_rejection_lets_go_of_the_words_that_were_rejected_and_of_no_others() -> None:
    cluster, first = TestCluster(), words()
    role, own = kept(cluster, first), cluster.node(0)
    assert role.on_ledger(rejection_of(cluster.node(1), first, "another's")) == []
    again = replace(first, until_ms=UNTIL_MS + 1)
    assert role.on_signed(signed(again), LATER) == [Withdraw(hash_of(first))]
    assert role.on_ledger(rejection_of(own, first, "too late")) == []
    task = name_of(cluster, first)
    rows = role.on_tick(cluster.state, LATER + KEPT_AFTER_MS)
    assert rows == [PersistAsked(task, again)]
    assert role.on_ledger(rejection_of(own, again, "no means")) == [PersistAsked(task, None)]
    assert len(role) == 0


def test_who_asks_again_in_the_same_words_keeps_its_place() -> None:
    cluster, admit = TestCluster(), words()
    role = waiting(cluster, admit)
    assert role.on_signed(signed(admit), LATER - 1) == []
    assert role.next_deadline == LATER


def test_what_waits_is_proposed_in_its_own_words_after_a_start_the_soonest_over_first() -> None:
    cluster = TestCluster()
    late, soon = words(b"late"), words(b"soon", UNTIL_MS - 1)
    rows = {name_of(cluster, each): each for each in (late, soon)}
    role = Asked(cluster.node(0), rows)
    assert role.resume(cluster.state, NOW) == [Propose(soon), Propose(late)]
    assert len(role) == 2


def test_what_the_log_has_meanwhile_or_takes_no_more_is_forgotten_at_a_start() -> None:
    cluster = TestCluster()
    over, there = words(b"over", NOW - 1), words(b"there")
    cluster.block((0, there))
    rows = {name_of(cluster, each): each for each in (over, there)}
    role = Asked(cluster.node(0), rows)
    assert role.resume(cluster.state, NOW) == [PersistAsked(task, None) for task in rows]


def test_a_row_under_another_tasks_name_is_forgotten_and_never_proposed() -> None:
    cluster, admit = TestCluster(), words()
    strange = TaskId(b"s" * 32)
    role = Asked(cluster.node(0), {strange: admit})
    assert role.resume(cluster.state, NOW) == [PersistAsked(strange, None)]
    assert role.resume(cluster.state, NOW) == []


def test_what_came_with_a_snapshot_and_what_is_over_goes_with_time() -> None:
    cluster, admit, soon = TestCluster(), words(), words(b"soon", LATER + LOOK_MS - 1)
    role = kept(cluster, admit, soon)
    cluster.block((0, admit))
    assert role.next_deadline == LATER + LOOK_MS
    gone = [
        effect
        for each in (admit, soon)
        for effect in (PersistAsked(name_of(cluster, each), None), Withdraw(hash_of(each)))
    ]
    assert role.on_tick(cluster.state, LATER + LOOK_MS) == gone
    assert role.next_deadline is None


@pytest.mark.parametrize("bound", ["TASKS_MAX", "BYTES_MAX"])
def test_what_is_kept_is_bounded_in_count_and_bytes(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, admits = TestCluster(), [words(b"%d" % each) for each in range(5)]
    most = 3 if bound == "TASKS_MAX" else 3 * len(encode(admits[0]))
    monkeypatch.setattr(asked_module, bound, most)
    role = waiting(cluster, *admits)
    assert not role.has_room  # before any of them has a row
    rows = role.on_tick(cluster.state, LATER)
    assert rows[:3] == [PersistAsked(name_of(cluster, each), each) for each in admits[:3]]
    assert rows[3:] == [Withdraw(hash_of(each)) for each in admits[3:]]
    assert not role.has_room
    role.on_ledger(TaskAdmitted(name_of(cluster, admits[0]), 1))
    assert role.has_room


def test_words_that_are_over_or_taken_back_leave_the_pool_with_their_row() -> None:
    cluster, admit = TestCluster(), words()
    task = name_of(cluster, admit)
    role = kept(cluster, admit)
    assert role.take_back(task) == [PersistAsked(task, None), Withdraw(hash_of(admit))]
    assert role.take_back(task) == []
    assert waiting(cluster, admit).take_back(task) == [Withdraw(hash_of(admit))]
    soon = words(until_ms=LATER - 1)
    assert waiting(cluster, soon).on_tick(cluster.state, LATER) == [Withdraw(hash_of(soon))]


def test_what_was_taken_back_is_not_wanted_by_its_name_while_the_ledger_could_take_it() -> None:
    cluster, admit, other = TestCluster(), words(), words(b"other")
    task, renewed = name_of(cluster, admit), replace(admit, until_ms=UNTIL_MS + 1)
    role = kept(cluster, admit)
    role.take_back(task)
    assert role.was_taken_back(task)
    assert role.wanted(signed(admit, renewed, other)) == signed(other)
    cluster.block(after_ms=UNTIL_MS - cluster.state.meta.time_ms)
    role.on_tick(cluster.state, UNTIL_MS + LOOK_MS)
    assert role.was_taken_back(task)  # by block time it may still come
    cluster.block(after_ms=1)
    role.on_tick(cluster.state, UNTIL_MS + 2 * LOOK_MS)
    assert not role.was_taken_back(task)
    assert role.wanted(signed(admit)) == signed(admit)


def test_what_is_over_by_itself_may_be_asked_for_again() -> None:
    cluster, soon = TestCluster(), words(until_ms=LATER - 1)
    role = waiting(cluster, soon)
    role.on_tick(cluster.state, LATER)
    assert not role.was_taken_back(name_of(cluster, soon))


def test_what_was_taken_back_and_comes_all_the_same_is_cancelled_until_the_log_has_done_so() -> (
    None
):
    cluster, admit = TestCluster(), words()
    task = name_of(cluster, admit)
    role, cancelled = kept(cluster, admit), Cancel(task=name_of(cluster, admit))
    role.take_back(task)
    cluster.block((0, admit))
    assert role.on_ledger(TaskAdmitted(task, 1)) == [Propose(cancelled)]
    # The pool may have refused it; or a snapshot brought the task, and nobody told of it.
    for look_ms in (LATER + LOOK_MS, LATER + 2 * LOOK_MS):
        assert role.next_deadline == look_ms
        assert role.on_tick(cluster.state, look_ms) == [Propose(cancelled)]
    cluster.block((0, cancelled))
    assert role.on_tick(cluster.state, LATER + 3 * LOOK_MS) == []
    assert role.next_deadline is None
    assert not role.was_taken_back(task)


def test_of_what_was_taken_back_the_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, admits = TestCluster(), [words(b"%d" % each) for each in range(3)]
    role = waiting(cluster, *admits)
    monkeypatch.setattr(asked_module, "TASKS_MAX", 2)
    names = [name_of(cluster, each) for each in admits]
    for task in names:
        role.take_back(task)
    assert [role.was_taken_back(task) for task in names] == [False, True, True]


def test_the_same_words_signed_once_more_take_the_place_of_their_first_record() -> None:
    cluster, admit = TestCluster(), words()
    role = kept(cluster, admit)
    assert role.on_signed(signed(admit, again=b"2"), LATER) == [Withdraw(hash_of(admit))]
    task = name_of(cluster, admit)
    assert role.take_back(task) == [PersistAsked(task, None), Withdraw(hash_of(admit, b"2"))]


def test_what_the_pool_refused_is_proposed_again_at_each_look_until_it_is_taken() -> None:
    cluster, admit = TestCluster(), words()
    role = kept(cluster, admit)
    assert role.on_refused(hash_of(words(b"another's")))
    look_ms = LATER
    for is_news in (True, False):
        assert role.on_refused(hash_of(admit)) is is_news  # its owner is told why, once
        look_ms += LOOK_MS
        assert role.on_tick(cluster.state, look_ms) == [Propose(admit)]
        assert role.on_signed(signed(admit), look_ms) == []
    assert role.on_tick(cluster.state, look_ms + LOOK_MS) == []


def test_a_clock_that_is_put_back_delays_nothing_by_more_than_was_to_be_waited() -> None:
    cluster, first, second = TestCluster(), words(b"first"), words(b"second")
    role, back = waiting(cluster, first), NOW - 100_000
    role.on_signed(signed(second), back)
    rows = [PersistAsked(name_of(cluster, each), each) for each in (first, second)]
    assert role.on_tick(cluster.state, back + KEPT_AFTER_MS) == rows
    role.on_tick(cluster.state, NOW)
    role.on_tick(cluster.state, back)
    assert role.next_deadline == back + LOOK_MS
