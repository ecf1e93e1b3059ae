"""What rounds of private mode ask of this device: secrets, shares, masked updates, and sums.

Whatever leaves is written down first, in this node's own book (`roles/learning/book.py` says what
may be). A crash at any moment leaves the book before or after a line, never between.
"""

from collections.abc import Callable

import structlog
import trio

from ambientd.codec.digest import sha256
from ambientd.errors import ConfigError
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Circle, RoundReceipt
from ambientd.model.learning_effect import (
    ConcealWanted,
    DealWanted,
    KeysWanted,
    OpenWanted,
    Place,
)
from ambientd.model.private_book import NOTHING_SHOWN, Book, OwnRound
from ambientd.node.learning_event import (
    GaveUp,
    KeysMade,
    LearningFailed,
    SharesDealt,
    SharesOpened,
    Trained,
)
from ambientd.ports.blobs import BlobReads
from ambientd.ports.learning import Books, Learner
from ambientd.roles.learning import book as lines
from ambientd.roles.learning.book import Refusal
from ambientd.rules.learning import circles
from ambientd.rules.learning.privacy import Terms
from ambientd.rules.studies import threshold_of
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.gathering import Sought, gather

log = structlog.get_logger("ambientd.learning")

SECRET_BYTES = 32
DEALINGS_WAIT_MS = 30_000
ONE_SAMPLE = 1
"""How many samples a participant has is its own business: each counts alike."""


class PrivateRounds:
    """A participant's part in rounds of private mode, with its book."""

    def __init__(
        self,
        own_id: NodeId,
        books: Books,
        draw: Callable[[int], bytes],
        blobs: Blobs,
        files: BlobReads,
    ) -> None:
        self.books = books
        self._id = own_id
        self._draw = draw
        self._blobs = blobs
        self._files = files
        self._writing = trio.Lock()

    async def write(self, change: Callable[[Book], Book | Refusal]) -> Book | Refusal:
        """Change the book durably, or say why it may not be changed so."""
        async with self._writing:
            before = await self.book()
            after = change(before)
            if isinstance(after, Book) and after != before:
                # A write that is under way is never left alone: half a step would be none.
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(self.books.keep, after)
            return after

    async def book(self) -> Book:
        """Read the book."""
        return await trio.to_thread.run_sync(self.books.load)

    async def _round(self, place: Place) -> OwnRound:
        book = await self.book()
        row = lines.own_round(book, place.study, place.round)
        if row is None:
            msg = f"there is no secret for round {place.round} here: this node stays silent"
            raise ConfigError(msg)
        return row

    async def keys(self, effect: KeysWanted) -> KeysMade | GaveUp | LearningFailed:
        """Keep a secret for the round, if the budget has room for it."""
        place, plan = effect.place, effect.plan
        terms = Terms(plan.clip_micro, plan.noise_milli, threshold_of(plan, plan.group_size))
        refusal = lines.worn(await self.book(), place.study, terms)
        if refusal is not None:
            return _refused(place, refusal)
        secret = self._draw(SECRET_BYTES)
        book = await self.write(lambda b: lines.begin(b, place.study, place.round, secret))
        if isinstance(book, Refusal):
            return _refused(place, book)
        row = lines.own_round(book, place.study, place.round)
        assert row is not None, "the round was begun"
        rid = circles.round_id(place.study, place.round)
        return KeysMade(place, circles.announced(row.secret, self._id, rid))

    async def deal(self, effect: DealWanted) -> SharesDealt:
        """Deal shares of the round's secrets."""
        place = effect.place
        secret = (await self._round(place)).secret
        rid = circles.round_id(place.study, place.round)
        blob = await trio.to_thread.run_sync(circles.dealing, secret, self._id, effect.circle, rid)
        return SharesDealt(place, await self._blobs.put(blob), len(blob))

    async def dealings(self, circle: Circle, wait_ms: int) -> dict[NodeId, bytes]:
        """Bring what a circle's members dealt; raise ValueError while some of it is missing."""
        sought = [
            Sought(each.node, each.digest, each.size_bytes, circle.nodes) for each in circle.dealt
        ]
        held = await gather(self._blobs, sought, wait_ms)
        found = {}
        for each in circle.dealt:
            data = await self._blobs.get(each.digest) if each.node in held else None
            if data is None:
                msg = f"the shares of node {each.node.hex()[:12]} could not be fetched"
                raise ValueError(msg)
            found[each.node] = data
        return found

    async def check(self, effect: ConcealWanted) -> None:
        """Raise RemoteProtocolError naming whoever dealt shares to this node that do not open.

        Before anything is spent: a sum that cannot be unmasked would cost as much as another.
        """
        dealings = await self.dealings(effect.circle, DEALINGS_WAIT_MS)
        secret = (await self._round(effect.place)).secret
        rid = circles.round_id(effect.place.study, effect.place.round)
        circles.check_dealings(secret, self._id, effect.circle, dealings, rid)

    async def kept(self, place: Place) -> Trained | None:
        """Give what was shown in a round before a crash, if it is here: it is said again as it is.

        Trained again it might be another, and another is never shown.
        """
        row = await self._round(place)
        if row.shown == NOTHING_SHOWN or row.opened_for or not await self._blobs.has(row.shown):
            return None
        return Trained(place, row.shown, ONE_SAMPLE)

    async def conceal(
        self, effect: ConcealWanted, update: bytes, learner: Learner
    ) -> Trained | GaveUp | LearningFailed:
        """Clip, noise and mask an update; spend what that costs, then keep it for others."""
        place, plan, circle = effect.place, effect.plan, effect.circle
        secret = (await self._round(place)).secret
        rid = circles.round_id(place.study, place.round)
        shown = await trio.to_thread.run_sync(
            learner.conceal, plan, update, secret, self._id, circle, rid
        )
        digest = Digest(sha256(shown))
        terms = Terms(plan.clip_micro, plan.noise_milli, circle.threshold)
        after = await self.write(
            lambda book: lines.release(book, place.study, place.round, digest, terms)
        )
        if isinstance(after, Refusal):
            return _refused(place, after)
        await self._blobs.put(shown)
        return Trained(place, digest, ONE_SAMPLE)

    async def open(self, effect: OpenWanted) -> SharesOpened | GaveUp | LearningFailed:
        """Write down whom shares are opened for, then open them."""
        place = effect.place
        secret = (await self._round(place)).secret
        dealings = await self.dealings(effect.circle, DEALINGS_WAIT_MS)
        rid = circles.round_id(place.study, place.round)
        opened = circles.opened_shares(
            secret, self._id, effect.circle, dealings, effect.survivors, rid
        )
        after = await self.write(
            lambda book: lines.open_for(book, place.study, place.round, effect.survivors)
        )
        if isinstance(after, Refusal):
            return _refused(place, after)
        return SharesOpened(place, await self._blobs.put(opened), len(opened))

    async def hear(self, receipt: RoundReceipt) -> None:
        """Close a round that has ended."""
        await self.write(lambda book: lines.heard(book, receipt, self._id))


def _refused(place: Place, refusal: Refusal) -> GaveUp | LearningFailed:
    """Leave the study where only the owner can change the cause; else sit this round out."""
    if refusal.cause.is_final:
        log.warning("this node leaves a study", study=place.study.hex()[:12], reason=refusal.text)
        return GaveUp(place, refusal.text)
    log.warning("not done for a study", step=place.step.value, reason=refusal.text)
    return LearningFailed(place, refusal.text, declined=True)
