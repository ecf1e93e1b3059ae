"""Anchors on a chain: carries out what anchoring decides, and tells it what the chain says."""

import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
import trio

from ambientd.adapters.anchor_file import AnchorFile
from ambientd.adapters.mined import mined_transaction
from ambientd.errors import RemoteProtocolError, UnreachableError, UsageError
from ambientd.model.base import Digest
from ambientd.model.receipt import AnchorProof
from ambientd.node.event import AnchorProven, AnchorSigned
from ambientd.ports.anchor_signer import AnchorSigner
from ambientd.ports.anchors import AnchorProgress, AnchorSent, ChainState, Post
from ambientd.ports.chain import Chain, Rejected
from ambientd.roles.anchoring.book import THEIRS_BYTES_MAX, Coin, Place, Progress, Stage
from ambientd.roles.anchoring.core import Anchoring
from ambientd.roles.anchoring.events import (
    Answered,
    AskForFunds,
    ChainAway,
    ChainSeen,
    CollectProof,
    Effect,
    Event,
    Look,
    LookAtChain,
    PersistBook,
    ProofTaken,
    RetryAsked,
    RootLost,
    RootsSettled,
    RootWanted,
    SeatTold,
    SendTransaction,
    TheirsHeard,
    Ticked,
    View,
    logged,
)
from ambientd.roles.anchoring.options import AnchoringOptions
from ambientd.rules.anchor_costs import RATE_MSAT_VB_MAX
from ambientd.rules.bitcoin import NETWORKS, Branch, check_anchor
from ambientd.rules.bitcoin_codec import display

log = structlog.get_logger("ambientd.anchors")

HEARD_WAITING_MAX = 256
LOOKS_MAX = 5
TOLD_KEPT_MAX = 64
GREET_S = 30.0
ANSWER_MS = 15_000
SCAN_MS = 900_000
"""How long the chain may take to answer, and to look for a wallet's coins, before that is told."""

# A signer that never answers must not hold up a shutdown.
_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}
_STATES = {
    Stage.WAITING: "waiting",
    Stage.SENT: "broadcast",
    Stage.MINED: "confirming",
    Stage.PROVEN: "proven",
}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the core had come to when it last decided something."""

    progress: tuple[Progress, ...]
    alarm: str | None
    height: int | None


class ChainAnchors:
    """Anchors paid from one wallet on one chain, with their book on disk."""

    def __init__(
        self,
        chain: Chain,
        wallet: AnchorSigner,
        file: AnchorFile,
        options: AnchoringOptions,
        now: Callable[[], int],
        fund: Callable[[str], Awaitable[object]] | None = None,
        tell: Callable[[AnchorSent], None] | None = None,
        note: str = "",
    ) -> None:
        """Take up what the book holds; `fund` gets coins where that needs no person.

        `note` is what else people are told of the chain, whenever they ask for its state.
        """
        self._chain = chain
        self._wallet = wallet
        self._file = file
        self._now = now
        self._fund = fund
        self._tell = tell
        self._note = note
        self._core = Anchoring(options, wallet, file.load(), wallet.address)
        self._inbox: deque[Event] = deque()
        self._woken = trio.Event()
        self._told: deque[bytes] = deque(maxlen=TOLD_KEPT_MAX)
        self._seen = self._as_seen()
        self._alarm: str | None = None
        self._away: str | None = None
        self._has_answered = False
        self._asked_ms: int | None = None
        self._begun_ms: int | None = None
        self._patience_ms = ANSWER_MS

    def want(self, size: int, root: Digest) -> None:
        """Have a root anchored."""
        self._post(RootWanted(size, root))

    def hear(self, size: int, root: Digest, raw_tx: bytes) -> None:
        """Learn of an anchor that another member has signed."""
        if len(self._inbox) < HEARD_WAITING_MAX:
            self._post(TheirsHeard(size, root, raw_tx))

    def leave(self, size: int) -> None:
        """Sign nothing new up to this batch: the log has its anchor."""
        self._post(RootsSettled(size))

    def watch(self, size: int, root: Digest, proof: AnchorProof) -> None:
        """See to it that an anchor which the log has stays in the best chain, whoever made it."""
        self._post(logged(size, root, proof))

    def seat(self, place: int | None, members: int) -> None:
        """Learn when it is this node's turn to anchor what was undone; without a place, never."""
        self._post(SeatTold(place, members))

    def retry(self) -> None:
        """Try again at once whatever waits."""
        self._post(RetryAsked())

    def progress(self) -> Mapping[bytes, AnchorProgress]:
        """Tell how far the roots under way have come."""
        return {each.entry.root: _told(each) for each in self._seen.progress}

    def status(self) -> ChainState:
        """Tell what the chain last said."""
        detail = f"{self._chain.network}, anchors are paid from {self._wallet.address}"
        detail = f"{detail}; {self._note}" if self._note else detail
        trouble = self._hanging() or self._away
        state = trouble or self._seen.alarm or "ready"
        return ChainState(state, self._seen.height, detail, trouble)

    def _hanging(self) -> str | None:
        """Say that the signer or the chain has owed an answer for long, if it has."""
        if self._begun_ms is not None and self._now() >= self._begun_ms + ANSWER_MS:
            waited_s = (self._now() - self._begun_ms) // 1000
            return f"the anchors' signer has not answered for {waited_s} s: see to it"
        if self._asked_ms is None or self._now() < self._asked_ms + self._patience_ms:
            return None
        waited_s = (self._now() - self._asked_ms) // 1000
        return f"the {self._chain.network} chain has not answered for {waited_s} s: it hangs"

    async def fee_rate_msat_vb(self) -> int | None:
        """Give the chain's own estimate."""
        rate = await self._chain.fee_rate_sat_vb()
        if rate is None or not math.isfinite(rate) or rate <= 0:
            return None
        return min(math.ceil(rate * 1_000), RATE_MSAT_VB_MAX)

    async def run(self, post: Post) -> None:
        """Bring roots into the chain and keep them there, for ever; proofs go to the node."""
        while True:
            while self._inbox:
                await self._advance(self._inbox.popleft(), post)
            await self._advance(Ticked(), post)
            if self._inbox:
                continue
            self._tell_alarm()
            deadline_ms = self._core.next_deadline
            pause_s = math.inf if deadline_ms is None else (deadline_ms - self._now()) / 1000
            pause_s = min(pause_s, await self._greeted())
            with trio.move_on_after(max(0.0, pause_s)):
                await self._woken.wait()
            self._woken = trio.Event()

    async def _greeted(self) -> float:
        """Ask a chain that was not asked yet: that it is away is known before it is needed.

        Give after how many seconds to ask again.
        """
        if self._has_answered or self._seen.height is not None:
            return math.inf
        self._asked_ms, self._patience_ms = self._now(), ANSWER_MS
        try:
            await self._chain.fee_rate_sat_vb()
        except (UnreachableError, RemoteProtocolError, UsageError) as error:
            self._away = str(error)
            return GREET_S
        finally:
            self._asked_ms = None
        self._away, self._has_answered = None, True
        return math.inf

    def _post(self, event: Event) -> None:
        self._inbox.append(event)
        self._woken.set()

    async def _advance(self, event: Event, post: Post) -> None:
        """Let the core decide, carry that out, and take the chain's answers in.

        It asks the signer, which may be a device: beside the loop, while others see what was.
        """
        now = self._begun_ms = self._now()
        effects = await trio.to_thread.run_sync(self._decided, event, now, **_ABANDON)
        self._begun_ms = None
        self._seen = self._as_seen()
        for effect in effects:
            try:
                answer = await self._asked(effect, post)
            except (UnreachableError, RemoteProtocolError, UsageError) as error:
                self._away = str(error)
                answer = ChainAway(self._away)
            if answer is not None:
                self._inbox.append(answer)

    def _decided(self, event: Event, now: int) -> list[Effect]:
        return self._core.handle(event, now=now)

    def _as_seen(self) -> _Seen:
        core = self._core
        return _Seen(tuple(core.progress()), core.alarm, core.height)

    async def _asked(self, effect: Effect, post: Post) -> Event | None:
        """Carry out an effect, and know meanwhile since when an answer is owed."""
        # A node goes through all that is unspent for a wallet's coins.
        is_scan = isinstance(effect, LookAtChain) and effect.look.coins
        is_slow = is_scan and self._chain.network != "regtest"
        self._asked_ms, self._patience_ms = self._now(), SCAN_MS if is_slow else ANSWER_MS
        try:
            answer = await self._perform(effect, post)
        finally:
            self._asked_ms = None
        if isinstance(answer, ChainSeen):
            self._away = None
        return answer

    def _tell_alarm(self) -> None:
        """Log a reason to wait once, when it comes and when it goes."""
        if self._core.alarm != self._alarm:
            self._alarm = self._core.alarm
            if self._alarm is not None:
                log.error("ANCHORING WAITS, nothing is lost", reason=self._alarm)
            else:
                log.info("anchoring goes on")

    async def _perform(self, effect: Effect, post: Post) -> Event | None:
        match effect:
            case PersistBook(book=book):
                await trio.to_thread.run_sync(self._file.save, book)
            case LookAtChain(look=look):
                return ChainSeen(await self._look(look))
            case SendTransaction():
                return await self._send(effect, post)
            case CollectProof(size=size, root=root, place=place):
                proof = await self._collect(effect)
                if proof is None:
                    return None
                await post(AnchorProven(size, root, proof))
                return ProofTaken(root, place)
            case AskForFunds():
                if self._fund is not None and await self._fund(self._wallet.address) is not None:
                    return RetryAsked()
            case RootLost(root=root):
                log.error("A PROVEN ANCHOR HAS LEFT THE BEST CHAIN; sent again", root=root.hex())
        return None

    async def _look(self, look: Look) -> View:
        """See everything under one tip; begin again when another came meanwhile."""
        for _ in range(LOOKS_MAX):
            tip = await self._chain.tip()
            try:
                view = await self._view(look, tip.height)
            except UsageError:
                continue  # a height is gone: the chain was reorganised just now
            if await self._chain.tip() == tip:
                return view
        raise UnreachableError("the chain changes faster than it can be looked at")

    async def _view(self, look: Look, height: int) -> View:
        hashes = {
            at: await self._chain.block_hash(at) if at <= height else None for at in look.heights
        }
        places = {txid: await self._place(txid) for txid in look.txids}
        waiting = [txid for txid in look.waiting if await self._chain.raw_tx(txid) is not None]
        coins = rate_msat_vb = None
        if look.coins:
            utxos = await self._chain.utxos(self._wallet.script)
            coins = tuple(
                Coin(txid=utxo.txid, index=utxo.index, value_sat=utxo.value_sat) for utxo in utxos
            )
            rate_msat_vb = await self.fee_rate_msat_vb()
        return View(height, places, hashes, frozenset(waiting), coins, rate_msat_vb)

    async def _place(self, txid: bytes) -> Place | None:
        found = await self._chain.inclusion(txid)
        if found is None:
            return None
        return Place(txid=txid, height=found.height, block_hash=found.block_hash)

    async def _send(self, effect: SendTransaction, post: Post) -> Answered:
        answer = await self._chain.broadcast(effect.raw)
        if isinstance(answer, Rejected):
            return Answered(effect.txid, answer.reason[:200])
        if effect.is_ours and effect.txid not in self._told:
            self._told.append(effect.txid)
            log.info("anchor broadcast", txid=display(effect.txid))
            await post(AnchorSigned(effect.size, effect.root, effect.raw))
            if self._tell is not None:
                self._tell(AnchorSent(effect.root, display(effect.txid)))
        return Answered(effect.txid)

    async def _collect(self, effect: CollectProof) -> AnchorProof | None:
        """Collect a proof and check it as a stranger would; None when the chain has moved on."""
        place = effect.place
        branch = await self._chain.merkle_branch(place.txid)
        raw_tx = await self._chain.raw_tx(place.txid)
        if branch is None or raw_tx is None:
            return None
        if len(raw_tx) > THEIRS_BYTES_MAX:
            # A miner may have another witness than was shown, longer than the log takes: no proof
            # is of it, and a batch whose proof cannot be brought would hold up all later ones.
            raw_tx = (await mined_transaction(raw_tx)).base
        following = [
            await self._chain.header(place.height + step) for step in range(1, effect.following + 1)
        ]
        if await self._place(place.txid) != place:
            return None
        check = check_anchor(
            effect.root,
            raw_tx,
            Branch(branch.index, branch.siblings),
            branch.header,
            following,
            NETWORKS[self._chain.network],
        )
        if not check.passed:
            faults = ", ".join(f"{step.name} ({step.detail})" for step in check.faults)
            raise RemoteProtocolError(f"the chain's proof does not hold: {faults}")
        return AnchorProof(
            raw_tx=raw_tx,
            index=branch.index,
            siblings=branch.siblings,
            height=place.height,
            header=branch.header,
            following_headers=tuple(following),
        )


def _told(progress: Progress) -> AnchorProgress:
    entry = progress.entry
    state = _STATES[entry.stage]
    if progress.note:
        state = f"{state}: {progress.note}"
    newest = entry.newest
    txid = entry.place.txid if entry.place else None if newest is None else newest.txid
    return AnchorProgress(
        state=state,
        txid=None if txid is None else display(txid),
        height=None if entry.place is None else entry.place.height,
        confirmations=progress.confirmations,
        fee_sat=0 if newest is None else newest.fee_sat,
        versions=len(entry.versions),
        is_lost=entry.reorganised > 0 and entry.stage is not Stage.PROVEN,
    )
