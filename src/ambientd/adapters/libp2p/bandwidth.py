"""How fast bytes come from a peer, measured with few of them.

/ambient/bandwidth/1   4-byte count -> so many bytes, whatever they are

Both sides have a budget of bytes a day for all peers together; who asks for more than a sample or
more often gets an ended stream. Only members are answered.
"""

import struct
from typing import Final

import trio

from ambientd.adapters.libp2p.bucket import TokenBucket
from ambientd.adapters.libp2p.exchanges import WRITE_BYTES, discard, finish, read_exactly
from ambientd.adapters.libp2p.foreign import Host, Stream
from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS, READ_BYTES
from ambientd.errors import RemoteProtocolError
from ambientd.ports.transport import NodeId

BANDWIDTH_PROTOCOL: Final = "/ambient/bandwidth/1"
SAMPLE_BYTES_MAX: Final = 1024 * 1024
SAMPLE_BYTES_MIN: Final = 16 * 1024
SAMPLES_PER_DAY: Final = 160
BURST: Final = 4
DEADLINE_S: Final = 20.0
_DAY_S: Final = 86_400
_COUNT = struct.Struct("!I")


class Bandwidth:
    """Both sides of the bandwidth protocol."""

    def __init__(self, host: Host, counters: Counters, bytes_per_day: int) -> None:
        self._host = host
        self._counters = counters
        self._sample = min(SAMPLE_BYTES_MAX, bytes_per_day // SAMPLES_PER_DAY)
        burst = BURST * self._sample
        rate_per_s = (bytes_per_day - burst) / _DAY_S
        self._asking = TokenBucket(rate_per_s, burst)
        # Peers with a larger budget ask for larger samples.
        self._serving = TokenBucket(bytes_per_day / _DAY_S, SAMPLE_BYTES_MAX)

    async def measure(self, peer: NodeId) -> int | None:
        """Give kbit/s from a connected peer; None over budget, or when it gives too little."""
        if self._sample < SAMPLE_BYTES_MIN:
            return None
        if not self._asking.take(self._sample, trio.current_time()):
            return None
        with trio.move_on_after(DEADLINE_S):
            try:
                stream = await self._host.new_stream(peer_id_of(peer), [BANDWIDTH_PROTOCOL])
                try:
                    return await self._speed(stream)
                finally:
                    await discard(stream)
            except (RemoteProtocolError, *NETWORK_ERRORS) as error:
                self._counters.note("bandwidth_failed", error=error, peer=peer.hex())
        return None

    async def _speed(self, stream: Stream) -> int:
        await stream.write(_COUNT.pack(self._sample))
        # From the first bytes on: the round trip before them is no matter of bandwidth.
        first = received = len(await stream.read(min(READ_BYTES, self._sample)))
        start_s = trio.current_time()
        while received < self._sample:
            data = await stream.read(min(READ_BYTES, self._sample - received))
            if not data:
                raise RemoteProtocolError(f"stream ended after {received} of {self._sample} bytes")
            received += len(data)
        elapsed_s = max(trio.current_time() - start_s, 1e-6)
        # A sample that came as one piece says only that it was fast.
        counted = received - first or received
        return int(counted * 8 / 1000 / elapsed_s)

    async def serve(self, stream: Stream) -> None:
        """Give a member a sample, within the budget."""
        with trio.move_on_after(DEADLINE_S):
            (count,) = _COUNT.unpack(await read_exactly(stream, _COUNT.size))
            now_s = trio.current_time()
            if count > SAMPLE_BYTES_MAX or not self._serving.take(count, now_s):
                self._counters.note("bandwidth_over_budget")
                return
            for start in range(0, count, WRITE_BYTES):
                await stream.write(bytes(min(WRITE_BYTES, count - start)))
            await finish(stream)
