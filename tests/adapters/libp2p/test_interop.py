"""js-libp2p and a node understand each other: handshake, identify, ping, frames, gossip."""

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from ambientd.adapters.libp2p import Libp2pTransport
from ambientd.adapters.libp2p.host import dial
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.transport import FRAMES_PROTOCOL
from ambientd.ports.transport import HostPort
from tests.adapters.libp2p.support import node, raw_host
from tests.missing import missing
from tests.ports.transport_contract import NODES, SEEDS, TOPIC

pytestmark = [pytest.mark.net, pytest.mark.slow]

PEER = Path(__file__).with_name("js") / "peer.mjs"
OURS, THEIRS, STRANGER = 0, 1, 2
PING_PROTOCOL = "/ipfs/ping/1.0.0"


@dataclass
class Peer:
    """The other implementation, and what it has said so far."""

    said: list[dict[str, Any]] = field(default_factory=list)

    def heard(self) -> list[str]:
        """Give what it was told by gossip so far."""
        return [line["heard"] for line in self.said if "heard" in line]

    async def until(self, word: str, value: object = None) -> dict[str, Any]:
        """Give the first line with this word in it (and this value)."""
        with trio.fail_after(60):
            while True:
                for line in self.said:
                    if word in line and value in (None, line[word]):
                        return line
                await trio.sleep(0.02)


@asynccontextmanager
async def js_peer(target: Libp2pTransport, number: int = THEIRS) -> AsyncIterator[Peer]:
    if shutil.which("node") is None or not (PEER.parent / "node_modules").is_dir():
        missing("js-libp2p is not here: make interop brings it (needs Node.js 20)")
    address = target.address
    where = f"/ip4/{address.host}/tcp/{address.port}/p2p/{peer_id_of(NODES[OURS])}"
    order = json.dumps({"address": where, "seed": SEEDS[number].hex(), "topic": TOPIC})
    peer = Peer()
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            lambda task_status: trio.run_process(
                ["node", str(PEER), order],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                check=False,
                task_status=task_status,
            )
        )
        nursery.start_soon(_listen, process, peer)
        try:
            yield peer
        finally:
            process.kill()
            nursery.cancel_scope.cancel()


async def _listen(process: trio.Process, peer: Peer) -> None:
    assert process.stdout is not None
    rest = b""
    async for piece in process.stdout:
        *lines, rest = (rest + piece).split(b"\n")
        peer.said += [json.loads(line) for line in lines]


async def heard(transport: Libp2pTransport, start: bytes) -> tuple[bytes, bytes]:
    with trio.fail_after(60):
        async for topic, signer, data in transport.gossip:
            if data.startswith(start):
                assert topic == TOPIC
                return signer, data
    raise AssertionError("the transport has closed")


async def test_gossip_is_heard_both_ways_under_the_signers_names() -> None:
    async with node(OURS) as ours, js_peer(ours) as js:
        signer, _ = await heard(ours, b"from js ")
        assert signer == NODES[THEIRS]
        with trio.fail_after(60):
            while not any("heard" in line for line in js.said):
                ours.publish(TOPIC, b"from a node " + os.urandom(4).hex().encode())
                await trio.sleep(0.1)
        line = await js.until("heard")
        assert line["heard"].startswith("from a node ")
        assert line["from"] == str(peer_id_of(NODES[OURS]))


async def test_messages_that_leave_together_are_each_heard_once() -> None:
    async with node(OURS) as ours, js_peer(ours) as js:
        await heard(ours, b"from js ")
        with trio.fail_after(60):
            while not js.heard():
                ours.publish(TOPIC, b"from a node at first")
                await trio.sleep(0.1)
        sent = [f"from a node together {number}" for number in range(100)]
        for each in sent:
            ours.publish(TOPIC, each.encode())
        with trio.fail_after(60):
            while len(found := [each for each in js.heard() if "together" in each]) < len(sent):
                await trio.sleep(0.02)
        assert sorted(found) == sorted(sent)


async def test_it_is_told_what_we_speak_and_that_we_serve_no_ping() -> None:
    async with node(OURS) as ours, js_peer(ours) as js:
        line = await js.until("identified")
        assert {FRAMES_PROTOCOL, "/meshsub/1.1.0"} <= set(line["identified"])
        assert (await js.until("refused"))["refused"] == "UnsupportedProtocolError"
        # The refusal cost it one stream and not the connection.
        await heard(ours, b"from js ")


async def test_frames_go_there_and_come_back() -> None:
    async with node(OURS) as ours, js_peer(ours):
        await heard(ours, b"from js ")
        sent = [os.urandom(size) for size in (0, 1, 5_000, 60_000)]
        for each in sent:
            assert ours.send(NODES[THEIRS], each)
        with trio.fail_after(60):
            back = [await ours.frames.receive() for _ in sent]
        assert back == [(NODES[THEIRS], each) for each in sent]


async def test_it_answers_our_ping() -> None:
    async with node(OURS) as ours, js_peer(ours) as js, raw_host(STRANGER) as host:
        _, _, address, _, port = (await js.until("listening"))["listening"].split("/")[:5]
        await dial(host, peer_id_of(NODES[THEIRS]), HostPort(address, int(port)))
        stream = await host.new_stream(peer_id_of(NODES[THEIRS]), [PING_PROTOCOL])
        for _ in range(3):
            sent, answer = os.urandom(32), b""
            await stream.write(sent)
            with trio.fail_after(60):
                while len(answer) < len(sent):
                    answer += await stream.read(len(sent) - len(answer))
            assert answer == sent


async def test_a_peer_that_is_no_member_is_not_listened_to() -> None:
    async with node(OURS, allowed=(OURS, THEIRS)) as ours, js_peer(ours, STRANGER) as js:
        await js.until("listening")  # it runs, and dials and publishes from now on
        with trio.move_on_after(5) as waited:
            await heard(ours, b"from js ")
        assert waited.cancelled_caught
