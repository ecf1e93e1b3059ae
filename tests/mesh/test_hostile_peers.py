"""A member that sends anything but the protocol harms nobody: its peers answer, tasks run."""

import os
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from ambientd.adapters.keys import load_key
from ambientd.adapters.libp2p.exchanges import BLOB_PROTOCOL, JOIN_PROTOCOL
from ambientd.adapters.libp2p.frames import FrameKind, encode_frame, encode_probe
from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.host import build_host, dial, run_host
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.adapters.libp2p.pieces import PIECES_PROTOCOL
from ambientd.adapters.libp2p.transport import FRAMES_PROTOCOL
from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import SubmitTask, WaitForTask
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.signing import Signer
from ambientd.config.load import load_config
from ambientd.model.base import Digest, TaskId
from ambientd.model.chunk import ChunkAsked
from ambientd.model.genesis import Rules
from ambientd.model.message import PARCEL_BYTES_MAX, ParcelSent
from ambientd.node.frames import JOB_FRAME, LOG_FRAME, job_frame
from ambientd.ports.transport import HostPort, TransportOptions
from tests.adapters.libp2p.test_hostility import GOSSIP_ATTACKS, MESHSUB
from tests.mesh.cluster import Cluster, Daemon
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three of four members run; the attacker has the fourth one's key.

    Its id is the smallest, so that it is the one that opens frame streams.
    """
    plan = ClusterPlan(bitcoin="off", rules=Rules(batch_ms=100))
    cluster = Cluster(tmp_path_factory.mktemp("hostile") / "mesh", 4, plan)
    cluster.daemons.sort(key=node_of, reverse=True)
    try:
        cluster.start(3)
        yield cluster
    finally:
        cluster.stop()


def node_of(daemon: Daemon) -> bytes:
    return Signer(load_key(daemon.data_dir / "node.key"), b"").public_key


def victim_of(mesh: Cluster) -> tuple[bytes, HostPort]:
    victim = mesh.daemons[0]
    host, port = load_config(victim.data_dir).listen_address()
    return node_of(victim), HostPort(host, port)


@asynccontextmanager
async def attacker(folder: Path) -> AsyncIterator[Any]:
    """A libp2p host with the key of a member and none of our manners."""
    counters = Counters()
    host = build_host(TransportOptions(), load_key(folder / "node.key"), counters)
    async with run_host(host, HostPort("127.0.0.1", 0), counters):
        yield host


def check_served(mesh: Cluster) -> None:
    mesh.check_alive()
    node = mesh.daemons[0]
    mesh.until(
        lambda: (status := node.status()) is not None and len(status.peers) >= 2,
        "the others are linked with it",
    )
    request = SubmitTask(module=module("echo"), input=b"still here", gas_max=10**6)
    task = node.ask(TASK_SUBMIT, request).task_id
    done = node.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=60_000))
    assert (done.outcome, done.verdict) == ("completed", "agreed")


def framed(*payloads: bytes) -> bytes:
    hello = encode_probe(FrameKind.PING, 1)
    return hello + b"".join(encode_frame(FrameKind.DATA, payload) for payload in payloads)


def parcel(data: bytes, named: bytes | None = None) -> bytes:
    digest = Digest(sha256(data if named is None else named))
    return job_frame(ParcelSent(task=TaskId(b"?" * 32), digest=digest, data=data))


def question(asked: ChunkAsked) -> bytes:
    data = encode(asked)
    return struct.pack("!I", len(data)) + data


ATTACKS = {
    **{f"gossip, {case}": (MESHSUB, data) for case, data in GOSSIP_ATTACKS.items()},
    "frame of an unknown kind": (FRAMES_PROTOCOL, struct.pack("!IB", 8, 9) + b"12345678"),
    "oversize frame": (FRAMES_PROTOCOL, struct.pack("!IB", 2**32 - 1, FrameKind.DATA)),
    "noise": (FRAMES_PROTOCOL, bytes(range(255, 0, -1)) * 100),
    "messages of no core": (FRAMES_PROTOCOL, framed(b"", b"\x00", b"\x09hello", os.urandom(500))),
    "log messages that are none": (
        FRAMES_PROTOCOL,
        framed(*[LOG_FRAME + os.urandom(size) for size in (0, 1, 50, 5000)]),
    ),
    "nested arrays for a log message": (FRAMES_PROTOCOL, framed(LOG_FRAME + b"\x91" * 60_000)),
    "nested arrays for a block's header": (
        FRAMES_PROTOCOL,
        framed(LOG_FRAME + b"\x96\x01" + b"\x91" * 2_000 + b"\x90\xc0\xc0\x90\xc4\x00"),
    ),
    "job messages that are none": (
        FRAMES_PROTOCOL,
        framed(*[JOB_FRAME + os.urandom(size) for size in (0, 1, 50, 60_000)]),
    ),
    "nested arrays for a job message": (FRAMES_PROTOCOL, framed(JOB_FRAME + b"\x91" * 60_000)),
    "parcels that nobody asked for, too many": (
        FRAMES_PROTOCOL,
        framed(*[parcel(number.to_bytes(4, "big") * 4_000) for number in range(200)]),
    ),
    "many small parcels that nobody asked for": (
        FRAMES_PROTOCOL,
        framed(*[parcel(b"%d" % number) for number in range(3_000)]),
    ),
    "parcels with wrong bytes": (FRAMES_PROTOCOL, framed(*[parcel(b"a", b"b")] * 20)),
    "a parcel above its size": (FRAMES_PROTOCOL, framed(parcel(bytes(PARCEL_BYTES_MAX + 1)))),
    "short blob request": (BLOB_PROTOCOL, b"d"),
    "blob that is not there": (BLOB_PROTOCOL, b"d" * 32),
    "oversize question about chunks": (PIECES_PROTOCOL, struct.pack("!I", 2**32 - 1)),
    "questions about chunks that are none": (
        PIECES_PROTOCOL,
        b"".join(struct.pack("!I", size) + os.urandom(size) for size in (0, 1, 40, 64)),
    ),
    "chunks that are not there, and no reading of the answers": (
        PIECES_PROTOCOL,
        question(ChunkAsked(digest=Digest(b"d" * 32), index=9)) * 5_000,
    ),
    "half a question about chunks": (PIECES_PROTOCOL, struct.pack("!I", 40) + b"d"),
    "huge join request": (JOIN_PROTOCOL, struct.pack("!I", 1 << 30)),
    "join request that is none": (JOIN_PROTOCOL, struct.pack("!I", 4) + b"\xc1\xc1\xc1\xc1"),
}


async def test_nothing_that_a_member_sends_ends_a_daemon(mesh: Cluster) -> None:
    node, address = victim_of(mesh)
    async with attacker(mesh.daemons[3].data_dir) as host:
        for protocol, data in ATTACKS.values():
            with trio.move_on_after(5):
                try:
                    await dial(host, peer_id_of(node), address)
                    stream = await host.new_stream(peer_id_of(node), [protocol])
                    await stream.write(data)
                    with trio.move_on_after(0.2):
                        while await stream.read(1000):
                            pass
                    await stream.reset()
                except NETWORK_ERRORS:
                    pass  # cut off, as it should be
            mesh.check_alive()
    await trio.to_thread.run_sync(check_served, mesh)


async def test_garbage_and_silence_on_the_port_are_survived(mesh: Cluster) -> None:
    _, address = victim_of(mesh)
    for _ in range(20):
        stream = await trio.open_tcp_stream(address.host, address.port)
        await stream.send_all(os.urandom(500))
        await stream.aclose()
    silent = [await trio.open_tcp_stream(address.host, address.port) for _ in range(50)]
    await trio.to_thread.run_sync(check_served, mesh)
    for stream in silent:
        await stream.aclose()


async def test_a_connection_that_breaks_off_in_a_frame_is_survived(mesh: Cluster) -> None:
    node, address = victim_of(mesh)
    async with attacker(mesh.daemons[3].data_dir) as host:
        await dial(host, peer_id_of(node), address)
        stream = await host.new_stream(peer_id_of(node), [FRAMES_PROTOCOL])
        await stream.write(encode_probe(FrameKind.PING, 1) + struct.pack("!IB", 1000, 0) + b"half")
        await stream.muxed_conn.secured_conn.close()
    await trio.to_thread.run_sync(check_served, mesh)
    for daemon in mesh.daemons[:3]:
        assert "Traceback" not in (daemon.data_dir / "log").read_text()
