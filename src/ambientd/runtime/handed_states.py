"""States that go from worker to worker, apart from all other blobs and within their own quota.

Which of them stay follows from the log (`roles.keeper`); here they are brought, given and dropped.
What others make this node bring is brought one at a time, and none of it drives another out.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

import structlog
import trio

from ambientd.codec.chunks import Outline
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import DropStates, FetchState, KeepStates
from ambientd.ports.blobs import ServedFiles
from ambientd.runtime.blobs import Blobs, GivenFiles

log = structlog.get_logger("ambientd.handed_states")

FETCH_S = 10.0
"""How long a state is waited for before it is the next one's turn."""

PAUSE_S = 1.0
PAUSE_S_MAX = 30.0
"""Between two tries to bring a state whose holders are away, doubled each time up to this."""


class GivenStore(GivenFiles, ServedFiles, Protocol):
    """What peers may have, whole or by chunks."""


class HandedFiles(GivenStore, Protocol):
    """Where such states lie: `adapters.blob_files.BlobFiles`."""

    def names(self) -> list[bytes]:
        """Give the names of all that is kept."""
        ...

    def delete(self, name: bytes) -> None:
        """Forget one; forgetting an unknown one is no error."""
        ...


class HandedStates:
    """One node's states for others."""

    def __init__(self, files: HandedFiles, blobs: Blobs) -> None:
        """Take where they lie, and the same place with the network behind it."""
        self._files = files
        self._blobs = blobs
        self._turn = trio.Lock()
        self._bringing: dict[bytes, trio.CancelScope] = {}
        self._fetching: Counter[bytes] = Counter()
        self._gone: set[bytes] = set()  # dropped while they are on their way

    async def put(self, data: bytes) -> Digest:
        """Keep a state of this node's own; raise StoreError when there is no room for it."""
        return await self._blobs.put(data)

    async def fetch(self, name: Digest, size_bytes: int, holders: Sequence[NodeId]) -> bytes | None:
        """Give a state from here or from whoever has it; None when it cannot be had soon."""
        self._fetching[name] += 1
        try:
            with trio.move_on_after(FETCH_S):
                return await self._blobs.fetch(name, size_bytes, holders, is_synced=False)
        finally:
            self._fetching[name] -= 1
            if not self._fetching[name]:
                del self._fetching[name]
                if name in self._gone:
                    self._gone.discard(name)
                    self._files.delete(name)
        return None

    async def bring(self, effect: FetchState) -> None:
        """Have a state here, as soon as somebody gives it, unless it is dropped before."""
        name = effect.digest
        self._gone.discard(name)
        if name in self._bringing:
            return
        scope = self._bringing[name] = trio.CancelScope()
        try:
            with scope:
                await self._bring(effect)
        finally:
            if self._bringing.get(name) is scope:
                del self._bringing[name]

    async def _bring(self, effect: FetchState) -> None:
        pause_s = PAUSE_S
        while True:
            async with self._turn:
                found = await self.fetch(effect.digest, effect.size_bytes, effect.holders)
            if found is not None:
                return
            log.info("nobody gives a marked state yet", digest=effect.digest.hex()[:12])
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    def drop(self, effect: DropStates) -> None:
        """Give the room of states back."""
        self._drop(effect.digests)

    def keep_only(self, effect: KeepStates) -> None:
        """Give the room of all others back."""
        held: AbstractSet[bytes] = effect.digests
        here = {*self._files.names(), *self._bringing, *self._fetching}
        self._drop(here - held)

    def _drop(self, names: Iterable[bytes]) -> None:
        for name in names:
            if (scope := self._bringing.pop(name, None)) is not None:
                scope.cancel()
            if name in self._fetching:
                self._gone.add(name)
            self._files.delete(name)


class Shelves:
    """What peers may have of two places: what is not in the first is looked for in the other."""

    def __init__(self, first: GivenStore, other: GivenStore | None) -> None:
        self._first = first
        self._other = other

    def _of(self, digest: bytes) -> GivenStore:
        other = self._other
        if other is None or self._first.size_of(digest) is not None:
            return self._first
        return self._first if other.size_of(digest) is None else other

    def get(self, digest: bytes) -> bytes | None:
        """Give a blob's verified bytes, or None."""
        return self._of(digest).get(digest)

    def size_of(self, digest: bytes) -> int | None:
        """Give how long a blob is that is kept, at once."""
        return self._of(digest).size_of(digest)

    def outline(self, digest: bytes) -> Outline | None:
        """Read a blob once and give its outline; None when it is not here, or damaged."""
        return self._of(digest).outline(digest)

    def piece(self, digest: bytes, start: int, count: int) -> bytes | None:
        """Give some bytes of a blob, which nobody has checked; None when it is not here."""
        return self._of(digest).piece(digest, start, count)
