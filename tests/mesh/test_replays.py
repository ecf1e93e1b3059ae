"""What a daemon has said, sent back to it by a member: thrice, and in another order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from ambientd.adapters.libp2p.frames import (
    FrameDecoder,
    FrameKind,
    decode_probe,
    encode_frame,
    encode_probe,
)
from ambientd.adapters.libp2p.host import dial
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.transport import FRAMES_PROTOCOL
from ambientd.api.cluster import ClusterPlan
from ambientd.model.genesis import Rules
from ambientd.ports.transport import TransportOptions
from tests.mesh.cluster import Cluster, Daemon
from tests.mesh.test_hostile_peers import attacker, check_served, node_of, victim_of

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

HEARD_S = 30.0


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    """Three of four members run; the attacker has the key of the fourth, whom nobody bars yet."""
    cluster = Cluster(tmp_path / "mesh", 4, ClusterPlan(bitcoin="off", rules=Rules(batch_ms=100)))
    cluster.daemons.sort(key=node_of, reverse=True)
    try:
        cluster.start(3)
        yield cluster
    finally:
        cluster.stop()


async def test_what_a_node_has_said_comes_back_thrice_and_backwards_and_changes_nothing(
    mesh: Cluster,
) -> None:
    """Frames that were sound: the log's, of other members, and of tasks under way."""
    mesh.daemons[:3] = sorted(mesh.daemons[:3], key=coordinates, reverse=True)
    node, address = victim_of(mesh)
    before = mesh.daemons[0].status()
    assert before is not None
    async with attacker(mesh.daemons[3].data_dir) as host:
        await dial(host, peer_id_of(node), address)
        stream = await host.new_stream(peer_id_of(node), [FRAMES_PROTOCOL])
        await stream.write(encode_probe(FrameKind.PING, 1))
        heard: list[bytes] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear, stream, heard)
            await trio.to_thread.run_sync(check_served, mesh)  # so that there is much to hear
            with trio.fail_after(HEARD_S):
                while len(heard) <= 10:  # the task may have ended before the link was one
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        again = [encode_frame(FrameKind.DATA, frame) for frame in heard[::-1] for _ in range(3)]
        await stream.write(b"".join(again))
        await trio.to_thread.run_sync(check_served, mesh)
    after = mesh.daemons[0].status()
    assert after is not None
    assert after.committed_height > before.committed_height
    for daemon in mesh.daemons[:3]:
        assert "Traceback" not in (daemon.data_dir / "log").read_text()


def coordinates(daemon: Daemon) -> bool:
    """Tell whether this one proposes, and so has much to say to every member."""
    status = daemon.status()
    return status is not None and status.coordinator == status.node


async def hear(stream: Any, heard: list[bytes]) -> None:
    """Keep the frames that come, and the link alive."""
    decoder = FrameDecoder(TransportOptions().frame_bytes_max)
    while data := await stream.read(65_536):
        for kind, body in decoder.feed(data):
            if kind is FrameKind.DATA:
                heard.append(body)
            elif kind is FrameKind.PING:
                await stream.write(encode_probe(FrameKind.PONG, decode_probe(body)))
