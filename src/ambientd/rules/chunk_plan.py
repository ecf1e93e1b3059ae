"""Which chunk is asked of whom: each of one peer, and of a second once the first is slow.

A peer that is twice as fast asks twice as often, so it brings twice as much. Who keeps a chunk for
longer than chunks take here loses it to whoever has nothing else to do; no time is lost but that.
"""

from collections import deque
from collections.abc import Set as AbstractSet

from ambientd.model.base import NodeId

PATIENCE_MS_MIN = 250
PACES = 4
"""A chunk is slow when it takes so many times what chunks took."""


class ChunkPlan:
    """The chunks of one blob, as far as they are here, asked for, or neither."""

    def __init__(self, count: int, held: AbstractSet[int]) -> None:
        self._free = deque(index for index in range(count) if index not in held)
        self._asked: dict[int, dict[NodeId, int]] = {}
        self._pace_ms = 0

    @property
    def is_done(self) -> bool:
        """Tell whether all chunks are here."""
        return not self._free and not self._asked

    @property
    def missing(self) -> int:
        """Give how many chunks are not here."""
        return len(self._free) + len(self._asked)

    @property
    def patience_ms(self) -> int:
        """Give how long a chunk may take before another peer is asked for it, too."""
        return max(PATIENCE_MS_MIN, PACES * self._pace_ms)

    def next_for(self, peer: NodeId, now_ms: int) -> int | None:
        """Give the chunk that a peer is to be asked for; None when there is none for it now."""
        if self._free:
            index = self._free.popleft()
            self._asked[index] = {peer: now_ms}
            return index
        for index, askers in self._asked.items():  # whose first asking is the oldest
            if peer not in askers and now_ms - max(askers.values()) >= self.patience_ms:
                askers[peer] = now_ms
                return index
        return None

    def took(self, peer: NodeId, index: int, now_ms: int) -> None:
        """Note that a chunk is here, whoever else was asked for it."""
        askers = self._asked.pop(index, None)
        if askers is not None and peer in askers:
            self._pace_ms = (3 * self._pace_ms + now_ms - askers[peer]) // 4

    def gave_up(self, peer: NodeId, index: int) -> None:
        """Note that a chunk will not come from a peer."""
        askers = self._asked.get(index)
        if askers is None:
            return
        askers.pop(peer, None)
        if not askers:
            del self._asked[index]
            self._free.appendleft(index)
