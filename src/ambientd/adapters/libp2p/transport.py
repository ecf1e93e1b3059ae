"""The `Transport` port over libp2p: who may connect, who is dialled, which stream counts.

A peer has one connection that matters and one frame stream on it. Of two nodes the one with
the smaller id opens that stream, whoever dialled; so two nodes that dial each other at once
end with one stream, and a stream that ends takes its connections with it, which leaves no
half-dead states to repair: everything starts again from dialling.
"""

import random
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from ambientd.adapters.libp2p.admission import Gate, Inside
from ambientd.adapters.libp2p.bandwidth import BANDWIDTH_PROTOCOL, Bandwidth
from ambientd.adapters.libp2p.dialler import Dialler
from ambientd.adapters.libp2p.events import Events
from ambientd.adapters.libp2p.exchanges import (
    BLOB_PROTOCOL,
    JOIN_PROTOCOL,
    Blobs,
    Joining,
    discard,
)
from ambientd.adapters.libp2p.foreign import Connection, Stream
from ambientd.adapters.libp2p.gossip import Gossip
from ambientd.adapters.libp2p.guard import Counters, alone, contain, shielded
from ambientd.adapters.libp2p.host import Notifee, build_host, connections_to, dial, run_host
from ambientd.adapters.libp2p.identity import PeerId, node_id_of, peer_id_of
from ambientd.adapters.libp2p.link import (
    INBOX_FRAMES_MAX,
    NETWORK_ERRORS,
    Inbox,
    Link,
    Meter,
    ease_among,
)
from ambientd.adapters.libp2p.looks import LOOK_1, LOOK_2, Looks
from ambientd.adapters.libp2p.pieces import PIECES_PROTOCOL, Pieces
from ambientd.adapters.libp2p.strangers import Strangers
from ambientd.errors import LocalProtocolError, UnreachableError
from ambientd.ports.discovery import Search
from ambientd.ports.transport import (
    ConnectionEvent,
    HostPort,
    LinkSeen,
    Look,
    NodeId,
    PeerAddress,
    ServeBlob,
    ServeJoin,
    ServePiece,
    Traffic,
    TransportOptions,
    serve_no_piece,
)

FRAMES_PROTOCOL: Final = "/ambient/frames/1"
DISCONNECT_S = 2.0


class Libp2pTransport:
    """See `ambientd.ports.transport.Transport`; made by `open_transport`."""

    def __init__(
        self,
        options: TransportOptions,
        seed: bytes,
        allowed: frozenset[NodeId],
        serve_blob: ServeBlob,
        serve_join: ServeJoin,
        rng: random.Random,
        serve_piece: ServePiece,
    ) -> None:
        self._options = options
        self._allowed = allowed
        self._counters = Counters()
        self._gate = Gate(self._counters, self._is_allowed)
        self._host = build_host(options, seed, self._counters, self._is_allowed)
        node_id = node_id_of(self._host.get_id())
        assert node_id is not None  # made from a seed
        self._node_id = node_id
        self._address = options.listen
        self._nursery: trio.Nursery | None = None

        self._inbox = Inbox(INBOX_FRAMES_MAX, options.queue_bytes_max)
        self._events = Events(self._start)
        end, blame = self._drop_peer, self._events.misbehaved
        self._gossip = Gossip(self._host, options, self._counters, self._is_allowed, end, blame)
        self._blobs = Blobs(self._host, options, self._counters, serve_blob)
        self._pieces = Pieces(self._host, options, self._counters, serve_piece)
        self._strangers = Strangers(options, self._counters)
        more = serve_join, self._strangers.waiting
        self._joining = Joining(self._host, options, self._counters, *more)
        self._looks = Looks(self._host, self._counters, self._seen_links)
        budget = options.bandwidth_bytes_per_day
        self._bandwidth = Bandwidth(self._host, self._counters, budget)

        self._links: dict[NodeId, Link] = {}
        self._opening: set[NodeId] = set()
        self._meters: dict[NodeId, Meter] = {}
        self._ease: Callable[[], float] = lambda: ease_among(len(self._allowed))
        self._joining_to: set[NodeId] = set()
        self._dialler = Dialler(
            self._host,
            options,
            rng,
            is_allowed=lambda peer: peer in self._allowed,
            link_to=self._links.get,
            start=self._start,
        )

        self._host.get_network().register_notifee(
            Notifee(self._on_connected, self._on_disconnected)
        )
        self._host.set_stream_handler(
            FRAMES_PROTOCOL, self._gate.members_only("frames", self._accept_link)
        )
        self._host.set_stream_handler(
            BLOB_PROTOCOL, self._gate.members_only("blob", self._blobs.serve)
        )
        self._host.set_stream_handler(
            PIECES_PROTOCOL, self._gate.members_only("blob", self._pieces.serve)
        )
        for look in (LOOK_1, LOOK_2):
            self._host.set_stream_handler(look, self._gate.members_only("look", self._looks.serve))
        self._host.set_stream_handler(
            BANDWIDTH_PROTOCOL, self._gate.members_only("bandwidth", self._bandwidth.serve)
        )
        self._host.set_stream_handler(
            JOIN_PROTOCOL, self._gate.closing("join", self._joining.serve)
        )

    # The port: plain questions and orders.

    @property
    def node_id(self) -> NodeId:
        """Our own id."""
        return self._node_id

    @property
    def address(self) -> HostPort:
        """Where we listen."""
        return self._address

    @property
    def frames(self) -> trio.MemoryReceiveChannel[tuple[NodeId, bytes]]:
        """Frames from allowed peers."""
        return self._inbox.received

    @property
    def connections(self) -> trio.MemoryReceiveChannel[ConnectionEvent]:
        """Peers found and lost, and at fault."""
        return self._events.received

    @property
    def gossip(self) -> trio.MemoryReceiveChannel[tuple[str, NodeId, bytes]]:
        """Topic, signer and data."""
        return self._gossip.received

    def send(self, peer: NodeId, frame: bytes) -> bool:
        """Queue a frame; False when it cannot be queued."""
        if len(frame) > self._options.frame_bytes_max:
            raise LocalProtocolError(
                f"frame of {len(frame)} bytes; at most {self._options.frame_bytes_max}"
            )
        link = self._links.get(peer)
        if link is not None and link.up.is_set() and link.send(frame):
            return True
        if peer in self._allowed:
            self._meter(peer).frames_dropped += 1
        self._counters.note("frame_not_queued", peer=peer.hex())
        return False

    def publish(self, topic: str, data: bytes, directly: Collection[NodeId] = ()) -> None:
        """Gossip to the topic's subscribers."""
        self._gossip.publish(topic, data, directly)

    def hear(self, topic: str, *, wanted: bool) -> None:
        """Take a topic's gossip and pass it on, or do neither."""
        self._gossip.hear(topic, wanted=wanted)

    async def request_blob(self, peer: NodeId, digest: bytes, size_bytes_max: int) -> bytes | None:
        """Fetch a blob; None when it does not arrive whole, true and in time."""
        if peer not in self._links:
            return None
        return await self._blobs.request(peer, digest, size_bytes_max)

    async def request_piece(self, peer: NodeId, question: bytes) -> bytes | None:
        """Ask about a part of a blob; None when no answer comes in time."""
        return await self._pieces.request(peer, question) if peer in self._links else None

    async def look(self, peer: NodeId, port: int) -> Look | None:
        """Ask a peer to dial our port and to say its time."""
        return await self._looks.ask(peer, port) if peer in self._links else None

    async def bandwidth(self, peer: NodeId) -> int | None:
        """Measure how fast bytes come from a peer, in kbit/s."""
        return await self._bandwidth.measure(peer) if peer in self._links else None

    async def request_join(self, address: PeerAddress, payload: bytes) -> bytes:
        """Ask a node to let us in."""
        at = HostPort(address.host, address.port)
        peer_id = peer_id_of(address.node_id)
        self._joining_to.add(address.node_id)
        try:
            with trio.fail_after(self._options.join_deadline_s):
                if not self._connected(address.node_id):
                    await dial(self._host, peer_id, at)
                return await self._joining.ask(address, payload)
        except trio.TooSlowError as error:
            raise UnreachableError(
                f"the node at {at} did not answer within {self._options.join_deadline_s:g} s: "
                "check that it runs and that the address is right"
            ) from error
        except NETWORK_ERRORS as error:
            raise UnreachableError(
                f"cannot reach the node at {at}: check the address, the node id and the firewall"
            ) from error
        finally:
            self._joining_to.discard(address.node_id)
            if address.node_id not in self._allowed:
                await self._disconnect(address.node_id)

    def set_allowed(self, allowed: frozenset[NodeId]) -> None:
        """Replace the allow-list; takes effect at once."""
        removed, added = self._allowed - allowed, allowed - self._allowed
        self._allowed = allowed
        for peer in sorted(removed):
            self._meters.pop(peer, None)
            self._blobs.forget(peer)
            self._pieces.forget(peer)
            self._gossip.pubsub.forget(peer_id_of(peer))
            self._dialler.forget(peer)
            self._drop_peer(peer_id_of(peer), "no longer allowed")
        for peer in sorted(added):
            self._dialler.nudge(peer)
            for connection in self._connected(peer):
                self._on_connected(connection)
            if self._connected(peer):
                self._gossip.pubsub.reopen(peer_id_of(peer))

    def set_peers(self, addresses: Iterable[PeerAddress]) -> None:
        """Replace the peers to keep dialling."""
        self._dialler.set_peers(addresses)

    @property
    def search(self) -> Search:
        """What ways to find members ask, and tell."""
        return Search(lambda: self._allowed - self.peers() - {self._node_id}, self._dialler.learn)

    @property
    def inside(self) -> Inside:
        """What further protocols among members are made of."""
        return Inside(
            self._host, self._gate, self._counters, lambda peer: peer in self._allowed, self.peers
        )

    def peers(self) -> frozenset[NodeId]:
        """Give the connected peers."""
        return frozenset(peer for peer, link in self._links.items() if link.up.is_set())

    def round_trip_ms(self, peer: NodeId) -> float | None:
        """Give the smoothed round trip."""
        link = self._links.get(peer)
        return None if link is None else link.round_trip_ms

    def _seen_links(self) -> list[LinkSeen]:
        """Give the links that are up, as whoever asks may know them."""
        return [LinkSeen(peer, self._links[peer].one_way_us) for peer in sorted(self.peers())]

    def traffic(self, peer: NodeId) -> Traffic:
        """Give the peer's counters."""
        meter = self._meters.get(peer)
        return meter.traffic() if meter is not None else Traffic()

    def counters(self) -> Mapping[str, int]:
        """Give all counts of refused, dropped and contained things."""
        return self._counters.snapshot()

    # Admission.

    def _is_allowed(self, peer_id: PeerId) -> bool:
        return node_id_of(peer_id) in self._allowed

    def _on_connected(self, connection: Connection) -> None:
        """Decide what a new connection is for."""
        peer = node_id_of(connection.muxed_conn.peer_id)
        if peer is None or peer == self._node_id:
            self._start("close_raised", connection.close)
        elif peer not in self._allowed:
            self._start("stranger_raised", self._host_stranger, peer, connection)
        elif self._node_id < peer:
            self._start("link_raised", self._open_link, peer)
        else:
            self._start("link_raised", self._await_link, peer, connection)

    def _on_disconnected(self, connection: Connection) -> None:
        self._gossip.pubsub.lose(connection)

    async def _host_stranger(self, peer: NodeId, connection: Connection) -> None:
        """Give a stranger the time of one join request."""
        await self._strangers.host(connection, is_asked=peer in self._joining_to)
        if peer not in self._allowed and peer not in self._joining_to:
            await connection.close()

    def _connected(self, peer: NodeId) -> list[Connection]:
        return connections_to(self._host, peer)

    def _drop_peer(self, peer_id: PeerId, reason: str) -> None:
        """End everything with a peer, without waiting for it."""
        peer = node_id_of(peer_id)
        if peer is None:
            return
        link = self._links.get(peer)
        if link is not None:
            link.end(reason)
        else:
            self._start("close_raised", self._disconnect, peer)

    async def _disconnect(self, peer: NodeId) -> None:
        with shielded(DISCONNECT_S):
            async with trio.open_nursery() as nursery:
                for connection in list(self._connected(peer)):
                    nursery.start_soon(connection.close)

    # Links.

    async def _open_link(self, peer: NodeId) -> None:
        """As the smaller id: open the frame stream, unless there is one that lives."""
        if peer in self._links or peer in self._opening:
            await self._prefer_one(peer)
            return
        self._opening.add(peer)
        stream, is_refused = None, False
        try:
            with trio.move_on_after(self._options.link_deadline_s):
                stream = await self._host.new_stream(peer_id_of(peer), [FRAMES_PROTOCOL])
        except NETWORK_ERRORS as error:
            self._counters.note("link_not_opened", error=error, peer=peer.hex())
            is_refused = any(not each.muxed_conn.is_initiator for each in self._connected(peer))
        finally:
            self._opening.discard(peer)
        if stream is None:
            await (self._part_from if is_refused else self._disconnect)(peer)
            return
        try:
            await self._run_link(peer, stream)
        finally:
            await discard(stream)

    async def _part_from(self, peer: NodeId) -> None:
        """Let who dialled and takes no link say why: it may be in, not know it, and ask to join."""
        await trio.sleep(self._options.link_deadline_s)
        if peer not in self._links and peer not in self._opening:
            await self._disconnect(peer)

    async def _prefer_one(self, peer: NodeId) -> None:
        """Keep the link's connection alone once it answers; end one that is silent: it restarted.

        Neither is known while what came long ago waits to be taken here, and both stay meanwhile.
        """
        wait_s, old = 2 * self._options.heartbeat_s, self._links.get(peer)
        # Among many the next probe may be later than the peer waits.
        number = 0 if old is None else old.probe()
        link = old
        for _ in range(1 + round(self._options.idle_limit_s / wait_s)):
            await trio.sleep(wait_s)
            link = self._links.get(peer)
            if link is None or link is not old or link.answered >= number:
                break
            if trio.current_time() - link.silent_since_s >= wait_s:
                link.end("a newer connection replaced it")
                return
        if link is None:
            return
        for connection in list(self._connected(peer)):
            if connection.muxed_conn is not link.stream.muxed_conn:
                await connection.close()

    async def _await_link(self, peer: NodeId, connection: Connection) -> None:
        """As the larger id: expect the frame stream soon, or give the connection up."""
        await trio.sleep(self._options.link_deadline_s)
        if peer not in self._links and not connection.is_closed:
            self._counters.note("link_not_offered", peer=peer.hex())
            await connection.close()

    async def _accept_link(self, stream: Stream) -> None:
        """As the larger id: take the frame stream that the peer opened."""
        peer = node_id_of(stream.muxed_conn.peer_id)
        assert peer is not None  # admission has seen it
        if self._node_id < peer:
            self._counters.note("link_wrong_way", peer=peer.hex())
            return
        await self._run_link(peer, stream)

    async def _run_link(self, peer: NodeId, stream: Stream) -> None:
        """Run a link as the peer's only one, announcing it while it is up."""
        while (old := self._links.get(peer)) is not None:
            old.end("a newer stream replaced it")
            await old.done.wait()
        if peer not in self._allowed:
            return
        more = self._meter(peer), self._counters, self._ease, self._events.misbehaved
        link = self._links[peer] = Link(peer, stream, self._options, self._inbox, *more)
        reason = "this node is closing"
        announced = False
        try:
            async with trio.open_nursery() as nursery:

                async def announce() -> None:
                    nonlocal announced
                    with trio.move_on_after(self._options.link_deadline_s):
                        await link.up.wait()
                    if not link.up.is_set():
                        link.end("no heartbeat")
                        return
                    self._dialler.nudge(peer)
                    await self._events.connected(peer)
                    announced = True

                nursery.start_soon(announce)
                reason = await link.run()
                nursery.cancel_scope.cancel()
        finally:
            del self._links[peer]
            self._pieces.lost(peer)
            if announced:
                self._events.lost(peer, reason)
            try:  # what is left of its connections would keep the peer from being dialled
                if not link.up.is_set() and not stream.muxed_conn.is_initiator:
                    self._start("close_raised", self._part_from, peer)
                elif "newer stream" not in reason:
                    await self._disconnect(peer)
            finally:
                link.done.set()

    def _meter(self, peer: NodeId) -> Meter:
        meter = self._meters.get(peer)
        if meter is None:
            meter = self._meters[peer] = Meter.of(self._options)
        return meter

    # Running.

    def _start(
        self, kind: str, task: Callable[..., Coroutine[Any, Any, object]], *args: object
    ) -> None:
        """Run a task beside the others; what it raises is counted."""
        if self._nursery is not None:
            self._nursery.start_soon(contain(task, kind, self._counters), *args)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Listen, gossip and dial until the block ends; then everything is closed."""
        async with (
            run_host(self._host, self._options.listen, self._counters) as self._address,
            self._gossip.running(),
            trio.open_nursery() as nursery,
        ):
            self._nursery = nursery
            self.set_peers(self._options.bootstrap)
            try:
                yield
            finally:
                self._nursery = None
                nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_transport(
    options: TransportOptions,
    *,
    seed: bytes,
    allowed: frozenset[NodeId],
    serve_blob: ServeBlob,
    serve_join: ServeJoin,
    rng: random.Random,
    serve_piece: ServePiece = serve_no_piece,
    further: Callable[[Libp2pTransport], None] = lambda _: None,
) -> AsyncIterator[Libp2pTransport]:
    """Open a transport for the length of a block; its port is free afterwards.

    `further` registers further protocols, before anybody can ask and be told that there are none.

    Raises:
        ConfigError: when it cannot listen where the options say.
    """
    transport = Libp2pTransport(options, seed, allowed, serve_blob, serve_join, rng, serve_piece)
    further(transport)
    try:
        async with transport.run():
            yield transport
    except BaseExceptionGroup as group:
        raise alone(group) from None
