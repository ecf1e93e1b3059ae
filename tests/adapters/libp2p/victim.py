"""The process that attacks are aimed at: a transport that echoes and answers questions."""

import json
import random
import resource
import sys

import trio

from ambientd.adapters.libp2p import Libp2pTransport, open_transport
from ambientd.ports.transport import HostPort, NodeId, PeerAddress, TransportOptions

TOPIC = "test"


async def _no_blob(digest: bytes) -> bytes | None:
    return digest * 1000


async def _join(node_id: NodeId, payload: bytes) -> bytes:
    return b"joined " + payload


async def _raise(*_: object) -> bool:
    raise RuntimeError("a bug in our own code")


def _raise_at_once(*_: object) -> bool:
    raise RuntimeError("a bug in our own code")


def _state(transport: Libp2pTransport) -> dict[str, object]:
    return {
        "counters": dict(transport.counters()),
        "peers": sorted(peer.hex() for peer in transport.peers()),
        "frames": {
            peer.hex(): transport.traffic(peer).frames_received for peer in transport.peers()
        },
        "rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


async def _answer_frames(transport: Libp2pTransport) -> None:
    validators = {"async": (_raise, True), "sync": (_raise_at_once, False)}
    async for peer, frame in transport.frames:
        if frame == b"?state":
            transport.send(peer, b"!" + json.dumps(_state(transport)).encode())
        elif frame.startswith(b"?validator "):
            name = frame.split()[1].decode()
            pubsub = transport._gossip.pubsub
            if name == "none":
                pubsub.remove_topic_validator(TOPIC)
            else:
                pubsub.set_topic_validator(TOPIC, *validators[name])
            transport.send(peer, b"!null")
        else:
            transport.send(peer, frame)


async def _answer_gossip(transport: Libp2pTransport) -> None:
    async for topic, _, data in transport.gossip:
        if data == b"hear me":
            transport.publish(topic, b"heard: " + data)


async def _main() -> None:
    setup = json.loads(sys.argv[1])
    options = TransportOptions(
        listen=HostPort("127.0.0.1", setup["port"]),
        bootstrap=tuple(
            PeerAddress(bytes.fromhex(node), host, port) for node, host, port in setup["bootstrap"]
        ),
        **{"topics": frozenset({TOPIC}), "heartbeat_s": 0.2, "idle_limit_s": 4.0}
        | setup["options"],
    )
    async with open_transport(
        options,
        seed=bytes.fromhex(setup["seed"]),
        allowed=frozenset(bytes.fromhex(each) for each in setup["allowed"]),
        serve_blob=_no_blob,
        serve_join=_join,
        rng=random.Random(0),
    ) as transport:
        transport._host.set_stream_handler("/bad/1", _raise)
        print(json.dumps([transport.address.host, transport.address.port]), flush=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_answer_frames, transport)
            nursery.start_soon(_answer_gossip, transport)


trio.run(_main)
