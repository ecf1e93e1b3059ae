"""Circuits through members, for who cannot be dialled: libp2p's circuit relay v2, among members.

https://github.com/libp2p/specs, relay/circuit-v2.md. A member that serves takes
reservations and carries bytes between two streams, up to a number, a time and a size; who uses
relays reserves with members that it is connected to, and asks them for members that it misses. What
goes through a circuit is a connection like any other: noise between its ends, unread on its way.
"""

from collections import Counter
from typing import Any, Final

import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from multiaddr import Multiaddr

from ambientd.adapters.libp2p.admission import Inside
from ambientd.adapters.libp2p.carried import CIRCUITS_PER_PEER_MAX, Carried, Reservation
from ambientd.adapters.libp2p.delimited import read_message, write_message
from ambientd.adapters.libp2p.exchanges import discard
from ambientd.adapters.libp2p.foreign import Stream
from ambientd.adapters.libp2p.identity import PeerId, node_id_of, peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS, READ_BYTES
from ambientd.adapters.libp2p.slim import load_messages
from ambientd.adapters.system_clock import SystemClock
from ambientd.errors import RemoteProtocolError
from ambientd.ports.discovery import RelayLimits, Search
from ambientd.ports.transport import NodeId

messages: Any = load_messages("libp2p.relay.circuit_v2.pb.circuit_pb2")

HOP: Final = "/libp2p/circuit/relay/0.2.0/hop"
STOP: Final = "/libp2p/circuit/relay/0.2.0/stop"
MESSAGE_BYTES_MAX = 4 * 1024
EXCHANGE_S = 5.0
HANDSHAKE_S = 10.0
TICK_S = 1.0
RESERVATION_S = 3_600


class _Circuit(RawConnection):  # type: ignore[misc]
    """A stream through a relay as a connection, whose other end's address nobody here knows."""

    def __init__(self, stream: Stream, initiator: bool) -> None:
        super().__init__(stream, initiator)
        self._reading = trio.CancelScope()
        self._is_closed = False

    async def read(self, n: int | None = None) -> bytes:
        """Read until it is closed here: a stream that we reset leaves its reader waiting."""
        if not self._is_closed:
            with trio.CancelScope() as self._reading:
                data: bytes = await super().read(n)
                return data
        raise ConnectionClosedError("this end has closed the circuit")

    async def close(self) -> None:
        """Close it, and end what reads it."""
        self._is_closed = True
        self._reading.cancel()
        await super().close()

    def get_remote_address(self) -> None:
        """Not the relay's, or it would be dialled for who is behind it."""


class Relays:
    """Both sides of the protocol; which of them, the operator says."""

    name = "relay"

    def __init__(self, inside: Inside, limits: RelayLimits) -> None:
        self._host = inside.host
        self._swarm = inside.host.get_network()
        self._counters = inside.counters
        self._limits = limits
        self._is_allowed = inside.is_allowed
        self._peers = inside.peers
        self._me: NodeId = node_id_of(self._host.get_id()) or b""
        self._clock = SystemClock()
        self._reservations: dict[NodeId, Reservation] = {}
        self._circuits: Counter[NodeId] = Counter()
        self._carried: set[int] = set()
        self._mine = Carried(self._me)
        if limits.serves:
            inside.host.set_stream_handler(HOP, inside.gate.members_only("relay", self._serve))
        if limits.uses:
            inside.host.set_stream_handler(STOP, inside.gate.members_only("circuit", self._accept))

    def reserved(self) -> int:
        """Count the members through which this node can be reached."""
        return len(self._mine.relays)

    # Who carries.

    async def _serve(self, stream: Stream) -> None:
        peer = node_id_of(stream.muxed_conn.peer_id)
        assert peer is not None  # admission has seen it
        with trio.fail_after(EXCHANGE_S):
            asked = await read_message(stream, messages.HopMessage, MESSAGE_BYTES_MAX)
        if id(stream.muxed_conn) in self._carried:
            await self._answer(stream, messages.PERMISSION_DENIED)
        elif asked.type == messages.HopMessage.RESERVE:
            await self._reserve(stream, peer)
        elif asked.type == messages.HopMessage.CONNECT:
            await self._connect(stream, peer, node_id_of(PeerId(asked.peer.id)))
        else:
            await self._answer(stream, messages.UNEXPECTED_MESSAGE)

    async def _reserve(self, stream: Stream, peer: NodeId) -> None:
        now_s = trio.current_time()
        for gone in [p for p, kept in self._reservations.items() if not kept.holds(now_s)]:
            del self._reservations[gone]
        if (
            peer not in self._reservations
            and len(self._reservations) >= self._limits.reservations_max
        ):
            self._counters.note("relay_full", peer=peer.hex())
            await self._answer(stream, messages.RESERVATION_REFUSED)
            return
        self._reservations[peer] = Reservation(now_s + RESERVATION_S, stream.muxed_conn)
        expire = self._clock.unix_ms() // 1000 + RESERVATION_S
        answer = messages.HopMessage(type=messages.HopMessage.STATUS, status=messages.OK)
        answer.reservation.expire = expire
        answer.limit.CopyFrom(self._limit())
        await write_message(stream, answer)

    async def _connect(self, stream: Stream, peer: NodeId, target: NodeId | None) -> None:
        """Carry between the asker and who has reserved, until a limit ends it."""
        if target is None or not self._is_reserved(target):
            await self._answer(stream, messages.NO_RESERVATION)
            return
        if self._circuits.total() >= 2 * self._limits.circuits_max or (
            max(self._circuits[peer], self._circuits[target]) >= CIRCUITS_PER_PEER_MAX
        ):
            self._counters.note("relay_full", peer=peer.hex())
            await self._answer(stream, messages.RESOURCE_LIMIT_EXCEEDED)
            return
        self._circuits.update([peer, target])
        onward: Stream | None = None
        try:
            onward = await self._reach(peer, target)
            if onward is None:
                await self._answer(stream, messages.CONNECTION_FAILED)
                return
            await self._answer(stream, messages.OK)
            with trio.move_on_after(self._limits.circuit_s_max):
                await self._carry(stream, onward)
            self._counters.count("circuit_ended")
        finally:
            self._circuits.subtract([peer, target])
            self._circuits += Counter()  # drops those at zero
            if onward is not None:
                await discard(onward)

    def _is_reserved(self, target: NodeId) -> bool:
        kept = self._reservations.get(target)
        return kept is not None and kept.holds(trio.current_time()) and self._is_allowed(target)

    async def _reach(self, peer: NodeId, target: NodeId) -> Stream | None:
        """Ask the target whether it takes the circuit."""
        asked = messages.StopMessage(type=messages.StopMessage.CONNECT)
        asked.peer.id = peer_id_of(peer).to_bytes()
        asked.limit.CopyFrom(self._limit())
        onward: Stream | None = None
        with trio.move_on_after(EXCHANGE_S):
            try:
                onward = await self._host.new_stream(peer_id_of(target), [STOP])
                await write_message(onward, asked)
                said = await read_message(onward, messages.StopMessage, MESSAGE_BYTES_MAX)
                if said.status == messages.OK:
                    return onward
            except (RemoteProtocolError, *NETWORK_ERRORS):
                pass
        if onward is not None:
            await discard(onward)
        return None

    async def _carry(self, here: Stream, there: Stream) -> None:
        """Carry both ways until one end stops, or so many bytes have passed."""
        left_bytes = self._limits.circuit_bytes_max

        async def one_way(source: Stream, to: Stream, scope: trio.CancelScope) -> None:
            nonlocal left_bytes
            try:
                while data := await source.read(READ_BYTES):
                    left_bytes -= len(data)
                    if left_bytes < 0:
                        self._counters.count("circuit_over_limit")
                        break
                    await to.write(data)
            except NETWORK_ERRORS:
                pass  # an end went away
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one_way, here, there, nursery.cancel_scope)
            nursery.start_soon(one_way, there, here, nursery.cancel_scope)

    def _limit(self) -> Any:  # noqa: ANN401 - a protobuf
        return messages.Limit(
            duration=self._limits.circuit_s_max, data=self._limits.circuit_bytes_max
        )

    async def _answer(self, stream: Stream, status: int) -> None:
        answer = messages.HopMessage(type=messages.HopMessage.STATUS, status=status)
        await write_message(stream, answer)

    # Who is carried.

    async def run(self, search: Search) -> None:
        """Keep reservations, and ask for circuits to who is missing."""
        async with trio.open_nursery() as nursery:
            while self._limits.uses:
                now_s = trio.current_time()
                for relay in self._mine.open_to(self._peers(), now_s):
                    await self._ask_to_be_carried(relay)
                for target in self._mine.due(search.wanted(), now_s):
                    nursery.start_soon(self._dial, target, nursery)
                await trio.sleep(TICK_S)
            await trio.sleep_forever()

    async def _ask_to_be_carried(self, relay: NodeId) -> None:
        asked = messages.HopMessage(type=messages.HopMessage.RESERVE)
        opened = await self._hop(relay, asked)
        now_s = trio.current_time()
        if opened is None:  # it does not serve, is full, or does not run yet
            self._counters.count("reservation_refused")
            self._mine.refused(relay, now_s)
            return
        until_s = now_s + RESERVATION_S / 2  # early enough to renew it
        self._mine.has_reserved(relay, Reservation(until_s, opened.muxed_conn), now_s)
        await discard(opened)

    async def _hop(self, relay: NodeId, asked: Any) -> Stream | None:  # noqa: ANN401
        """Put a question to a relay; give the stream if it agrees."""
        opened: Stream | None = None
        with trio.move_on_after(2 * EXCHANGE_S):
            try:
                opened = await self._host.new_stream(peer_id_of(relay), [HOP])
                await write_message(opened, asked)
                said = await read_message(opened, messages.HopMessage, MESSAGE_BYTES_MAX)
                if said.status == messages.OK:
                    return opened
            except (RemoteProtocolError, *NETWORK_ERRORS):
                pass
        if opened is not None:
            await discard(opened)
        return None

    async def _dial(self, target: NodeId, nursery: trio.Nursery) -> None:
        """Connect to a member through the first relay that reaches it, one try at a time."""
        try:
            await self._connect_through(self._mine.relays, target, nursery)
        finally:
            self._mine.has_tried(target)

    async def _connect_through(
        self, relays: list[NodeId], target: NodeId, nursery: trio.Nursery
    ) -> None:
        asked = messages.HopMessage(type=messages.HopMessage.CONNECT)
        asked.peer.id = peer_id_of(target).to_bytes()
        for relay in relays:
            opened = await self._hop(relay, asked)
            if opened is None:
                continue
            connection = None
            with trio.move_on_after(HANDSHAKE_S):
                try:
                    connection = await self._swarm.upgrade_outbound_raw_conn(
                        _Circuit(opened, True), peer_id_of(target)
                    )
                except Exception as error:  # noqa: BLE001 - whatever a relay can make of its bytes
                    self._counters.note("circuit_failed", error=error, peer=target.hex())
            if connection is None:
                await discard(opened)
                continue
            nursery.start_soon(self._hold, connection.muxed_conn, opened)
            return

    async def _accept(self, stream: Stream) -> None:
        """Take a circuit that a relay brings."""
        relay = node_id_of(stream.muxed_conn.peer_id)
        with trio.fail_after(EXCHANGE_S):
            asked = await read_message(stream, messages.StopMessage, MESSAGE_BYTES_MAX)
        source = node_id_of(PeerId(asked.peer.id))
        answer = messages.StopMessage(type=messages.StopMessage.STATUS, status=messages.OK)
        is_brought = source is not None and source != relay and self._is_allowed(source)
        if relay not in self._mine.relays or not is_brought:
            answer.status = messages.PERMISSION_DENIED
            await write_message(stream, answer)
            return
        await write_message(stream, answer)
        with trio.fail_after(HANDSHAKE_S):
            muxed = await self._swarm.upgrade_inbound_raw_conn(
                _Circuit(stream, False), Multiaddr("/p2p-circuit")
            )
        if node_id_of(muxed.peer_id) != source:
            self._counters.note("circuit_of_another", peer=str(muxed.peer_id))
            await muxed.secured_conn.close()  # or a last frame waits to be taken
            await muxed.close()
            return
        async with trio.open_nursery() as nursery:
            # It is held first: what comes through it while others are closed is from a circuit.
            nursery.start_soon(self._swarm.part_with_oldest, muxed.peer_id)
            await self._hold(muxed, stream)

    async def _hold(self, muxed: Any, stream: Stream) -> None:  # noqa: ANN401
        """Keep a circuit's stream until the connection in it is closed."""
        self._carried.add(id(muxed))
        try:
            await muxed.event_closed.wait()
        finally:
            self._carried.discard(id(muxed))
            await discard(stream)
