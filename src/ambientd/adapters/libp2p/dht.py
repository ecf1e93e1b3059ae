"""The `Discovery` port over the messages of libp2p's Kademlia DHT, among members.

https://github.com/libp2p/specs, kad-dht: of it FIND_NODE, in which everybody says where
it is and asks where others are. py-libp2p's own table takes whatever a peer names, at addresses
that nobody has signed, and keeps values for anybody; here a row is a member's own signed statement,
so the table has as many rows as the cluster has members, and nobody fills it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

import trio
from libp2p.kad_dht.common import PROTOCOL_ID
from libp2p.kad_dht.pb.kademlia_pb2 import Message

from ambientd.adapters.libp2p.admission import Inside
from ambientd.adapters.libp2p.bucket import TokenBucket
from ambientd.adapters.libp2p.delimited import read_message, write_message
from ambientd.adapters.libp2p.exchanges import discard, finish
from ambientd.adapters.libp2p.foreign import Stream
from ambientd.adapters.libp2p.identity import node_id_of, peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.errors import RemoteProtocolError
from ambientd.ports.discovery import Seal, Search, Whereabouts
from ambientd.ports.transport import HostPort, NodeId

CLOSEST_MAX = 20
"""Kademlia's k: so many rows an answer has."""

ASKED_AT_ONCE = 3
"""Kademlia's alpha."""

MESSAGE_BYTES_MAX = 16 * 1024
TICK_S = 1.0
EXCHANGE_S = 5.0
LOOKUPS_A_TICK_MAX = 4
LOOKUP_S, LOOKUP_S_MAX = 2.0, 60.0
QUESTIONS_PER_S, QUESTIONS_BURST = 16.0, 64.0


@dataclass(frozen=True, slots=True)
class _Row:
    where: Whereabouts
    statement: bytes


@dataclass(slots=True)
class _Lookup:
    """When a wanted member is looked for again, and whom to ask then."""

    at_s: float = 0.0
    every_s: float = LOOKUP_S
    turn: int = 0


class Directory:
    """What one node knows of where members are, and its questions to others."""

    name = "dht"

    def __init__(
        self, inside: Inside, seal: Seal, addresses: Callable[[], tuple[HostPort, ...]]
    ) -> None:
        self._host = inside.host
        self._counters = inside.counters
        self._seal = seal
        self._is_allowed = inside.is_allowed
        self._peers = inside.peers
        self._addresses = addresses
        self._me: NodeId = node_id_of(inside.host.get_id()) or b""
        self._rows: dict[NodeId, _Row] = {}
        self._own = b""
        self._own_addresses: tuple[HostPort, ...] = ()
        self._told: frozenset[NodeId] = frozenset()
        self._lookups: dict[NodeId, _Lookup] = {}
        self._buckets: dict[NodeId, TokenBucket] = {}
        inside.host.set_stream_handler(PROTOCOL_ID, inside.gate.members_only("dht", self._serve))

    async def run(self, search: Search) -> None:
        """Tell every new peer where this node is, and ask them for who is wanted."""
        while True:
            self._move(self._addresses())
            self._forget_strangers()
            peers = self._peers()
            new = sorted(peers - self._told)
            self._told = peers
            async with trio.open_nursery() as nursery:
                for peer in new:
                    nursery.start_soon(self._look_up, peer, self._me, search)
                for peer, target in self._due(sorted(peers), search.wanted()):
                    nursery.start_soon(self._look_up, peer, target, search)
            await trio.sleep(TICK_S)

    def _move(self, addresses: tuple[HostPort, ...]) -> None:
        if addresses != self._own_addresses:
            self._own_addresses = addresses
            self._own = self._seal.sign(addresses)
            self._told = frozenset()

    def _forget_strangers(self) -> None:
        for kept in (self._rows, self._buckets, self._lookups):
            for gone in [each for each in kept if not self._is_allowed(each)]:
                del kept[gone]

    def _due(self, peers: list[NodeId], wanted: frozenset[NodeId]) -> list[tuple[NodeId, NodeId]]:
        """Give whom to ask for whom now: who is missing for longest is looked for ever less."""
        for found in self._lookups.keys() - wanted:
            del self._lookups[found]
        if not peers:
            return []
        now_s = trio.current_time()
        lookups = [(self._lookups.setdefault(each, _Lookup()), each) for each in sorted(wanted)]
        due = sorted((each for each in lookups if each[0].at_s <= now_s), key=lambda p: p[0].at_s)
        asked = []
        for lookup, target in due[:LOOKUPS_A_TICK_MAX]:
            for _ in range(min(ASKED_AT_ONCE, len(peers))):
                asked.append((peers[lookup.turn % len(peers)], target))
                lookup.turn += 1
            lookup.at_s = now_s + lookup.every_s
            lookup.every_s = min(2 * lookup.every_s, LOOKUP_S_MAX)
        return asked

    async def _look_up(self, peer: NodeId, target: NodeId, search: Search) -> None:
        """Ask one peer, and keep what members have signed."""
        question = Message(type=Message.FIND_NODE, key=peer_id_of(target).to_bytes())
        question.senderRecord = self._own
        try:
            with trio.fail_after(EXCHANGE_S):
                answer = await self._exchange(peer, question)
        except trio.TooSlowError:
            self._counters.note("dht_failed", peer=peer.hex())
            return
        except (RemoteProtocolError, *NETWORK_ERRORS) as error:
            self._counters.note("dht_failed", error=error, peer=peer.hex())
            return
        wanted = search.wanted()
        for statement in [answer.senderRecord, *(each.signedRecord for each in answer.closerPeers)]:
            signer = self._keep(statement)
            if signer is not None and signer in wanted:
                search.found(self._rows[signer].where)

    async def _exchange(self, peer: NodeId, question: Message) -> Message:
        stream = await self._host.new_stream(peer_id_of(peer), [PROTOCOL_ID])
        try:
            await write_message(stream, question)
            answer = await read_message(stream, Message, MESSAGE_BYTES_MAX)
        finally:
            await discard(stream)
        if len(answer.closerPeers) > CLOSEST_MAX + 1:
            raise RemoteProtocolError(f"a peer answers with {len(answer.closerPeers)} rows")
        return answer

    async def _serve(self, stream: Stream) -> None:
        """Answer a member's question, and take what it says of itself."""
        peer = node_id_of(stream.muxed_conn.peer_id)
        assert peer is not None  # admission has seen it
        bucket = self._buckets.setdefault(peer, TokenBucket(QUESTIONS_PER_S, QUESTIONS_BURST))
        if not bucket.take(1, trio.current_time()):
            self._counters.note("dht_over_rate", peer=peer.hex())
            return
        with trio.move_on_after(EXCHANGE_S):
            question = await read_message(stream, Message, MESSAGE_BYTES_MAX)
            if question.type != Message.FIND_NODE:
                return
            if self._seal.whose(question.senderRecord) == peer:
                self._keep(question.senderRecord)
            answer = Message(type=Message.FIND_NODE, senderRecord=self._own)
            for row in self._closest(question.key, peer):
                answer.closerPeers.add(
                    id=peer_id_of(row.where.node_id).to_bytes(), signedRecord=row.statement
                )
            await write_message(stream, answer)
            await finish(stream)

    def _keep(self, statement: bytes) -> NodeId | None:
        """Keep a member's newest statement; give whose it is, None when it is not to be kept."""
        signer = self._seal.whose(statement)
        if signer is None or signer == self._me or not self._is_allowed(signer):
            return None
        row = self._rows.get(signer)
        if row is not None and row.statement == statement:
            return signer
        where = self._seal.verify(statement)
        if where is None:
            self._counters.note("dht_unsigned", node=signer.hex())
            return None
        if row is None or where.number > row.where.number:
            self._rows[signer] = _Row(where, statement)
        return signer

    def _closest(self, key: bytes, asker: NodeId) -> Iterable[_Row]:
        """Give the rows nearest to the key, the one that is asked for first among them."""
        aim = int.from_bytes(sha256(key).digest())

        def distance(node: NodeId) -> int:
            return aim ^ int.from_bytes(sha256(peer_id_of(node).to_bytes()).digest())

        near = sorted(self._rows.keys() - {asker}, key=distance)
        return [self._rows[each] for each in near[:CLOSEST_MAX]]
