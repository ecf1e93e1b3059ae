"""States that go from worker to worker, apart from all other blobs and within their own quota.

Which of them stay follows from the log (`roles.keeper`); here they are brought, given and dropped.
What others make this node bring drives nothing else out. Of each maker one state is brought at a
time, of a few makers at once (`runtime.turns`): who is silent, or gives what does not fit, holds up
nobody else's.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

import structlog
import trio

from ambientd.errors import RemoteProtocolError, StoreError
from ambientd.model.base import Digest, NodeId
from ambientd.model.dispute import BEGINNING, KnownState, TracePoint
from ambientd.model.effect import DropStates, FetchState, KeepStates
from ambientd.runtime.blobs import WHOLE_BYTES_MAX, Blobs
from ambientd.runtime.shelves import GivenStore
from ambientd.runtime.turns import Maker, Turns
from ambientd.wasm.state import decode_state

log = structlog.get_logger("ambientd.handed_states")

FETCH_S = 10.0
FETCH_LARGE_S = 3 * FETCH_S
"""How long a state is waited for before it is the next one's turn; of one that comes by chunks, who
says that it has others is left after as long as the first (`runtime.bringing`)."""

PAUSE_S = 1.0
PAUSE_S_MAX = 30.0
"""Between two tries to bring a state whose holders are away, doubled each time up to this."""

AT_ONCE_MAX = 4
LARGE_AT_ONCE_MAX = 2
"""Small states on their way at once, and large ones beside: each may be in memory as a whole."""


class HandedFiles(GivenStore, Protocol):
    """Where such states lie: `adapters.blob_files.BlobFiles`."""

    def names(self) -> list[bytes]:
        """Give the names of all that is kept."""
        ...

    def has_room(self, size_bytes: int) -> bool:
        """Tell whether so many bytes more would be kept, and nothing whole would go for them."""
        ...

    def delete(self, name: bytes) -> None:
        """Forget one; forgetting an unknown one is no error."""
        ...


@dataclass(eq=False, slots=True)
class _Wanted:
    """A state that is to be here, by the last word of each who says to have made it.

    Some may lie about its size, or have nothing.
    """

    words: dict[Maker, FetchState] = field(default_factory=dict)
    whole: trio.CancelScope = field(default_factory=trio.CancelScope)
    turn: trio.CancelScope = field(default_factory=trio.CancelScope)
    news: trio.Event = field(default_factory=trio.Event)
    lacks_room: bool = False

    def add(self, maker: Maker, effect: FetchState) -> None:
        """Take one more word on it."""
        self.words[maker] = effect
        self.news.set()

    async def pause(self, seconds: float) -> None:
        """Wait for a while, for one more word on it, or for room if that is what it lacks."""
        with trio.move_on_after(seconds):
            await self.news.wait()
        self.news, self.lacks_room = trio.Event(), False


def _known_state(name: Digest, data: bytes) -> KnownState:
    try:
        state = decode_state(data)
    except RemoteProtocolError:
        return KnownState(BEGINNING, name, len(data))
    return KnownState(TracePoint(state.gas_index, state.root()), name, len(data))


class HandedStates:
    """One node's states for others."""

    def __init__(self, files: HandedFiles, blobs: Blobs) -> None:
        """Take where they lie, and the same place with the network behind it."""
        self._files = files
        self._blobs = blobs
        self._turns = Turns(AT_ONCE_MAX, LARGE_AT_ONCE_MAX)
        self._decoding = trio.CapacityLimiter(1)
        self._wanted: dict[bytes, _Wanted] = {}
        self._fetching: Counter[bytes] = Counter()
        self._gone: set[bytes] = set()  # dropped while they are on their way
        self.disk_faults = 0

    async def put(self, data: bytes) -> Digest:
        """Keep a state of this node's own; raise StoreError when there is no room for it."""
        try:
            return await self._blobs.put(data)
        except OSError as error:
            msg = f"a state cannot be kept: {error}; check the disk"
            raise StoreError(msg) from error

    async def fetch(self, name: Digest, size_bytes: int, holders: Sequence[NodeId]) -> bytes | None:
        """Give a state from here or from whoever has it; None when it cannot be had soon.

        Who goes on from it comes first: what is said of it for others may keep it waiting.
        """
        if (wanted := self._wanted.get(name)) is not None:
            wanted.turn.cancel()
        return await self._fetch(name, size_bytes, holders)

    async def _fetch(
        self, name: Digest, size_bytes: int, holders: Sequence[NodeId]
    ) -> bytes | None:
        self._fetching[name] += 1
        try:
            is_large = size_bytes > WHOLE_BYTES_MAX
            with trio.move_on_after(FETCH_LARGE_S if is_large else FETCH_S):
                return await self._blobs.fetch(name, size_bytes, holders, is_synced=False)
        except (StoreError, OSError) as error:
            self._note_fault(name, error)
        finally:
            self._fetching[name] -= 1
            if not self._fetching[name]:
                del self._fetching[name]
                if name in self._gone:
                    self._gone.discard(name)
                    self._delete(name)
        return None

    async def bring(self, effect: FetchState) -> KnownState | None:
        """Have a state here, as soon as somebody gives it, and give where it truly stands.

        None where it is dropped before, or is on its way already.
        """
        name = effect.digest
        self._gone.discard(name)
        maker = self._turns.maker(effect.holders[0])
        if (known := self._wanted.get(name)) is not None:
            known.add(maker, effect)
            return None
        wanted = self._wanted[name] = _Wanted()
        wanted.add(maker, effect)
        try:
            with wanted.whole:
                return await self._bring(name, wanted)
        finally:
            if self._wanted.get(name) is wanted:
                del self._wanted[name]
        return None

    async def _bring(self, name: Digest, wanted: _Wanted) -> KnownState:
        """Go by each word on it in turn, until one proves true."""
        pause_s = PAUSE_S
        while True:
            for maker, effect in list(wanted.words.items()):
                seen = await self._brought(maker, effect, wanted)
                if seen is not None:
                    return seen
            why = "it cannot be kept here now" if wanted.lacks_room else "nobody gives it"
            log.info("a marked state is not here yet", digest=name.hex()[:12], why=why)
            await wanted.pause(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def _brought(
        self, maker: Maker, effect: FetchState, wanted: _Wanted
    ) -> KnownState | None:
        """Go by one word on it, when it is its maker's turn; give what it is, if it is here."""
        name = effect.digest
        if not self.holds(name) and not self._files.has_room(effect.size_bytes):
            wanted.lacks_room = True  # it would come in vain
            return None
        found: bytes | None = None
        is_large = effect.size_bytes > WHOLE_BYTES_MAX
        async with self._turns.turn(maker, is_large=is_large) as turn:
            with trio.CancelScope() as wanted.turn:
                found = await self._fetch(name, effect.size_bytes, effect.holders)
            if not wanted.turn.cancelled_caught:
                turn.gave = found is not None
            if found is not None and self.holds(name):
                return await self.known(name, found)
        wanted.lacks_room |= found is not None  # it came, and was not kept
        return None

    async def known(self, name: Digest, data: bytes) -> KnownState:
        """Give where a state truly stands; what is no state, at the beginning."""
        return await trio.to_thread.run_sync(_known_state, name, data, limiter=self._decoding)

    def holds(self, name: Digest) -> bool:
        """Tell whether a state lies here."""
        return self._files.size_of(name) is not None

    def drop(self, effect: DropStates) -> None:
        """Give the room of states back."""
        self._drop(effect.digests)

    def keep_only(self, effect: KeepStates) -> None:
        """Give the room of all others back."""
        held: AbstractSet[bytes] = effect.digests
        here = {*self._files.names(), *self._wanted, *self._fetching}
        self._drop(here - held)

    def _drop(self, names: Iterable[bytes]) -> None:
        for name in names:
            if (wanted := self._wanted.pop(name, None)) is not None:
                wanted.whole.cancel()
            if name in self._fetching:
                self._gone.add(name)
            self._delete(name)
        for wanted in self._wanted.values():
            if wanted.lacks_room:
                wanted.news.set()

    def _delete(self, name: bytes) -> None:
        try:
            self._files.delete(name)
        except (StoreError, OSError) as error:
            self._note_fault(name, error)

    def _note_fault(self, name: bytes, error: Exception) -> None:
        """Count what a disk failed to do: it costs others a state, and this node nothing else."""
        self.disk_faults += 1
        if self.disk_faults.bit_count() == 1:  # 1, 2, 4, 8, ...: no flood of lines
            log.warning(
                "a disk fails at states for others; look after the disk of the data directory",
                digest=name.hex()[:12],
                reason=str(error),
                times=self.disk_faults,
            )
