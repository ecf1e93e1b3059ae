"""How a peer sees us: what its clock says, its version, and whether our port can be reached.

/ambient/look/1   2-byte port, 0 for none -> 1 byte whether it was reached, 8-byte Unix time in
                  ms, 1 byte and so many bytes of version

Whoever is asked dials only the address that the question came from, and each peer seldom: nobody
can be made to knock at others' doors.
"""

import struct
from enum import IntEnum
from typing import Final

import trio

from ambientd import __version__
from ambientd.adapters.libp2p.bucket import TokenBucket
from ambientd.adapters.libp2p.exchanges import discard, finish, read_exactly
from ambientd.adapters.libp2p.foreign import Host, Stream
from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.identity import node_id_of, peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.adapters.system_clock import SystemClock
from ambientd.errors import RemoteProtocolError
from ambientd.ports.transport import Look, NodeId

LOOK_PROTOCOL: Final = "/ambient/look/1"
LOOK_S = 6.0
DIAL_S = 3.0
DIALS_PER_S = 0.1
DIALS_BURST = 3
PEERS_MAX = 1_024
_PORT = struct.Struct("!H")
_ANSWER = struct.Struct("!BQB")


class Reached(IntEnum):
    """What came of dialling back."""

    NO = 0
    YES = 1
    NOT_TRIED = 2


class Looks:
    """Both sides of the look protocol."""

    def __init__(self, host: Host, counters: Counters) -> None:
        self._host = host
        self._counters = counters
        self._clock = SystemClock()
        self._buckets: dict[NodeId, TokenBucket] = {}

    async def ask(self, peer: NodeId, port: int) -> Look | None:
        """Ask a connected peer; None for whatever keeps an answer from arriving in time."""
        with trio.move_on_after(LOOK_S):
            try:
                stream = await self._host.new_stream(peer_id_of(peer), [LOOK_PROTOCOL])
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
        return Look(reached=told, clock_ms=now_ms - self._clock.unix_ms(), version=version)

    async def serve(self, stream: Stream) -> None:
        """Answer one question of an allowed peer."""
        peer = node_id_of(stream.muxed_conn.peer_id)
        assert peer is not None  # admission has seen it
        with trio.move_on_after(LOOK_S):
            (port,) = _PORT.unpack(await read_exactly(stream, _PORT.size))
            remote = stream.muxed_conn.secured_conn.get_remote_address()
            reached = Reached.NOT_TRIED
            if port and remote is not None and self._may_dial(peer):
                reached = Reached.YES if await _is_reached(remote[0], port) else Reached.NO
            version = __version__.encode("ascii")[:64]
            answer = _ANSWER.pack(reached, self._clock.unix_ms(), len(version)) + version
            await stream.write(answer)
            await finish(stream)

    def _may_dial(self, peer: NodeId) -> bool:
        if peer not in self._buckets and len(self._buckets) >= PEERS_MAX:
            return False
        bucket = self._buckets.setdefault(peer, TokenBucket(DIALS_PER_S, DIALS_BURST))
        return bucket.take(1, trio.current_time())


async def _is_reached(host: str, port: int) -> bool:
    with trio.move_on_after(DIAL_S):
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError:
            return False
        await stream.aclose()
        return True
    return False
