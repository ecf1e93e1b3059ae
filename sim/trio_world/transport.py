"""The `Transport` port in memory: links that are dialled, fall silent and come back; no sockets.

It keeps the port's promises in fair weather. In bad weather frames are also lost, doubled and
overtaken while a link is up, which is harsher than what the port allows.
"""

import random
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from itertools import count

import trio

from ambientd.errors import LocalProtocolError, UnreachableError
from ambientd.ports.transport import (
    JOIN_BYTES_MAX,
    ConnectionEvent,
    HostPort,
    Look,
    NodeId,
    PeerAddress,
    PeerConnected,
    PeerLost,
    PeerMisbehaved,
    ServeBlob,
    ServeJoin,
    ServePiece,
    Traffic,
    TransportOptions,
    serve_no_piece,
)
from sim.trio_world.calls import Calls
from sim.trio_world.inbox import Inbox
from sim.trio_world.link import Link, Meter
from sim.trio_world.medium import Medium

EVENTS_MAX = 1024
SEEN_MAX = 4096

Wire = tuple[NodeId, int]


class MemoryTransport:
    """See `ambientd.ports.transport.Transport`; made by `open_memory_transport`."""

    def __init__(
        self,
        medium: Medium,
        node_id: NodeId,
        options: TransportOptions,
        allowed: frozenset[NodeId],
        serve_blob: ServeBlob,
        serve_join: ServeJoin,
        rng: random.Random,
        serve_piece: ServePiece,
    ) -> None:
        self.paused_until = 0
        self._medium = medium
        self._node_id = node_id
        self._options = options
        self._allowed = allowed
        self._serve_blob = serve_blob
        self._serve_join = serve_join
        self._serve_piece = serve_piece
        self._rng = rng
        self._address = medium.listen(self, options.listen)
        self._counters: Counter[str] = Counter()
        self._meters: dict[NodeId, Meter] = {}
        self._links: dict[NodeId, Link] = {}
        self._wanted: dict[NodeId, HostPort] = {}
        self._failures: dict[NodeId, tuple[int, float]] = {}
        self._numbers = count(1)
        self._seen: OrderedDict[tuple[NodeId, int], None] = OrderedDict()
        self._calls = Calls(self._numbers)
        self._serving: Counter[NodeId] = Counter()
        self._news = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._inbox = Inbox(options.queue_frames_max)
        self.frames = self._inbox.frames
        self._events_in, self.connections = trio.open_memory_channel[ConnectionEvent](EVENTS_MAX)
        gossip = trio.open_memory_channel[tuple[str, NodeId, bytes]](options.gossip_queue_max)
        self._gossip_in, self.gossip = gossip
        self._unheard: set[str] = set()

    # The port: plain questions and orders.

    @property
    def node_id(self) -> NodeId:
        """Our own id."""
        return self._node_id

    @property
    def address(self) -> HostPort:
        """Where we listen."""
        return self._address

    def send(self, peer: NodeId, frame: bytes) -> bool:
        """Queue a frame; False when it cannot be queued."""
        most = self._options.frame_bytes_max
        if len(frame) > most:
            msg = f"frame of {len(frame)} bytes; at most {most}"
            raise LocalProtocolError(msg)
        link = self._links.get(peer)
        if link is not None and link.is_up and link.has_room(frame, self._options):
            link.push(frame)
            self._flow(link)
            return True
        if link is not None and link.is_up and link.full_since_s is None:
            link.full_since_s = trio.current_time()
        if peer in self._allowed:
            self._meter(peer).frames_dropped += 1
        self._counters["frame_not_queued"] += 1
        return False

    def hear(self, topic: str, *, wanted: bool) -> None:
        """Take a topic's gossip and pass it on, or do neither."""
        (self._unheard.discard if wanted else self._unheard.add)(topic)

    def publish(self, topic: str, data: bytes, directly: Collection[NodeId] = ()) -> None:
        """Gossip to the topic's subscribers; all who are connected get it directly."""
        del directly
        if topic not in self._options.topics:
            self._counters["publish_unknown_topic"] += 1
        elif len(data) > self._options.gossip_bytes_max:
            self._counters["publish_too_large"] += 1
        elif self._nursery is not None:
            self._pass_on((self._node_id, next(self._numbers)), topic, data)

    async def request_blob(self, peer: NodeId, digest: bytes, size_bytes_max: int) -> bytes | None:
        """Fetch a blob; None when it does not arrive whole, true and in time."""
        if peer not in self.peers():
            return None
        with trio.move_on_after(self._options.blob_deadline_s) as late, self._calls.open() as call:
            self._tell(peer, MemoryTransport.asked_for_blob, call, digest)
            data = await self._calls.wait(call)
        if late.cancelled_caught:
            self._counters["blob_late"] += 1
            return None
        if data is None:
            return None
        if len(data) > size_bytes_max or sha256(data).digest() != digest:
            self._counters["blob_refused"] += 1
            return None
        return data

    async def request_piece(self, peer: NodeId, question: bytes) -> bytes | None:
        """Ask about a part of a blob; None when no answer comes in time."""
        if peer not in self.peers():
            return None
        with trio.move_on_after(self._options.blob_deadline_s), self._calls.open() as call:
            self._tell(peer, MemoryTransport.asked_for_piece, call, question)
            return await self._calls.wait(call) or None
        self._counters["blob_late"] += 1
        return None

    async def look(self, peer: NodeId, port: int) -> Look | None:
        """Say nothing: there is no port to dial in this world."""
        del peer, port
        return None

    async def bandwidth(self, peer: NodeId) -> int | None:
        """Say nothing: bytes take no room in this world."""
        del peer
        return None

    async def request_join(self, address: PeerAddress, payload: bytes) -> bytes:
        """Ask a node to let us in."""
        at = HostPort(address.host, address.port)
        if len(payload) > JOIN_BYTES_MAX:
            msg = f"join request of {len(payload)} bytes; at most {JOIN_BYTES_MAX}"
            raise LocalProtocolError(msg)
        if self._medium.at_address(at) != address.node_id:
            msg = f"cannot reach the node at {at}: check the address, the node id and the firewall"
            raise UnreachableError(msg)

        with trio.move_on_after(self._options.join_deadline_s), self._calls.open() as call:
            self._tell(address.node_id, MemoryTransport.asked_to_join, call, payload)
            answer = await self._calls.wait(call)
            if answer is not None:
                return answer
        msg = f"the node at {at} gave no answer to the join request: try again later"
        raise UnreachableError(msg)

    def set_allowed(self, allowed: frozenset[NodeId]) -> None:
        """Replace the allow-list; takes effect at once."""
        removed, self._allowed = self._allowed - allowed, allowed
        for peer in sorted(removed):
            self._meters.pop(peer, None)
            if peer in self._links:
                self._end(self._links[peer], "no longer allowed")
        self._dial_now()

    def set_peers(self, addresses: Iterable[PeerAddress]) -> None:
        """Replace the peers to keep dialling."""
        self._wanted = {each.node_id: HostPort(each.host, each.port) for each in addresses}
        self._dial_now()

    def peers(self) -> frozenset[NodeId]:
        """Give the connected peers."""
        return frozenset(peer for peer, link in self._links.items() if link.is_up)

    def round_trip_ms(self, peer: NodeId) -> float | None:
        """Give the smoothed round trip."""
        link = self._links.get(peer)
        return None if link is None else link.round_trip_ms

    def traffic(self, peer: NodeId) -> Traffic:
        """Give the peer's counters."""
        meter = self._meters.get(peer)
        return Traffic() if meter is None else meter.traffic()

    def counters(self) -> Mapping[str, int]:
        """Give all counts of refused, dropped and contained things."""
        return dict(self._counters)

    # Links: what the other end does to this one.

    def greeted(self, peer: NodeId, wire: Wire) -> None:
        """Take in a dialling peer; of two that dial each other the smaller id's wire counts."""
        if peer not in self._allowed:
            return
        link = self._links.get(peer)
        if link is not None and not link.is_up and self._node_id < peer:
            return
        if link is not None:
            self._end(link, "a newer connection replaced it", is_told=False)
        link = self._links[peer] = Link(peer, wire, trio.current_time())
        self._came_up(link)
        self._tell(peer, MemoryTransport.welcomed, wire)

    def welcomed(self, peer: NodeId, wire: Wire) -> None:
        """Know that the peer took this node's wire."""
        self._heard(peer, wire)

    def left(self, peer: NodeId, wire: Wire) -> None:
        """Know that the peer has ended the wire."""
        link = self._links.get(peer)
        if link is not None and link.wire == wire:
            self._end(link, "stream closed", is_told=False)

    def beaten(self, peer: NodeId, wire: Wire, sent_s: float) -> None:
        """Answer a heartbeat."""
        if self._heard(peer, wire) is not None:
            self._tell(peer, MemoryTransport.answered_beat, wire, sent_s)

    def answered_beat(self, peer: NodeId, wire: Wire, sent_s: float) -> None:
        """Measure a round trip."""
        link = self._heard(peer, wire)
        if link is not None:
            link.measured(trio.current_time() - sent_s)

    def framed(self, peer: NodeId, wire: Wire, frame: bytes, credit: Callable[[], None]) -> None:
        """Take in a frame; `credit` once it has room here."""
        link = self._heard(peer, wire)
        if link is None:
            return
        if len(frame) > self._options.frame_bytes_max:
            self._announce(PeerMisbehaved(peer, f"no frame: it has {len(frame)} bytes"))
            self._end(link, "broke the frame protocol")
            return
        meter = self._meter(peer)
        meter.frames_received += 1
        meter.bytes_received += len(frame)
        if not self._inbox.put(peer, frame, credit):
            self._start(self._inbox.unpack)

    def gossiped(
        self, peer: NodeId, wire: Wire, name: tuple[NodeId, int], topic: str, data: bytes
    ) -> None:
        """Take in what an allowed node has published, once, and pass it on."""
        if self._heard(peer, wire) is None or name in self._seen or name[0] == self._node_id:
            return
        if name[0] not in self._allowed or topic not in self._options.topics - self._unheard:
            return
        try:
            self._gossip_in.send_nowait((topic, name[0], data))
        except trio.WouldBlock:
            self._counters["gossip_dropped"] += 1
        self._pass_on(name, topic, data)

    def asked_for_blob(self, peer: NodeId, call: int, digest: bytes) -> None:
        """Serve a blob, to members only and a few at a time."""
        if peer not in self._allowed:
            self._counters["blob_from_stranger"] += 1
            self._reply(peer, call, None)
        elif self._serving[peer] >= self._options.blob_streams_per_peer_max:
            self._counters["blob_busy"] += 1
            self._reply(peer, call, None)
        else:
            self._serving[peer] += 1
            self._start(self._serve, peer, call, lambda: self._serve_blob(digest), "blob")

    def asked_for_piece(self, peer: NodeId, call: int, question: bytes) -> None:
        """Answer about a part of a blob, members only."""
        if peer not in self._allowed:
            self._counters["blob_from_stranger"] += 1
            self._reply(peer, call, None)
        else:
            self._serving[peer] += 1
            answered = partial(self._serve_piece, peer, question)
            self._start(self._serve, peer, call, answered, "blob")

    def asked_to_join(self, peer: NodeId, call: int, payload: bytes) -> None:
        """Serve a newcomer."""
        self._serving[peer] += 1
        self._start(self._serve, peer, call, lambda: self._serve_join(peer, payload), "join")

    def answered(self, peer: NodeId, call: int, data: bytes | None) -> None:
        """Take in the answer to a question of this node."""
        del peer
        self._calls.answered(call, data)

    # Links: what this end does.

    def _heard(self, peer: NodeId, wire: Wire) -> Link | None:
        link = self._links.get(peer)
        if link is None or link.wire != wire:
            return None
        link.heard_s = trio.current_time()
        if not link.is_up:
            self._came_up(link)
        return link

    def _came_up(self, link: Link) -> None:
        link.is_up = True
        self._failures.pop(link.peer, None)
        self._announce(PeerConnected(link.peer))

    def _end(self, link: Link, reason: str, *, is_told: bool = True) -> None:
        del self._links[link.peer]
        if link.is_up:
            self._announce(PeerLost(link.peer, reason))
        if is_told:
            self._tell(link.peer, MemoryTransport.left, link.wire)
        self._dial_now()

    def _announce(self, event: ConnectionEvent) -> None:
        try:
            self._events_in.send_nowait(event)
        except trio.WouldBlock:
            self._start(self._events_in.send, event)

    def _flow(self, link: Link) -> None:
        """Let frames leave as long as the peer takes them in."""

        def credit() -> None:
            link.under_way -= 1
            if self._nursery is not None and self._links.get(link.peer) is link:
                self._flow(link)

        while (frame := link.pop()) is not None:
            meter = self._meter(link.peer)
            meter.frames_sent += 1
            meter.bytes_sent += len(frame)
            link.under_way += 1
            if not self._tell(link.peer, MemoryTransport.framed, link.wire, frame, credit):
                link.under_way -= 1

    def _pass_on(self, name: tuple[NodeId, int], topic: str, data: bytes) -> None:
        self._seen[name] = None
        while len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        for peer in sorted(self.peers()):
            wire = self._links[peer].wire
            self._tell(peer, MemoryTransport.gossiped, wire, name, topic, data)

    async def _serve(
        self,
        peer: NodeId,
        call: int,
        question: Callable[[], Awaitable[bytes | None]],
        kind: str,
    ) -> None:
        data: bytes | None = None
        deadlines = {"blob": self._options.blob_deadline_s, "join": self._options.join_deadline_s}
        try:
            with trio.move_on_after(deadlines[kind]):
                data = await question()
        except Exception:  # noqa: BLE001  # as at the real one: a bug in serving is contained
            self._counters[f"{kind}_handler_raised"] += 1
        finally:
            self._serving[peer] -= 1
        self._reply(peer, call, data)

    def _reply(self, peer: NodeId, call: int, data: bytes | None) -> None:
        self._tell(peer, MemoryTransport.answered, call, data)

    def _meter(self, peer: NodeId) -> Meter:
        return self._meters.setdefault(peer, Meter())

    # Running.

    def _tell(self, peer: NodeId, deed: Callable[..., None], *what: object) -> bool:
        """Do something at a peer's end, as far as the medium carries it."""
        me = self._node_id
        return self._medium.carry(me, peer, lambda other: deed(other, me, *what))

    def _start(self, work: Callable[..., Awaitable[object]], *arguments: object) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(work, *arguments)

    def _dial_now(self) -> None:
        self._news.set()

    async def dial(self) -> None:
        """Keep dialling who is wanted and not there, with back-off."""
        while True:
            self._news = trio.Event()
            now = trio.current_time()
            due = [self._dial_one(peer, now) for peer in sorted(self._wanted)]
            with trio.move_on_at(min([each for each in due if each is not None], default=1e9)):
                await self._news.wait()

    def _dial_one(self, peer: NodeId, now: float) -> float | None:
        """Dial a peer if it is time; give when it is next."""
        if peer in self._links or peer not in self._allowed or peer == self._node_id:
            return None
        failures, due = self._failures.get(peer, (0, now))
        if now < due or now * 1000 < self.paused_until:
            still_s: float = self.paused_until / 1000
            return max(due, still_s)
        options = self._options
        pause_s = min(options.backoff_base_s * (1 << failures), options.backoff_max_s)
        wait_s = options.dial_timeout_s / 4 + pause_s * self._rng.uniform(0.5, 1.5)
        self._failures[peer] = (min(failures + 1, 20), now + wait_s)
        if self._medium.at_address(self._wanted[peer]) == peer:
            wire = (self._node_id, next(self._numbers))
            self._links[peer] = Link(peer, wire, now)
            self._tell(peer, MemoryTransport.greeted, wire)
            return None
        return now + wait_s

    async def care(self) -> None:
        """Send heartbeats; give up links that have fallen silent or stay full."""
        options = self._options
        while True:
            await trio.sleep(options.heartbeat_s)
            now = trio.current_time()
            if now * 1000 < self.paused_until:
                continue
            for link in list(self._links.values()):
                limit_s = options.idle_limit_s if link.is_up else options.link_deadline_s
                full = link.full_since_s
                if now - link.heard_s > limit_s:
                    self._end(link, f"silent for {limit_s:g} s")
                elif full is not None and now - full > options.slow_limit_s:
                    self._end(link, f"queue full for {options.slow_limit_s:g} s")
                elif link.is_up:
                    self._tell(link.peer, MemoryTransport.beaten, link.wire, now)
            self._dial_now()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Be reachable until the block ends."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self.set_peers(self._options.bootstrap)
                nursery.start_soon(self.dial)
                nursery.start_soon(self.care)
                try:
                    yield
                finally:
                    self._nursery = None
                    nursery.cancel_scope.cancel()
        finally:
            self._medium.leave(self)
            for link in list(self._links.values()):
                self._tell(link.peer, MemoryTransport.left, link.wire)


@asynccontextmanager
async def open_memory_transport(
    medium: Medium,
    node_id: NodeId,
    options: TransportOptions,
    *,
    allowed: frozenset[NodeId],
    serve_blob: ServeBlob,
    serve_join: ServeJoin,
    rng: random.Random,
    serve_piece: ServePiece = serve_no_piece,
) -> AsyncIterator[MemoryTransport]:
    """Open a transport for the length of a block; its address is free afterwards."""
    transport = MemoryTransport(
        medium, node_id, options, allowed, serve_blob, serve_join, rng, serve_piece
    )
    async with transport.run():
        yield transport
