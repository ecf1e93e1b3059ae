"""What a node answers about anchors: how far they are, and what they cost."""

from ambientd.api.replies import ChainStatus, Reply, Trouble


class AnchorInfo(Reply, frozen=True):
    """One root of the receipt log on its way into a Bitcoin block; `op_return` is what it says."""

    size: int
    root: str
    state: str
    txid: str | None = None
    height: int | None = None
    confirmations: int | None = None
    op_return: str | None = None
    fee_sat: int | None = None
    """What the newest version pays, where this node has signed it."""
    versions: int | None = None
    receipts: int = 0
    """How many it holds beyond those of the batch before."""
    block: str | None = None
    """The hash of the Bitcoin block that it is in, out of its proof."""
    block_ms: int | None = None
    """When that block says it was mined."""


class Anchors(Reply, frozen=True):
    """The chain, the receipts that wait, and the latest anchors, the newest first."""

    chain: ChainStatus
    receipts: int
    receipts_anchored: int
    anchors: tuple[AnchorInfo, ...]
    troubles: tuple[Trouble, ...] = ()
    network: str = ""
    explorer: str = ""
    """Where the owner looks blocks up, for links; empty as long as nobody has chosen one."""
    next: str | None = None


class AnchorsRetried(Reply, frozen=True):
    """How many anchors are under way, and what the chain said before it was asked again."""

    anchors: int
    chain: ChainStatus


class AnchorCost(Reply, frozen=True):
    """What anchoring costs at one fee rate; not `allowed` is what the node's caps forbid."""

    rate_msat_vb: int
    anchor_sat: int
    day_msat: int
    receipt_msat: int
    allowed: bool


class AnchorPlan(Reply, frozen=True):
    """What anchors would cost, cheapest first; nothing is spent by asking."""

    network: str
    vsize: int
    period_ms: int
    receipts_a_day: int
    estimate_msat_vb: int | None
    fee_sat_max: int
    fee_sat_a_day_max: int
    costs: tuple[AnchorCost, ...]
