"""The committee's seats: who may speak, what is due, and what an epoch's beginning changes."""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ambientd.codec.digest import sha256
from ambientd.ledger.events import EpochBegan, EpochDue, LedgerEvent
from ambientd.model.base import Digest
from ambientd.model.record import Body, Epoch, SeatAsked, SeatVote, SeatWish
from ambientd.model.task import Assurance, TaskState
from ambientd.rules.committees import seats_fault
from ambientd.rules.verdicts import quorum
from tests.ledger.cluster import TestCluster, rejections, result


def with_guests(members: int = 4, guests: int = 3) -> TestCluster:
    cluster = TestCluster(members)
    for number in range(guests):
        cluster.block(cluster.join(members + number, invite=900 + number))
    return cluster


def asked(number: int, at: int = 1, bond_msat: int = 0) -> tuple[int, SeatAsked]:
    tip = sha256(b"new tip %d %d" % (number, at))
    return number, SeatAsked(beacon_tip=tip, bond_msat=bond_msat, asked_ms=at)


def said(
    cluster: TestCluster, by: int, node: int, wish: SeatWish, at: int = 1
) -> tuple[int, SeatVote]:
    return by, SeatVote(node=cluster.node(node), wish=wish, said_ms=at)


def decide(
    cluster: TestCluster, node: int, wish: SeatWish, by: range = range(3), at: int = 1
) -> list[LedgerEvent]:
    return cluster.block(*(said(cluster, member, node, wish, at) for member in by))


def stop(cluster: TestCluster) -> list[LedgerEvent]:
    """End the epoch as the log does."""
    due = cluster.state.epoch_due
    assert due is not None
    return cluster.block((0, due))


def test_a_quorum_lets_in_who_has_asked_and_the_next_epoch_seats_it() -> None:
    cluster = with_guests()
    cluster.block(asked(4))
    decide(cluster, 4, SeatWish.IN, range(2))
    assert cluster.state.epoch_due is None
    [*_, due] = cluster.block(said(cluster, 2, 4, SeatWish.IN))
    assert isinstance(due, EpochDue)
    assert set(due.members) == {cluster.node(n) for n in range(5)}
    assert len(cluster.state.members) == 4
    began = stop(cluster)
    assert began == [EpochBegan(2, due.members)]
    assert cluster.state.members == due.members
    assert cluster.state.epoch_due is None
    entry = cluster.state.node(cluster.node(4))
    assert entry is not None
    assert entry.is_member


def test_who_has_not_asked_gets_no_seat() -> None:
    cluster = with_guests()
    decide(cluster, 4, SeatWish.IN)
    assert cluster.state.epoch_due is None
    cluster.block(asked(4))
    assert cluster.state.epoch_due is not None


def test_guests_say_nothing_about_the_seats_of_others() -> None:
    cluster = with_guests()
    cluster.block(asked(4))
    [reason] = rejections(cluster.block(said(cluster, 5, 4, SeatWish.IN)))
    assert "only committee members" in reason
    [reason] = rejections(cluster.block(said(cluster, 4, 4, SeatWish.IN)))
    assert "nobody lets itself in" in reason


def test_a_member_leaves_by_its_own_word_and_others_only_by_a_quorum() -> None:
    cluster = TestCluster()
    decide(cluster, 3, SeatWish.OUT, range(2))
    assert cluster.state.epoch_due is None
    cluster.block(said(cluster, 1, 1, SeatWish.OUT, at=2))
    due = cluster.state.epoch_due
    assert due is not None
    assert set(due.members) == {cluster.node(n) for n in (0, 2, 3)}


def test_the_last_word_counts_and_an_old_one_does_not_come_back() -> None:
    cluster = with_guests()
    decide(cluster, 4, SeatWish.IN)
    cluster.block(said(cluster, 0, 4, SeatWish.OUT, at=2))
    [reason] = rejections(cluster.block(said(cluster, 0, 4, SeatWish.IN, at=1)))
    assert "has spoken since" in reason
    cluster.block(asked(4))
    assert cluster.state.epoch_due is None


def test_who_comes_instead_takes_the_seat_of_the_lowest_if_it_stands_higher() -> None:
    cluster = with_guests()
    cluster.block(asked(4))
    decide(cluster, 4, SeatWish.INSTEAD)
    assert cluster.state.epoch_due is None  # its bond is nothing, theirs is not
    [reason] = rejections(cluster.block(asked(4, at=2, bond_msat=1)))
    assert "does not cover" in reason
    cluster.block(said(cluster, 2, 2, SeatWish.OUT, at=2))
    due = cluster.state.epoch_due
    assert due is not None  # a seat that is given back is free for whoever a quorum lets in
    assert set(due.members) == {cluster.node(n) for n in (0, 1, 3, 4)}


def test_who_stands_higher_takes_the_seat_of_the_lowest() -> None:
    cluster = TestCluster()
    cluster.block(said(cluster, 3, 3, SeatWish.OUT))
    stop(cluster)
    cluster.block(asked(3, bond_msat=500_000_000))
    decide(cluster, 3, SeatWish.INSTEAD)
    due = cluster.state.epoch_due
    assert due is not None
    lowest = min(cluster.node(n) for n in range(3))  # all three stand alike
    assert set(due.members) == {cluster.node(n) for n in range(4)} - {lowest}


def test_a_member_that_left_comes_back_with_a_new_tip_only() -> None:
    cluster = TestCluster()
    cluster.block(said(cluster, 3, 3, SeatWish.OUT))
    stop(cluster)
    old = cluster.genesis.members[3].beacon_tip
    again = SeatAsked(beacon_tip=old, bond_msat=0, asked_ms=5)
    [reason] = rejections(cluster.block((3, again)))
    assert "new beacon tip" in reason
    cluster.block(asked(3, at=5))
    decide(cluster, 3, SeatWish.IN, range(3))
    due = cluster.state.epoch_due
    assert due is not None
    place = due.members.index(cluster.node(3))
    assert due.beacon_tips[place] == asked(3, at=5)[1].beacon_tip


def test_who_stays_keeps_its_tip_and_the_seed_is_new() -> None:
    cluster = with_guests()
    cluster.block(asked(4))
    before = cluster.state.epoch
    decide(cluster, 4, SeatWish.IN)
    due = cluster.state.epoch_due
    assert due is not None
    assert due.seed != before.seed
    tips = dict(zip(due.members, due.beacon_tips, strict=True))
    assert all(tips[m] == tip for m, tip in zip(before.members, before.beacon_tips, strict=True))


def test_a_bond_is_taken_from_the_balance() -> None:
    cluster = TestCluster()
    cluster.block(said(cluster, 3, 3, SeatWish.OUT))
    stop(cluster)
    node = cluster.node(3)
    before = cluster.state.balance_msat(node)
    entry = cluster.state.node(node)
    assert entry is not None
    cluster.block(asked(3, bond_msat=7))
    after = cluster.state.node(node)
    assert after is not None
    assert cluster.state.balance_msat(node) == before - 7
    assert after.bond_msat == entry.bond_msat + 7


def test_one_member_that_speaks_on_every_node_gives_the_others_nothing_to_look_at() -> None:
    cluster = with_guests()
    cluster.block(*(said(cluster, 0, node, SeatWish.IN, at=1 + node) for node in range(7)))
    assert len(cluster.state.seats(1)) == 7
    assert cluster.state.seats(quorum(4)) == set()
    cluster.block(asked(4))
    decide(cluster, 4, SeatWish.IN, range(1, 3))
    assert cluster.state.epoch_due is not None
    assert cluster.state.seats(quorum(4)) == {cluster.node(4)}


def test_what_is_due_stays_due_whatever_is_said_meanwhile() -> None:
    cluster = with_guests()
    cluster.block(asked(4))
    decide(cluster, 4, SeatWish.IN)
    due = cluster.state.epoch_due
    decide(cluster, 4, SeatWish.OUT, at=2)
    [reason] = rejections(cluster.block(asked(4, at=3)))
    assert "gets its seat" in reason
    assert cluster.state.epoch_due == due


def test_an_epoch_of_another_number_changes_nothing() -> None:
    cluster = with_guests()
    body = Epoch(
        number=3,
        members=(cluster.node(4),),
        seed=Digest(bytes(32)),
        beacon_tips=(bytes(32),),
    )
    [reason] = rejections(cluster.block((0, body)))
    assert "does not follow" in reason
    assert len(cluster.state.members) == 4


def test_the_new_committee_alone_decides_what_is_disputed() -> None:
    cluster = with_guests()
    cluster.block(asked(4))
    task = cluster.admit(assurance=Assurance.REPLICATED)
    cluster.work(task, {1: result(b"lie")})
    assert cluster.task(task).state is TaskState.DISPUTED
    cluster.block(cluster.finding(task, 0, result()), cluster.finding(task, 3, result()))
    cluster.block(said(cluster, 3, 3, SeatWish.OUT))
    stop(cluster)
    assert [v.referee for v in cluster.task(task).verdicts] == [cluster.node(0)]
    cluster.block(cluster.finding(task, 1, result()))
    assert cluster.task(task).state is TaskState.FINAL  # two of three are a quorum


@dataclass
class Seats:
    """Draws what nodes say about seats; stops come when they are due, or much later."""

    data: st.DataObject
    cluster: TestCluster
    clock: int = 0
    tips: set[bytes] = field(default_factory=set)

    def record(self) -> tuple[int, Body]:
        draw = self.data.draw
        author, node = draw(st.integers(0, 8)), draw(st.integers(0, 8))
        self.clock += draw(st.integers(-1, 2))
        if draw(st.integers(0, 3)) == 0:
            tip = sha256(b"tip %d" % draw(st.integers(0, 20)))
            bond = draw(st.integers(0, 10**8))
            return author, SeatAsked(beacon_tip=tip, bond_msat=bond, asked_ms=max(0, self.clock))
        wish = draw(st.sampled_from(SeatWish))
        said_ms = max(0, self.clock)
        return author, SeatVote(node=self.cluster.node(node), wish=wish, said_ms=said_ms)

    def step(self) -> None:
        state = self.cluster.state
        before, due = state.epoch, state.epoch_due
        if due is not None and self.data.draw(st.booleans()):
            self.cluster.leap((0, due))
            assert state.epoch == due
            assert state.epoch_due is None or state.epoch_due.number == due.number + 1
            return
        self.cluster.leap(*(self.record() for _ in range(self.data.draw(st.integers(1, 6)))))
        assert state.epoch == before
        self.check(before, due)

    def check(self, present: Epoch, before: Epoch | None) -> None:
        state, due = self.cluster.state, self.cluster.state.epoch_due
        if before is not None:
            assert due == before, "what is due stays due"
        if due is None:
            return
        assert due.number == present.number + 1
        assert seats_fault(present.members, due.members) is None
        assert list(due.members) == sorted(set(due.members))
        assert due.members
        kept = dict(zip(present.members, present.beacon_tips, strict=True))
        for node, tip in zip(due.members, due.beacon_tips, strict=True):
            if node in kept:
                assert tip == kept[node], "who stays keeps its tip"
            else:
                assert tip not in self.tips, "no chain begins twice"
                seat = state.seat(node)
                assert seat is not None
                assert seat.is_asking
                if before is None:
                    inward = [w for w in seat.words if w.wish is not SeatWish.OUT]
                    votes = {w.member for w in inward} & set(present.members)
                    assert len(votes) >= quorum(len(present.members))
        if before is None:
            self.tips |= set(present.beacon_tips)


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow],
)
@given(st.data(), st.sampled_from([1, 3, 4, 7]))
def test_whatever_is_said_epochs_follow_one_another_lawfully(
    data: st.DataObject, members: int
) -> None:
    seats = Seats(data, with_guests(members, 9 - members))
    for _ in range(data.draw(st.integers(1, 25))):
        seats.step()
    again = seats.cluster.restarted()
    assert again.items() == seats.cluster.state.items()
    assert again.epoch == seats.cluster.state.epoch
    for least in range(members + 2):
        assert again.seats(least) == seats.cluster.state.seats(least)


def test_what_was_said_before_a_seat_changed_cannot_be_brought_back() -> None:
    cluster = with_guests()
    cluster.block(asked(4))
    let_in = [said(cluster, member, 4, SeatWish.IN, at=1) for member in range(3)]
    cluster.block(*let_in)
    stop(cluster)
    decide(cluster, 4, SeatWish.OUT, range(4), at=2)
    stop(cluster)
    cluster.block(asked(4, at=3))
    reasons = rejections(cluster.block(*let_in))
    assert cluster.state.epoch_due is None, "older words let a node in that a quorum has put out"
    assert all("has spoken since" in reason for reason in reasons)
    assert len(reasons) == 3


def test_nobody_makes_a_node_leave_with_an_older_word_of_its_own() -> None:
    cluster = with_guests()
    left = said(cluster, 3, 3, SeatWish.OUT, at=1)
    cluster.block(left)
    stop(cluster)
    cluster.block(asked(3, at=2))
    assert rejections(cluster.block(left)), "its request would be taken back"
    decide(cluster, 3, SeatWish.IN, at=2)
    stop(cluster)
    assert cluster.node(3) in cluster.state.members
    assert rejections(cluster.block(left))
    assert cluster.state.epoch_due is None
