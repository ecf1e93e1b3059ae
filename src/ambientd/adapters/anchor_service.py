"""Anchors on a chain: build, broadcast, wait for confirmations, collect and check the proof.

Nothing here is remembered on disk: a root whose anchor is lost is anchored again, and the ledger
keeps the first proof that it is shown.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog
import trio

from ambientd.adapters.anchor_wallet import (
    FALLBACK_RATE_SAT_VB,
    AnchorWallet,
    FeeTooHigh,
    NoFunds,
    SignedAnchor,
)
from ambientd.errors import AmbientError
from ambientd.model.receipt import AnchorProof
from ambientd.ports.anchors import AnchorProgress, AnchorSent, ChainState
from ambientd.ports.chain import Chain, Rejected
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN, NETWORKS, Branch, check_anchor
from ambientd.rules.bitcoin_codec import display

log = structlog.get_logger("ambientd.anchors")

RETRY_PAUSE_S = 2.0
POLL_S = 0.2
REBROADCAST_POLLS = 25
PROGRESS_KEPT_MAX = 64


class ChainAnchors:
    """Anchors paid from one wallet on one chain."""

    def __init__(
        self,
        chain: Chain,
        wallet: AnchorWallet,
        fee_sat_max: int,
        fund: Callable[[str], Awaitable[object]] | None = None,
        tell: Callable[[AnchorSent], None] | None = None,
    ) -> None:
        self._chain = chain
        self._wallet = wallet
        self._fee_sat_max = fee_sat_max
        self._fund = fund
        self._tell = tell
        self._progress: dict[bytes, AnchorProgress] = {}
        self._state = "ready"
        self._height: int | None = None

    def progress(self) -> Mapping[bytes, AnchorProgress]:
        """Tell how far the roots under way have come."""
        return dict(self._progress)

    def status(self) -> ChainState:
        """Tell what the chain last said."""
        detail = f"{self._chain.network}, anchors are paid from {self._wallet.address}"
        return ChainState(self._state, self._height, detail)

    async def anchor(self, root: bytes) -> AnchorProof:
        """Broadcast a root and give its proof; try again for ever when the chain is away."""
        while True:
            try:
                anchor = await self._broadcast(root)
                proof = None if anchor is None else await self._proof(anchor)
                if proof is not None:
                    self._state = "ready"
                    return proof
            except AmbientError as error:
                self._wait(root, str(error))
            await trio.sleep(RETRY_PAUSE_S)

    def _note(self, root: bytes, progress: AnchorProgress) -> None:
        self._progress[root] = progress
        if len(self._progress) > PROGRESS_KEPT_MAX:
            del self._progress[next(iter(self._progress))]

    def _wait(self, root: bytes, reason: str) -> None:
        """Say loudly why an anchor does not move; its batch waits and nothing is lost."""
        self._state = reason
        self._note(root, AnchorProgress(state=f"waiting: {reason}"))
        log.warning("anchoring waits", reason=reason)

    async def _broadcast(self, root: bytes) -> SignedAnchor | None:
        """Send the anchor out; None, with the reason told, when that cannot be done now."""
        utxos = await self._chain.utxos(self._wallet.script)
        if not utxos and self._fund is not None:
            await self._fund(self._wallet.address)
            utxos = await self._chain.utxos(self._wallet.script)
        rate = await self._chain.fee_rate_sat_vb() or FALLBACK_RATE_SAT_VB
        built = self._wallet.build_anchor(utxos, root, rate, self._fee_sat_max)
        if isinstance(built, NoFunds):
            needed, address = built.needed_sat, self._wallet.address
            self._wait(
                root,
                f"out of funds: {built.available_sat} sat, an anchor needs {needed}; "
                f"send some to {address}",
            )
            return None
        if isinstance(built, FeeTooHigh):
            self._wait(root, f"a fee of {built.fee_sat} sat is above the cap {built.fee_sat_max}")
            return None
        answer = await self._chain.broadcast(built.raw)
        if isinstance(answer, Rejected):
            self._wait(root, f"the chain refused the anchor: {answer.reason}")
            return None
        self._note(root, AnchorProgress(state="broadcast", txid=display(built.txid)))
        log.info("anchor broadcast", txid=display(built.txid), fee_sat=built.fee_sat)
        if self._tell is not None:
            self._tell(AnchorSent(root, display(built.txid)))
        return built

    async def _proof(self, anchor: SignedAnchor) -> AnchorProof | None:
        """Wait for the confirmations, then collect the proof and check it as a stranger would."""
        polls = confirmations = 0
        while confirmations < CONFIRMATIONS_MIN:
            await trio.sleep(POLL_S)
            polls += 1
            confirmations = await self._chain.confirmations(anchor.txid)
            tip = await self._chain.tip()
            self._height = tip.height
            if confirmations:
                height = tip.height - confirmations + 1
                txid = display(anchor.txid)
                moved = AnchorProgress("confirming", txid, height, confirmations)
                self._note(anchor.root, moved)
            elif polls % REBROADCAST_POLLS == 0:
                await self._chain.broadcast(anchor.raw)
        branch = await self._chain.merkle_branch(anchor.txid)
        place = await self._chain.inclusion(anchor.txid)
        if branch is None or place is None:
            self._wait(anchor.root, "the anchor left the best chain; it is sent again")
            return None
        following = [
            await self._chain.header(place.height + step) for step in range(1, CONFIRMATIONS_MIN)
        ]
        check = check_anchor(
            anchor.root,
            anchor.raw,
            Branch(branch.index, branch.siblings),
            branch.header,
            following,
            NETWORKS[self._chain.network],
        )
        if not check.passed:
            self._wait(anchor.root, f"the chain's proof does not hold: {check.faults}")
            return None
        return AnchorProof(
            raw_tx=anchor.raw,
            index=branch.index,
            siblings=branch.siblings,
            height=place.height,
            header=branch.header,
            following_headers=tuple(following),
        )
