"""Accounts: who may move money, when a bond comes back, and that nothing is made or lost."""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import sign_record, task_id
from ambientd.ledger.admission import is_admissible
from ambientd.ledger.events import (
    BondAskedBack,
    BondRaised,
    BondReturned,
    LedgerEvent,
    LiarNamed,
    Transferred,
)
from ambientd.model.base import NodeId, TaskId
from ambientd.model.genesis import Rules
from ambientd.model.record import (
    Admit,
    Body,
    Bond,
    Fraud,
    SeatAsked,
    SeatVote,
    SeatWish,
    Transfer,
    Unbond,
)
from ambientd.model.task import TaskState
from tests.ledger.cluster import (
    BOND_MSAT,
    GRANT_MSAT,
    TestCluster,
    rejections,
    result,
    spec,
)

KEEP_MS = 20_000
RULES = Rules(keep_ms=KEEP_MS)
GUEST, OTHER = 10, 11


def with_guests() -> TestCluster:
    """Two guests beside the members, the first one with means and a bond."""
    cluster = TestCluster(rules=RULES)
    cluster.block(cluster.join(GUEST, invite=900), cluster.join(OTHER, invite=901))
    cluster.block((0, Transfer(to=cluster.node(GUEST), amount_msat=10_000, said_ms=1)))
    cluster.block((GUEST, Bond(amount_msat=6_000, said_ms=1)))
    return cluster


def admit(cluster: TestCluster, submitter: int = 0, nonce: bytes = b"n") -> TaskId:
    """Bring a task in, which a cluster that forgets soon takes only when it is dated so."""
    until_ms = cluster.time_ms + KEEP_MS
    cluster.block((submitter, Admit(nonce=nonce, spec=spec(), until_ms=until_ms)))
    return task_id(cluster.node(submitter), nonce, spec())


def sums(cluster: TestCluster, number: int) -> tuple[int, int, int]:
    """Give a node's balance, its bond, and what waits of it."""
    node = cluster.node(number)
    entry = cluster.state.node(node)
    assert entry is not None
    waiting_msat = cluster.state.moves(node).waiting_msat
    return cluster.state.balance_msat(node), entry.bond_msat, waiting_msat


def convict(cluster: TestCluster, number: int) -> list[LedgerEvent]:
    """Let a node be proven to have said two things."""
    task = admit(cluster, nonce=b"for evidence %d" % number)
    pair = [cluster.verdict(task, number, result(answer)) for answer in (b"one", b"two")]
    first, second = (encode(each) for each in pair)
    body = Fraud(culprit=cluster.node(number), kind="verdict", first=first, second=second)
    return cluster.block((0, body))


def working_on(cluster: TestCluster, number: int) -> TaskId:
    """Let tasks be admitted until a node has a slot of one."""
    for nonce in range(100):
        task = admit(cluster, nonce=b"%d" % nonce)
        if any(slot.worker == cluster.node(number) for slot in cluster.task(task).slots):
            return task
        cluster.work(task)
    raise AssertionError("the node gets no work")


def test_credits_are_passed_on() -> None:
    cluster = TestCluster()
    body = Transfer(to=cluster.node(1), amount_msat=GRANT_MSAT, said_ms=7)
    assert cluster.block((0, body)) == [
        Transferred(cluster.node(0), cluster.node(1), GRANT_MSAT, 7)
    ]
    assert sums(cluster, 0) == (0, BOND_MSAT, 0)
    assert sums(cluster, 1) == (2 * GRANT_MSAT, BOND_MSAT, 0)


def test_a_guest_that_was_given_credits_bonds_and_submits() -> None:
    cluster = with_guests()
    assert sums(cluster, GUEST) == (4_000, 6_000, 0)
    task = admit(cluster, GUEST)
    assert cluster.task(task).escrow_msat == 3_000
    assert cluster.block((GUEST, Bond(amount_msat=1_000, said_ms=2))) == [
        BondRaised(cluster.node(GUEST), 1_000, 2)
    ]
    assert sums(cluster, GUEST) == (0, 7_000, 0)


def test_a_bond_comes_back_when_it_has_waited_and_not_a_moment_earlier() -> None:
    cluster = with_guests()
    asked = cluster.block((GUEST, Unbond(amount_msat=5_000, said_ms=2)))
    due_ms = cluster.time_ms + KEEP_MS
    assert asked == [BondAskedBack(cluster.node(GUEST), 5_000, due_ms, 2)]
    assert sums(cluster, GUEST) == (4_000, 1_000, 5_000)
    assert cluster.block(after_ms=KEEP_MS - 1) == []
    assert cluster.block(after_ms=1) == [BondReturned(cluster.node(GUEST), 5_000)]
    assert sums(cluster, GUEST) == (9_000, 1_000, 0)
    assert cluster.block(after_ms=2 * KEEP_MS) == []


def test_what_waits_waits_anew_when_more_is_asked_back() -> None:
    cluster = with_guests()
    cluster.block((GUEST, Unbond(amount_msat=1_000, said_ms=2)))
    cluster.block((GUEST, Unbond(amount_msat=2_000, said_ms=3)), after_ms=KEEP_MS - 1)
    assert cluster.block(after_ms=KEEP_MS - 1) == []
    assert cluster.block(after_ms=1) == [BondReturned(cluster.node(GUEST), 3_000)]


def test_a_bond_that_waits_counts_for_nothing_and_is_lost_with_the_rest() -> None:
    cluster = with_guests()
    cluster.block((GUEST, Unbond(amount_msat=5_000, said_ms=2)))
    pool = cluster.state.meta.fee_pool_msat
    task = working_on(cluster, GUEST)
    [slot] = [s.slot for s in cluster.task(task).slots if s.worker == cluster.node(GUEST)]
    cluster.work(task, {slot: result(b"a lie")})
    assert cluster.block(after_ms=KEEP_MS - 1_000) == []
    findings = [cluster.finding(task, referee, result()) for referee in range(3)]
    [named] = [each for each in cluster.block(*findings) if isinstance(each, LiarNamed)]
    assert named.bond_lost_msat == 6_000
    assert cluster.state.meta.fee_pool_msat == pool + 6_000
    balance, bond, waiting = sums(cluster, GUEST)
    assert (bond, waiting) == (0, 0)
    assert not [e for e in cluster.block(after_ms=KEEP_MS) if isinstance(e, BondReturned)]
    assert sums(cluster, GUEST) == (balance, 0, 0)


def test_a_bond_stays_while_its_owner_has_a_lease_or_a_dispute() -> None:
    cluster = TestCluster(rules=replace(RULES, lease_ms=10**8, dispute_ms=10**8))
    cluster.block(cluster.join(GUEST))
    cluster.block((0, Transfer(to=cluster.node(GUEST), amount_msat=10_000, said_ms=1)))
    cluster.block((GUEST, Bond(amount_msat=6_000, said_ms=1)))
    cluster.block((GUEST, Unbond(amount_msat=6_000, said_ms=2)))
    task = working_on(cluster, GUEST)
    cluster.block(after_ms=2 * KEEP_MS)
    assert sums(cluster, GUEST)[2] == 6_000, "the lease is open"
    [other] = [s.slot for s in cluster.task(task).slots if s.worker != cluster.node(GUEST)]
    cluster.work(task, {other: result(b"a lie")})
    assert cluster.task(task).state is TaskState.DISPUTED
    cluster.block(after_ms=KEEP_MS)
    assert sums(cluster, GUEST)[2] == 6_000, "the dispute is open"
    cluster.block(*(cluster.finding(task, referee, result()) for referee in range(3)))
    assert cluster.task(task).state is TaskState.FINAL
    assert cluster.block() == [BondReturned(cluster.node(GUEST), 6_000)]


def seated(cluster: TestCluster, number: int) -> None:
    """Let a quorum give a node a seat."""
    tip = sha256(b"tip of %d" % number)
    cluster.block((number, SeatAsked(beacon_tip=tip, bond_msat=0, asked_ms=1)))
    wish = SeatVote(node=cluster.node(number), wish=SeatWish.IN, said_ms=1)
    cluster.block(*((member, wish) for member in range(3)))
    due = cluster.state.epoch_due
    assert due is not None
    cluster.block((0, due))
    assert cluster.node(number) in cluster.state.members


def test_a_bond_that_waits_stays_with_a_seat_and_waits_anew_when_that_is_left() -> None:
    cluster = with_guests()
    cluster.block((GUEST, Unbond(amount_msat=5_000, said_ms=2)))
    seated(cluster, GUEST)
    assert cluster.block(after_ms=2 * KEEP_MS) == []
    cluster.block((GUEST, SeatVote(node=cluster.node(GUEST), wish=SeatWish.OUT, said_ms=2)))
    due = cluster.state.epoch_due
    assert due is not None
    cluster.block((0, due))
    assert cluster.block(after_ms=KEEP_MS - 1) == []
    assert cluster.block(after_ms=1) == [BondReturned(cluster.node(GUEST), 5_000)]


def test_more_bonds_than_a_block_looks_at_come_back_in_the_next() -> None:
    cluster = TestCluster(rules=RULES)
    guests = range(100, 170)
    for number in guests:
        cluster.block(cluster.join(number, invite=1_000 + number))
        gift = Transfer(to=cluster.node(number), amount_msat=5, said_ms=number)
        cluster.block((0, gift), (number, Bond(amount_msat=5, said_ms=1)))
    cluster.block(*((number, Unbond(amount_msat=5, said_ms=2)) for number in guests))
    returned = [len(cluster.block(after_ms=each)) for each in (KEEP_MS, 1, 1)]
    assert returned == [64, 6, 0]
    assert all(sums(cluster, number) == (5, 0, 0) for number in guests)


def test_what_an_owner_says_counts_once_and_in_its_order() -> None:
    cluster = with_guests()
    gift = Transfer(to=cluster.node(OTHER), amount_msat=1, said_ms=5)
    signed = sign_record(cluster.signer(GUEST), gift)
    cluster.apply([signed])
    for late in (signed, sign_record(cluster.signer(GUEST), replace(gift, said_ms=4))):
        assert rejections(cluster.apply([late])) == ["the account has been moved since"]
    assert sums(cluster, OTHER) == (1, 0, 0)


@pytest.mark.parametrize("kind", [Transfer, Bond, Unbond])
@pytest.mark.parametrize(
    ("author", "amount_msat", "said_ms", "reason"),
    [
        (77, 1, 9, "only nodes that were never convicted"),
        (OTHER, 1, 9, "less than 1 msat"),
        (GUEST, 6_001, 9, "less than 6001 msat"),
        (GUEST, 2**53 - 1, 9, "less than 9007199254740991 msat"),
        (GUEST, 0, 9, "an amount of nothing"),
        (GUEST, 1, 1, "moved since"),
        (3, 1, 9, "only nodes that were never convicted"),
    ],
)
def test_who_cannot_move_so_much_moves_nothing(
    kind: type[Body], author: int, amount_msat: int, said_ms: int, reason: str
) -> None:
    cluster = with_guests()
    convict(cluster, 3)
    cluster.block()  # which ends the convict's leases
    to = {"to": cluster.node(1)} if kind is Transfer else {}
    before = dict(cluster.state.items())
    body = kind(amount_msat=amount_msat, said_ms=said_ms, **to)
    [said] = rejections(cluster.block((author, body)))
    assert reason in said
    changed = {key for key, entry in cluster.state.items().items() if before.get(key) != entry}
    assert {key[0] for key in changed} <= {0, 12}, "the clock and the beacon alone"


@pytest.mark.parametrize(
    ("to", "reason"),
    [(77, "no known node"), (3, "was convicted"), (GUEST, "the recipient is the author")],
)
def test_credits_go_to_other_nodes_in_good_standing_alone(to: int, reason: str) -> None:
    cluster = with_guests()
    convict(cluster, 3)
    body = Transfer(to=cluster.node(to), amount_msat=1, said_ms=9)
    [said] = rejections(cluster.block((GUEST, body)))
    assert reason in said


def test_who_sits_or_asks_for_a_seat_asks_nothing_back() -> None:
    cluster = with_guests()
    wants_back = Unbond(amount_msat=1, said_ms=9)
    [said] = rejections(cluster.block((0, wants_back)))
    assert "has a seat" in said
    asks = SeatAsked(beacon_tip=sha256(b"a tip"), bond_msat=0, asked_ms=1)
    [said] = rejections(cluster.block((GUEST, asks), (GUEST, wants_back)))
    assert "asks for a seat" in said
    wish = SeatVote(node=cluster.node(GUEST), wish=SeatWish.IN, said_ms=1)
    cluster.block(*((member, wish) for member in range(3)))
    [said] = rejections(cluster.block((GUEST, wants_back)))
    assert "has a seat" in said


def test_a_recipient_that_is_no_key_is_not_admissible() -> None:
    cluster = TestCluster()
    body = Transfer(to=NodeId(b"short"), amount_msat=1, said_ms=1)
    assert not is_admissible(encode(sign_record(cluster.signer(0), body)), cluster.id)


@dataclass
class Accounts:
    """Draws what owners say of their money, amid tasks, lies and seats."""

    data: st.DataObject
    cluster: TestCluster = field(default_factory=with_guests)
    asked: dict[NodeId, int] = field(default_factory=dict)
    nonces: int = 0

    def record(self) -> tuple[int, Body]:
        pick = self.data.draw
        author = pick(st.sampled_from([0, 1, 3, GUEST, OTHER, 77]))
        amount = pick(st.sampled_from([0, 1, 500, 4_000, GRANT_MSAT]))
        said_ms = pick(st.integers(0, 40))
        match pick(st.integers(0, 6)):
            case 0 | 1:
                to = self.cluster.node(pick(st.sampled_from([1, 3, GUEST, OTHER, 77])))
                return author, Transfer(to=to, amount_msat=amount, said_ms=said_ms)
            case 2:
                return author, Bond(amount_msat=amount, said_ms=said_ms)
            case 3 | 4:
                return author, Unbond(amount_msat=amount, said_ms=said_ms)
            case 5:
                wish = pick(st.sampled_from(SeatWish))
                return author, SeatVote(node=self.cluster.node(author), wish=wish, said_ms=said_ms)
            case _:
                self.nonces += 1
                until_ms = self.cluster.time_ms + KEEP_MS
                return author, Admit(nonce=b"%d" % self.nonces, spec=spec(), until_ms=until_ms)

    def step(self) -> None:
        cluster = self.cluster
        records = [self.record() for _ in range(self.data.draw(st.integers(0, 4)))]
        if self.data.draw(st.integers(0, 12)) == 0:
            convict(cluster, self.data.draw(st.sampled_from([3, GUEST])))
        due = cluster.state.epoch_due
        if due is not None:
            records.append((0, due))
        # TestCluster.apply checks that money is conserved and that replicas agree.
        self.check(
            cluster.leap(*records, after_ms=self.data.draw(st.sampled_from([0, 100, 9_000])))
        )

    def check(self, events: list[LedgerEvent]) -> None:
        state, now = self.cluster.state, self.cluster.time_ms
        for event in events:
            if isinstance(event, BondAskedBack):
                self.asked[event.node] = now
            elif isinstance(event, BondReturned):
                assert now >= self.asked.pop(event.node) + KEEP_MS, "a bond came back early"
                assert event.amount_msat > 0
        waiting = {node for node in state.nodes() if state.moves(node).waiting_msat}
        convicted = {node for node in state.nodes() if state.node(node).tombstoned}  # type: ignore[union-attr]
        assert waiting == set(self.asked) - convicted
        assert all(state.balance_msat(node) >= 0 for node in state.nodes())
        assert all(state.node(node).bond_msat >= 0 for node in state.nodes())  # type: ignore[union-attr]
        assert set(state.bonds_due(10**18, 0, 10**6)) == waiting


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow],
)
@given(st.data())
def test_whatever_owners_say_no_money_is_made_and_no_bond_comes_back_early(
    data: st.DataObject,
) -> None:
    accounts = Accounts(data)
    for _ in range(data.draw(st.integers(1, 25))):
        accounts.step()
    again = accounts.cluster.restarted()
    assert again.items() == accounts.cluster.state.items()
    assert again.bonds_due(10**18, 0, 10**6) == accounts.cluster.state.bonds_due(10**18, 0, 10**6)
