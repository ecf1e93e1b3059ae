"""A node's owner asks for an address, withdraws, raises a fee, and adds everything up."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from ambientd.api.operations import OperationError
from ambientd.api.peg_values import AuditPeg, GetPegAddress, ListPeg, RaiseFee, Withdraw
from ambientd.api.pegging import Pegging
from ambientd.errors import UsageError
from ambientd.node.effect import Told
from ambientd.node.event import BodiesProposed
from ambientd.rules.bitcoin import Outpoint
from ambientd.rules.peg_payments import txid
from ambientd.runtime.news import News
from tests.ledger.cluster import TestCluster
from tests.ledger.peg import PegCluster
from tests.rules.peg import PAYEE

ELSEWHERE = "bcrt1qelsewhere"


class Chain:
    """What a chain has."""

    def __init__(self) -> None:
        self.found: frozenset[tuple[bytes, int]] = frozenset()
        self.sent: frozenset[bytes] = frozenset()

    async def unspent(self, scripts: object) -> frozenset[tuple[bytes, int]]:
        await trio.lowlevel.checkpoint()
        return self.found

    async def known(self, txids: Sequence[bytes]) -> frozenset[bytes]:
        await trio.lowlevel.checkpoint()
        return self.sent & frozenset(txids)

    def script_of(self, address: str) -> bytes:
        if address != ELSEWHERE:
            raise UsageError("no address of regtest")
        return PAYEE


class Pump:
    """Takes what the node proposes into a block at once."""

    def __init__(self, cluster: TestCluster, number: int, news: News) -> None:
        self.cluster, self.number, self.news = cluster, number, news

    async def post(self, event: BodiesProposed) -> None:
        await trio.lowlevel.checkpoint()
        for told in self.cluster.block(*((self.number, body) for body in event.bodies)):
            self.news.tell(Told(told, self.cluster.index, self.cluster.time_ms))


def office(cluster: TestCluster, number: int = 1, chain: Chain | None = None) -> Pegging:
    news = News()
    parts = SimpleNamespace(
        node=SimpleNamespace(ledger=cluster.state),
        news=news,
        pump=Pump(cluster, number, news),
        peg=chain,
        now=lambda: cluster.time_ms,
    )
    return Pegging(cluster.signer(number), cast("Any", parts))


def opened() -> PegCluster:
    cluster = PegCluster()
    cluster.open()
    return cluster


async def test_a_node_without_an_address_is_given_one() -> None:
    cluster = opened()
    cluster.block(cluster.join(10))
    found = await office(cluster, 10).address(GetPegAddress())
    assert (found.index, found.wallet, found.network) == (5, 1, "regtest")
    assert found.address.startswith("bcrt1q")
    assert await office(cluster, 10).address(GetPegAddress()) == found


async def test_before_there_is_a_wallet_there_is_no_address() -> None:
    with pytest.raises(OperationError, match="not all of its members"):
        await office(PegCluster()).address(GetPegAddress())


async def test_a_cluster_of_play_credits_says_so() -> None:
    with pytest.raises(OperationError, match="play credits"):
        await office(TestCluster()).address(GetPegAddress())


async def test_a_peg_out_is_decided_on_at_the_rate_that_was_asked_for() -> None:
    cluster, chain = opened(), Chain()
    cluster.fund(1, 200_000)
    desk = office(cluster, chain=chain)
    made = await desk.withdraw(Withdraw(address=ELSEWHERE, amount_sat=150_000, rate_msat_vb=3_000))
    assert (made.payment, made.kind, made.state) == (1, "peg-out", "signing")
    assert made.fee_sat == pytest.approx(3 * 222, abs=30)
    assert (made.signatures, made.needed) == (0, 3)
    raised = await desk.raise_fee(RaiseFee(payment=1, fee_sat=5_000))
    assert (raised.fee_sat, raised.versions) == (5_000, 2)
    with pytest.raises(OperationError, match="or more"):
        await desk.raise_fee(RaiseFee(payment=1, fee_sat=5_001))
    cluster.finish(1, 1)
    cluster.block((0, cluster.peg_in(1, 70_000)))
    listed = await desk.list_own(ListPeg())
    assert [each.state for each in listed.payments] == ["final"]
    assert sorted((each.state, each.members) for each in listed.peg_ins) == [
        ("claimed", 1),
        ("counted", 0),
    ]


@pytest.mark.parametrize(
    ("address", "amount_sat", "reason"),
    [(ELSEWHERE, 10**9, "less than"), ("1junk", 1_000, "no address of regtest")],
)
async def test_what_cannot_be_withdrawn_moves_nothing(
    address: str, amount_sat: int, reason: str
) -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    desk = office(cluster, chain=Chain())
    with pytest.raises(OperationError, match=reason):
        await desk.withdraw(Withdraw(address=address, amount_sat=amount_sat))
    with pytest.raises(OperationError, match="no Bitcoin chain"):
        await office(cluster).withdraw(Withdraw(address=ELSEWHERE, amount_sat=5_000))
    assert cluster.state.peg.payments == 0


async def test_an_audit_finds_what_the_chain_does_not_have() -> None:
    cluster, chain = opened(), Chain()
    cluster.fund(1, 200_000)
    cluster.fund(2, 100_000)
    cluster.block((1, cluster.out(150_000)))
    alone = await office(cluster).audit(AuditPeg())
    assert (alone.held_sat, alone.reserved_sat, alone.fault) == (100_000, 200_000, "")
    assert alone.owed_msat == 300_000_000
    assert {coin.is_unspent for coin in alone.coins} == {None}
    taken = await office(cluster, chain=chain).audit(AuditPeg())
    assert taken.missing_sat == 300_000, "no payment of the ledger's took the reserved coin"
    chain.sent = frozenset({txid(cluster.payment(1), 0)})
    missing = await office(cluster, chain=chain).audit(AuditPeg())
    assert missing.missing_sat == 100_000, "a coin that is being spent may be gone"
    held = cluster.state.peg_index.candidates(1, 0)
    chain.found = frozenset(_name(outpoint) for _, outpoint in held)
    there = await office(cluster, chain=chain).audit(AuditPeg())
    assert there.missing_sat == 0
    assert len(there.descriptors) == 1


def _name(outpoint: Outpoint) -> tuple[bytes, int]:
    return outpoint.txid, outpoint.index
