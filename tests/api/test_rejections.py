"""A rejection is of one record: of those that an owner gave up waiting for, it stops no other."""

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from ambientd.api.accounts import Accounts
from ambientd.api.deciding import DEADLINE_S, outcome_of
from ambientd.api.operations import OperationError
from ambientd.api.peg_values import Withdraw
from ambientd.api.pegging import Pegging
from ambientd.api.requests import AskForSeat, TransferCredits, VoteOnSeat
from ambientd.api.seating import Seating
from ambientd.ledger.events import RecordRejected
from ambientd.ledger.rejections import is_rejection_of, rejection_of
from ambientd.model.base import NodeId, TaskId
from ambientd.model.record import (
    Body,
    Bond,
    Cancel,
    PegFee,
    Publish,
    SeatAsked,
    Transfer,
    Unbond,
    Yank,
)
from ambientd.node.effect import Told
from ambientd.node.event import BodiesProposed
from ambientd.node.outdated import looking_on
from ambientd.runtime.news import News
from tests.api.test_pegging import ELSEWHERE, Chain, Pump, opened
from tests.ledger.cluster import TestCluster
from tests.ledger.test_seats import with_guests


class Late(Pump):
    """Tells first that a record which its owner proposed long ago was rejected."""

    async def post(self, event: BodiesProposed) -> None:
        own = NodeId(self.cluster.signer(1).public_key)
        earlier = rejection_of(own, another(event.bodies[0]), "too little")
        self.news.tell(Told(earlier, 1, 0))
        await super().post(event)


def another(body: Body) -> Body:
    """Give what differs from a body in one word."""
    match body:
        case SeatAsked():
            return replace(body, bond_msat=body.bond_msat + 1)
        case Publish():
            return replace(body, version="9.9.9")
        case _:
            return replace(body, said_ms=3)


def parts_of(cluster: TestCluster) -> Any:
    news = News()
    return SimpleNamespace(
        node=SimpleNamespace(ledger=cluster.state),
        news=news,
        pump=Late(cluster, 1, news),
        peg=Chain(),
        now=lambda: cluster.time_ms,
    )


async def test_a_move_that_is_taken_is_not_told_of_as_rejected() -> None:
    cluster = opened()
    cluster.fund(1, 400_000)
    parts = parts_of(cluster)
    desk = Pegging(cluster.signer(1), parts)
    paid = await desk.withdraw(Withdraw(address=ELSEWHERE, amount_sat=150_000, fee_sat=700))
    assert paid.payment == 1
    accounts = Accounts(cluster.signer(1), parts)
    to = cluster.signer(2).public_key.hex()
    assert (await accounts.transfer(TransferCredits(to=to, amount_msat=5))).amount_msat == 5


async def test_its_own_rejection_a_move_hears() -> None:
    cluster = opened()
    accounts = Accounts(cluster.signer(1), parts_of(cluster))
    to = cluster.signer(2).public_key.hex()
    with pytest.raises(OperationError, match="nothing was moved") as refused:
        await accounts.transfer(TransferCredits(to=to, amount_msat=10**15))
    assert refused.value.code == "rejected"
    assert "too little" not in str(refused.value)


async def test_a_vote_that_is_taken_is_not_told_of_as_rejected() -> None:
    cluster = TestCluster()
    seating = Seating(cluster.signer(1), lambda _: bytes(32), parts_of(cluster))
    said = await seating.vote(VoteOnSeat(node=cluster.signer(2).public_key.hex(), wish="out"))
    assert said.wish == "out"


async def test_a_seat_that_is_granted_is_not_told_of_as_rejected() -> None:
    cluster = with_guests(members=1, guests=1)
    seating = Seating(cluster.signer(1), lambda _: bytes(32), parts_of(cluster))
    assert (await seating.ask(AskForSeat(bond_msat=0))).wish == "in"


async def test_a_node_that_only_looks_on_says_at_once_why_it_takes_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cluster = TestCluster()
    own = NodeId(cluster.signer(1).public_key)
    parts = parts_of(cluster)

    class LooksOn:
        async def post(self, event: BodiesProposed) -> None:
            for each in looking_on(event, cluster.state, own, "its program is too old"):
                assert isinstance(each, Told)
                parts.news.tell(each)

    parts.pump = LooksOn()
    for body in every_kind():
        event = await outcome_of(parts, own, body, lambda _: False)
        assert isinstance(event, RecordRejected), body
        assert event.reason == "its program is too old"
    assert trio.current_time() < DEADLINE_S


async def test_a_move_that_none_heard_of_is_not_told_of_as_done_for_a_later_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cluster = opened()
    cluster.fund(1, 400_000)
    parts = parts_of(cluster)
    to = cluster.signer(2)

    class Deaf:
        """Another move of the same account comes first, and takes the time of this one."""

        async def post(self, event: BodiesProposed) -> None:
            [body] = event.bodies
            assert isinstance(body, Transfer)
            later = Bond(amount_msat=1, said_ms=body.said_ms + 1)
            cluster.block((1, later))

    parts.pump = Deaf()
    accounts = Accounts(cluster.signer(1), parts)
    before_msat = cluster.state.balance_msat(cluster.node(2))
    with pytest.raises(OperationError) as unknown:
        await accounts.transfer(TransferCredits(to=to.public_key.hex(), amount_msat=5))
    assert unknown.value.code == "unavailable"
    assert cluster.state.balance_msat(cluster.node(2)) == before_msat


def every_kind() -> list[Body]:
    return [
        Cancel(task=TaskId(b"\1" * 32)),
        Transfer(to=NodeId(b"\1" * 32), amount_msat=1, said_ms=7),
        SeatAsked(beacon_tip=bytes(32), bond_msat=1, asked_ms=7),
        Yank(name="echo", version="1.0.0", reason="old"),
        PegFee(payment=1, fee_sat=700),
    ]


def test_a_record_knows_its_own_rejection_and_no_other() -> None:
    author, other = NodeId(bytes(32)), NodeId(b"\1" * 32)
    bodies: list[Body] = [
        Cancel(task=TaskId(bytes(32))),
        Cancel(task=TaskId(b"\1" * 32)),
        Bond(amount_msat=1, said_ms=1),
        Bond(amount_msat=1, said_ms=2),
        Unbond(amount_msat=1, said_ms=1),
        SeatAsked(beacon_tip=bytes(32), bond_msat=1, asked_ms=1),
        SeatAsked(beacon_tip=bytes(32), bond_msat=2, asked_ms=1),
        Yank(name="echo", version="1.0.0", reason="old"),
        Yank(name="echo", version="1.0.1", reason="old"),
        PegFee(payment=1, fee_sat=700),
        PegFee(payment=2, fee_sat=700),
    ]
    for body in bodies:
        told = rejection_of(author, body, "for a reason")
        assert [each for each in bodies if is_rejection_of(told, author, each)] == [body]
        assert not is_rejection_of(told, other, body)
