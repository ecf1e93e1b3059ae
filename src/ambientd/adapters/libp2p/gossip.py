"""GossipSub for members only: bounded, metered, and unable to take the process down."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import TypeAlias

import trio
from google.protobuf.message import DecodeError
from libp2p.exceptions import BaseLibp2pError, ParseError, ValidationError
from libp2p.network.stream.exceptions import StreamError
from libp2p.pubsub import pubsub as pubsub_module
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.pubsub.validators import signature_validator
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils.varint import read_varint_prefixed_bytes_limited

from ambientd.adapters.libp2p.bucket import TokenBucket
from ambientd.adapters.libp2p.foreign import Connection, Host, Message, Stream
from ambientd.adapters.libp2p.gossip_router import Router, check_control
from ambientd.adapters.libp2p.guard import Counters, contain, contain_tasks
from ambientd.adapters.libp2p.identity import PeerId, node_id_of, peer_id_of
from ambientd.ports.transport import NodeId, TransportOptions

RPC_QUEUE_MAX = 256
MESSAGES_PER_RPC_MAX = 4096
STREAMS_PER_PEER_MAX = 3
SEQUENCE_BYTES = 8
AUTHOR_BURST_S = 4.0
"""So many seconds of its rate an author may say at once."""

SEEN_MAX = 64 * 1024
"""Messages known by their number, so that they are passed on once."""

ENVELOPE_BYTES_MAX = 512
"""What a message has around its data: author, key, number, topic and signature."""

TOGETHER_MAX = 64
TOGETHER_BYTES = 64 * 1024


class _RpcQueue(RpcQueue):  # type: ignore[misc]
    """What leaves for one peer: messages that wait leave together.

    In the original each has a write of its own, for which a busy publisher's loop goes round
    several times; meanwhile the queue overflows, and what does not fit is lost.
    """

    def __init__(self) -> None:
        # 32 by default, and full means dropped: less than one tick of a busy cell head.
        super().__init__(max_size=RPC_QUEUE_MAX)

    async def pop(self) -> Message | None:
        """Wait for the next RPC, and give it with the messages right behind it.

        The record of the sender's addresses, which the original adds to each message, stays here:
        nobody asks for it, as addresses come from the configuration.
        """
        rpc = await super().pop()
        if rpc is None or not _is_publishing(rpc):
            return rpc
        # The same object may wait for other peers.
        joined, size_bytes = rpc_pb2.RPC(publish=rpc.publish), rpc.ByteSize()
        waiting = self._queue._non_priority
        while waiting and len(joined.publish) < TOGETHER_MAX and _is_publishing(waiting[0]):
            size_bytes += waiting[0].ByteSize()
            if size_bytes > TOGETHER_BYTES:
                break
            joined.publish.extend(waiting.popleft().publish)
        return joined


_PUBLISHING = frozenset({"publish", "senderRecord"})


def _is_publishing(rpc: Message) -> bool:
    """Tell whether an RPC holds messages and nothing else."""
    return bool(rpc.publish) and {field.name for field, _ in rpc.ListFields()} <= _PUBLISHING


pubsub_module.RpcQueue = _RpcQueue


class UnsignedError(Exception):
    """A message bears a name that has not signed it."""


def _check_signature(msg: Message) -> bool:
    """Raise where the original says no, which is all that is heard of it there."""
    if not signature_validator(msg):
        raise UnsignedError
    return True


pubsub_module.signature_validator = _check_signature


class _Pubsub(Pubsub):  # type: ignore[misc]
    """Pubsub that takes messages from, and signed by, allowed nodes only."""

    def __init__(
        self,
        host: Host,
        options: TransportOptions,
        counters: Counters,
        is_allowed: Callable[[PeerId], bool],
        drop_peer: Callable[[PeerId, str], None],
        blame: Callable[[NodeId, str], None],
        deliver: Callable[[str, NodeId, bytes], None],
    ) -> None:
        super().__init__(
            host,
            Router(counters),
            strict_signing=True,
            # We set no validators; the cache scans a list of this size for each message.
            validation_cache_size=1,
            max_subscriptions_per_peer=64,
            allowed_topics=options.topics,
        )
        # Whole seconds by default: a restarted node repeats sequence numbers and is not heard.
        self.counter = time.time_ns() // 1_000
        self._options = options
        self._counters = counters
        self._is_allowed = is_allowed
        self._drop_peer = drop_peer
        self._blame = blame
        self._deliver = deliver
        self._message_buckets: dict[PeerId, TokenBucket] = {}
        self._byte_buckets: dict[PeerId, TokenBucket] = {}
        self._author_buckets: dict[PeerId, TokenBucket] = {}
        self._reading: Counter[PeerId] = Counter()

    def is_peer_blacklisted(self, peer_id: PeerId) -> bool:
        """Refuse whoever is not allowed; asked for forwarders, origins and new peers alike."""
        return peer_id != self.my_id and not self._is_allowed(peer_id)

    def forget(self, peer_id: PeerId) -> None:
        """Drop what is kept about a peer that is no longer allowed."""
        self._message_buckets.pop(peer_id, None)
        self._byte_buckets.pop(peer_id, None)
        self._author_buckets.pop(peer_id, None)
        self.router.forget(peer_id)

    def reopen(self, peer_id: PeerId) -> None:
        """Open the gossip stream to a connected peer that has none."""
        if peer_id not in self.peers:
            self._schedule_peer_stream_retry(peer_id)

    def lose(self, conn: Connection) -> None:
        """Move to another connection of the same peer at once, not at the next failed write."""
        peer_id = conn.muxed_conn.peer_id
        stream = self.peers.get(peer_id)
        if stream is not None and stream.muxed_conn is conn.muxed_conn:
            self._handle_dead_peer(peer_id)

    def _handle_dead_peer(self, peer_id: PeerId) -> None:
        """Forget a peer's stream, but not its subscriptions while it is heard on its own.

        It announces them only when it opens its stream; of two connections, ours may have
        been on the one that closed and its own on the one that stays.
        """
        kept: list[str] = []
        if self._reading[peer_id] and self._peer_is_connected(peer_id):
            kept = [topic for topic, peers in self.peer_topics.items() if peer_id in peers]
        super()._handle_dead_peer(peer_id)
        for topic in kept:
            self.peer_topics.setdefault(topic, set()).add(peer_id)
        if kept:
            self._peer_subscription_count[peer_id] = len(kept)

    async def stream_handler(self, stream: Stream) -> None:
        """Read a peer's gossip; whatever is wrong with it costs the peer its connection."""
        peer_id = stream.muxed_conn.peer_id
        if self.is_peer_blacklisted(peer_id) or self._reading[peer_id] >= STREAMS_PER_PEER_MAX:
            self._counters.note("gossip_stream_refused", peer=str(peer_id))
            await stream.reset()
            return
        self._reading[peer_id] += 1
        try:
            await self.continuously_read_stream(stream)
        except (StreamError, trio.ClosedResourceError, trio.BrokenResourceError):
            pass  # the ordinary end of a stream
        except (DecodeError, BaseLibp2pError, ValueError) as error:
            self._counters.note("gossip_malformed", error=error, peer=str(peer_id))
            if isinstance(error, DecodeError | ParseError):
                # Not so what is cut off, which anybody on the way can do, nor what is too much:
                # of the messages that others gave it, an honest router tells in one RPC.
                self._blame_peer(peer_id, "gossip that does not read")
            self._drop_peer(peer_id, "malformed gossip")
        except Exception as error:  # noqa: BLE001 - keeps the host alive whatever a peer sends
            self._counters.note("gossip_raised", error=error, peer=str(peer_id))
            self._drop_peer(peer_id, "gossip that raised")
        finally:
            self._reading[peer_id] -= 1
            if not self._reading[peer_id]:
                del self._reading[peer_id]
                if not self._peer_is_connected(peer_id):
                    self._forget_all_subscriptions(peer_id)
            await stream.reset()

    async def continuously_read_stream(self, stream: Stream) -> None:
        """Take one RPC after the other; the original starts a task a message, without end."""
        peer_id = stream.muxed_conn.peer_id
        while self.manager.is_running:
            raw = await read_varint_prefixed_bytes_limited(stream, self.max_inbound_rpc_size)
            rpc = rpc_pb2.RPC()
            rpc.ParseFromString(raw)
            if len(rpc.publish) + len(rpc.subscriptions) > MESSAGES_PER_RPC_MAX:
                raise ValueError(f"more than {MESSAGES_PER_RPC_MAX} entries in one RPC")
            for subscription in rpc.subscriptions:
                self.handle_subscription(peer_id, subscription)
            for message in rpc.publish:
                if self._is_subscribed_to_msg(message):
                    await self.push_msg(peer_id, message)
            if rpc.HasField("control"):
                check_control(rpc.control)
                rpc.ClearField("senderRecord")  # which is kept, and which nobody asks for
                await self.router.handle_rpc(rpc, peer_id)
            # Reading on only when the bytes are paid for is the back-pressure.
            await trio.sleep(self._charge_bytes(peer_id, len(raw)))

    async def push_msg(self, msg_forwarder: PeerId, msg: Message) -> None:
        """Accept, deliver and forward one message, cheapest check first."""
        if msg_forwarder != self.my_id and not self._admit(msg_forwarder, msg):
            return
        await contain(self._push, "gossip_push_raised", self._counters)(msg_forwarder, msg)

    async def _push(self, forwarder: PeerId, msg: Message) -> None:
        """Blame who brings a forgery, whosever name it bears: routers verify, then pass on."""
        try:
            await super().push_msg(forwarder, msg)
        except UnsignedError:
            self._counters.note("gossip_unsigned", peer=str(forwarder))
            self._blame_peer(forwarder, "gossip that its author has not signed")

    def _blame_peer(self, peer_id: PeerId, reason: str) -> None:
        node_id = node_id_of(peer_id)
        if node_id is not None:
            self._blame(node_id, reason)

    async def validate_msg(self, msg_forwarder: PeerId, msg: Message) -> None:
        """Charge a message's author, whose signature holds: no forwarder can use it up for it.

        Raises:
            ValidationError: when the author says more than it may; the message goes no further.
        """
        await super().validate_msg(msg_forwarder, msg)
        author = PeerId(msg.from_id)
        if author != self.my_id and not self._author_bucket(author).take(1, trio.current_time()):
            self._counters.note("gossip_author_over_rate", peer=str(author))
            raise ValidationError(f"{author} says too much")

    def _author_bucket(self, author: PeerId) -> TokenBucket:
        bucket = self._author_buckets.get(author)
        if bucket is None:
            rate = self._options.gossip_author_messages_per_s
            bucket = TokenBucket(rate, AUTHOR_BURST_S * rate)
            self._author_buckets[author] = bucket
        return bucket

    def _mark_msg_seen(self, msg: Message) -> None:
        """Remember a message, and forget the oldest beyond a bound; the original has none."""
        super()._mark_msg_seen(msg)
        with self.seen_messages.lock:
            seen = self.seen_messages.cache
            while len(seen) > SEEN_MAX:
                del seen[next(iter(seen))]

    def notify_subscriptions(self, publish_message: Message) -> None:
        """Deliver past the 32-deep subscription queues."""
        node_id = node_id_of(PeerId(publish_message.from_id))
        if node_id is not None and publish_message.from_id != self.my_id.to_bytes():
            self._deliver(publish_message.topicIDs[0], node_id, publish_message.data)

    def _admit(self, forwarder: PeerId, msg: Message) -> bool:
        """Check shape and the forwarder's budget before any signature is verified."""
        if len(msg.topicIDs) != 1 or len(msg.seqno) != SEQUENCE_BYTES:
            self._counters.note("gossip_bad_message", peer=str(forwarder))
            return False
        if self.is_peer_blacklisted(PeerId(msg.from_id)):
            self._counters.note("gossip_from_stranger", peer=str(forwarder))
            return False
        if msg.ByteSize() > self._options.gossip_bytes_max + ENVELOPE_BYTES_MAX:
            self._counters.note("gossip_too_large", peer=str(forwarder))
            return False
        if self._is_msg_seen(msg):
            return False  # honest forwarders all bring the same; their bytes are charged
        rate = self._options.gossip_messages_per_s
        bucket = self._message_buckets.get(forwarder)
        if bucket is None:
            bucket = self._message_buckets[forwarder] = TokenBucket(rate, rate)
        if not bucket.take(1, trio.current_time()):
            self._counters.note("gossip_over_rate", peer=str(forwarder))
            return False
        return True

    def _charge_bytes(self, peer_id: PeerId, count: int) -> float:
        rate = self._options.gossip_bytes_per_s
        bucket = self._byte_buckets.get(peer_id)
        if bucket is None:
            bucket = self._byte_buckets[peer_id] = TokenBucket(rate, rate)
        return bucket.charge(count, trio.current_time())


Publication: TypeAlias = tuple[str, bytes, frozenset[NodeId]]
"""A topic, what is said there, and whoever is told directly."""


class Gossip:
    """The two ends of gossip that the transport shows: `publish` and `received`."""

    def __init__(
        self,
        host: Host,
        options: TransportOptions,
        counters: Counters,
        is_allowed: Callable[[PeerId], bool],
        drop_peer: Callable[[PeerId, str], None],
        blame: Callable[[NodeId, str], None],
    ) -> None:
        self._options = options
        self._counters = counters
        size = options.gossip_queue_max
        self._outgoing, self._to_publish = trio.open_memory_channel[Publication](size)
        self._incoming, self.received = trio.open_memory_channel[tuple[str, NodeId, bytes]](size)
        peers = is_allowed, drop_peer, blame
        self.pubsub = _Pubsub(host, options, counters, *peers, self._receive)
        self._wanted = dict.fromkeys(sorted(options.topics), True)
        self._wishes_changed = trio.Event()

    def publish(self, topic: str, data: bytes, directly: Collection[NodeId] = ()) -> None:
        """Queue for publishing; counted when it cannot be."""
        if topic not in self._options.topics:
            self._counters.note("publish_unknown_topic", topic=topic[:64])
        elif len(data) > self._options.gossip_bytes_max:
            self._counters.note("publish_too_large", topic=topic)
        else:
            try:
                self._outgoing.send_nowait((topic, bytes(data), frozenset(directly)))
            except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
                self._counters.note("publish_queue_full", topic=topic)

    def hear(self, topic: str, *, wanted: bool) -> None:
        """Subscribe to a topic, or no more; what this node publishes is heard either way."""
        if self._wanted.get(topic, wanted) != wanted:
            self._wanted[topic] = wanted
            self._wishes_changed.set()

    def _receive(self, topic: str, node_id: NodeId, data: bytes) -> None:
        try:
            self._incoming.send_nowait((topic, node_id, data))
        except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            self._counters.note("gossip_not_read", topic=topic)

    async def _pump(self) -> None:
        publish = contain(self.pubsub.publish, "publish_raised", self._counters)
        async for topic, data, directly in self._to_publish:
            self.pubsub.router.directly = frozenset(map(peer_id_of, directly))
            await publish(topic, data)

    async def _follow_wishes(self) -> None:
        subscribe = contain(self.pubsub.subscribe, "subscribe_raised", self._counters)
        unsubscribe = contain(self.pubsub.unsubscribe, "unsubscribe_raised", self._counters)
        while True:
            self._wishes_changed = trio.Event()
            for topic, wanted in tuple(self._wanted.items()):
                await (subscribe if wanted else unsubscribe)(topic)
            await self._wishes_changed.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run pubsub, the router and the publishing pump."""
        router = self.pubsub.router
        async with (
            background_trio_service(self.pubsub) as pubsub_manager,
            background_trio_service(router) as router_manager,
        ):
            contain_tasks(pubsub_manager, "gossip_task_raised", self._counters)
            contain_tasks(router_manager, "gossip_task_raised", self._counters)
            await self.pubsub.wait_until_ready()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow_wishes)
                nursery.start_soon(self._pump)
                yield
                nursery.cancel_scope.cancel()
