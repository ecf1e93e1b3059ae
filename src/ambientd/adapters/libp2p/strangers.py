"""What strangers may take of a node, shared out by address: handshakes, stays, answers to joins.

Hardly anything is kept free for an address that has not come: a fleet of newcomers behind one
address takes all there is while nobody else asks, but the last answer to a join. Whoever else comes
then has its share of it.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import trio

from ambientd.adapters.http_addresses import address_in, counted
from ambientd.adapters.libp2p.bucket import TokenBucket
from ambientd.adapters.libp2p.foreign import Connection, Foreign
from ambientd.adapters.libp2p.guard import Counters
from ambientd.ports.transport import TransportOptions

JOIN_SHARES = 4
"""One address has a fourth of the joins a second, and the more only while half of all are left."""

ANSWERED_S = 60.0
"""Who was answered within it leaves the last answer that there is to whoever was not."""

HERE = "here"
"""This machine's own address, which the nodes of a test or a fleet have between them."""

Stranger = TypeVar("Stranger")


def origin_of(muxed: Foreign) -> str:
    """Give what shares count of a connection; what comes through a relay has no address."""
    remote = muxed.get_remote_address()
    address = address_in(remote[0]) if remote else None
    if address is None:
        return ""
    return HERE if address.is_loopback else counted(address)


class Places(Generic[Stranger]):
    """Who has a place. Once none is free, the oldest of the address that holds most gives way."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._origins: dict[Stranger, str] = {}

    def enter(self, stranger: Stranger, origin: str) -> Stranger | None:
        """Take a stranger in, and give the one that leaves its place for it."""
        self._origins[stranger] = origin
        if len(self._origins) <= self._places:
            return None
        held = Counter(self._origins.values())
        most = max(held.values())
        leaves = next(each for each, at in self._origins.items() if held[at] == most)
        del self._origins[leaves]
        return leaves

    def held(self, origin: str) -> int:
        """Give how many places an address has."""
        return sum(at == origin for at in self._origins.values())

    def leave(self, stranger: Stranger) -> bool:
        """Free a place, unless another has it by now; tell whether this one had it."""
        return self._origins.pop(stranger, None) is not None


class Strangers:
    """Connections of nodes that may ask to join and no more.

    Whose request has come whole needs no place: in a large cluster an answer takes seconds, which
    are this node's own. How many such there are, `JoinRate` and the deadline bound.
    """

    def __init__(self, options: TransportOptions, counters: Counters) -> None:
        self._deadline_s = options.join_deadline_s
        self._counters = counters
        self._places = Places[Foreign](options.strangers_max)
        self._stays: dict[Foreign, trio.CancelScope] = {}

    async def host(self, connection: Connection, *, is_asked: bool) -> None:
        """Wait until a stranger's time is over; one that this node asks itself needs no place."""
        muxed = connection.muxed_conn
        stay = self._stays[muxed] = trio.CancelScope()
        if not is_asked:
            self._enter(muxed)
        try:
            with stay, trio.move_on_after(self._deadline_s):
                await connection.event_closed.wait()
        finally:
            self._places.leave(muxed)
            del self._stays[muxed]

    def _enter(self, muxed: Foreign) -> None:
        origin = origin_of(muxed)
        leaves = self._places.enter(muxed, origin)
        if leaves is not None:
            self._counters.note("strangers_full", host=origin)
            self._stays[leaves].cancel()

    @contextmanager
    def waiting(self, muxed: Foreign) -> Iterator[None]:
        """Let one whose request to join has come whole hold no place until it has its answer."""
        had_place = self._places.leave(muxed)
        try:
            yield
        finally:
            if had_place and muxed in self._stays:
                self._enter(muxed)


class JoinRate:
    """How many joins a second are answered, in all and, where others ask too, of one address.

    The last answer that there is goes to an address that had none for a minute: a few that ask on
    and on would else take each as it comes, within their shares.
    """

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._all = TokenBucket(per_s, burst)
        self._kept = max(0.0, min(1.0, burst - 1))
        self._shares: dict[str, TokenBucket] = {}
        self._answered: dict[str, float] = {}

    def take(self, origin: str, now_s: float) -> bool:
        """Tell whether one more of an address is answered now."""
        # Only what was answered lately is kept, which is what the rate lets through in the time.
        self._shares = {at: each for at, each in self._shares.items() if not each.is_full(now_s)}
        since_s = now_s - ANSWERED_S
        self._answered = {at: each for at, each in self._answered.items() if each > since_s}
        share = self._shares.get(origin) or self._share()
        if not self._all.holds(1 + self._left_to_others(origin, share, now_s), now_s):
            return False
        self._all.take(1, now_s)
        share.take(1, now_s)
        self._shares[origin] = share
        self._answered[origin] = now_s
        return True

    def _left_to_others(self, origin: str, share: TokenBucket, now_s: float) -> float:
        """Give how many answers must be there beside the one that an address asks for."""
        if origin == HERE:
            return 0.0
        if not share.holds(1, now_s):
            return self._burst / 2
        return self._kept if origin in self._answered else 0.0

    def _share(self) -> TokenBucket:
        return TokenBucket(self._per_s / JOIN_SHARES, max(1.0, self._burst / JOIN_SHARES))
