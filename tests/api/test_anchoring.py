"""Owners see how far their anchors are, have them tried again, and learn what they would cost."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from ambientd.api.anchoring import Anchoring
from ambientd.api.operations import OperationError
from ambientd.api.requests import GetAnchors, PlanAnchors, RetryAnchors
from ambientd.config.options import BitcoinOptions, ChainKind
from ambientd.errors import UnreachableError
from ambientd.model.record import Anchor
from ambientd.ports.anchors import AnchorProgress, ChainState
from ambientd.roles.anchorer import Overdue
from ambientd.rules.bitcoin import decode_header, display
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import TestCluster
from tests.rules.receipts import agreed

NOW_MS = 1_700_000_000_000


class Anchors:
    """A way into Bitcoin on which nothing moves."""

    def __init__(self, **progress: AnchorProgress) -> None:
        self.known = {bytes.fromhex(root): each for root, each in progress.items()}
        self.rate: int | None = None
        self.is_away = False
        self.is_slow = False
        self.trouble: str | None = None
        self.retries = 0

    def progress(self) -> dict[bytes, AnchorProgress]:
        return self.known

    def status(self) -> ChainState:
        return ChainState(self.trouble or "ready", 110, "regtest", self.trouble)

    def leave(self, size: int) -> None:
        raise AssertionError

    def retry(self) -> None:
        self.retries += 1

    async def fee_rate_msat_vb(self) -> int | None:
        if self.is_away:
            raise UnreachableError("nobody answers")
        if self.is_slow:
            await trio.sleep_forever()
        return self.rate


def office(
    cluster: TestCluster,
    anchors: Anchors | None,
    options: BitcoinOptions | None = None,
    late: Overdue | None = None,
) -> Anchoring:
    node = SimpleNamespace(ledger=cluster.state, overdue_anchor=lambda now: late)
    parts = SimpleNamespace(node=node, anchors=anchors, headers=None, now=lambda: NOW_MS)
    return Anchoring(options or BitcoinOptions(), cast("Any", parts))


def root_of(cluster: TestCluster) -> str:
    return cluster.state.receipt_log_root(cluster.state.checkpoint_size()).hex()


async def test_an_anchor_is_told_as_the_log_has_it_and_with_what_this_node_paid() -> None:
    cluster = agreed()
    [told] = (await office(cluster, None).status(GetAnchors())).anchors
    assert (told.state, told.height, told.confirmations, told.fee_sat) == ("anchored", 101, 7, None)
    closed = cluster.state.checkpoint(told.size)
    assert closed is not None
    assert closed.anchor is not None
    header = decode_header(closed.anchor.header)
    assert (told.block, told.block_ms) == (display(header.hash), header.time_s * 1000)
    proven = AnchorProgress("proven", "ab", 101, 7, fee_sat=314, versions=2)
    answer = await office(cluster, Anchors(**{root_of(cluster): proven})).status(GetAnchors())
    [told] = answer.anchors
    assert (told.state, told.fee_sat, told.versions) == ("anchored", 314, 2)
    assert (answer.chain.state, answer.receipts_anchored) == ("ready", answer.receipts)


async def test_anchors_come_in_pages_the_newest_first() -> None:
    cluster = agreed()
    for number in range(4):
        cluster.work(cluster.admit(nonce=b"page %d" % number))
        cluster.close_batch()
    desk = office(cluster, None)
    every = (await desk.status(GetAnchors())).anchors
    assert len(every) == 5
    found: list[object] = []
    after: str | None = ""
    while after is not None:
        answer = await desk.status(GetAnchors(limit=2, after=after))
        found += answer.anchors
        after = answer.next
    assert found == list(every)
    assert [each.size for each in every] == sorted((e.size for e in every), reverse=True)
    with pytest.raises(OperationError, match="no place in this list"):
        await desk.status(GetAnchors(after="-1"))


async def test_an_anchor_that_this_node_saw_undone_is_not_told_as_anchored() -> None:
    cluster = agreed()
    lost = AnchorProgress("broadcast", "ab", is_lost=True)
    anchors = Anchors(**{root_of(cluster): lost})
    [told] = (await office(cluster, anchors).status(GetAnchors())).anchors
    assert told.state == "undone by a reorganisation, broadcast"
    assert (told.txid, told.height) == ("ab", None)


async def test_a_root_that_a_later_anchor_holds_waits_for_nothing() -> None:
    cluster = agreed(anchored=False)
    cluster.work(cluster.admit(nonce=b"later"))
    cluster.close_batch()
    before = (await office(cluster, None).status(GetAnchors())).anchors
    assert [each.state for each in before] == ["waiting", "waiting"]
    size = cluster.state.checkpoint_size()
    root = cluster.state.receipt_log_root(size)
    cluster.block((0, Anchor(size=size, root=root, proof=anchor_proof(root))))
    told = (await office(cluster, None).status(GetAnchors())).anchors
    assert [each.state for each in told] == ["anchored", "in a later anchor"]
    assert sum(each.receipts for each in told) == size


async def test_an_overdue_batch_is_told_with_whose_turn_is_next_and_the_option_to_set() -> None:
    cluster = agreed(anchored=False)
    one, two, three = cluster.state.members[:3]
    late = Overdue(5, NOW_MS - 90_500, one, one, two, NOW_MS + 30_000)
    [told] = (await office(cluster, None, late=late).status(GetAnchors())).troubles
    assert told.kind == "anchor_late"
    assert "the newest batch (5 receipts) has waited 90 s for its anchor" in told.text
    assert f"({one.hex()[:12]}) has not anchored it; next is" in told.text
    assert f"({two.hex()[:12]}), in 30 s" in told.text
    assert '(`chain = "off"`) anchors nothing, and this node has none' in told.hint
    assert "set `chain` under [bitcoin]" in told.hint
    late = Overdue(5, NOW_MS - 90_500, one, three, None, NOW_MS)
    [told] = office(cluster, Anchors(), late=late).troubles()
    assert f"({three.hex()[:12]}); no member's turn is left" in told.text
    assert "this node has none" not in told.hint
    assert office(cluster, None).troubles() == ()


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [(ChainKind.EMBEDDED, "started again by itself"), (ChainKind.RPC, "that [bitcoin] names")],
)
async def test_a_chain_that_hangs_is_told_with_what_to_do(kind: ChainKind, remedy: str) -> None:
    anchors = Anchors()
    assert office(agreed(), anchors).troubles() == ()
    anchors.trouble = "the chain has not answered for 20 s: it hangs"
    [told] = office(agreed(), anchors, BitcoinOptions(chain=kind)).troubles()
    assert told.kind == "chain_away"
    assert told.text == f"nothing is anchored now: {anchors.trouble}"
    assert remedy in told.hint


async def test_a_retry_counts_what_is_under_way_and_needs_a_chain() -> None:
    cluster = agreed(anchored=False)
    moving, done = AnchorProgress("broadcast", "ab"), AnchorProgress("proven", "cd")
    anchors = Anchors(**{root_of(cluster): moving, "00" * 32: done})
    answer = await office(cluster, anchors).retry(RetryAnchors())
    assert (answer.anchors, anchors.retries, answer.chain.kind) == (1, 1, "embedded")
    with pytest.raises(OperationError, match="does not anchor"):
        await office(cluster, None).retry(RetryAnchors())


async def test_a_plan_costs_what_the_sizes_and_rates_say() -> None:
    request = PlanAnchors(rates_msat_vb=(10_000, 1_000), period_ms=86_400_000)
    plan = await office(agreed(), Anchors()).plan(request)
    assert (plan.vsize, plan.estimate_msat_vb, plan.network) == (157, None, "regtest")
    one, ten = plan.costs
    assert (one.anchor_sat, ten.anchor_sat) == (157, 1_570)
    assert (ten.day_msat, ten.receipt_msat) == (1_570_000, 157)
    hourly = await office(agreed(), None).plan(PlanAnchors(rates_msat_vb=(1_000,), period_ms=1))
    assert (hourly.period_ms, hourly.costs[0].day_msat) == (3_600_000, 24 * 157_000)


async def test_a_plan_without_rates_begins_with_the_estimate_and_keeps_the_caps_in_mind() -> None:
    anchors = Anchors()
    anchors.rate = 3_141
    options = BitcoinOptions(fee_sat_max=2_000, fee_sat_a_day_max=900)
    plan = await office(agreed(), anchors, options).plan(PlanAnchors())
    rates = [(each.rate_msat_vb, each.allowed) for each in plan.costs]
    assert rates == [(1_000, True), (2_000, True), (3_141, False), (10_000, False), (50_000, False)]
    keep_ms = agreed().state.genesis.rules.keep_ms
    assert plan.period_ms == min(options.anchor_period_ms, keep_ms // 2)


async def test_a_plan_with_rates_needs_no_chain_that_answers() -> None:
    anchors = Anchors()
    anchors.is_away = True
    planning = office(agreed(), anchors)
    assert (await planning.plan(PlanAnchors(rates_msat_vb=(1,)))).costs[0].anchor_sat == 157
    with pytest.raises(OperationError, match=r"nobody answers; .*--rate"):
        await planning.plan(PlanAnchors())


async def test_a_plan_does_not_wait_for_a_chain_that_hangs(autojump_clock: MockClock) -> None:
    anchors = Anchors()
    anchors.is_slow = True
    planning, began_s = office(agreed(), anchors), trio.current_time()
    plan = await planning.plan(PlanAnchors(rates_msat_vb=(1_000,)))
    assert (plan.estimate_msat_vb, plan.costs[0].anchor_sat) == (None, 157)
    with pytest.raises(OperationError, match="no fee rate within 8 s"):
        await planning.plan(PlanAnchors())
    assert trio.current_time() - began_s < 20
