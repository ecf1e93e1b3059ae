"""Messages of those that look for members, and of those that are carried, as they should be."""

import json
from collections.abc import Iterator
from typing import Any

from libp2p.kad_dht.common import PROTOCOL_ID
from libp2p.kad_dht.pb.kademlia_pb2 import Message

from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.relays import HOP, STOP, messages
from tests.fuzz.drawing import VECTORS


def finding() -> Iterator[tuple[str, bytes]]:
    """Give messages of those that look for members, and of those that are carried."""
    told = json.loads((VECTORS / "discovery.json").read_text())
    peer = peer_id_of(bytes.fromhex(told["node"])).to_bytes()
    question = Message(type=Message.FIND_NODE, key=peer)
    question.senderRecord = bytes.fromhex(told["statement"])
    yield PROTOCOL_ID, delimited(question)
    yield HOP, delimited(messages.HopMessage(type=messages.HopMessage.RESERVE))
    yield HOP, delimited(messages.HopMessage(type=messages.HopMessage.CONNECT, peer={"id": peer}))
    stop = messages.StopMessage(type=messages.StopMessage.CONNECT, peer={"id": peer})
    yield STOP, delimited(stop)


def delimited(message: Any) -> bytes:
    """Give a message with its length before it, in two bytes whatever it is."""
    data: bytes = message.SerializeToString()
    return bytes([len(data) & 0x7F | 0x80, len(data) >> 7]) + data
