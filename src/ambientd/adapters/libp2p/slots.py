"""How many answers about blobs are on their way at once; each is in memory until it is sent."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ambientd.ports.transport import NodeId, TransportOptions


class Slots:
    """So many answers to one peer, so many to all; but who has none on its way is given one.

    Else a few peers that ask and read nothing would keep everybody else from blobs.
    """

    def __init__(self, options: TransportOptions) -> None:
        self._per_peer_max = options.blob_streams_per_peer_max
        self._all_max = options.blob_streams_max
        self._taken: Counter[NodeId] = Counter()

    def has_room(self, peer: NodeId) -> bool:
        """Tell whether one more answer to a peer may be on its way."""
        own = self._taken[peer]
        return own == 0 or (own < self._per_peer_max and self._taken.total() < self._all_max)

    @contextmanager
    def taken(self, peer: NodeId) -> Iterator[None]:
        """Count an answer until it is sent."""
        self._taken[peer] += 1
        try:
            yield
        finally:
            self._taken[peer] -= 1
            if not self._taken[peer]:
                del self._taken[peer]
