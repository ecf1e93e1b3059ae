"""A node's owner asks for an address, withdraws, raises a fee, and adds everything up."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from ambientd.api import pegging
from ambientd.api.accounts import hint_on_means
from ambientd.api.operations import OperationError
from ambientd.api.peg_values import (
    AuditPeg,
    GetPegAddress,
    ListPeg,
    PegInInfo,
    PegInState,
    QuoteReturn,
    QuoteWithdrawal,
    RaiseFee,
    ReturnPegIn,
    Withdraw,
)
from ambientd.api.pegging import Pegging
from ambientd.errors import UnreachableError, UsageError
from ambientd.model.base import NodeId
from ambientd.model.genesis import Rules
from ambientd.node.effect import Told
from ambientd.node.event import BodiesProposed
from ambientd.ports.peg import Arrival
from ambientd.rules.bitcoin import Outpoint, decode_transaction, display
from ambientd.rules.peg_payments import txid
from ambientd.runtime.news import News
from tests.ledger.cluster import TestCluster
from tests.ledger.peg import PegCluster
from tests.ledger.test_peg import GUEST, rotate
from tests.rules.peg import PAYEE

ELSEWHERE = "bcrt1qelsewhere"


class Chain:
    """What a chain has."""

    def __init__(self) -> None:
        self.found: frozenset[Outpoint] = frozenset()
        self.sent: frozenset[bytes] = frozenset()
        self.coming: list[Arrival] = []
        self.is_away = False
        self.is_slow = False
        self.answers = 0
        """How often a slow one answers at once."""

    async def unspent(self, coins: Sequence[Outpoint]) -> frozenset[Outpoint]:
        await trio.lowlevel.checkpoint()
        if self.is_away:
            raise UnreachableError("nothing answers at the port")
        if self.is_slow and self.answers == 0:
            await trio.sleep(60)
        self.answers -= 1
        return self.found & frozenset(coins)

    async def arrivals(self, scripts: Sequence[bytes]) -> tuple[Arrival, ...]:
        await trio.lowlevel.checkpoint()
        if self.is_away:
            raise UnreachableError("nothing answers at the port")
        if self.is_slow:
            await trio.sleep(60)
        return tuple(each for each in self.coming if each.script in scripts)

    async def known(self, txids: Sequence[bytes]) -> frozenset[bytes]:
        await trio.lowlevel.checkpoint()
        if self.is_slow:
            await trio.sleep(60)
        return self.sent & frozenset(txids)

    def script_of(self, address: str) -> bytes:
        if address != ELSEWHERE:
            raise UsageError("no address of regtest")
        return PAYEE


class Counting(Chain):
    """A chain that has nothing, and remembers for what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Outpoint] = []

    async def unspent(self, coins: Sequence[Outpoint]) -> frozenset[Outpoint]:
        self.asked += coins
        return await super().unspent(coins)


class Pump:
    """Takes what the node proposes into a block at once."""

    def __init__(self, cluster: TestCluster, number: int, news: News) -> None:
        self.cluster, self.number, self.news = cluster, number, news
        self.posts = 0

    async def post(self, event: BodiesProposed) -> None:
        await trio.lowlevel.checkpoint()
        self.posts += 1
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
    wanted = QuoteWithdrawal(address=ELSEWHERE, amount_sat=150_000, rate_msat_vb=3_000)
    quote = await desk.quote(wanted)
    assert quote.arrives_sat == 150_000 - quote.fee_sat
    made = await desk.withdraw(
        Withdraw(address=ELSEWHERE, amount_sat=150_000, fee_sat=quote.fee_sat)
    )
    assert (made.payment, made.kind, made.state) == (1, "peg-out", "signing")
    assert made.fee_sat == pytest.approx(3 * 222, abs=30)
    assert (made.signatures, made.needed) == (0, 3)
    raised = await desk.raise_fee(RaiseFee(payment=1, fee_sat=5_000))
    assert (raised.fee_sat, raised.arrives_sat, raised.versions) == (5_000, 145_000, 2)
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
    paged, after = [], ""
    while len(paged) < 3:
        part = await desk.list_own(ListPeg(limit=1, after=after))
        paged += [*part.peg_ins, *part.payments]
        after = part.next or ""
    assert after == ""
    assert paged == [*listed.peg_ins, *listed.payments]
    with pytest.raises(OperationError, match="no place in this list"):
        await desk.list_own(ListPeg(after="x"))
    coins = (await desk.audit(AuditPeg())).coins
    first = await desk.audit(AuditPeg(limit=1))
    assert first.coins == coins[:1]
    assert (first.next is None) is (len(coins) == 1)


def test_who_has_no_credits_is_told_of_bitcoin_where_there_is_a_peg() -> None:
    node = NodeId(opened().signer(1).public_key)
    assert "`ambientctl peg address`" in hint_on_means(opened().state, node)
    assert "peg" not in hint_on_means(TestCluster().state, node)


async def test_what_the_ledger_would_not_raise_is_refused_before_it_is_asked() -> None:
    """Pools take no record twice: one that was refused is never heard of again, and it waited."""
    cluster = opened()
    cluster.fund(1, 200_000)
    desk = office(cluster, chain=Chain())
    await desk.withdraw(Withdraw(address=ELSEWHERE, amount_sat=150_000, fee_sat=500))
    asked = RaiseFee(payment=1, fee_sat=5_000)
    await desk.raise_fee(asked)
    posts = cast("Any", desk)._parts.pump.posts
    with pytest.raises(OperationError, match=r"nothing was raised: .* 5000 sat is \d+ sat or more"):
        await desk.raise_fee(asked)
    with pytest.raises(OperationError, match="no such payment"):
        await desk.raise_fee(RaiseFee(payment=99, fee_sat=5_000))
    cluster.finish(1, 1)
    with pytest.raises(OperationError, match="payment 1 is final"):
        await desk.raise_fee(asked)
    assert cast("Any", desk)._parts.pump.posts == posts


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
        await desk.quote(QuoteWithdrawal(address=address, amount_sat=amount_sat))
    with pytest.raises(OperationError, match=reason):
        await desk.withdraw(Withdraw(address=address, amount_sat=amount_sat, fee_sat=500))
    with pytest.raises(OperationError, match="no Bitcoin chain"):
        await office(cluster).withdraw(Withdraw(address=ELSEWHERE, amount_sat=5_000, fee_sat=500))
    with pytest.raises(OperationError, match="is above the limit of 100000"):
        await desk.quote(
            QuoteWithdrawal(address=ELSEWHERE, amount_sat=150_000, rate_msat_vb=1_000_000)
        )
    assert cluster.state.peg.payments == 0


async def test_a_peg_in_is_followed_from_its_first_confirmation_to_the_balance(
    autojump_clock: MockClock,
) -> None:
    cluster, chain = opened(), Chain()
    desk = office(cluster, chain=chain)
    body = cluster.peg_in(1, 70_000)
    name = decode_transaction(body.proof.raw_tx).txid

    async def seen(confirmations: int, transaction_bytes: int = 0) -> PegInInfo:
        script = cluster.script(1)
        chain.coming = [
            Arrival(script, name, 0, 70_000, confirmations, transaction_bytes),
            Arrival(script, bytes(32), 7, 9_999, 50),
            Arrival(cluster.script(2), bytes(32), 8, 70_000, 50),
        ]
        listed = await desk.list_own(ListPeg())
        [found] = [each for each in listed.peg_ins if each.state is not PegInState.TOO_SMALL]
        assert (len(listed.peg_ins), listed.unseen) == (2, "")
        assert (found.value_sat, found.wallet, found.is_late) == (70_000, 1, False)
        return found

    first = await seen(2)
    assert (first.state, first.confirmations, first.confirmations_needed) == ("confirming", 2, 6)
    assert first.due_s is None, "on regtest Bitcoin blocks come when somebody makes them"
    assert (await seen(9)).state is PegInState.AWAITED
    assert (await seen(9, 100_000)).state is PegInState.AWAITED
    assert (await seen(9, 100_001)).state is PegInState.TOO_LONG
    with pytest.raises(OperationError, match="longer than the log takes"):
        await desk.quote_return(
            QuoteReturn(outpoint=f"{display(name)}:0", address=ELSEWHERE, rate_msat_vb=0)
        )
    cluster.block((0, body))
    claimed = await seen(9)
    assert (claimed.state, claimed.members, claimed.members_needed) == ("claimed", 1, 3)
    assert claimed.confirmations == 6
    cluster.block((1, body), (2, body))
    assert (await seen(9)).state is PegInState.COUNTED
    chain.is_slow = True
    slow = await desk.list_own(ListPeg())
    assert "more than 20 s" in slow.unseen
    chain.is_slow, chain.is_away = False, True
    away = await desk.list_own(ListPeg())
    assert "nothing answers" in away.unseen
    assert [each.state for each in away.peg_ins] == ["counted"]


async def test_a_late_peg_in_is_shown_as_late_until_it_is_brought_over() -> None:
    cluster, chain = opened(), Chain()
    cluster.fund(1, 200_000)
    old = cluster.script(1)
    rotate(cluster, GUEST)
    chain.coming = [Arrival(old, bytes(32), 7, 50_000, 1)]
    desk = office(cluster, chain=chain)
    first, *_ = (await desk.list_own(ListPeg())).peg_ins
    assert (first.state, first.wallet, first.is_late) == ("confirming", 1, True)
    chain.coming = []
    cluster.all_say(cluster.peg_in(1, 50_000, wallet=1))
    late, *_ = (await desk.list_own(ListPeg())).peg_ins
    assert (late.state, late.payment) == ("late", 2)
    cluster.finish(2)
    brought = (await desk.list_own(ListPeg())).peg_ins
    assert {each.state for each in brought} == {"counted"}


async def test_what_waits_below_the_bound_is_told_from_what_can_never_count() -> None:
    cluster = PegCluster(rules=Rules(peg_sat_max=100_000))
    cluster.open()
    cluster.fund(2, 70_000)
    for value_sat in (40_000, 100_001):
        cluster.all_say(cluster.peg_in(1, value_sat))
    desk = office(cluster)
    found = {each.value_sat: each.state for each in (await desk.list_own(ListPeg())).peg_ins}
    assert found == {40_000: "waiting", 100_001: "too-large"}
    audit = await desk.audit(AuditPeg())
    assert (audit.held_sat, audit.waiting_sat, audit.fault) == (70_000, 140_001, "")


async def test_what_is_never_credited_goes_back_where_its_owner_says() -> None:
    cluster, chain = opened(), Chain()
    desk = office(cluster, chain=chain)
    body = cluster.peg_in(1, 4_000)
    name = decode_transaction(body.proof.raw_tx).txid
    outpoint = f"{display(name)}:0"

    async def seen() -> PegInInfo:
        [found] = (await desk.list_own(ListPeg())).peg_ins
        return found

    wanted = QuoteReturn(outpoint=outpoint, address=ELSEWHERE)
    with pytest.raises(OperationError, match="no such output"):
        await desk.quote_return(wanted)
    chain.coming = [Arrival(cluster.script(1), name, 0, 4_000, 7)]
    small = await seen()
    assert small.state is PegInState.TOO_SMALL
    quote = await desk.quote_return(wanted)
    assert quote.fee_sat < 2 * small.return_sat, "a shorter script, at twice the rate"
    assert (quote.value_sat, quote.arrives_sat) == (4_000, 4_000 - quote.fee_sat)
    asked = ReturnPegIn(outpoint=outpoint, address=ELSEWHERE, fee_sat=quote.fee_sat)
    assert (await desk.give_back(asked)).payment == 0
    assert (await seen()).state is PegInState.RETURN_ASKED
    cluster.block((0, body))
    assert ((await seen()).state, (await seen()).members) == ("return-asked", 1)
    cluster.block((1, body), (2, body))
    assert ((await seen()).state, (await seen()).payment) == ("returning", 1)
    with pytest.raises(OperationError, match="goes back already"):
        await desk.give_back(asked)
    cluster.finish(1)
    chain.coming = []
    assert (await seen()).state is PegInState.RETURNED
    [payment] = (await desk.list_own(ListPeg())).payments
    assert (payment.kind, payment.arrives_sat) == ("return", 4_000 - quote.fee_sat)


def no_room() -> tuple[PegCluster, Pegging, ReturnPegIn]:
    """Give a cluster whose reserve has no room for what arrived, and the ask to send it back."""
    cluster = PegCluster(rules=Rules(peg_sat_max=50_000))
    cluster.open()
    body = cluster.peg_in(1, 60_000)
    cluster.all_say(body)
    desk = office(cluster, chain=Chain())
    outpoint = f"{display(decode_transaction(body.proof.raw_tx).txid)}:0"
    asked = ReturnPegIn(outpoint=outpoint, address=ELSEWHERE, fee_sat=500)
    return cluster, desk, asked


async def test_what_finds_no_room_goes_back_at_once() -> None:
    _, desk, asked = no_room()
    told = await desk.give_back(asked)
    assert (told.payment, told.arrives_sat) == (1, 59_500)


async def test_what_cannot_go_back_is_refused_with_the_reason() -> None:
    cluster, chain = opened(), Chain()
    cluster.fund(1, 20_000)
    [(_, coin)] = cluster.state.peg_index.candidates(1, 0)
    desk = office(cluster, chain=chain)
    chain.coming = [
        Arrival(cluster.script(1), bytes(31) + b"\x01", 0, 10_000, 1),
        Arrival(cluster.script(1), bytes(31) + b"\x02", 0, 600, 6),
    ]
    for name, reason in (
        (coin.txid, "it is credited"),
        (bytes(31) + b"\x01", "it will be credited"),
        (bytes(31) + b"\x02", "dust"),
    ):
        asked = ReturnPegIn(outpoint=f"{display(name)}:0", address=ELSEWHERE, fee_sat=400)
        with pytest.raises(OperationError, match=reason):
            await desk.give_back(asked)
    dust = [each for each in (await desk.list_own(ListPeg())).peg_ins if each.value_sat == 600]
    assert [each.return_sat for each in dust] == [0]


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
    chain.found = frozenset(outpoint for _, outpoint in held)
    there = await office(cluster, chain=chain).audit(AuditPeg())
    assert there.missing_sat == 0
    assert len(there.descriptors) == 1


async def test_an_audit_of_a_chain_that_hangs_says_so_in_time(
    autojump_clock: MockClock,
) -> None:
    cluster, chain = opened(), Chain()
    cluster.fund(1, 200_000)
    cluster.fund(2, 100_000)
    desk = office(cluster, chain=chain)
    held = [outpoint for _, outpoint in cluster.state.peg_index.candidates(1, 0)]
    chain.is_slow, chain.answers, chain.found = True, 1, frozenset(held)
    began_s = trio.current_time()
    hangs = await desk.audit(AuditPeg())
    assert trio.current_time() - began_s < 10
    assert "did not say within 8 s whether" in hangs.unseen
    assert "1 of 2 coins were looked for" in hangs.unseen
    assert {coin.is_unspent for coin in hangs.coins} == {True, None}
    assert (hangs.missing_sat, hangs.fault) == (0, ""), "what was not seen is not called missing"
    cluster.block((1, cluster.out(150_000)))
    chain.answers, chain.found = 9, frozenset()
    gone = await desk.audit(AuditPeg())
    assert "whether it has" in gone.unseen
    assert gone.missing_sat == 100_000, "of the other nobody knows whether its payment took it"
    chain.is_slow, chain.is_away = False, True
    away = await desk.audit(AuditPeg())
    assert "nothing answers" in away.unseen
    assert "0 of 2 coins" in away.unseen


async def test_the_pages_of_an_audit_ask_the_chain_once_for_each_coin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster, chain = opened(), Counting()
    for value_sat in (200_000, 100_000, 50_000):
        cluster.fund(1, value_sat)
    desk = office(cluster, chain=chain)

    async def told(after: str = "") -> tuple[str, int]:
        part = await desk.audit(AuditPeg(limit=1, after=after))
        assert part.missing_sat == 350_000, "of all of them, on every page"
        assert [each.is_unspent for each in part.coins] == [False]
        return part.next or "", len(chain.asked)

    second, asked = await told()
    assert asked == 3
    third, asked = await told(second)
    assert asked == 3
    monkeypatch.setattr(pegging, "LOOKED_MS_MAX", -1)
    assert await told(second) == (third, 6), "what was seen is too old"
    monkeypatch.undo()
    assert await told(third) == ("", 6)
    assert (await told())[1] == 9, "who begins anew has the chain asked anew"
    cluster.fund(1, 20_000)
    part = await desk.audit(AuditPeg(limit=1, after=second))
    assert (part.missing_sat, len(chain.asked)) == (370_000, 13), "of a coin that came since"


async def test_one_audit_at_a_time_asks_the_chain() -> None:
    cluster, chain = opened(), Chain()
    cluster.fund(1, 200_000)
    desk, refused = office(cluster, chain=chain), []

    async def audit() -> None:
        try:
            await desk.audit(AuditPeg())
        except OperationError as error:
            refused.append(error.code)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(audit)
    assert refused == ["busy", "busy"]
    assert (await desk.audit(AuditPeg())).held_sat == 200_000
