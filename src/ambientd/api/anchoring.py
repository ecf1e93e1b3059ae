"""The way of receipts into Bitcoin blocks as the owner of a node sees it, and what it costs."""

import re
from functools import partial

import trio
from msgspec.structs import replace

from ambientd.api import anchor_replies, replies, requests
from ambientd.api.operations import OperationError
from ambientd.api.paging import check_place
from ambientd.api.peg_looking import PATIENCE_S
from ambientd.api.story import anchor_txid, op_return
from ambientd.api.troubles import chain_away, late_anchor
from ambientd.api.views import headers_status, name_of
from ambientd.config.options import BitcoinOptions
from ambientd.errors import AmbientError, UnreachableError
from ambientd.ledger.entries import CheckpointEntry
from ambientd.ports.anchors import AnchorProgress, Anchors
from ambientd.rules.anchor_costs import (
    FALLBACK_RATE_MSAT_VB,
    HOUR_MS,
    RELAY_RATE_MSAT_VB,
    anchor_vsize,
    cost,
)
from ambientd.rules.bitcoin import decode_header, display
from ambientd.runtime.service import Parts

PLAN_RATES_MSAT_VB = (RELAY_RATE_MSAT_VB, FALLBACK_RATE_MSAT_VB, 10_000, 50_000)

_PLACE = re.compile(r"[0-9]{1,18}")
WAITING = "waiting"
OVERTAKEN = "in a later anchor"
"""Of a root that was never anchored by itself: a later one was, which holds its receipts."""


class Anchoring:
    """Answers what concerns anchors."""

    def __init__(self, options: BitcoinOptions, parts: Parts) -> None:
        self._options = options
        self._parts = parts
        self._state = parts.node.ledger

    def chain(self) -> replies.ChainStatus:
        """Tell how the chain is that this node anchors to."""
        if self._parts.anchors is None:
            return replies.ChainStatus(kind="off", state="off")
        status = self._parts.anchors.status()
        return replies.ChainStatus(
            kind=self._options.chain.value,
            state=status.state,
            height=status.height,
            detail=status.detail,
            headers=headers_status(self._parts.headers),
        )

    async def status(self, request: requests.GetAnchors) -> anchor_replies.Anchors:
        """Tell how far receipts have come on the way into Bitcoin blocks."""
        check_place(request.after, _PLACE)
        found, following = self._list(request.limit, request.after)
        return anchor_replies.Anchors(
            chain=self.chain(),
            receipts=self._state.receipt_log_size(),
            receipts_anchored=self._state.anchored_size(),
            anchors=tuple(found),
            troubles=self.troubles(),
            network=self._state.genesis.bitcoin_network,
            explorer=self._options.explorer_url.rstrip("/"),
            next=following,
        )

    def troubles(self) -> tuple[replies.Trouble, ...]:
        """Give why receipts wait, beyond what the chain's own state says."""
        now, anchors = self._parts.now(), self._parts.anchors
        found = []
        if anchors is not None and (reason := anchors.status().trouble) is not None:
            found.append(chain_away(reason, self._options.chain.value))
        overdue = self._parts.node.overdue_anchor(now)
        if overdue is not None:
            name = partial(name_of, self._state)
            found.append(late_anchor(overdue, now, name, has_chain=anchors is not None))
        return tuple(found)

    def _list(self, limit: int, after: str) -> tuple[list[anchor_replies.AnchorInfo], str | None]:
        """Give a page, the newest first: a place in the list is the size of a tree."""
        progress = {} if self._parts.anchors is None else self._parts.anchors.progress()
        found = []
        sizes = [size for size in self._state.checkpoint_sizes() if not after or size < int(after)]
        for size, before in zip(sizes[:limit], [*sizes[1:], 0], strict=False):
            closed = self._state.checkpoint(size)
            if closed is not None:
                told = _info(closed, progress.get(closed.note.root))
                if told.state == WAITING and size <= self._state.anchored_size():
                    told = replace(told, state=OVERTAKEN)
                found.append(replace(told, receipts=size - before))
        return found, str(sizes[limit - 1]) if len(sizes) > limit else None

    async def retry(self, _: requests.RetryAnchors) -> anchor_replies.AnchorsRetried:
        """Look at the chain now, and send again whatever waits."""
        anchors = self._anchors()
        anchors.retry()
        under_way = sum(each.state != "proven" for each in anchors.progress().values())
        return anchor_replies.AnchorsRetried(anchors=under_way, chain=self.chain())

    async def plan(self, request: requests.PlanAnchors) -> anchor_replies.AnchorPlan:
        """Work out what anchors cost at some fee rates, before anything is spent."""
        options, estimate = self._options, None
        if self._parts.anchors is not None:
            try:
                estimate = await _estimate(self._parts.anchors)
            except AmbientError as error:
                if not request.rates_msat_vb:
                    hint = "give rates with --rate SAT_VB: they need no chain"
                    raise OperationError("unavailable", str(error), hint) from error
        keep_ms = self._state.genesis.rules.keep_ms
        period_ms = request.period_ms or min(options.anchor_period_ms, keep_ms // 2)
        # One after the other is one an hour, which is what six confirmations take.
        period_ms = max(period_ms, HOUR_MS)
        known = () if estimate is None else (estimate,)
        rates = request.rates_msat_vb or (*known, *PLAN_RATES_MSAT_VB)
        day_max = options.fee_sat_a_day_max
        costs = [cost(rate, period_ms, request.receipts_a_day) for rate in sorted(set(rates))]
        return anchor_replies.AnchorPlan(
            network=self._state.genesis.bitcoin_network,
            vsize=anchor_vsize(1),
            period_ms=period_ms,
            receipts_a_day=request.receipts_a_day,
            estimate_msat_vb=estimate,
            fee_sat_max=options.fee_sat_max,
            fee_sat_a_day_max=day_max,
            costs=tuple(
                anchor_replies.AnchorCost(
                    rate_msat_vb=each.rate_msat_vb,
                    anchor_sat=each.anchor_sat,
                    day_msat=each.day_msat,
                    receipt_msat=each.receipt_msat,
                    allowed=each.anchor_sat <= options.fee_sat_max
                    and (not day_max or each.day_msat <= day_max * 1_000),
                )
                for each in costs
            ),
        )

    def _anchors(self) -> Anchors:
        if self._parts.anchors is None:
            hint = "choose a chain under [bitcoin] in config.toml"
            raise OperationError("invalid", "this node does not anchor", hint)
        return self._parts.anchors


async def _estimate(anchors: Anchors) -> int | None:
    """Ask for the fee rate of now; a chain that hangs is not waited for."""
    with trio.move_on_after(PATIENCE_S):
        return await anchors.fee_rate_msat_vb()
    raise UnreachableError(f"the chain gave no fee rate within {PATIENCE_S:.0f} s")


def _info(closed: CheckpointEntry, moving: AnchorProgress | None) -> anchor_replies.AnchorInfo:
    """Tell of one batch; what this node knows of its chain counts more than the log's proof."""
    size, root = closed.note.size, closed.note.root
    fee_sat = None if moving is None or not moving.fee_sat else moving.fee_sat
    versions = None if moving is None else moving.versions
    is_lost = moving is not None and moving.is_lost
    if closed.anchor is not None and not is_lost:
        header = decode_header(closed.anchor.header)
        return anchor_replies.AnchorInfo(
            size=size,
            root=root.hex(),
            state="anchored",
            txid=anchor_txid(closed.anchor.raw_tx),
            height=closed.anchor.height,
            confirmations=1 + len(closed.anchor.following_headers),
            op_return=op_return(root),
            fee_sat=fee_sat,
            versions=versions,
            block=display(header.hash),
            block_ms=header.time_s * 1000,
        )
    state = WAITING if moving is None else moving.state
    return anchor_replies.AnchorInfo(
        size=size,
        root=root.hex(),
        state=f"undone by a reorganisation, {state}" if is_lost else state,
        txid=None if moving is None else moving.txid,
        height=None if moving is None else moving.height,
        confirmations=None if moving is None else moving.confirmations,
        op_return=None if moving is None or moving.txid is None else op_return(root),
        fee_sat=fee_sat,
        versions=versions,
    )
