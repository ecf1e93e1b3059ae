"""Telling all peers: at once who decides or works, the others together after a while.

A frame of its own costs whoever gets it more than the block in it. Among few nodes nobody waits.
"""

from collections.abc import Callable

from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.rules.pace import lag_ms

WAITING_BYTES_MAX = 1024 * 1024
CONCERNED_MS = 2_000
"""So long after a node had a task in hand, or waited for one, it is told at once all the same."""


class Telling:
    """What is still to be told, in order, and to whom."""

    def __init__(
        self,
        peers: Callable[[], frozenset[bytes]],
        ledger: LedgerState,
        send: Callable[[NodeId, bytes], None],
        now: Callable[[], int],
    ) -> None:
        self._peers = peers
        self._ledger = ledger
        self._send = send
        self._now = now
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._told: dict[NodeId, int] = {}
        self._concerned: dict[NodeId, int] = {}
        """Until when those that were concerned lately are told at once."""

    def broadcast(self, frame: bytes) -> int:
        """Tell who must know at once; give how long the others may wait, 0 when nobody does.

        The first frame that others wait for tells how long: whoever calls then calls `tell_rest`.
        """
        peers = sorted(map(NodeId, self._peers()))
        lag = lag_ms(len(self._ledger.nodes()), self._ledger.genesis.rules.t0_ms)
        if not lag:
            self.tell_rest()
            for peer in peers:
                self._send(peer, frame)
            return 0
        is_first = not self._waiting
        self._waiting.append(frame)
        self._bytes += len(frame)
        if self._bytes > WAITING_BYTES_MAX:
            self.tell_rest()
            return 0
        members = [peer for peer in peers if peer in self._ledger.members]
        for peer in (*members, *self._concerned_of(peers)):
            self.catch_up(peer)
        return lag if is_first else 0

    def _concerned_of(self, peers: list[NodeId]) -> list[NodeId]:
        now, tasks = self._now(), self._ledger.tasks_by
        self._concerned = {each: until for each, until in self._concerned.items() if now < until}
        for peer in peers:
            if tasks.has_work(peer) or tasks.open_of(peer):
                self._concerned[peer] = now + CONCERNED_MS
        return [peer for peer in peers if peer in self._concerned]

    def catch_up(self, peer: NodeId) -> None:
        """Tell a peer what waits for it, before it is told something else."""
        if self._waiting:
            for frame in self._waiting[self._told.get(peer, 0) :]:
                self._send(peer, frame)
            self._told[peer] = len(self._waiting)

    def tell_rest(self) -> None:
        """Tell all who wait."""
        if self._waiting:
            for peer in sorted(self._peers()):
                self.catch_up(NodeId(peer))
            self._waiting, self._bytes = [], 0
            self._told.clear()
