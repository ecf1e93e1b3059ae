"""A libp2p host with the settings Ambient needs, listening on exactly one address."""

import errno
import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p.abc import INotifee
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import identify_handler_for
from libp2p.network import swarm as swarm_module
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection import swarm_connection
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.protocol_muxer.exceptions import MultiselectError
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.tools.anyio_service import background_trio_service
from libp2p.transport.tcp import tcp
from multiaddr import Multiaddr

from ambientd.adapters.http_addresses import address_in, counted
from ambientd.adapters.libp2p.foreign import Connection, Foreign, Host, Stream
from ambientd.adapters.libp2p.guard import Counters, contain, contain_tasks
from ambientd.adapters.libp2p.identity import PeerId, key_pair, peer_id_of
from ambientd.adapters.libp2p.muxer import GuardedUpgrader
from ambientd.adapters.libp2p.strangers import Places
from ambientd.errors import ConfigError
from ambientd.ports.transport import HostPort, NodeId, TransportOptions

CLOSE_S = 5.0
HANDSHAKE_S = 5.0
HANDSHAKES_PER_HOST_MAX = 64
"""Connections of one address, or /64 of IPv6, that have shown no key yet."""

HANDSHAKES_MAX = 256
"""The same of all addresses together; the oldest of the address that has most gives way."""

CONNECTIONS_PER_PEER_MAX = 3
"""That one peer has dialled: one it uses, one that it lost without our knowing, one by a relay."""


def _silence() -> None:
    """Turn libp2p's logging off: peers decide what it says, and our counters say it better."""
    libp2p = logging.getLogger("libp2p")
    libp2p.setLevel(logging.CRITICAL + 1)
    libp2p.propagate = False  # some of its loggers set levels of their own
    libp2p.addHandler(logging.NullHandler())
    # This module logs to the root logger, which would install a handler on stderr.
    swarm_connection.logging = logging.getLogger("libp2p.network.connection")


_silence()


async def _open_exclusive_listeners(host: str | None, port: int) -> Sequence[trio.SocketListener]:
    """Listen without SO_REUSEPORT.

    The original sets it for hole punching; a second daemon on the same port then starts
    without an error and the two steal each other's connections.
    """
    return await trio.open_tcp_listeners(port, host=host)


tcp._open_reuseport_listeners = _open_exclusive_listeners
# `dial` resolves names with the system's resolver; this one reads resolv.conf at start.
swarm_module.DNSResolver = lambda: None


class _NoAutoConnector:
    """Dials nobody by itself; the original does, up to its high watermark."""

    async def start(self) -> None:
        """Start nothing."""

    async def stop(self) -> None:
        """Stop nothing."""

    async def run_background_task(self, nursery: trio.Nursery) -> None:
        """Run nothing."""

    def record_disconnect(self, peer_id: Foreign) -> None:
        """Remember nothing."""


class _Swarm(Swarm):  # type: ignore[misc]
    """A swarm whose inbound slots come back when a connection ends.

    The original holds a slot until the swarm closes, so after `max_connections` inbound
    connections in its life a node accepts no more.
    """

    def __init__(self, *args: Any, counters: Counters, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self._counters = counters
        self._handshakes = Places[trio.CancelScope](HANDSHAKES_MAX)
        self.auto_connector = _NoAutoConnector()

    def _schedule_auto_connect(self) -> None:
        """Dial nobody after a disconnection either."""

    async def dial_peer(self, peer_id: Foreign) -> Foreign:
        """Dial nobody unasked: opening a stream to a peer that has gone would."""
        raise SwarmException(f"not connected to {peer_id}")

    async def _handle_inbound_connection(self, stream: Stream, maddr: Foreign) -> None:
        """Take a connection in once its key is shown; before that it holds no slot of the swarm's.

        The original gives the slot away first: a few hundred sockets that say nothing kept
        members out.
        """
        if len(self.get_connections()) >= self.connection_config.max_connections:
            self._counters.note("connections_full")
            return
        muxed = await self._shake_hands(stream, maddr)
        if muxed is not None:
            await self.part_with_oldest(muxed.peer_id)
            await muxed.event_closed.wait()

    async def part_with_oldest(self, peer_id: PeerId) -> None:
        """Close what a peer has dialled beyond its share, by whatever way it came.

        Each connection has buffers of its own; the original lets connections be for their first
        20 s, however many there are.
        """
        dialled = [
            each for each in self.get_connections(peer_id) if not each.muxed_conn.is_initiator
        ]
        for connection in dialled[:-CONNECTIONS_PER_PEER_MAX]:
            self._counters.note("peer_connections_full", peer=str(peer_id))
            await contain(_close_at_once, "close_raised", self._counters)(connection)

    async def _shake_hands(self, stream: Stream, maddr: Foreign) -> Foreign:
        """Find out who connects; nothing where no key is shown, or too many try at once."""
        remote = stream.get_remote_address()
        address = address_in(remote[0]) if remote else None
        host = "" if address is None else counted(address)
        if self._handshakes.held(host) >= HANDSHAKES_PER_HOST_MAX:
            self._counters.note("handshakes_full", host=host)
            return None
        scope = trio.CancelScope()
        leaves = self._handshakes.enter(scope, host)
        if leaves is not None:
            self._counters.note("handshakes_full", host=host)
            leaves.cancel()
        try:
            with scope:
                return await self.upgrade_inbound_raw_conn(RawConnection(stream, False), maddr)
        except MultiselectError:  # it hung up behind the keys, as whoever looks whether we answer
            self._counters.count("hung_up_after_keys")
        except Exception as error:  # noqa: BLE001 - anything a stranger's bytes can provoke
            self._counters.note("handshake_failed", error=error)
        finally:
            self._handshakes.leave(scope)
        return None


async def _close_at_once(connection: Connection) -> None:
    await connection.muxed_conn.secured_conn.close()  # or a last frame waits to be taken
    await connection.close()


class _Host(BasicHost):  # type: ignore[misc]
    """A host that identifies nobody: who peers are and what they speak is known beforehand."""

    def _schedule_identify(self, peer_id: Foreign, *, reason: str) -> None:
        # The original runs it as a trio system task, where an exception ends the process.
        del peer_id, reason


class Notifee(INotifee):  # type: ignore[misc]
    """Passes on connections that open and close."""

    def __init__(
        self,
        on_connected: Callable[[Connection], None],
        on_disconnected: Callable[[Connection], None],
    ) -> None:
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected

    async def connected(self, network: object, conn: Connection) -> None:
        """A connection is authenticated and multiplexed."""
        del network
        self._on_connected(conn)

    async def disconnected(self, network: object, conn: Connection) -> None:
        """A connection is closed."""
        del network
        self._on_disconnected(conn)

    async def opened_stream(self, network: object, stream: object) -> None:
        """Not used."""

    async def closed_stream(self, network: object, stream: object) -> None:
        """Not used."""

    async def listen(self, network: object, multiaddr: object) -> None:
        """Not used."""

    async def listen_close(self, network: object, multiaddr: object) -> None:
        """Not used."""


def _capped_streams(
    handler: Callable[[Stream], Awaitable[None]], limit: int, counters: Counters
) -> Callable[[Stream], Awaitable[None]]:
    """Refuse a connection's streams beyond the limit; the muxer itself accepts without end."""
    open_streams: Counter[int] = Counter()

    async def capped(stream: Stream) -> None:
        key = id(stream.muxed_conn)
        if open_streams[key] >= limit:
            counters.note("streams_full")
            await stream.reset()
            return
        open_streams[key] += 1
        try:
            await handler(stream)
        finally:
            open_streams[key] -= 1
            if not open_streams[key]:
                del open_streams[key]

    return capped


def build_host(
    options: TransportOptions,
    seed: bytes,
    counters: Counters,
    is_member: Callable[[PeerId], bool] = lambda _: True,
) -> Host:
    """Put a host together, not yet running; who is no member has less room on a connection."""
    keys = key_pair(seed)
    config = ConnectionConfig(
        max_connections=options.connections_max,
        high_watermark=options.connections_max,
        # All slots are open to inbound connections; whom to dial is ours to say.
        min_connections=0,
        low_watermark=0,
        # One, or dialling waits 250 ms for a happy-eyeballs race with a single address.
        max_connections_per_peer=1,
        inbound_upgrade_timeout=HANDSHAKE_S,
        outbound_upgrade_timeout=HANDSHAKE_S,
        inbound_stream_protocol_negotiation_timeout=HANDSHAKE_S,
        outbound_stream_protocol_negotiation_timeout=HANDSHAKE_S,
    )
    store = PeerStore()
    peer_id = ID.from_pubkey(keys.public_key)
    store.add_key_pair(peer_id, keys)
    swarm = _Swarm(
        peer_id,
        store,
        GuardedUpgrader(
            {NOISE: Noise(keys, noise_privkey=create_noise_key_pair().private_key)},
            write_stall_s=options.slow_limit_s,
            counters=counters,
            is_member=is_member,
        ),
        [tcp.TCP()],
        # Retrying and backing off is the dialler's, with its own jitter source.
        retry_config=RetryConfig(max_retries=0),
        connection_config=config,
        counters=counters,
    )
    host = _Host(
        network=swarm, default_protocols=OrderedDict(), disable_identify_address_discovery=True
    )
    # Served for other implementations' sake; identify-push and ping are not.
    host.multiselect.handlers.clear()
    host.set_stream_handler(IDENTIFY, identify_handler_for(host, use_varint_format=True))
    swarm.set_stream_handler(
        contain(
            _capped_streams(
                host._swarm_stream_handler, options.inbound_streams_per_peer_max, counters
            ),
            "stream_handler_raised",
            counters,
        )
    )
    return host


def _multiaddr(host: str, port: int) -> Multiaddr:
    kind = "ip6" if ":" in host else "ip4"
    return Multiaddr(f"/{kind}/{host}/tcp/{port}")


async def _refusal(at: HostPort) -> str:
    """Find out why listening failed, for the operator."""
    try:
        for listener in await trio.open_tcp_listeners(at.port, host=at.host):
            await listener.aclose()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return "the port is in use: stop the other program or set another transport.listen port"
        if error.errno == errno.EADDRNOTAVAIL:
            return "this host has no such address: set transport.listen to one of its own"
        if error.errno == errno.EACCES:
            return "the system forbids this port: choose one above 1023"
        return f"{error}: set another transport.listen address"
    return "the port was in use a moment ago: try again"


@asynccontextmanager
async def run_host(host: Host, listen: HostPort, counters: Counters) -> AsyncIterator[HostPort]:
    """Run the host and give the address it really listens on.

    Raises:
        ConfigError: when it cannot listen there.
    """
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        address: HostPort = await nursery.start(_run_until, stop, host, listen, counters)
        try:
            yield address
        finally:
            stop.set()


async def _run_until(
    stop: trio.Event,
    host: Host,
    listen: HostPort,
    counters: Counters,
    task_status: Foreign = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the host until told to stop, then close it.

    Shielded, because libp2p does not survive being cancelled: its connections count as closed
    while their sockets are open, and the old port goes on accepting.
    """
    swarm = host.get_network()
    with trio.CancelScope(shield=True) as scope:
        async with background_trio_service(swarm) as manager:
            contain_tasks(manager, "connection_raised", counters)
            try:
                task_status.started(await _listen(swarm, listen))
                await stop.wait()
            finally:
                scope.deadline = trio.current_time() + CLOSE_S
                await _close(host, swarm)


async def _listen(swarm: Foreign, listen: HostPort) -> HostPort:
    """Listen, and give the address with the port that the system chose."""
    try:
        listening = await swarm.listen(_multiaddr(listen.host, listen.port))
    except ValueError as error:
        raise ConfigError(
            f"cannot listen on {listen}: not an IP address; set transport.listen to one"
        ) from error
    if not listening:
        raise ConfigError(f"cannot listen on {listen}: {await _refusal(listen)}")
    (listener,) = swarm.listeners.values()
    return HostPort(listen.host, listener.listeners[0].socket.getsockname()[1])


async def _close(host: Host, swarm: Foreign) -> None:
    """Close at once what the original closes one by one, 200 ms each."""
    for listener in swarm.listeners.values():
        await listener.close()
    connections = [each for of_peer in swarm.connections.values() for each in of_peer]
    async with trio.open_nursery() as nursery:
        for connection in connections:
            nursery.start_soon(connection.close)
    for connection in connections:
        # A close that was cancelled half-way left its socket open.
        await connection.muxed_conn.secured_conn.close()
    await host.close()


async def dial(host: Host, peer_id: PeerId, address: HostPort) -> Connection:
    """Open a connection, past libp2p's own retries and its 60 s of refusing a failed peer.

    Raises:
        OSError: when the name does not resolve.
        libp2p.exceptions.BaseLibp2pError: when the peer does not answer, or is another.
    """
    found = await trio.socket.getaddrinfo(address.host, address.port, type=trio.socket.SOCK_STREAM)
    return await host.get_network().dial_addr(_multiaddr(*found[0][4][:2]), peer_id)


async def answers_as(host: Host, peer_id: PeerId, at: HostPort) -> bool:
    """Tell whether it is this peer that listens there, on a connection that ends at once.

    Whatever else stands behind the address, such as another node of the same home, is not the peer.
    """
    stream = await trio.open_tcp_stream(at.host, at.port)
    try:
        raw = RawConnection(tcp.TrioTCPStream(stream), True)
        await host.get_network().upgrader.upgrade_security(raw, True, peer_id)
    except (BaseLibp2pError, trio.BrokenResourceError, trio.ClosedResourceError):
        return False
    finally:
        await trio.aclose_forcefully(stream)
    return True


def connections_to(host: Host, peer: NodeId) -> list[Connection]:
    """Give the open connections to a peer, dialled or accepted."""
    found: list[Connection] = host.get_network().get_connections(peer_id_of(peer))
    return found
