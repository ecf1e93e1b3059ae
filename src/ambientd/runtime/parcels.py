"""Small blobs that peers have sent before they were asked for, each peer within its own room.

What a peer sends without need costs it its own room and nobody else anything: where its room is
full, its oldest parcels go; where all the room is, those of whoever holds most of it.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import trio

from ambientd.model.base import NodeId

PEER_BYTES_MAX = 512 * 1024
PEER_PARCELS_MAX = 1024
ALL_BYTES_MAX = 8 * 1024 * 1024


@dataclass(slots=True)
class _Room:
    """What one peer has sent, the oldest first."""

    parcels: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)
    size_bytes: int = 0


class Parcels:
    """Bytes whose digest was checked, until somebody takes them."""

    def __init__(self) -> None:
        self._rooms: dict[NodeId, _Room] = {}
        self._senders: dict[bytes, NodeId] = {}
        self._awaited: dict[bytes, trio.Event] = {}
        self.size_bytes = 0
        self.pushed_out = 0
        """How many went because there was no room, for metrics and tests."""

    def put(self, sender: NodeId, digest: bytes, data: bytes) -> None:
        """Hold a parcel, and wake who waits for it."""
        if digest in self._senders:
            return
        room = self._rooms.setdefault(sender, _Room())
        room.parcels[digest] = data
        room.size_bytes += len(data)
        self.size_bytes += len(data)
        self._senders[digest] = sender
        if (awaited := self._awaited.get(digest)) is not None:
            awaited.set()
        while room.size_bytes > PEER_BYTES_MAX or len(room.parcels) > PEER_PARCELS_MAX:
            self._push_out(sender)
        while self.size_bytes > ALL_BYTES_MAX:
            self._push_out(max(self._rooms, key=lambda peer: self._rooms[peer].size_bytes))

    def take(self, digest: bytes) -> bytes | None:
        """Give a parcel, and hold it no longer."""
        sender = self._senders.pop(digest, None)
        if sender is None:
            return None
        room = self._rooms[sender]
        data = room.parcels.pop(digest)
        room.size_bytes -= len(data)
        self.size_bytes -= len(data)
        if not room.parcels:
            del self._rooms[sender]
        return data

    async def await_one(self, digest: bytes, patience_s: float) -> bytes | None:
        """Give a parcel once it is here; None when it does not come in time."""
        if digest not in self._senders:
            awaited = self._awaited.setdefault(digest, trio.Event())
            try:
                with trio.move_on_after(patience_s):
                    await awaited.wait()
            finally:
                if self._awaited.get(digest) is awaited:
                    del self._awaited[digest]
        return self.take(digest)

    def _push_out(self, peer: NodeId) -> None:
        self.take(next(iter(self._rooms[peer].parcels)))
        self.pushed_out += 1
