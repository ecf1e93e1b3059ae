"""How a node talks to its peers: framed streams, gossip, blobs and the way in for newcomers.

The port's promises: `send` and `publish` never block and never raise; a peer that is not on
the allow-list reaches nothing but the join protocol; every queue has a bound.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import trio

from ambientd.errors import ConfigError

NodeId: TypeAlias = bytes
"""A node's Ed25519 public key, 32 bytes."""

NODE_ID_BYTES = 32
JOIN_BYTES_MAX = 16 * 1024
PIECE_QUESTION_BYTES_MAX = 64
PIECE_ANSWER_BYTES_MAX = 256 * 1024 + 64

ServeBlob: TypeAlias = Callable[[bytes], Awaitable[bytes | None]]
"""Gives the blob with this SHA-256 digest, or None when it is not here."""

ServePiece: TypeAlias = Callable[[NodeId, bytes], Awaitable[bytes]]
"""Answers a peer's question about a part of a blob; nothing where there is no answer now."""


async def serve_no_piece(_peer: NodeId, _question: bytes) -> bytes:
    """Answer nothing: this node gives no parts of blobs."""
    return b""


ServeJoin: TypeAlias = Callable[[NodeId, bytes], Awaitable[bytes]]
"""Answers a newcomer's join request; at most `JOIN_BYTES_MAX` bytes."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where a node listens: an IP address (or, for dialling, a host name) and a TCP port."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if not self.host:
            raise ConfigError("empty host in a listen or peer address: give an IP address")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port {self.port} of {self.host} is not between 0 and 65535")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """A peer and where to dial it."""

    node_id: NodeId
    host: str
    port: int

    def __post_init__(self) -> None:
        if len(self.node_id) != NODE_ID_BYTES:
            raise ConfigError(
                f"node id of {self.host}:{self.port} has {len(self.node_id)} bytes; it must have 32"
            )
        if not self.host or not 1 <= self.port <= 65535:
            raise ConfigError(
                f"peer address {self.host!r}:{self.port} needs a host and a port from 1 to 65535"
            )


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """All limits and times of a transport; the defaults suit a LAN mesh."""

    listen: HostPort = HostPort("127.0.0.1", 0)
    bootstrap: tuple[PeerAddress, ...] = ()
    topics: frozenset[str] = frozenset()

    # Queues. A peer's outgoing queue holds whichever bound is met first.
    queue_frames_max: int = 1024
    queue_bytes_max: int = 64 * 1024 * 1024
    frame_bytes_max: int = 16 * 1024 * 1024
    gossip_bytes_max: int = 256 * 1024
    gossip_queue_max: int = 1024

    # What one peer may send: above it we read no further until tokens are back.
    frames_per_s: float = 5_000.0
    frame_bytes_per_s: float = 128.0 * 1024 * 1024
    gossip_messages_per_s: float = 2_000.0
    gossip_author_messages_per_s: float = 2_000.0
    gossip_bytes_per_s: float = 16.0 * 1024 * 1024

    # Liveness.
    heartbeat_s: float = 1.0
    idle_limit_s: float = 5.0
    slow_limit_s: float = 5.0
    link_deadline_s: float = 5.0

    # Dialling: back-off doubles from base to max, times a random factor in [0.5, 1.5).
    dial_timeout_s: float = 5.0
    backoff_base_s: float = 0.1
    backoff_max_s: float = 10.0

    # Admission.
    connections_max: int = 512
    strangers_max: int = 16
    inbound_streams_per_peer_max: int = 64
    blob_streams_max: int = 32
    blob_streams_per_peer_max: int = 8
    blob_deadline_s: float = 30.0
    piece_bytes_per_s: float = 128.0 * 1024 * 1024
    piece_idle_s: float = 5.0
    bandwidth_bytes_per_day: int = 48 * 1024 * 1024
    join_deadline_s: float = 10.0
    joins_per_s: float = 2.0
    joins_burst: int = 10

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the option.

        Raises:
            ConfigError: with the option's name, its value and the range it must lie in.
        """
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ConfigError(f"transport.{name} is {getattr(self, name)}; it must be above 0")
        if self.idle_limit_s < 3 * self.heartbeat_s:
            raise ConfigError(
                f"transport.idle_limit_s is {self.idle_limit_s}; it must be at least three times "
                f"heartbeat_s ({self.heartbeat_s}), or one late heartbeat drops a healthy peer"
            )
        if self.backoff_max_s < self.backoff_base_s:
            raise ConfigError(
                f"transport.backoff_max_s is {self.backoff_max_s}; it must not be below "
                f"backoff_base_s ({self.backoff_base_s})"
            )
        if self.frame_bytes_max > self.queue_bytes_max:
            raise ConfigError(
                f"transport.frame_bytes_max is {self.frame_bytes_max}; it must not exceed "
                f"queue_bytes_max ({self.queue_bytes_max}), or the largest frame never fits"
            )
        if self.gossip_bytes_max > 768 * 1024:
            raise ConfigError(
                f"transport.gossip_bytes_max is {self.gossip_bytes_max}; GossipSub carries at "
                f"most {768 * 1024}: send larger data as a blob"
            )


_POSITIVE = (
    "queue_frames_max",
    "queue_bytes_max",
    "frame_bytes_max",
    "gossip_bytes_max",
    "gossip_queue_max",
    "frames_per_s",
    "frame_bytes_per_s",
    "gossip_messages_per_s",
    "gossip_author_messages_per_s",
    "gossip_bytes_per_s",
    "heartbeat_s",
    "idle_limit_s",
    "slow_limit_s",
    "link_deadline_s",
    "dial_timeout_s",
    "backoff_base_s",
    "backoff_max_s",
    "connections_max",
    "strangers_max",
    "inbound_streams_per_peer_max",
    "blob_streams_max",
    "blob_streams_per_peer_max",
    "blob_deadline_s",
    "piece_bytes_per_s",
    "piece_idle_s",
    "join_deadline_s",
    "joins_per_s",
    "joins_burst",
)


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A peer answers: frames sent from now on are queued for it."""

    node_id: NodeId


@dataclass(frozen=True, slots=True)
class PeerLost:
    """A peer is gone; frames still queued for it are lost."""

    node_id: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class PeerMisbehaved:
    """A peer broke one of the transport's own protocols, by what nobody else can have caused."""

    node_id: NodeId
    reason: str


ConnectionEvent: TypeAlias = PeerConnected | PeerLost | PeerMisbehaved


@dataclass(frozen=True, slots=True)
class LinkSeen:
    """A link that a peer has to a node, and how long a frame takes on it; None if not measured."""

    node_id: NodeId
    one_way_us: int | None


@dataclass(frozen=True, slots=True)
class Look:
    """How a peer sees this node: did it reach the port, or not try (None); and what it says itself.

    `clock_ms` is how far its clock is ahead of ours, less the answer's way. `links` are those that
    it has, ours among them; None of a peer that does not say.
    """

    reached: bool | None
    clock_ms: int
    version: str
    links: tuple[LinkSeen, ...] | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What has passed between this node and one peer since it was first allowed."""

    bytes_sent: int = 0
    bytes_received: int = 0
    frames_sent: int = 0
    frames_received: int = 0
    frames_dropped: int = 0


class Transport(Protocol):
    """A node's view of the mesh."""

    @property
    def node_id(self) -> NodeId:
        """Our own id."""
        ...

    @property
    def address(self) -> HostPort:
        """Where we listen, with the port the system chose when the option said 0."""
        ...

    @property
    def frames(self) -> trio.MemoryReceiveChannel[tuple[NodeId, bytes]]:
        """Frames from allowed peers; not reading them stops the senders, never the memory."""
        ...

    @property
    def connections(self) -> trio.MemoryReceiveChannel[ConnectionEvent]:
        """`PeerConnected` and `PeerLost`, alternating for each peer; `PeerMisbehaved` at any time.

        A flood of `PeerMisbehaved` is told of in part, and keeps the others from nobody.
        """
        ...

    @property
    def gossip(self) -> trio.MemoryReceiveChannel[tuple[str, NodeId, bytes]]:
        """Topic, signer and data of messages signed by allowed nodes; dropped when not read."""
        ...

    def send(self, peer: NodeId, frame: bytes) -> bool:
        """Queue a frame; False, and counted, when the peer is not connected or its queue is full.

        Raises:
            LocalProtocolError: when the frame exceeds `frame_bytes_max`.
        """
        ...

    def publish(self, topic: str, data: bytes, directly: Collection[NodeId] = ()) -> None:
        """Gossip to the topic's subscribers; counts and drops what cannot be sent, never raises.

        Those named in `directly` need nobody to pass it on to them, if they are connected.
        """
        ...

    def hear(self, topic: str, *, wanted: bool) -> None:
        """Take a topic's gossip and pass it on, or do neither; at first every topic is heard."""
        ...

    async def request_blob(self, peer: NodeId, digest: bytes, size_bytes_max: int) -> bytes | None:
        """Fetch a blob; None when the peer lacks it, lies about it, or takes too long."""
        ...

    async def request_piece(self, peer: NodeId, question: bytes) -> bytes | None:
        """Ask about a part of a blob; None when the peer has no answer, or takes too long."""
        ...

    async def look(self, peer: NodeId, port: int) -> Look | None:
        """Ask a connected peer to dial our port and to say its time; None without an answer."""
        ...

    async def bandwidth(self, peer: NodeId) -> int | None:
        """Measure how fast bytes come from a peer, in kbit/s; None over budget or unanswered."""
        ...

    async def request_join(self, address: PeerAddress, payload: bytes) -> bytes:
        """Ask a node that does not know us to let us in; at most 16 KiB each way.

        Raises:
            UnreachableError: when the node cannot be reached or does not answer in time.
            RemoteProtocolError: when the answer is not a join answer.
        """
        ...

    def set_allowed(self, allowed: frozenset[NodeId]) -> None:
        """Replace the allow-list; peers no longer on it are disconnected."""
        ...

    def set_peers(self, addresses: Iterable[PeerAddress]) -> None:
        """Replace the peers to keep dialling."""
        ...

    def peers(self) -> frozenset[NodeId]:
        """Give the connected peers."""
        ...

    def round_trip_ms(self, peer: NodeId) -> float | None:
        """Give the smoothed round trip of our own heartbeats, None before the first answer."""
        ...

    def traffic(self, peer: NodeId) -> Traffic:
        """Give the peer's counters."""
        ...

    def counters(self) -> Mapping[str, int]:
        """Give how often each kind of refused, dropped or contained thing has happened."""
        ...
