"""A rejection is of one record: of those that an owner gave up waiting for, it stops no other."""

from types import SimpleNamespace
from typing import Any

import pytest

from ambientd.api.accounts import Accounts
from ambientd.api.operations import OperationError
from ambientd.api.peg_values import Withdraw
from ambientd.api.pegging import Pegging
from ambientd.api.requests import TransferCredits, VoteOnSeat
from ambientd.api.seating import Seating
from ambientd.ledger.events import RecordRejected
from ambientd.ledger.rejections import is_rejection_of, rejection_of
from ambientd.model.base import NodeId, TaskId
from ambientd.model.record import Body, Bond, Cancel, Unbond
from ambientd.node.effect import Told
from ambientd.node.event import BodiesProposed
from ambientd.runtime.news import News
from tests.api.test_pegging import ELSEWHERE, Chain, Pump, opened
from tests.ledger.cluster import TestCluster


class Late(Pump):
    """Tells first that a record which its owner proposed long ago was rejected."""

    async def post(self, event: BodiesProposed) -> None:
        own, kind = (
            NodeId(self.cluster.signer(1).public_key),
            type(event.bodies[0]).__name__.lower(),
        )
        self.news.tell(Told(RecordRejected(own, kind, "too little", None, 3), 1, 0))
        await super().post(event)


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


def test_a_record_knows_its_own_rejection_and_no_other() -> None:
    author, other = NodeId(bytes(32)), NodeId(b"\1" * 32)
    bodies: list[Body] = [
        Cancel(task=TaskId(bytes(32))),
        Cancel(task=TaskId(b"\1" * 32)),
        Bond(amount_msat=1, said_ms=1),
        Bond(amount_msat=1, said_ms=2),
        Unbond(amount_msat=1, said_ms=1),
    ]
    for body in bodies:
        told = rejection_of(author, body, "for a reason")
        assert [each for each in bodies if is_rejection_of(told, author, each)] == [body]
        assert not is_rejection_of(told, other, body)
