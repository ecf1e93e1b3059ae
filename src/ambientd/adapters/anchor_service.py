"""Anchors on a chain: build, broadcast, wait for confirmations, collect the proof.

Nothing here is remembered on disk: a root whose anchor is lost is anchored again, and the ledger
keeps the first proof that it is shown.
"""

from collections.abc import Awaitable, Callable

import structlog
import trio

from ambientd.adapters.anchor_wallet import (
    FALLBACK_RATE_SAT_VB,
    AnchorWallet,
    FeeTooHigh,
    NoFunds,
    SignedAnchor,
)
from ambientd.errors import AmbientError, UsageError
from ambientd.model.receipt import AnchorProof
from ambientd.ports.chain import Chain, Rejected
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN, display

log = structlog.get_logger("ambientd.anchors")

RETRY_PAUSE_S = 2.0
POLL_S = 0.2


class ChainAnchors:
    """Anchors paid from one wallet on one chain."""

    def __init__(
        self,
        chain: Chain,
        wallet: AnchorWallet,
        fee_sat_max: int,
        fund: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._chain = chain
        self._wallet = wallet
        self._fee_sat_max = fee_sat_max
        self._fund = fund
        self._state = "idle"
        self._txid: bytes | None = None
        self._confirmations = 0

    def status(self) -> dict[str, str | int | None]:
        """Tell what the anchor under way is waiting for."""
        return {
            "network": self._chain.network,
            "address": self._wallet.address,
            "state": self._state,
            "txid": None if self._txid is None else display(self._txid),
            "confirmations": self._confirmations,
        }

    async def anchor(self, root: bytes) -> AnchorProof:
        """Broadcast a root and give its proof; try again for ever when the chain is away."""
        while True:
            try:
                anchor = await self._broadcast(root)
                if anchor is not None:
                    proof = await self._proof(anchor)
                    self._state = "idle"
                    return proof
            except AmbientError as error:
                self._state = str(error)
                log.warning("anchoring waits", reason=str(error))
            await trio.sleep(RETRY_PAUSE_S)

    async def _broadcast(self, root: bytes) -> SignedAnchor | None:
        """Send the anchor out; None, with the reason in `status`, when that cannot be done now."""
        utxos = await self._chain.utxos(self._wallet.script)
        if not utxos and self._fund is not None:
            await self._fund(self._wallet.address)
            utxos = await self._chain.utxos(self._wallet.script)
        rate = await self._chain.fee_rate_sat_vb() or FALLBACK_RATE_SAT_VB
        built = self._wallet.build_anchor(utxos, root, rate, self._fee_sat_max)
        if isinstance(built, NoFunds):
            self._state = (
                f"out of funds: {built.available_sat} sat, an anchor needs {built.needed_sat}; "
                f"send some to {self._wallet.address}"
            )
        elif isinstance(built, FeeTooHigh):
            self._state = f"fee of {built.fee_sat} sat is above the cap of {built.fee_sat_max}"
        else:
            answer = await self._chain.broadcast(built.raw)
            if not isinstance(answer, Rejected):
                self._txid, self._confirmations = built.txid, 0
                self._state = "broadcast"
                log.info("anchor broadcast", txid=display(built.txid), fee_sat=built.fee_sat)
                return built
            self._state = f"the chain refused the anchor: {answer.reason}"
        log.warning("anchoring waits", reason=self._state)
        return None

    async def _proof(self, anchor: SignedAnchor) -> AnchorProof:
        """Wait for the confirmations, then collect transaction, branch and headers."""
        while self._confirmations < CONFIRMATIONS_MIN:
            await trio.sleep(POLL_S)
            self._confirmations = await self._chain.confirmations(anchor.txid)
            if self._confirmations:
                self._state = "confirming"
        branch = await self._chain.merkle_branch(anchor.txid)
        place = await self._chain.inclusion(anchor.txid)
        if branch is None or place is None:
            msg = f"anchor {display(anchor.txid)} left the best chain; it is sent again"
            raise UsageError(msg)
        following = [
            await self._chain.header(place.height + step) for step in range(1, CONFIRMATIONS_MIN)
        ]
        return AnchorProof(
            raw_tx=anchor.raw,
            index=branch.index,
            siblings=branch.siblings,
            height=place.height,
            header=branch.header,
            following_headers=tuple(following),
        )
