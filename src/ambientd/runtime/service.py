"""One running node: pump, transport, executions, probes, all under one nursery."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from ambientd.model.base import NodeId
from ambientd.node.core import Node
from ambientd.node.event import (
    FrameReceived,
    GossipReceived,
    HeadersSeen,
    PeerConnected,
    PeerLost,
    RoundTripMeasured,
    Sampled,
    Started,
)
from ambientd.ports import transport as mesh
from ambientd.ports.anchors import Anchors
from ambientd.ports.headers import Headers
from ambientd.ports.peg import PegChain
from ambientd.ports.probe import Probe
from ambientd.rules.header_window import HEADERS_KEPT
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.execution import Executor
from ambientd.runtime.news import News
from ambientd.runtime.performer import Performer
from ambientd.runtime.pump import Pump

ROUND_TRIPS_S = 2.0
HEADERS_S = 10.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the composition root has picked for a node."""

    node: Node
    pump: Pump
    transport: mesh.Transport
    executor: Executor
    blobs: Blobs
    news: News
    probe: Probe
    anchors: Anchors | None
    now: Callable[[], int]
    sample_s: float
    is_newcomer: bool = False
    headers: Headers | None = None
    peg: PegChain | None = None


async def run_node(
    parts: Parts,
    serve: Callable[[Performer], Awaitable[None]],
) -> None:
    """Run until cancelled; `serve` answers the owner beside the node."""
    async with trio.open_nursery() as nursery:
        performer = Performer(
            nursery,
            parts.pump,
            parts.transport,
            parts.executor,
            parts.blobs,
            parts.news,
            parts.now,
            parts.anchors,
            ledger=parts.node.ledger,
            is_open=not parts.is_newcomer,
        )
        nursery.start_soon(parts.pump.run, performer, [Started()])
        nursery.start_soon(_frames, parts)
        nursery.start_soon(_connections, parts)
        nursery.start_soon(_gossip, parts)
        nursery.start_soon(_round_trips, parts)
        nursery.start_soon(_samples, parts)
        if parts.anchors is not None:
            nursery.start_soon(parts.anchors.run, parts.pump.post)
        if parts.headers is not None:
            nursery.start_soon(_headers, parts, parts.headers)
        await serve(performer)
        nursery.cancel_scope.cancel()


async def _frames(parts: Parts) -> None:
    async for sender, frame in parts.transport.frames:
        await parts.pump.post(FrameReceived(NodeId(sender), frame))


async def _connections(parts: Parts) -> None:
    async for change in parts.transport.connections:
        peer = NodeId(change.node_id)
        connected = isinstance(change, mesh.PeerConnected)
        await parts.pump.post(PeerConnected(peer) if connected else PeerLost(peer))


async def _gossip(parts: Parts) -> None:
    async for _topic, sender, data in parts.transport.gossip:
        await parts.pump.post(GossipReceived(NodeId(sender), data))


async def _round_trips(parts: Parts) -> None:
    while True:
        await trio.sleep(ROUND_TRIPS_S)
        for peer in sorted(parts.transport.peers()):
            round_trip_ms = parts.transport.round_trip_ms(peer)
            if round_trip_ms is not None:
                measured = RoundTripMeasured(NodeId(peer), int(round_trip_ms * 1000))
                await parts.pump.post(measured)


async def _headers(parts: Parts, headers: Headers) -> None:
    """Tell the node when its own chain has come further, or has turned to another branch."""
    tip = b""
    while True:
        if headers.status().tip_hash != tip:
            tip = headers.status().tip_hash
            await parts.pump.post(HeadersSeen(*headers.newest(HEADERS_KEPT)))
        await trio.sleep(HEADERS_S)


async def _samples(parts: Parts) -> None:
    while True:
        observations = await trio.to_thread.run_sync(parts.probe.read)
        await parts.pump.post(Sampled(tuple(observations)))
        await trio.sleep(parts.sample_s)
