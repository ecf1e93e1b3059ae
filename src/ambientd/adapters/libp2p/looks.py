"""How a peer sees us: its clock, its version, whether our port can be reached, and its links.

/ambient/look/1   2-byte port, 0 for none -> 1 byte whether it was reached, 8-byte Unix time in
                  ms, 1 byte and so many bytes of version
/ambient/look/2   the same, and then 2 bytes and so many links: 32 bytes of a node, 4-byte
                  microseconds one way, all ones if not known

Whoever is asked dials only the address that the question came from, seldom for each peer and each
address, and hangs up as soon as the peer has shown its key: nobody can be made to knock at others'
doors.
"""

import struct
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final, TypeVar

import trio

from ambientd import __version__
from ambientd.adapters.libp2p.bucket import TokenBucket
from ambientd.adapters.libp2p.exchanges import discard, finish, read_exactly
from ambientd.adapters.libp2p.foreign import Host, Stream
from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.host import answers_as
from ambientd.adapters.libp2p.identity import node_id_of, peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.adapters.system_clock import SystemClock
from ambientd.errors import RemoteProtocolError
from ambientd.ports.transport import HostPort, LinkSeen, Look, NodeId

LOOK_1: Final = "/ambient/look/1"
LOOK_2: Final = "/ambient/look/2"
LOOK_S = 6.0
DIAL_S = 3.0
DIALS_PER_S = 0.1
DIALS_BURST = 3
ADDRESS_DIALS_PER_S = 0.5
ADDRESS_DIALS_BURST = 10
PEERS_MAX = 1_024
LINKS_MAX = 256
_PORT = struct.Struct("!H")
_ANSWER = struct.Struct("!BQB")
_LINK = struct.Struct("!32sI")
_UNKNOWN_US = 0xFFFF_FFFF

TellLinks = Callable[[], Sequence[LinkSeen]]


class Reached(IntEnum):
    """What came of dialling back."""

    NO = 0
    YES = 1
    NOT_TRIED = 2


class Dials:
    """How often one dials back: seldom for each peer, and for each address."""

    def __init__(self) -> None:
        self._of_peers: dict[NodeId, TokenBucket] = {}
        self._of_addresses: dict[str, TokenBucket] = {}

    def may_dial(self, peer: NodeId, host: str, now_s: float) -> bool:
        """Take one dial of what this peer has, and of what all peers behind its address have."""
        of_peer = _bucket(self._of_peers, peer, DIALS_PER_S, DIALS_BURST, now_s)
        # First the peer's own, or one peer's many addresses would fill the room for addresses.
        if of_peer is None or not of_peer.take(1, now_s):
            return False
        of_address = _bucket(
            self._of_addresses, host, ADDRESS_DIALS_PER_S, ADDRESS_DIALS_BURST, now_s
        )
        return of_address is not None and of_address.take(1, now_s)


class Looks:
    """Both sides of the look protocol."""

    def __init__(self, host: Host, counters: Counters, links: TellLinks) -> None:
        self._host = host
        self._counters = counters
        self._links = links
        self._clock = SystemClock()
        self._dials = Dials()

    async def ask(self, peer: NodeId, port: int) -> Look | None:
        """Ask a connected peer; None for whatever keeps an answer from arriving in time."""
        with trio.move_on_after(LOOK_S):
            try:
                stream = await self._host.new_stream(peer_id_of(peer), [LOOK_2, LOOK_1])
                try:
                    return await self._answer_of(stream, port)
                finally:
                    await discard(stream)
            except (RemoteProtocolError, *NETWORK_ERRORS) as error:
                self._counters.note("look_failed", error=error, peer=peer.hex())
        return None

    async def _answer_of(self, stream: Stream, port: int) -> Look:
        await stream.write(_PORT.pack(port))
        reached, now_ms, size = _ANSWER.unpack(await read_exactly(stream, _ANSWER.size))
        version = (await read_exactly(stream, size)).decode("ascii", "replace")
        told = {Reached.YES: True, Reached.NO: False}.get(reached)
        clock_ms = now_ms - self._clock.unix_ms()
        links = await _read_links(stream) if stream.get_protocol() == LOOK_2 else None
        return Look(reached=told, clock_ms=clock_ms, version=version, links=links)

    async def serve(self, stream: Stream) -> None:
        """Answer one question of an allowed peer."""
        peer = node_id_of(stream.muxed_conn.peer_id)
        assert peer is not None  # admission has seen it
        with trio.move_on_after(LOOK_S):
            (port,) = _PORT.unpack(await read_exactly(stream, _PORT.size))
            remote = stream.muxed_conn.secured_conn.get_remote_address()
            reached = Reached.NOT_TRIED
            now_s = trio.current_time()
            if port and remote is not None and self._dials.may_dial(peer, remote[0], now_s):
                is_reached = await self._is_reached(peer, HostPort(remote[0], port))
                reached = Reached.YES if is_reached else Reached.NO
            version = __version__.encode("ascii")[:64]
            answer = _ANSWER.pack(reached, self._clock.unix_ms(), len(version)) + version
            if stream.get_protocol() == LOOK_2:
                answer += encode_links(self._links())
            await stream.write(answer)
            await finish(stream)

    async def _is_reached(self, peer: NodeId, at: HostPort) -> bool:
        with trio.move_on_after(DIAL_S):
            try:
                return await answers_as(self._host, peer_id_of(peer), at)
            except OSError:
                return False
        return False


_K = TypeVar("_K")


def _bucket(
    buckets: dict[_K, TokenBucket], key: _K, per_s: float, burst: int, now_s: float
) -> TokenBucket | None:
    """Give what is left for one; None when too many have taken lately to keep count of more."""
    if key not in buckets and len(buckets) >= PEERS_MAX:
        for full in [each for each, bucket in buckets.items() if bucket.is_full(now_s)]:
            del buckets[full]
        if len(buckets) >= PEERS_MAX:
            return None
    return buckets.setdefault(key, TokenBucket(per_s, burst))


def encode_links(links: Sequence[LinkSeen]) -> bytes:
    """Give the links' bytes, of so many as one answer has."""
    told = links[:LINKS_MAX]
    parts = [
        _LINK.pack(
            each.node_id,
            _UNKNOWN_US if each.one_way_us is None else min(each.one_way_us, _UNKNOWN_US - 1),
        )
        for each in told
    ]
    return _PORT.pack(len(told)) + b"".join(parts)


async def _read_links(stream: Stream) -> tuple[LinkSeen, ...]:
    (count,) = _PORT.unpack(await read_exactly(stream, _PORT.size))
    if count > LINKS_MAX:
        raise RemoteProtocolError(f"a peer tells {count} links; at most {LINKS_MAX} are read")
    rows = _LINK.iter_unpack(await read_exactly(stream, count * _LINK.size))
    return tuple(LinkSeen(node, None if us == _UNKNOWN_US else us) for node, us in rows)
