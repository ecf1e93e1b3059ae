"""A worker marks its states, goes on from others' marks, and two members keep the states."""

from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.codec.statements import mark_hash, sign_receipt, verify_mark
from ambientd.ledger.events import EpochBegan, StateMarked, TaskClosed
from ambientd.ledger.marks import KEEPERS, keepers_of
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import KnownState, TracePoint
from ambientd.model.effect import (
    DropStates,
    Execute,
    FetchState,
    KeepStates,
    LeaveOff,
    PersistMark,
    Propose,
    RoleEffect,
)
from ambientd.model.mark import FROM_BEGINNING, GoneOn, Mark
from ambientd.model.offer import Closed, Wish
from ambientd.model.receipt import Receipt
from ambientd.model.record import Marked
from ambientd.model.task import TaskState
from ambientd.node.event import StateReached
from ambientd.roles.keeper import Keeper, known_state
from ambientd.roles.worker import Worker
from tests.ledger.cluster import START_MS
from tests.ledger.test_marks import MARKED, cluster_of, finish, hand_back, mark_of, number_of
from tests.roles.stage import place, report

NOW = START_MS + 1_000
ZEROS = Digest(bytes(32))


def seen(gas: int) -> KnownState:
    name = Digest(sha256(b"state %d" % gas))
    return KnownState(TracePoint(gas, sha256(b"root %d" % gas)), name, 1000)


class Stage:
    """A task whose states may be handed on, and its worker."""

    def __init__(self) -> None:
        self.cluster = cluster_of()
        self.task = self.cluster.admit(**MARKED)
        self.take()

    def take(self) -> None:
        """Let the slot's present worker take it up."""
        self.number = number_of(self.cluster, self.task)
        self.start()

    def start(self, *said: Mark) -> list[RoleEffect]:
        """Start the worker anew with what its store has; give what it does beside executing."""
        self.worker = Worker(self.cluster.signer(self.number), b"nonce secret", said)
        self.place = place(self.cluster, self.task, 0)
        *others, execute = self.worker.resume(self.cluster.state, NOW)
        assert isinstance(execute, Execute)
        self.execute = execute
        return others

    def say(self, reached: StateReached) -> Mark | None:
        """Tell the worker of a state; give the mark that it says, which is kept before."""
        effects = self.worker.on_state(self.place, reached, self.cluster.state)
        if not effects:
            return None
        kept, said = effects
        assert isinstance(said, Propose)
        assert isinstance(said.body, Marked)
        assert kept == PersistMark(self.task, 0, said.body.mark)
        assert verify_mark(said.body.mark, self.cluster.id)
        return said.body.mark

    def reach(self, reached: StateReached) -> Mark | None:
        """Tell the worker of a state; give its mark once the log has it."""
        mark = self.say(reached)
        if mark is not None:
            self.bring(mark)
        return mark

    def bring(self, mark: Mark) -> list[RoleEffect]:
        """Bring a mark into the log, and tell the worker; give what it does."""
        self.cluster.block((self.number, Marked(mark=mark)))
        told = StateMarked(self.task, mark)
        return self.worker.on_ledger(told, self.cluster.state, NOW)

    def answer(self, start: Mark | None = None) -> Receipt:
        """Give what the worker signs of an execution that has ended."""
        told = report()
        object.__setattr__(told, "start", start)
        self.worker.on_report(self.place, told, ZEROS)
        self.worker.seal(NOW)
        (work,) = self.worker._works.values()
        assert work.receipt is not None
        return work.receipt.receipt


def test_who_has_the_slot_next_goes_on_from_the_mark_and_names_it() -> None:
    stage = Stage()
    first = stage.reach(StateReached(stage.place, seen(1_000_000)))
    assert first is not None
    assert first.follows == FROM_BEGINNING
    hand_back(stage.cluster, stage.task)
    stage.take()
    assert stage.execute.marks == (first,)
    second = stage.reach(StateReached(stage.place, seen(2_000_000), first))
    assert second is not None
    assert second.follows == mark_hash(first)
    assert stage.cluster.state.marks(stage.task).marks == (first, second)


def test_who_could_not_have_the_state_says_that_all_is_its_own() -> None:
    for went_on in (True, False):
        stage = Stage()
        first = stage.reach(StateReached(stage.place, seen(1_000_000)))
        hand_back(stage.cluster, stage.task)
        stage.take()
        receipt = stage.answer(first if went_on else None)
        assert receipt.marks == ((first,) if went_on else ())
        assert isinstance(receipt.started_ms, GoneOn) is went_on


def test_a_worker_that_was_started_again_goes_on_from_its_own_mark_and_it_is_its_own_word() -> None:
    stage = Stage()
    own = stage.reach(StateReached(stage.place, seen(1_000_000)))
    stage.take()
    assert stage.execute.marks == (own,)
    later = stage.reach(StateReached(stage.place, seen(2_000_000), own))
    assert later is not None
    assert later.follows == FROM_BEGINNING
    assert stage.cluster.state.marks(stage.task).marks == (own, later)
    assert stage.answer(later).marks == ()


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
    for one, other in (keepers, reversed(keepers)):
        holders = (mark.worker, cluster.node(other))
        assert asked[one] == [FetchState(mark.state, mark.state_size_bytes, holders)]


def test_a_member_that_starts_again_asks_for_what_is_its_to_keep_and_gives_the_rest_back() -> None:
    stage = Stage()
    first = stage.reach(StateReached(stage.place, seen(1_000_000)))
    last = stage.reach(StateReached(stage.place, seen(2_000_000)))
    assert first is not None
    assert last is not None
    state = stage.cluster.state
    own, other = keepers_of(last, state)
    held = KeepStates(frozenset({first.state, last.state}))
    fetch = FetchState(last.state, last.state_size_bytes, (last.worker, other))
    keeper = Keeper(own)
    assert keeper.resume(state, ()) == [held, fetch]
    assert keeper.on_kept(known_state(last), state) == [DropStates((first.state,))]
    assert Keeper(last.worker).resume(state, (last,)) == [held]
    said = replace(last, state=Digest(sha256(b"on its way")))
    both = KeepStates(frozenset({first.state, last.state, said.state}))
    assert Keeper(last.worker).resume(state, (said,)) == [both]


def test_an_own_state_goes_when_a_newer_mark_is_in_the_log_and_the_last_one_with_its_task() -> None:
    stage = Stage()
    keeper = Keeper(stage.cluster.node(stage.number))
    marks = []
    for gas in (1_000_000, 2_000_000):
        reached = StateReached(stage.place, seen(gas))
        said = stage.worker.on_state(stage.place, reached, stage.cluster.state)
        assert keeper.on_reached(seen(gas), said) == []
        marks += [each.body.mark for each in said if isinstance(each, Propose)]  # type: ignore[union-attr]
    first, second = marks

    def told(mark: Mark) -> list[RoleEffect]:
        return keeper.on_ledger(StateMarked(stage.task, mark), stage.cluster.state)

    assert told(first) == [], "the second is on its way"
    assert told(second) == [DropStates((first.state,))]
    closed = TaskClosed(stage.task, TaskState.FINAL)
    assert keeper.on_ledger(closed, stage.cluster.state) == [DropStates((second.state,))]
    assert keeper.on_ledger(closed, stage.cluster.state) == []


class Shelf:
    """A member that keeps the states of a task, and the marks that it hears of."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.cluster = self.stage.cluster
        first = mark_of(self.cluster, self.stage.task, 1_000_000)
        (keeper, *_) = keepers_of(first, self.cluster.state)
        self.keeper = Keeper(keeper)
        self.first = first
        self.hear(first)
        self.have(first)

    def mark(self, attempt: int, gas: int) -> Mark:
        made = mark_of(self.cluster, self.stage.task, gas)
        return replace(made, attempt=attempt)

    def hear(self, mark: Mark) -> list[RoleEffect]:
        return self.keeper.on_ledger(StateMarked(mark.task, mark), self.cluster.state)

    def have(self, mark: Mark, **changes: object) -> list[RoleEffect]:
        return self.keeper.on_kept(replace(known_state(mark), **changes), self.cluster.state)


def fetches(effects: list[RoleEffect]) -> list[Digest]:
    return [each.digest for each in effects if isinstance(each, FetchState)]


def drops(effects: list[RoleEffect]) -> list[Digest]:
    return [name for each in effects if isinstance(each, DropStates) for name in each.digests]


def test_an_earlier_state_stays_until_a_later_one_is_here_and_is_what_its_mark_says() -> None:
    shelf = Shelf()
    later = shelf.mark(1, 2_000_000)
    heard = shelf.hear(later)
    assert fetches(heard) == [later.state]
    assert drops(heard) == [], "a mark alone is nothing to go on from"
    assert drops(shelf.have(later)) == [shelf.first.state]


def test_a_state_that_is_not_what_its_mark_says_drives_nothing_out_and_is_not_asked_for_again() -> (
    None
):
    for changes in (
        {"point": TracePoint(5, sha256(b"root"))},
        {"point": TracePoint(2_000_000, sha256(b"another"))},
        {"state_size_bytes": 999},
    ):
        shelf = Shelf()
        false = shelf.mark(1, 2_000_000)
        shelf.hear(false)
        effects = shelf.have(false, **changes)
        assert drops(effects) == [false.state]
        assert fetches(effects) == []
        assert drops(shelf.hear(shelf.mark(1, 3_000_000))) == [], "the first one is here still"


def test_a_true_mark_before_what_is_here_is_neither_fetched_nor_drives_that_out() -> None:
    """A mark at gas 1 is no lie, and would cost others all that was done before."""
    shelf = Shelf()
    effects = shelf.hear(shelf.mark(1, 1))
    assert effects == []


def test_of_one_attempt_only_the_last_mark_s_state_is_on_its_way() -> None:
    shelf = Shelf()
    first, second = shelf.mark(1, 2_000_000), shelf.mark(1, 3_000_000)
    assert fetches(shelf.hear(first)) == [first.state]
    effects = shelf.hear(second)
    assert drops(effects) == [first.state], "it is not here yet: nobody will want it"
    assert fetches(effects) == [second.state]


def test_where_a_later_attempt_s_mark_is_further_off_than_another_both_are_asked_for() -> None:
    """Who says that it is at the end, and gives nothing, keeps no honest state from anybody."""
    shelf = Shelf()
    lie, honest = shelf.mark(1, 9_000_000), shelf.mark(2, 2_000_000)
    assert fetches(shelf.hear(lie)) == [lie.state]
    assert fetches(shelf.hear(honest)) == [honest.state]
    assert drops(shelf.have(honest)) == [shelf.first.state]


def test_who_comes_to_sit_where_others_kept_states_asks_for_them() -> None:
    stage = Stage()
    mark = mark_of(stage.cluster, stage.task, 1_000_000)
    told, state = StateMarked(stage.task, mark), stage.cluster.state
    newcomer = Keeper(NodeId(bytes(32)))
    assert newcomer.on_ledger(told, state) == []
    newcomer._id = keepers_of(mark, state)[0]  # as if it had begun to sit
    began = EpochBegan(1, ())
    assert fetches(newcomer.on_ledger(began, state)) == [mark.state]
    assert newcomer.on_ledger(began, state) == [], "it is on its way"


def test_what_comes_after_its_task_has_ended_is_given_back() -> None:
    shelf = Shelf()
    later = shelf.mark(1, 2_000_000)
    shelf.hear(later)
    closed = TaskClosed(later.task, TaskState.FINAL)
    ended = shelf.keeper.on_ledger(closed, shelf.cluster.state)
    assert set(drops(ended)) == {shelf.first.state, later.state}
    assert drops(shelf.have(later)) == [later.state]


def test_a_state_that_is_not_marked_is_not_kept_and_one_that_two_tasks_name_stays_for_both() -> (
    None
):
    shelf = Shelf()
    keeper, state = shelf.keeper, shelf.cluster.state
    unsaid = seen(5)
    assert keeper.on_reached(unsaid, []) == [DropStates((unsaid.state,))]
    assert keeper.on_kept(unsaid, state) == [DropStates((unsaid.state,))]
    assert keeper.on_reached(known_state(shelf.first), []) == [], "it is of use for a mark"
    other = replace(shelf.first, task=TaskId(bytes(32)))
    shelf.hear(other)
    assert shelf.have(other) == []
    ended = (TaskClosed(each.task, TaskState.FINAL) for each in (shelf.first, other))
    effects = [keeper.on_ledger(event, state) for event in ended]
    assert effects == [[], [DropStates((shelf.first.state,))]]


def test_who_stops_between_a_mark_from_the_beginning_and_the_log_goes_on_from_either() -> None:
    """Once the older one was gone from the log when the new one came, and the slot was lost."""
    for is_own in (True, False):
        stage = Stage()
        first = stage.reach(StateReached(stage.place, seen(1_000_000)))
        hand_back(stage.cluster, stage.task)
        stage.take()
        assert stage.execute.marks == (first,), "its state could not be had in time"
        anew = stage.say(StateReached(stage.place, seen(500_000)))
        assert anew is not None
        assert stage.start(anew) == [Propose(Marked(mark=anew))]
        assert stage.execute.marks == (first, anew)
        assert stage.bring(anew) == []
        receipt = stage.answer(anew if is_own else first)
        assert receipt.marks == (() if is_own else (first,))
        assert stage.cluster.state.marks(stage.task).before(receipt.attempt) == (first,)


def test_who_stops_between_a_mark_that_follows_one_and_the_log_repeats_nothing() -> None:
    stage = Stage()
    first = stage.reach(StateReached(stage.place, seen(1_000_000)))
    hand_back(stage.cluster, stage.task)
    stage.take()
    own = stage.say(StateReached(stage.place, seen(2_000_000), first))
    assert own is not None
    assert stage.start(own) == [Propose(Marked(mark=own))]
    assert stage.execute.marks == (own, first)
    assert stage.bring(own) == []
    assert stage.start(own) == [], "the log has it"
    assert stage.execute.marks == (own, first)
    assert stage.answer(own).marks == (first,)


def test_who_has_lost_its_store_and_goes_on_from_an_older_mark_has_its_answer_taken() -> None:
    stage = Stage()
    first = stage.reach(StateReached(stage.place, seen(1_000_000)))
    assert first is not None
    hand_back(stage.cluster, stage.task)
    stage.take()
    anew = stage.say(StateReached(stage.place, seen(500_000)))
    assert anew is not None
    assert stage.start() == []
    receipt = stage.answer(first)
    assert stage.bring(anew) == []
    signed = sign_receipt(stage.cluster.signer(stage.number), receipt)
    assert finish(stage.cluster, stage.task, signed) == []


def test_a_mark_is_forgotten_when_its_slot_is_out_of_hand() -> None:
    stage = Stage()
    own = stage.reach(StateReached(stage.place, seen(1_000_000)))
    assert own is not None
    assert stage.worker.said == (own,)
    number = stage.number
    hand_back(stage.cluster, stage.task)
    late = Worker(stage.cluster.signer(number), b"nonce secret", (own,))
    assert late.resume(stage.cluster.state, NOW) == [PersistMark(stage.task, 0, None)]
    assert late.said == ()


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
