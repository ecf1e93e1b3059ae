"""GossipSub's router: who is sent what, and how much a peer may ask of it."""

from collections import defaultdict, deque
from collections.abc import Iterable
from itertools import islice

import trio
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.utils import safe_bytes_from_hex

from ambientd.adapters.libp2p.bucket import TokenBucket
from ambientd.adapters.libp2p.foreign import Message
from ambientd.adapters.libp2p.guard import Counters, contain
from ambientd.adapters.libp2p.identity import PeerId

CONTROL_ENTRIES_MAX = 256
"""Entries of any kind in one RPC's control part; an honest router sends one a topic and kind."""

CONTROL_IDS_MAX = 16 * 1024
"""Message ids in one RPC; so many real ones fill more than the 1 MiB that an RPC may have."""

WANTED_IDS_MAX = 64
"""Messages that one IWANT is answered with, and that one IHAVE makes us ask for."""

ANSWER_BYTES_MAX = 1024 * 1024
"""What one peer is sent again on its wish, at once; and in 10 s."""

ANSWER_BYTES_PER_S = ANSWER_BYTES_MAX / 10

PENDING_MAX = 8
"""Messages kept for each peer that may be about to subscribe: the newest, for 30 s."""


def check_control(control: Message) -> None:
    """Refuse a control part that asks for more work than any router has reason to.

    Raises:
        ValueError: which costs the peer its connection.
    """
    by_id = (*control.ihave, *control.iwant, *control.idontwant)
    entries = len(by_id) + len(control.graft) + len(control.prune)
    if entries > CONTROL_ENTRIES_MAX:
        raise ValueError(f"{entries} control entries in one RPC; at most {CONTROL_ENTRIES_MAX}")
    ids = sum(len(each.messageIDs) for each in by_id)
    if ids > CONTROL_IDS_MAX:
        raise ValueError(f"{ids} message ids in one RPC; at most {CONTROL_IDS_MAX}")


class Router(GossipSub):  # type: ignore[misc]
    """GossipSub 1.1 without the parts that leak, and with a heartbeat that survives."""

    def __init__(self, counters: Counters) -> None:
        super().__init__(
            # Not 1.2: IDONTWANT for every message halves the throughput.
            protocols=[PROTOCOL_ID_V11],
            degree=6,
            degree_low=4,
            degree_high=12,
            # 120 s by default: a lost mesh link would stay lost for two minutes.
            heartbeat_interval=1,
            # Silently drops above 10 messages/s a forwarder, our own included; `_Pubsub` meters.
            spam_protection_enabled=False,
            # Both re-tune what a closed, allow-listed cluster has no use for.
            adaptive_gossip_enabled=False,
            eclipse_protection_enabled=False,
            # Peer exchange left empty meshes; addresses come from the configuration.
            do_px=False,
            # 100 by default, copied for each peer and message: followers never subscribe, and so
            # whatever is said waits for all of them.
            max_pending_messages_per_peer=PENDING_MAX,
        )
        self._counters = counters
        self._answers: dict[PeerId, TokenBucket] = {}
        self.directly: frozenset[PeerId] = frozenset()
        # Grows by one entry a message for ever when adaptive gossip is off.
        self.recent_message_deliveries: defaultdict[str, deque[float]] = defaultdict(
            lambda: deque(maxlen=0)
        )

    def _get_peers_to_send(
        self,
        topic_ids: Iterable[str],
        msg_forwarder: PeerId,
        origin: PeerId,
        msg_id: bytes | None = None,
    ) -> Iterable[PeerId]:
        """Choose as the original does; what is our own goes to `directly` as well.

        Subscribers who pass nothing on might else be all that chance has chosen.
        """
        topics = tuple(topic_ids)
        chosen = set(super()._get_peers_to_send(topics, msg_forwarder, origin, msg_id))
        if origin == self.pubsub.my_id:
            subscribers = self.pubsub.peer_topics
            chosen.update(*(self.directly & subscribers.get(topic, set()) for topic in topics))
        return chosen

    def _check_equivocation(self, msg: Message) -> bool:
        # The seen-cache already admits one message a sequence number; this one would keep
        # a thousand whole messages.
        del msg
        return True

    async def heartbeat(self) -> None:
        """Beat for ever; an exception in one beat would end the service."""
        while True:
            await contain(super().heartbeat, "gossip_heartbeat_raised", self._counters)()
            await trio.sleep(self.heartbeat_interval)

    def forget(self, peer_id: PeerId) -> None:
        """Drop what is kept about a peer that is no longer allowed."""
        self._answers.pop(peer_id, None)

    async def handle_ihave(self, ihave_msg: Message, sender_peer_id: PeerId) -> None:
        """Ask for a few of the messages that are new; the original asks for whatever is named."""
        if self._knows(ihave_msg.topicID):
            seen = self.pubsub.seen_messages
            named = dict.fromkeys(ihave_msg.messageIDs)
            new = (each for each in named if not seen.has(safe_bytes_from_hex(each) or b""))
            asked = rpc_pb2.ControlIHave(topicID=ihave_msg.topicID)
            asked.messageIDs.extend(islice(new, WANTED_IDS_MAX))
            await super().handle_ihave(asked, sender_peer_id)

    async def handle_iwant(self, iwant_msg: Message, sender_peer_id: PeerId) -> None:
        """Send each message once, and no more of them than the peer is owed.

        The original copies a message as often as it is named: 140 kB became 800 MiB.
        """
        owed = self._answers.setdefault(
            sender_peer_id, TokenBucket(ANSWER_BYTES_PER_S, ANSWER_BYTES_MAX)
        )
        wanted = rpc_pb2.ControlIWant()
        for each in dict.fromkeys(iwant_msg.messageIDs):
            message = self.mcache.get(safe_bytes_from_hex(each) or b"")
            if message is None:
                continue
            is_many = len(wanted.messageIDs) >= WANTED_IDS_MAX
            if is_many or not owed.take(message.ByteSize(), trio.current_time()):
                self._counters.note("gossip_asked_too_much", peer=str(sender_peer_id))
                break
            wanted.messageIDs.append(each)
        if wanted.messageIDs:
            await super().handle_iwant(wanted, sender_peer_id)

    async def handle_graft(self, graft_msg: Message, sender_peer_id: PeerId) -> None:
        """Let a peer into the mesh of a topic there is; others would be kept in tables."""
        if self._knows(graft_msg.topicID):
            await super().handle_graft(graft_msg, sender_peer_id)

    async def handle_prune(self, prune_msg: Message, sender_peer_id: PeerId) -> None:
        """Let a peer out of a mesh, past the addresses it recommends."""
        if self._knows(prune_msg.topicID):
            del prune_msg.peers[:]
            await super().handle_prune(prune_msg, sender_peer_id)

    def _knows(self, topic: str) -> bool:
        return bool(topic in self.pubsub.allowed_topics)
