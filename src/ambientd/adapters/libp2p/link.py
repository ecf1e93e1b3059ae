"""The one framed stream to a peer: queue, writer, reader, heartbeat, and their time limits."""

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import trio
from libp2p.exceptions import BaseLibp2pError

from ambientd.adapters.libp2p.bucket import TokenBucket
from ambientd.adapters.libp2p.foreign import Stream
from ambientd.adapters.libp2p.frames import (
    FrameDecoder,
    FrameKind,
    decode_probe,
    encode_frame,
    encode_probe,
)
from ambientd.adapters.libp2p.guard import Counters
from ambientd.errors import RemoteProtocolError
from ambientd.ports.transport import NodeId, Traffic, TransportOptions

READ_BYTES = 64 * 1024
# Queued small frames go out in one write; more than this gains nothing and delays heartbeats.
BATCH_BYTES = 32 * 1024
INBOX_FRAMES_MAX = 32
"""Frames of all peers that wait to be handled: more wait with their readers, in line."""

INBOX_POLL_S = 0.005
SMOOTHING = 0.25
PROBE_EVERY = 5
"""After so many periods a peer is probed though it is heard: its round trip may have changed."""

EASE_NODES, EASE_MAX = 32, 5.0
"""So many nodes more make probes as rare again, up to so much: to idle among many stays cheap."""

NETWORK_ERRORS = (
    BaseLibp2pError,
    OSError,
    EOFError,
    trio.ClosedResourceError,
    trio.BrokenResourceError,
)
"""How an ordinary end of a stream or connection shows."""


def ease_among(nodes: int) -> float:
    """Give by how much probes are rarer, and silence is borne longer, than the options say."""
    return min(EASE_MAX, max(1.0, nodes / EASE_NODES))


class Inbox:
    """The shared queue of incoming frames, bounded in frames and in bytes.

    Readers wait in line, each with one frame, so a flooding peer gets one turn like all others.
    """

    def __init__(self, frames_max: int, bytes_max: int) -> None:
        self._send, self.received = trio.open_memory_channel[tuple[NodeId, bytes]](frames_max)
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._sizes: deque[int] = deque()
        self._bytes = 0

    async def put(self, peer: NodeId, frame: bytes) -> None:
        """Wait for room, then hand over."""
        while self._is_full(len(frame)) and self._sizes:  # noqa: ASYNC110
            # A memory channel does not tell when it is read; only megabytes ever wait here.
            await trio.sleep(INBOX_POLL_S)
        self._sizes.append(len(frame))
        self._bytes += len(frame)
        await self._send.send((peer, frame))

    def _is_full(self, size_bytes: int) -> bool:
        """Tell whether a frame finds no room; what was read is only counted where it matters."""
        if len(self._sizes) < self._frames_max and self._bytes + size_bytes <= self._bytes_max:
            return False
        return self._buffered() + size_bytes > self._bytes_max

    def _buffered(self) -> int:
        """Forget the sizes of frames that have been read since."""
        statistics = self._send.statistics()
        waiting = statistics.current_buffer_used + statistics.tasks_waiting_send
        while len(self._sizes) > waiting:
            self._bytes -= self._sizes.popleft()
        return self._bytes


@dataclass(slots=True)
class Meter:
    """A peer's traffic and budget; outlives its links, so that reconnecting refills nothing."""

    frames: TokenBucket
    data: TokenBucket
    bytes_sent: int = 0
    bytes_received: int = 0
    frames_sent: int = 0
    frames_received: int = 0
    frames_dropped: int = 0

    @classmethod
    def of(cls, options: TransportOptions) -> "Meter":
        """Make a fresh meter; bursts of one second."""
        return cls(
            TokenBucket(options.frames_per_s, options.frames_per_s),
            TokenBucket(options.frame_bytes_per_s, options.frame_bytes_per_s),
        )

    def traffic(self) -> Traffic:
        """Give the counters."""
        return Traffic(
            self.bytes_sent,
            self.bytes_received,
            self.frames_sent,
            self.frames_received,
            self.frames_dropped,
        )


@dataclass(slots=True)
class _Probe:
    """The heartbeat under way."""

    number: int = 0
    sent_s: float | None = None


@dataclass(slots=True)
class Link:
    """One peer's frame stream. It is up once the peer has been heard."""

    peer: NodeId
    stream: Stream
    options: TransportOptions
    inbox: Inbox
    meter: Meter
    counters: Counters
    ease: Callable[[], float] = lambda: 1.0
    """Gives `ease_among` as many nodes as may connect now."""
    blame: Callable[[NodeId, str], None] = lambda _peer, _reason: None
    """Hears of a breach that the peer itself committed."""
    up: trio.Event = field(default_factory=trio.Event)
    done: trio.Event = field(default_factory=trio.Event)
    heard_s: float = 0.0
    silent_since_s: float = math.inf
    """Since when nothing comes though we listen; never while what came waits to be taken."""
    answered: int = 0
    """The number of the last probe that the peer has answered."""
    round_trip_s: float | None = None
    _queue: deque[bytes] = field(default_factory=deque)
    _queue_bytes: int = 0
    _control: deque[bytes] = field(default_factory=deque)
    _wake: trio.Event = field(default_factory=trio.Event)
    _full_since_s: float | None = None
    _probe: _Probe = field(default_factory=_Probe)
    _said_s: float = 0.0
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    _reason: str = ""

    @property
    def round_trip_ms(self) -> float | None:
        """Give the smoothed round trip; None before the first."""
        return None if self.round_trip_s is None else self.round_trip_s * 1000

    @property
    def one_way_us(self) -> int | None:
        """Give half of the round trip."""
        return None if self.round_trip_s is None else int(self.round_trip_s * 500_000)

    def send(self, frame: bytes) -> bool:
        """Queue a data frame; False when the queue is full."""
        full = len(self._queue) >= self.options.queue_frames_max
        if full or (self._queue and self._queue_bytes + len(frame) > self.options.queue_bytes_max):
            if self._full_since_s is None:
                self._full_since_s = trio.current_time()
            return False
        encoded = encode_frame(FrameKind.DATA, frame)
        self._queue.append(encoded)
        self._queue_bytes += len(encoded)
        self._wake.set()
        return True

    def end(self, reason: str) -> None:
        """End the link; the first reason counts."""
        self._reason = self._reason or reason
        self._scope.cancel()

    def probe(self) -> int:
        """Ask the peer for a sign of life, ahead of all that is queued; give the probe's number."""
        self._probe = _Probe(self._probe.number + 1, trio.current_time())
        self._post(encode_probe(FrameKind.PING, self._probe.number))
        return self._probe.number

    async def run(self) -> str:
        """Carry frames until the link ends, and tell why it did."""
        self.heard_s = self._said_s = trio.current_time()
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                nursery.start_soon(self._read)
                nursery.start_soon(self._beat)
        return self._reason or "closed"

    async def _write(self) -> None:
        try:
            while True:
                while not self._queue and not self._control:
                    self._wake = trio.Event()
                    await self._wake.wait()
                batch = self._next_batch()
                await self.stream.write(batch)
                self.meter.bytes_sent += len(batch)
                self._said_s = trio.current_time()
        except NETWORK_ERRORS:
            self.end("stream closed")

    def _next_batch(self) -> bytes:
        """Join heartbeats, then as many queued frames as fit, into one write."""
        parts = list(self._control)
        self._control.clear()
        size = sum(map(len, parts))
        while self._queue and (not parts or size + len(self._queue[0]) <= BATCH_BYTES):
            part = self._queue.popleft()
            self._queue_bytes -= len(part)
            size += len(part)
            parts.append(part)
            self.meter.frames_sent += 1
        self._full_since_s = None
        return b"".join(parts)

    async def _read(self) -> None:
        decoder = FrameDecoder(self.options.frame_bytes_max)
        try:
            while True:
                # Silence counts only while we listen: our own back-pressure is not the
                # peer's fault.
                limit_s = self.options.idle_limit_s * self.ease()
                self.silent_since_s = trio.current_time()
                with trio.move_on_after(limit_s) as patience:
                    data = await self.stream.read(READ_BYTES)
                self.silent_since_s = math.inf
                if patience.cancelled_caught:
                    self.end(f"silent for {limit_s:g} s")
                    return
                if not data:
                    self.end("stream closed")
                    return
                self.heard_s = trio.current_time()
                self.meter.bytes_received += len(data)
                for kind, body in decoder.feed(data):
                    await self._on_frame(kind, body)
                await self._pay(self.meter.data.charge(len(data), trio.current_time()))
        except RemoteProtocolError as error:
            # Noise vouches for every byte: a cut or changed stream would not have come this far.
            self.counters.note("bad_frame", error=error, peer=self.peer.hex())
            self.blame(self.peer, f"no frame: {error}")
            self.end("broke the frame protocol")
        except NETWORK_ERRORS:
            self.end("stream closed")

    async def _on_frame(self, kind: FrameKind, body: bytes) -> None:
        now_s = trio.current_time()
        self.up.set()
        if kind is FrameKind.DATA:
            self.meter.frames_received += 1
            await self.inbox.put(self.peer, body)
        elif kind is FrameKind.PING:
            self._post(encode_probe(FrameKind.PONG, decode_probe(body)))
        else:
            self._on_answer(decode_probe(body), now_s)
        await self._pay(self.meter.frames.charge(1, now_s))

    def _on_answer(self, number: int, now_s: float) -> None:
        """Note which probe was answered; the last one's answer tells the round trip."""
        if number <= self._probe.number:
            self.answered = max(self.answered, number)
        if number == self._probe.number and self._probe.sent_s is not None:
            took_s = now_s - self._probe.sent_s
            self._probe.sent_s = None
            old_s = took_s if self.round_trip_s is None else self.round_trip_s
            self.round_trip_s = old_s + SMOOTHING * (took_s - old_s)

    async def _pay(self, wait_s: float) -> None:
        """Wait off the peer's debt; reading no further is what slows it down."""
        if wait_s > 0:
            self.counters.note("frames_over_rate", peer=self.peer.hex())
            await trio.sleep(wait_s)

    def _post(self, control: bytes) -> None:
        """Queue a heartbeat ahead of data; a peer that takes none gets no more of them."""
        if len(self._control) < 8:
            self._control.append(control)
            self._wake.set()

    async def _beat(self) -> None:
        """Probe a peer that one hears or tells nothing, and end a link whose queue stays full.

        Of two that say nothing else one probes and the other answers, and both are heard; the
        other probes in its turn now and then, for a round trip of its own. Whoever reads a flood
        slowly has not come to the peer's probes yet: it must be heard before it answers them.
        """
        probed_s = -math.inf
        while True:
            now_s, period_s = trio.current_time(), self.options.heartbeat_s * self.ease()
            is_quiet = now_s - self.heard_s >= period_s / 2 or now_s - self._said_s >= period_s
            if is_quiet or now_s - probed_s >= PROBE_EVERY * period_s:
                probed_s = now_s
                self.probe()
            # Two that began at the same moment would else both probe at the same moment for ever.
            await trio.sleep(period_s * random.uniform(0.9, 1.1))  # noqa: S311
            full_s = self._full_since_s
            if full_s is not None and trio.current_time() - full_s > self.options.slow_limit_s:
                self.counters.note("slow_peer", peer=self.peer.hex())
                self.end(f"queue full for {self.options.slow_limit_s:g} s")
