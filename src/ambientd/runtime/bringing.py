"""Bringing a large blob here by chunks, from several peers at once (protocols/20).

Each source first says which chunks there are: those that say the same are a camp. The chunks of one
camp at a time are asked for, each of whoever is free. A chunk that is not what its own source has
said is a lie, and costs that chunk alone. Whether what a camp says is true shows when all of it is
here: if the whole has another name, all who said so have lied. Liars are not asked for a while.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import structlog
import trio

from ambientd.codec.canonical import encode
from ambientd.codec.chunks import Outline, decode_answer, outline_in
from ambientd.errors import RemoteProtocolError, StoreError
from ambientd.model.base import Digest, NodeId
from ambientd.model.chunk import (
    LARGE_BYTES_MAX,
    Answer,
    AskLater,
    ChunkAsked,
    ChunkGiven,
    NotHere,
    OutlineAsked,
    OutlineGiven,
    Question,
)
from ambientd.ports.blobs import Partial, PartialFiles
from ambientd.rules.chunk_plan import ChunkPlan

log = structlog.get_logger("ambientd.blobs")

SOURCES_MAX = 8
MORE_SOURCES_MAX = 24
"""One after the other, where those that were asked first are slow, or have agreed on a lie."""

LANES = 2
"""Chunks asked of one source at once: one is on its way while the other is checked."""

STRIKES_MAX = 3
PAUSE_S = 0.25
SETTLE_S = 0.25
"""For others to say which chunks there are, once somebody has; and while they hash the blob."""

HASHED_BYTES_A_S = 256 * 1024 * 1024

STALL_S = 10.0
"""Without a chunk another camp has its turn, if there is one; a camp's first turn is as long."""

SHUN_S = 600.0

T = TypeVar("T")
AskForPiece = Callable[[NodeId, bytes], Awaitable[bytes | None]]


@dataclass(eq=False, slots=True)
class _Camp:
    """Those who say the same about a blob."""

    outline: Outline
    sources: set[NodeId] = field(default_factory=set)
    said: set[NodeId] = field(default_factory=set)
    plan: ChunkPlan | None = None
    is_false: bool = False
    turns: int = 0


class Bringer:
    """One node's fetches by chunks."""

    def __init__(self, ask: AskForPiece, files: PartialFiles) -> None:
        self._ask = ask
        self._files = files
        self._shunned: dict[NodeId, float] = {}

    def is_shunned(self, peer: NodeId) -> bool:
        """Tell whether a peer has lied lately."""
        until_s = self._shunned.get(peer)
        if until_s is not None and until_s <= trio.current_time():
            del self._shunned[peer]
            return False
        return until_s is not None

    def shun(self, peer: NodeId, digest: bytes, why: str) -> None:
        """Ask a peer for nothing for a while."""
        self._shunned[peer] = trio.current_time() + SHUN_S
        log.warning(
            "a peer lied about a blob; others are asked",
            peer=peer.hex()[:12],
            digest=digest.hex()[:12],
            why=why,
        )

    async def bring(
        self, digest: Digest, size_bytes_max: int, peers: Sequence[NodeId], *, is_synced: bool
    ) -> "Brought":
        """Have a blob here, as far as peers give it; what came stays for the next time.

        Raises:
            StoreError: there is no room for it, or the disk fails.
        """
        growing = self._files.partial(digest)
        asked = [peer for peer in dict.fromkeys(peers) if not self.is_shunned(peer)]
        fetch = _Fetch(self, self._ask, growing, digest, min(size_bytes_max, LARGE_BYTES_MAX))
        try:
            is_here = await fetch.run(asked, is_synced=is_synced)
        finally:
            growing.close()
        log.info(
            "a blob came by chunks" if is_here else "not all chunks of a blob came",
            digest=digest.hex()[:12],
            held=fetch.held,
            missing=fetch.missing,
            chunks={peer.hex()[:12]: count for peer, count in sorted(fetch.came.items())},
        )
        return Brought(is_here, tuple(fetch.silent), dict(fetch.came), fetch.held)


@dataclass(frozen=True, slots=True)
class Brought:
    """What came of a fetch: who said nothing, how many chunks came from whom, and were here."""

    is_here: bool
    silent: tuple[NodeId, ...]
    came: dict[NodeId, int]
    held: int


class _Fetch:
    """One blob on its way."""

    def __init__(
        self,
        bringer: Bringer,
        ask: AskForPiece,
        growing: Partial,
        digest: Digest,
        size_bytes_max: int,
    ) -> None:
        self._bringer = bringer
        self._ask = ask
        self._partial = growing
        self._digest = digest
        self._size_bytes_max = size_bytes_max
        self._camps: list[_Camp] = []
        self._active: _Camp | None = None
        self._unheard = 0
        self._news = trio.Event()
        self._disk = trio.Lock()
        self._failure: StoreError | None = None
        self._scope = trio.CancelScope()
        self.silent: list[NodeId] = []
        self.came: Counter[NodeId] = Counter()
        self.held = 0
        self.missing = 0

    async def run(self, peers: Sequence[NodeId], *, is_synced: bool) -> bool:
        """Fetch until all is here, or nobody has more; tell which."""
        candidates = iter(peers)
        self._unheard = len(peers)
        is_here = False
        with self._scope:
            async with trio.open_nursery() as nursery:
                for _ in range(min(SOURCES_MAX, len(peers))):
                    nursery.start_soon(self._hear, candidates)
                nursery.start_soon(self._hear_more, candidates)
                is_here = await self._lead(is_synced=is_synced)
                nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure
        return is_here

    async def _on_disk(self, work: Callable[[], T]) -> T:
        """Do something in a thread; where the disk fails, end the fetch."""
        try:
            return await trio.to_thread.run_sync(work)
        except StoreError as error:
            self._failure = error
            self._scope.cancel()
            await trio.sleep_forever()
            raise

    # What is fetched: one camp's blob after the other's.

    async def _lead(self, *, is_synced: bool) -> bool:
        while (camp := await self._next_camp()) is not None:
            async with self._disk:  # else a chunk of the camp before might be written after this
                held = await self._on_disk(partial(self._partial.open, camp.outline))
            self.held = max(self.held, len(held))
            camp.plan = ChunkPlan(camp.outline.count, held)
            self._active = camp
            self._tell()
            is_whole = await self._follow(camp, camp.plan)
            self._active = None
            self.missing = camp.plan.missing
            if not is_whole:
                continue
            async with self._disk:
                finish = partial(self._partial.finish, is_synced=is_synced)
                is_true = await self._on_disk(finish)
            # A blob has one outline: where this is it, all others are false, asked for or not.
            for false in [each for each in self._camps if (each is camp) != is_true]:
                self._disown(false)
            if is_true:
                return True
            self._tell()
        return False

    def _disown(self, camp: _Camp) -> None:
        camp.is_false = True
        for peer in sorted(camp.said):
            self._bringer.shun(peer, self._digest, "the chunks it named are another blob's")

    async def _next_camp(self) -> _Camp | None:
        """Wait for somebody to ask, and a little for others; None when there is nobody."""
        while not (found := self._eligible()):
            if not self._unheard:
                return None
            await self._until_news()
        # Who has to hash the blob first shall not come second to who makes an outline up.
        size_bytes = max(camp.outline.size_bytes for camp in found)
        with trio.move_on_after(SETTLE_S + size_bytes / HASHED_BYTES_A_S):
            while self._unheard:
                await self._until_news()
        found = self._eligible() or found
        return min(found, key=lambda camp: (camp.turns, -len(camp.sources)))

    def _eligible(self) -> list[_Camp]:
        return [camp for camp in self._camps if camp.sources and not camp.is_false]

    async def _follow(self, camp: _Camp, plan: ChunkPlan) -> bool:
        """Wait while chunks of a camp come; tell whether all are here.

        Where others say something else, each camp has its turn, twice as long as its last one: a
        liar that gives a chunk now and then would keep those waiting who tell the truth.
        """
        end_s = trio.current_time() + STALL_S * 2**camp.turns
        while not plan.is_done:
            if not camp.sources:
                return False
            missing = plan.missing
            with trio.move_on_after(STALL_S):
                while plan.missing == missing and camp.sources:
                    await self._until_news()
            is_over = plan.missing == missing or trio.current_time() >= end_s
            if is_over and not plan.is_done and len(self._eligible()) > 1:
                camp.turns += 1
                return False
        return True

    # Who gives it.

    async def _hear(self, candidates: Iterator[NodeId]) -> None:
        """Hear one peer after the other, and take what it has."""
        for peer in candidates:
            outline = await self._outline_of(peer)
            camp = None if outline is None else self._camp_of(outline)
            if camp is not None:
                camp.sources.add(peer)
                camp.said.add(peer)
            self._unheard -= 1
            self._tell()
            if camp is not None:
                await self._take_from(peer, camp)
                camp.sources.discard(peer)
                self._tell()

    async def _hear_more(self, candidates: Iterator[NodeId]) -> None:
        """Hear some beside, for as long as those that are heard do not bring all of it."""
        async with trio.open_nursery() as nursery:
            for _ in range(MORE_SOURCES_MAX):
                await trio.sleep(STALL_S)
                nursery.start_soon(self._hear, candidates)

    def _camp_of(self, outline: Outline) -> _Camp:
        for camp in self._camps:
            if camp.outline == outline:
                return camp
        self._camps.append(camp := _Camp(outline))
        return camp

    async def _outline_of(self, peer: NodeId) -> Outline | None:
        for attempt in range(STRIKES_MAX):
            if attempt:
                await trio.sleep(PAUSE_S)
            answer = await self._answer(peer, OutlineAsked(digest=self._digest))
            if isinstance(answer, OutlineGiven):
                return self._outline_in(peer, answer)
            if not isinstance(answer, AskLater):
                if answer is None:
                    self.silent.append(peer)
                break
        return None

    def _outline_in(self, peer: NodeId, given: OutlineGiven) -> Outline | None:
        if given.size_bytes > self._size_bytes_max:
            return None  # whoever named the blob may have lied about its size
        try:
            return outline_in(given, self._size_bytes_max)
        except RemoteProtocolError as error:
            self._bringer.shun(peer, self._digest, str(error))
            return None

    async def _take_from(self, peer: NodeId, camp: _Camp) -> None:
        """Ask a source for chunks, some at once, until it fails or is not needed."""
        async with trio.open_nursery() as nursery:
            strikes = _Strikes(nursery.cancel_scope)
            for _ in range(LANES):
                nursery.start_soon(self._lane, peer, camp, strikes)

    async def _lane(self, peer: NodeId, camp: _Camp, strikes: "_Strikes") -> None:
        while not camp.is_false:
            plan = camp.plan if self._active is camp else None
            index = None if plan is None else plan.next_for(peer, _now_ms())
            if plan is None or index is None:
                # Whoever is slow now may be too slow later: no news tells of that.
                await self._until_news(PAUSE_S if plan is not None else None)
                continue
            try:
                is_here = await self._chunk(peer, index, strikes)
            except BaseException:
                plan.gave_up(peer, index)
                raise
            if is_here and self._active is camp:
                plan.took(peer, index, _now_ms())
                self.came[peer] += 1
            else:
                plan.gave_up(peer, index)
            self._tell()
            if not is_here:
                await trio.sleep(PAUSE_S)

    async def _chunk(self, peer: NodeId, index: int, strikes: "_Strikes") -> bool:
        """Have a chunk of the active camp here, or count what kept it from coming."""
        camp = self._active
        answer = await self._answer(peer, ChunkAsked(digest=self._digest, index=index))
        if isinstance(answer, ChunkGiven):
            async with self._disk:
                if self._active is not camp:
                    return False  # the outline is another by now
                if await self._on_disk(partial(self._partial.take, index, answer.data)):
                    strikes.clear()
                    return True
            self._bringer.shun(peer, self._digest, "a chunk is not what it said")
            strikes.out()
        elif isinstance(answer, NotHere | OutlineGiven):
            strikes.out()
        else:
            strikes.add()
        return False

    async def _answer(self, peer: NodeId, question: Question) -> Answer | None:
        data = await self._ask(peer, encode(question))
        if data is None:
            return None
        try:
            return decode_answer(data)
        except RemoteProtocolError as error:
            self._bringer.shun(peer, self._digest, str(error))
            return NotHere()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def _until_news(self, seconds: float | None = None) -> None:
        news = self._news
        with trio.move_on_after(float("inf") if seconds is None else seconds):
            await news.wait()


class _Strikes:
    """How often a source gave nothing; after some it is left."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self._scope = scope
        self._count = 0

    def add(self) -> None:
        """Count one."""
        self._count += 1
        if self._count >= STRIKES_MAX:
            self.out()

    def clear(self) -> None:
        """Begin anew: it gives chunks."""
        self._count = 0

    def out(self) -> None:
        """Leave the source now."""
        self._scope.cancel()


def _now_ms() -> int:
    return int(trio.current_time() * 1000)
