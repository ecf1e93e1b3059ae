"""A guest of a local mesh that hands signed records to its coordinator, over libp2p as nodes do.

It joins with a token, forwards records (protocols/05 section 7) within the room that a member
gives one peer, and reads the blocks it is shown to see which of its records are in.
"""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from ambientd.adapters.keys import draw_secret
from ambientd.adapters.libp2p.transport import open_transport
from ambientd.api.client import Client
from ambientd.api.invitation import make_join, read_token
from ambientd.api.operations import CLUSTER_INVITE, NODES, STATUS
from ambientd.api.replies import Status
from ambientd.api.requests import GetStatus, Invite, ListNodes
from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint, sign_record
from ambientd.config.options import parse_bootstrap
from ambientd.config.places import socket_path_for
from ambientd.consensus.messages import Append, Forward, decode_message, encode_message
from ambientd.model.base import NodeId
from ambientd.model.genesis import NodeKind, Profile
from ambientd.node.frames import LOG_FRAME
from ambientd.ports.transport import HostPort, PeerAddress, Transport, TransportOptions

UNDER_WAY_MAX = 1500
"""Records forwarded and not yet in a block: about three blocks of them."""

TOGETHER = 250
LOOK_S = 0.02
AGAIN_S = 2.0
READY_S = 30.0


class Feeder:
    """Sends records to the coordinator and counts those that came back in blocks."""

    def __init__(self, transport: Transport, node: NodeId, nodes: Sequence[Path]) -> None:
        self.node = node
        self.transport = transport
        self._nodes = nodes
        self._waiting: dict[bytes, None] = {}
        self._changed = trio.Event()
        self.last_index = 0

    async def watch(self) -> None:
        """Read the blocks that the mesh shows, until cancelled."""
        async for _, frame in self.transport.frames:
            if frame[:1] != LOG_FRAME:
                continue
            message = decode_message(frame[1:])
            if isinstance(message, Append) and self._took_in(message.records):
                self.last_index = max(self.last_index, message.header.index)
                self._changed.set()
                self._changed = trio.Event()

    def _took_in(self, records: Sequence[bytes]) -> bool:
        before = len(self._waiting)
        for record in records:
            self._waiting.pop(record, None)
        return len(self._waiting) < before

    async def feed(self, records: Sequence[bytes]) -> None:
        """Return once all records are committed and applied at every member."""
        coordinator = self._coordinator()
        for first in range(0, len(records), TOGETHER):
            part = records[first : first + TOGETHER]
            await self._until_waiting(UNDER_WAY_MAX - len(part))
            self._waiting.update(dict.fromkeys(part))
            self._forward(part, coordinator)
        await self._until_waiting(0)
        while min(map(self._height, self._nodes)) < self.last_index:  # noqa: ASYNC110
            await trio.sleep(LOOK_S)

    async def _until_waiting(self, most: int) -> None:
        """Wait until so few records are under way; forward them again when nothing happens."""
        while len(self._waiting) > most:
            with trio.move_on_after(AGAIN_S) as patience:
                await self._changed.wait()
            if patience.cancelled_caught:
                coordinator = self._coordinator()
                waiting = list(self._waiting)
                for first in range(0, len(waiting), TOGETHER):
                    self._forward(waiting[first : first + TOGETHER], coordinator)

    def _forward(self, records: Sequence[bytes], coordinator: bytes) -> None:
        frame = LOG_FRAME + encode_message(Forward(tuple(records)))
        self.transport.send(coordinator, frame)

    def _coordinator(self) -> bytes:
        return bytes.fromhex(self._ask(self._nodes[0]).coordinator or "")

    def _height(self, node: Path) -> int:
        return self._ask(node).committed_height

    @staticmethod
    def _ask(node: Path) -> Status:
        with Client(socket_path_for(node)) as client:
            return client.call(STATUS, GetStatus())


@asynccontextmanager
async def joined_feeder(
    nodes: Sequence[Path], topics: frozenset[str] = frozenset()
) -> AsyncIterator[Feeder]:
    """Give a feeder that has joined the mesh and is linked to every member."""
    with Client(socket_path_for(nodes[0])) as client:
        token = read_token(client.call(CLUSTER_INVITE, Invite()).token)
    signer = Signer(draw_secret(32), fingerprint(token.genesis))
    node = NodeId(signer.public_key)
    dialled = [parse_bootstrap(address) for address in token.addresses]
    members = tuple(PeerAddress(peer.node, peer.host, peer.port) for peer in dialled)
    profile = Profile(name="feeder", region="local", kind=NodeKind.EDGE)
    async with open_transport(
        TransportOptions(listen=HostPort("127.0.0.1", 0), topics=topics),
        seed=signer.seed,
        allowed=frozenset(),
        serve_blob=_serve_nothing,
        serve_join=_refuse,
        rng=random.Random(1),
    ) as transport:
        record = sign_record(signer, make_join(token, node, profile))
        await transport.request_join(members[0], encode(record))
        with trio.fail_after(READY_S):
            await _until_known(nodes, node)
            transport.set_allowed(frozenset(member.node_id for member in members))
            transport.set_peers(members)
            while len(transport.peers()) < len(members):  # noqa: ASYNC110
                await trio.sleep(LOOK_S)
        async with trio.open_nursery() as nursery:
            feeder = Feeder(transport, node, nodes)
            nursery.start_soon(feeder.watch)
            yield feeder
            nursery.cancel_scope.cancel()


async def _until_known(nodes: Sequence[Path], node: NodeId) -> None:
    for path in nodes:
        with Client(socket_path_for(path)) as client:
            while not _is_known(client, node):  # noqa: ASYNC110
                await trio.sleep(LOOK_S)


def _is_known(client: Client, node: NodeId) -> bool:
    return node.hex() in {each.id for each in client.call(NODES, ListNodes()).nodes}


async def _serve_nothing(*_: object) -> None:
    return None


async def _refuse(*_: object) -> bytes:
    return b"the feeder lets nobody in"
