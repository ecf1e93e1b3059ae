"""One running node: pump, transport, executions, probes, all under one nursery."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from ambientd.consensus.effects import VoteDecided
from ambientd.model.base import NodeId
from ambientd.node.core import Node
from ambientd.node.effect import ConditionChanged, NodeEffect, PeerMisbehaved
from ambientd.node.event import (
    FrameReceived,
    GossipReceived,
    HeadersSeen,
    OwnerWished,
    PeerConnected,
    PeerLost,
    RoundTripMeasured,
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
from ambientd.runtime.learning import LearningHost
from ambientd.runtime.news import News
from ambientd.runtime.ownership import Ownership
from ambientd.runtime.performer import TELEMETRY_TOPIC, Performer, Workshop
from ambientd.runtime.pins import Pins
from ambientd.runtime.pump import Pump
from ambientd.runtime.telemetry_journal import TelemetryJournal
from ambientd.telemetry.hearing import hears_all
from ambientd.telemetry.messages import BatchAccepted, Sampled, TransferMeasured
from ambientd.telemetry.series import Series

ROUND_TRIPS_S = 2.0
HEADERS_S = 10.0
HEARING_S = 5.0
BANDWIDTH_S = 540.0
BANDWIDTH_FIRST_S = 60.0


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
    owner: Ownership
    learning: LearningHost
    is_newcomer: bool = False
    headers: Headers | None = None
    peg: PegChain | None = None
    series: Series = field(default_factory=Series)
    pins: Pins = field(default_factory=Pins)
    journal: TelemetryJournal | None = None
    relays: Callable[[], int] = lambda: 0
    """Members through which this node can be reached."""
    on_vote_decided: Callable[[bool], None] = lambda _: None
    """Keeps that this key votes from now on, or that it never does."""

    def wanted_blobs(self, own: NodeId) -> set[bytes]:
        """Name what stays for its owner's sake, and what only this node may have of its tasks."""
        return self.pins.kept(self.node.ledger, own) | self.node.asked.blobs


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
            Workshop(parts.executor, parts.learning),
            parts.blobs,
            parts.news,
            parts.now,
            parts.anchors,
            ledger=parts.node.ledger,
            is_open=not parts.is_newcomer,
        )
        # What the owner wants counts from the first moment on.
        perform = functools.partial(_perform, parts, performer)
        first = (OwnerWished(parts.owner.wish), Started())
        nursery.start_soon(parts.pump.run, perform, first)
        nursery.start_soon(parts.owner.run, parts.pump.post)
        nursery.start_soon(_frames, parts)
        nursery.start_soon(hear_of_peers, parts.transport, parts.pump, performer)
        nursery.start_soon(_gossip, parts)
        nursery.start_soon(_hearing, parts)
        nursery.start_soon(_round_trips, parts)
        nursery.start_soon(_samples, parts)
        nursery.start_soon(_bandwidth, parts)
        if parts.anchors is not None:
            nursery.start_soon(parts.anchors.run, parts.pump.post)
        if parts.journal is not None:
            nursery.start_soon(parts.journal.run)
        if parts.headers is not None:
            nursery.start_soon(_headers, parts, parts.headers)
        await serve(performer)
        nursery.cancel_scope.cancel()


def _perform(parts: Parts, performer: Performer, effect: NodeEffect) -> None:
    """Carry out an effect; what a node said of itself is kept for people as well."""
    if isinstance(effect, ConditionChanged) and isinstance(effect.news, BatchAccepted):
        said = effect.news.batch
        parts.series.note(said.node, said.observations, parts.now())
        if parts.journal is not None:
            parts.journal.note(said, parts.now())
    if isinstance(effect, VoteDecided):
        parts.on_vote_decided(effect.may_vote)
    else:
        performer(effect)


async def _frames(parts: Parts) -> None:
    async for sender, frame in parts.transport.frames:
        await parts.pump.post(FrameReceived(NodeId(sender), frame))


async def hear_of_peers(transport: mesh.Transport, pump: Pump, performer: Performer) -> None:
    """Tell the node who can be reached; what breaks the transport counts as what breaks the log."""
    async for change in transport.connections:
        peer = NodeId(change.node_id)
        match change:
            case mesh.PeerConnected():
                await pump.post(PeerConnected(peer))
            case mesh.PeerLost():
                await pump.post(PeerLost(peer))
            case mesh.PeerMisbehaved(reason=reason):
                performer(PeerMisbehaved(peer, reason))


async def _gossip(parts: Parts) -> None:
    async for _topic, sender, data in parts.transport.gossip:
        await parts.pump.post(GossipReceived(NodeId(sender), data))


async def _hearing(parts: Parts) -> None:
    """Hear what all nodes tell of themselves where this node is asked about it (07 §10)."""
    while True:
        state = parts.node.ledger
        hears = hears_all(NodeId(parts.transport.node_id), state.members, len(state.nodes()))
        parts.transport.hear(TELEMETRY_TOPIC, wanted=hears)
        await trio.sleep(HEARING_S)


async def _round_trips(parts: Parts) -> None:
    while True:
        await trio.sleep(ROUND_TRIPS_S)
        for peer in sorted(parts.transport.peers()):
            round_trip_ms = parts.transport.round_trip_ms(peer)
            if round_trip_ms is not None:
                measured = RoundTripMeasured(NodeId(peer), int(round_trip_ms * 1000))
                parts.series.note_link(measured.peer, measured.round_trip_us, parts.now())
                await parts.pump.post(measured)


async def _bandwidth(parts: Parts) -> None:
    """Measure against one peer after the other, unless this network costs its owner money."""
    await trio.sleep(BANDWIDTH_FIRST_S)
    last = b""
    while True:
        peers = sorted(parts.transport.peers())
        if peers and not parts.owner.seen.metered_link:
            last = next((peer for peer in peers if peer > last), peers[0])
            kbit_per_s = await parts.transport.bandwidth(NodeId(last))
            if kbit_per_s is not None:
                await parts.pump.post(TransferMeasured(kbit_per_s))
        await trio.sleep(BANDWIDTH_S)


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
