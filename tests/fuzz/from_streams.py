"""What reads libp2p's streams: gossip, looks, joins, blobs, finding and being carried.

The objects are those of a node, on a host that never runs; only the stream is made up. What their
handlers may raise is what the gate around them takes for the peer's fault.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext
from functools import cache
from types import MappingProxyType, SimpleNamespace
from typing import Final, TypeVar

import trio
from libp2p.kad_dht.pb.kademlia_pb2 import Message

from ambientd.adapters.libp2p.admission import Gate, Inside
from ambientd.adapters.libp2p.bandwidth import _COUNT, Bandwidth
from ambientd.adapters.libp2p.delimited import read_message
from ambientd.adapters.libp2p.dht import Directory
from ambientd.adapters.libp2p.exchanges import BLOB_LENGTH, JOIN_LENGTH, Blobs, Joining
from ambientd.adapters.libp2p.gossip import Gossip
from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.host import build_host
from ambientd.adapters.libp2p.identity import PeerId, node_id_of, peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.adapters.libp2p.looks import _ANSWER, LINKS_MAX, LOOK_2, Looks, encode_links
from ambientd.adapters.libp2p.pieces import LENGTH, Pieces
from ambientd.adapters.libp2p.relays import HOP, STOP, messages
from ambientd.adapters.libp2p.relays import MESSAGE_BYTES_MAX as RELAY_BYTES_MAX
from ambientd.adapters.libp2p.statements import seal_of
from ambientd.errors import RemoteProtocolError
from ambientd.ports.transport import HostPort, LinkSeen, TransportOptions, serve_no_piece
from tests.adapters.libp2p.test_hostility import GOSSIP_ATTACKS, signed_message
from tests.adapters.libp2p.test_hostility import rpc as rpc_of
from tests.fuzz.finding import delimited, finding
from tests.fuzz.promise import BrokenPromiseError, Target
from tests.ports.transport_contract import BLOB, BLOB_DIGEST, NODES, SEEDS, TOPIC

T = TypeVar("T")

PEER: Final = peer_id_of(NODES[1])
"""Who sends; a member."""

OPTIONS: Final = TransportOptions(
    topics=frozenset({TOPIC}), gossip_messages_per_s=1e9, gossip_bytes_per_s=1e9
)
"""Rates that no input comes up to: what is behind them is what is to be tried."""


COUNTERS: Final = Counters()


class Coming:
    """A stream on which a peer has sent some bytes, and then ended it."""

    def __init__(self, data: bytes) -> None:
        self._left = data
        self.muxed_conn = SimpleNamespace(
            peer_id=PEER,
            get_remote_address=lambda: None,
            secured_conn=SimpleNamespace(get_remote_address=lambda: None),
        )
        self.sent = bytearray()

    def get_protocol(self) -> str:
        return LOOK_2

    async def read(self, count: int | None = None) -> bytes:
        data = self._left[:count]
        self._left = self._left[len(data) :]
        return data

    async def write(self, data: bytes) -> None:
        self.sent += data

    async def close_write(self) -> None: ...

    async def reset(self) -> None: ...


class Opening:
    """A host whose streams are all that one."""

    def __init__(self, stream: Coming) -> None:
        self._stream = stream

    async def new_stream(self, _peer: PeerId, _protocols: list[str]) -> Coming:
        return self._stream


def _within(handle: Callable[[], Awaitable[T]]) -> T:
    """Run to the end; what the network can raise of itself is a refusal."""

    async def run() -> T:
        with trio.fail_after(5):
            return await handle()

    try:
        return trio.run(run)
    except NETWORK_ERRORS as error:
        raise RemoteProtocolError("the stream ended") from error


# ---- gossip


def _heed(_peer: object, _why: str) -> None:
    """Do as a node does whose gate drops the peer, or counts what it is blamed for."""


@cache
def _gossip() -> Gossip:
    """Give gossip that has subscribed, and whose reading goes on until the stream ends."""
    host = build_host(OPTIONS, SEEDS[0], COUNTERS)
    gossip = Gossip(host, OPTIONS, COUNTERS, lambda _: True, _heed, _heed)
    gossip.pubsub._manager = SimpleNamespace(is_running=True)
    trio.run(gossip.pubsub.subscribe, TOPIC)
    return gossip


def _rpc(data: bytes) -> None:
    pubsub = _gossip().pubsub
    pubsub.forget(PEER)  # its rates are in the time of a run that is over
    _within(lambda: pubsub.stream_handler(Coming(data)))


# ---- finding, and being carried


@cache
def _directory() -> Directory:
    host = build_host(OPTIONS, SEEDS[0], COUNTERS)
    gate = Gate(COUNTERS, lambda _: True)
    inside = Inside(host, gate, COUNTERS, lambda _: True, frozenset)
    return Directory(inside, seal_of(SEEDS[0]), tuple)


def _asked_where(data: bytes) -> None:
    directory = _directory()
    directory._buckets.clear()  # as with gossip
    _within(lambda: directory._serve(Coming(data)))


def _told_where(data: bytes) -> None:
    """Read an answer, and keep of it what members have signed."""
    directory, stream = _directory(), Coming(data)
    directory._host, host = Opening(stream), directory._host
    try:
        answer = _within(lambda: directory._exchange(NODES[1], Message()))
    finally:
        directory._host = host
    for each in answer.closerPeers:
        directory._keep(each.signedRecord)


def _hop(data: bytes) -> None:
    asked = _within(lambda: read_message(Coming(data), messages.HopMessage, RELAY_BYTES_MAX))
    node_id_of(PeerId(asked.peer.id))


def _stop(data: bytes) -> None:
    asked = _within(lambda: read_message(Coming(data), messages.StopMessage, RELAY_BYTES_MAX))
    node_id_of(PeerId(asked.peer.id))


# ---- looks, joins, blobs, bandwidth


def _looked(data: bytes) -> None:
    stream = Coming(data)
    looks = Looks(Opening(stream), COUNTERS, tuple)
    look = _within(lambda: looks._answer_of(stream, 1))
    if look.links is not None and len(look.links) > LINKS_MAX:
        raise BrokenPromiseError(f"{len(look.links)} links are read")


def _look_asked(data: bytes) -> None:
    stream = Coming(data)
    _within(lambda: Looks(Opening(stream), COUNTERS, tuple).serve(stream))


def _joining(data: bytes) -> None:
    stream = Coming(data)

    async def answer(_: bytes, payload: bytes) -> bytes:
        return payload

    joining = Joining(Opening(stream), OPTIONS, COUNTERS, answer, nullcontext)
    _within(lambda: joining.serve(stream))
    if stream.sent and bytes(stream.sent) != data[: len(stream.sent)]:
        raise BrokenPromiseError("what was asked is not what was read")


async def _no_blob(_: bytes) -> None: ...


def _blob(data: bytes) -> None:
    """Read the answer for a blob of 32 bytes; of the right one, if any."""
    stream = Coming(data)
    blobs = Blobs(Opening(stream), OPTIONS, COUNTERS, _no_blob)
    blob = _within(lambda: blobs._fetch(NODES[1], BLOB_DIGEST, len(BLOB)))
    if blob not in (None, BLOB):
        raise BrokenPromiseError("another blob than was asked for")


def _blob_asked(data: bytes) -> None:
    stream = Coming(data)
    _within(lambda: Blobs(Opening(stream), OPTIONS, COUNTERS, _no_blob).serve(stream))


def _piece(data: bytes) -> None:
    """Read the answer to a question about a blob."""
    stream = Coming(data)
    pieces = Pieces(Opening(stream), OPTIONS, COUNTERS, serve_no_piece)
    _within(lambda: pieces._ask(NODES[1], b"?"))


def _piece_asked(data: bytes) -> None:
    stream = Coming(data)
    pieces = Pieces(Opening(stream), OPTIONS, COUNTERS, serve_no_piece)
    _within(lambda: pieces.serve(stream))


def _bandwidth(data: bytes) -> None:
    stream = Coming(data)
    bandwidth = Bandwidth(Opening(stream), COUNTERS, 1 << 30)
    _within(lambda: bandwidth.serve(stream))


TARGETS: Final[MappingProxyType[str, Target]] = MappingProxyType(
    {
        "answer of a look": _looked,
        "answer of the directory": _told_where,
        "answer with a blob": _blob,
        "answer with a piece": _piece,
        "asked for a look": _look_asked,
        "asked for a blob": _blob_asked,
        "asked for a piece": _piece_asked,
        "asked for bandwidth": _bandwidth,
        "asked of the directory": _asked_where,
        "gossip": _rpc,
        "join request": _joining,
        "relay's hop": _hop,
        "relay's stop": _stop,
    }
)


def sound() -> Iterator[tuple[str, bytes]]:
    """Give messages as honest peers send them, and gossip that was harmful once."""
    for rpc in GOSSIP_ATTACKS.values():
        yield "gossip", rpc
    signer = build_host(OPTIONS, SEEDS[1], COUNTERS)
    yield "gossip", rpc_of(signed_message(signer, b"hello")) * 2
    for protocol, data in finding():
        name = {HOP: "relay's hop", STOP: "relay's stop"}.get(protocol, "asked of the directory")
        yield name, data
    statement = seal_of(SEEDS[2], lambda: 7).sign((HostPort("192.0.2.7", 4001),))
    answer = Message(type=Message.FIND_NODE)
    answer.closerPeers.add(id=peer_id_of(NODES[2]).to_bytes(), signedRecord=statement)
    yield "answer of the directory", delimited(answer)
    links = encode_links((LinkSeen(NODES[2], 70), LinkSeen(NODES[3], None)))
    yield "answer of a look", _ANSWER.pack(1, 1 << 40, 5) + b"1.2.3" + links
    yield "asked for a look", b"\x0f\xa1"
    yield "asked for a blob", BLOB_DIGEST
    yield "answer with a blob", b"\x00" + BLOB_LENGTH.pack(len(BLOB)) + BLOB
    yield "answer with a blob", b"\x01"
    yield "asked for a piece", LENGTH.pack(3) + b"abc" + LENGTH.pack(1) + b"d"
    yield "answer with a piece", LENGTH.pack(3) + b"abc"
    yield "asked for bandwidth", _COUNT.pack(4_096)
    yield "join request", JOIN_LENGTH.pack(3) + b"abc"
