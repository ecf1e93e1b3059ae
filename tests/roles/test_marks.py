"""A worker marks its states, goes on from others' marks, and two members keep the states."""

from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.codec.statements import mark_hash, verify_mark
from ambientd.ledger.events import StateMarked
from ambientd.model.base import Digest
from ambientd.model.dispute import KnownState, TracePoint
from ambientd.model.effect import Execute, FetchBlob, LeaveOff, Propose, RoleEffect
from ambientd.model.mark import FROM_BEGINNING, GoneOn, Mark
from ambientd.model.offer import Closed, Wish
from ambientd.model.record import Marked
from ambientd.node.event import StateReached
from ambientd.roles.keeper import KEEPERS, Keeper, keepers_of
from ambientd.roles.worker import Worker
from tests.ledger.cluster import START_MS
from tests.ledger.test_marks import MARKED, cluster_of, hand_back, mark_of, number_of
from tests.roles.stage import place, report

NOW = START_MS + 1_000
ZEROS = Digest(bytes(32))


def seen(gas: int) -> KnownState:
    return KnownState(TracePoint(gas, sha256(b"root %d" % gas)), Digest(sha256(b"state")), 1000)


class Stage:
    """A task whose states may be handed on, and its worker."""

    def __init__(self) -> None:
        self.cluster = cluster_of()
        self.task = self.cluster.admit(**MARKED)
        self.take()

    def take(self) -> None:
        """Let the slot's present worker take it up."""
        self.number = number_of(self.cluster, self.task)
        self.worker = Worker(self.cluster.signer(self.number), b"nonce secret")
        self.place = place(self.cluster, self.task, 0)
        (execute,) = self.worker.resume(self.cluster.state, NOW)
        assert isinstance(execute, Execute)
        self.execute = execute

    def reach(self, reached: StateReached) -> Mark | None:
        """Tell the worker of a state; give its mark once the log has it."""
        effects = self.worker.on_state(self.place, reached, self.cluster.state)
        if not effects:
            return None
        (said,) = effects
        assert isinstance(said, Propose)
        assert isinstance(said.body, Marked)
        assert verify_mark(said.body.mark, self.cluster.id)
        self.cluster.block((self.number, said.body))
        return said.body.mark


def test_who_has_the_slot_next_goes_on_from_the_mark_and_names_it() -> None:
    stage = Stage()
    first = stage.reach(StateReached(stage.place, seen(1_000_000)))
    assert first is not None
    assert first.follows == FROM_BEGINNING
    hand_back(stage.cluster, stage.task)
    stage.take()
    assert stage.execute.marks == (first,)
    second = stage.reach(StateReached(stage.place, seen(2_000_000), went_on=True))
    assert second is not None
    assert second.follows == mark_hash(first)
    assert stage.cluster.state.marks(stage.task).chain == (first, second)


def test_who_could_not_have_the_state_says_that_all_is_its_own() -> None:
    for went_on in (True, False):
        stage = Stage()
        first = stage.reach(StateReached(stage.place, seen(1_000_000)))
        hand_back(stage.cluster, stage.task)
        stage.take()
        told = report()
        object.__setattr__(told, "went_on", went_on)
        stage.worker.on_report(stage.place, told, ZEROS)
        stage.worker.seal(NOW)
        (work,) = stage.worker._works.values()
        assert work.receipt is not None
        receipt = work.receipt.receipt
        assert receipt.marks == ((first,) if went_on else ())
        assert isinstance(receipt.started_ms, GoneOn) is went_on


def test_a_worker_that_was_started_again_goes_on_from_its_own_mark_and_it_is_its_own_word() -> None:
    stage = Stage()
    own = stage.reach(StateReached(stage.place, seen(1_000_000)))
    stage.take()
    assert stage.execute.marks == (own,)
    later = stage.reach(StateReached(stage.place, seen(2_000_000), went_on=True))
    assert later is not None
    assert later.follows == FROM_BEGINNING
    assert stage.cluster.state.marks(stage.task).chain == (later,)


def test_a_hot_device_marks_its_last_state_before_it_hands_the_slot_back() -> None:
    stage = Stage()
    hot = Wish(closed=Closed.HOT, stops=True)
    assert stage.worker.on_wish(hot) == [LeaveOff(stage.place)]
    assert stage.worker.unwanted == (), "not before its mark is on its way"
    left = StateReached(stage.place, seen(1_000_000), is_last=True)
    assert stage.reach(left) is not None
    assert [name.task for name in stage.worker.unwanted] == [stage.task]


def test_what_left_off_without_a_state_is_handed_back_all_the_same() -> None:
    stage = Stage()
    stage.worker.on_wish(Wish(closed=Closed.HOT, stops=True))
    assert stage.reach(StateReached(stage.place, None, is_last=True)) is None
    assert [name.task for name in stage.worker.unwanted] == [stage.task]


def test_no_more_states_are_marked_than_the_task_allows() -> None:
    stage = Stage()
    made = [stage.reach(StateReached(stage.place, seen(gas))) for gas in (10, 20, 30)]
    assert [mark is not None for mark in made] == [True, True, False]


def test_two_members_but_the_maker_fetch_a_marked_state_from_it() -> None:
    stage = Stage()
    mark = stage.reach(StateReached(stage.place, seen(1_000_000)))
    assert mark is not None
    cluster = stage.cluster
    asked: dict[int, list[RoleEffect]] = {
        number: Keeper(cluster.node(number)).on_ledger(StateMarked(stage.task, mark), cluster.state)
        for number in range(cluster.members)
    }
    keepers = [number for number, effects in asked.items() if effects]
    assert {cluster.node(number) for number in keepers} == set(keepers_of(mark, cluster.state))
    assert len(keepers) == KEEPERS
    assert stage.number not in keepers
    fetch = FetchBlob(mark.state, mark.state_size_bytes, (mark.worker,))
    assert asked[keepers[0]] == [fetch]


def test_whose_mark_from_the_beginning_is_said_goes_on_from_no_other_s_any_more() -> None:
    """The log has no mark before it then: an answer that named one would never be taken."""
    stage = Stage()
    first = stage.reach(StateReached(stage.place, seen(1_000_000)))
    hand_back(stage.cluster, stage.task)
    stage.take()
    assert stage.execute.marks == (first,), "its state could not be had in time"
    stage.worker.on_wish(Wish(closed=Closed.HOT, stops=True))
    assert stage.reach(StateReached(stage.place, seen(500_000), is_last=True)) is not None
    assert stage.cluster.state.marks(stage.task).before(1) == ()
    (again,) = stage.worker.on_wish(Wish())
    assert isinstance(again, Execute)
    assert again.marks == ()


def test_nobody_marks_or_keeps_a_state_that_is_large_for_the_gas_of_its_task() -> None:
    """Else a task of next to no gas would fill two members' disks with 16 states of 64 MiB."""
    stage = Stage()
    gas_max = stage.cluster.task(stage.task).spec.gas_max
    for size_bytes, is_kept in ((gas_max // 256, True), (gas_max // 256 + 1, False)):
        state = KnownState(TracePoint(9, sha256(b"root")), Digest(sha256(b"state")), size_bytes)
        reached = StateReached(stage.place, state)
        assert bool(stage.worker.on_state(stage.place, reached, stage.cluster.state)) is is_kept
        mark = replace(mark_of(stage.cluster, stage.task, 9), state_size_bytes=size_bytes)
        told = StateMarked(stage.task, mark)
        keepers = (Keeper(node) for node in keepers_of(mark, stage.cluster.state))
        for keeper in keepers:
            assert bool(keeper.on_ledger(told, stage.cluster.state)) is is_kept
