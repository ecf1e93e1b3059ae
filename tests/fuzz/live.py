"""Mutated bytes on the sockets of a live daemon, from a member that has gone bad and from its user.

Three of four members run; the attacker has the key of the fourth. Each case is one message that
was sound once (the vectors of the protocols, calls of the local socket), changed in some places and
sent on one of the protocols. What counts is that the daemons go on: alive, no fault in a log,
memory within a bound, a task settled afterwards. A case is told by the seed and its number.
"""

import argparse
import json
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import trio

from ambientd.adapters.libp2p.bandwidth import BANDWIDTH_PROTOCOL
from ambientd.adapters.libp2p.exchanges import BLOB_PROTOCOL, JOIN_PROTOCOL
from ambientd.adapters.libp2p.frames import FrameKind, encode_frame, encode_probe
from ambientd.adapters.libp2p.host import dial
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.adapters.libp2p.looks import LOOK_2
from ambientd.adapters.libp2p.pieces import LENGTH, PIECES_PROTOCOL
from ambientd.adapters.libp2p.transport import FRAMES_PROTOCOL
from ambientd.api.cluster import ClusterPlan
from ambientd.api.frames import RequestFrame, pack
from ambientd.api.operations import OPERATIONS
from ambientd.codec.canonical import encode
from ambientd.config.places import socket_path_for
from ambientd.model.genesis import Rules
from ambientd.node.frames import JOB_FRAME, LOG_FRAME
from tests.adapters.libp2p.test_hostility import GOSSIP_ATTACKS, MESHSUB
from tests.fuzz.drawing import VECTORS, bytes_in
from tests.fuzz.finding import finding
from tests.fuzz.mutation import mutated
from tests.mesh.cluster import Cluster
from tests.mesh.test_hostile_peers import attacker, check_served, node_of, victim_of

GROWTH_MIB_MAX = 96
CASES_BETWEEN_LOOKS = 50
LOCAL = "local socket"
# These end the daemon, write where they are told to, or answer for ever: what they should do.
LEFT_OUT = ("events", "backup", "stop", "shutdown")


@dataclass(frozen=True)
class Case:
    """One message, and where it goes."""

    number: int
    protocol: str
    data: bytes


def sound() -> list[tuple[str, bytes]]:
    """Give messages as they should be, by protocol."""
    found = [(MESHSUB, each) for each in GOSSIP_ATTACKS.values()]
    for name, start in (("log", LOG_FRAME), ("jobs", JOB_FRAME), ("records", LOG_FRAME)):
        for raw in bytes_in(json.loads((VECTORS / f"{name}.json").read_text())):
            frame = encode_frame(FrameKind.DATA, start + raw)
            found.append((FRAMES_PROTOCOL, encode_probe(FrameKind.PING, 1) + frame))
            found.append((JOIN_PROTOCOL, len(raw).to_bytes(4, "big") + raw))
    found += [(BLOB_PROTOCOL, bytes(32)), (LOOK_2, bytes(2))]
    found += [
        (PIECES_PROTOCOL, LENGTH.pack(len(each)) + each)
        for each in (encode((1, bytes(32))), encode((2, bytes(32), 0)))
    ]
    found += [(BANDWIDTH_PROTOCOL, bytes(4)), *finding()]
    for name in OPERATIONS:
        if not name.startswith(LEFT_OUT):
            for body in (
                b"\x80",
                b"\x81\xa4task\xa412ab",
                b"\x82\xa6module\xc4\x01a\xa5input\xc4\x00",
            ):
                found.append((LOCAL, pack(RequestFrame(id=1, op=name, body=body))))
    return found


def cases(seed: int) -> Iterator[Case]:
    """Give cases without end, the same ones for a seed."""
    rng, messages = random.Random(seed), sound()
    # A protocol first, then a message: most messages are frames, and gossip would hardly come.
    protocols = sorted({protocol for protocol, _ in messages})
    number = 0
    while True:
        protocol = rng.choice(protocols)
        data = rng.choice([each for name, each in messages if name == protocol])
        yield Case(number, protocol, mutated(rng, data, rng.choice(messages)[1]))
        number += 1


async def bombard(mesh: Cluster, seed: int, seconds: float, cases_max: int) -> Counter[str]:
    """Send cases until the time is over; give how many went out on each protocol.

    Raise AssertionError for a harmed node.
    """
    node, address = victim_of(mesh)
    resting = _memory_mib(mesh)
    sent, gone = 0, Counter[str]()
    async with attacker(mesh.daemons[3].data_dir) as host:
        with trio.move_on_after(seconds):
            for case in cases(seed):
                if sent == cases_max:
                    break
                with trio.move_on_after(2), suppress(*NETWORK_ERRORS, OSError):
                    if case.protocol == LOCAL:
                        await _call(socket_path_for(mesh.daemons[0].data_dir), case, gone)
                    else:
                        await dial(host, peer_id_of(node), address)
                        await _send(host, node, case, gone)
                sent += 1
                if sent % CASES_BETWEEN_LOOKS == 0:
                    _look(mesh, resting, f"seed {seed}, at most {sent} cases")
    _look(mesh, resting, f"seed {seed}, {sent} cases")
    await trio.to_thread.run_sync(check_served, mesh)
    return gone


async def _send(host: Any, node: bytes, case: Case, gone: Counter[str]) -> None:
    stream = await host.new_stream(peer_id_of(node), [case.protocol])
    await stream.write(case.data)
    gone[case.protocol] += 1
    with trio.move_on_after(0.02):
        await stream.read(1000)
    await stream.reset()


async def _call(path: Path, case: Case, gone: Counter[str]) -> None:
    async with await trio.open_unix_socket(str(path)) as stream:
        await stream.send_all(case.data)
        gone[case.protocol] += 1
        with trio.move_on_after(0.02):
            await stream.receive_some(1000)


def _look(mesh: Cluster, resting: float, where: str) -> None:
    for daemon in mesh.daemons[:3]:
        assert daemon.process is not None
        assert daemon.process.poll() is None, f"{daemon.data_dir.name} has ended: {where}"
        log = (daemon.data_dir / "log").read_text(errors="replace")
        assert "Traceback" not in log, (
            f"a fault in {daemon.data_dir / 'log'}: {where}\n{log[-3000:]}"
        )
    grown = _memory_mib(mesh) - resting
    assert grown < GROWTH_MIB_MAX, f"{grown:.0f} MiB more: {where}"


def _memory_mib(mesh: Cluster) -> float:
    process = mesh.daemons[0].process
    assert process is not None
    resident: int = psutil.Process(process.pid).memory_info().rss
    return resident / (1 << 20)


def besieged(folder: Path) -> Cluster:
    """Found the mesh; three of four run, and the attacker's id is the smallest."""
    plan = ClusterPlan(bitcoin="off", rules=Rules(batch_ms=100))
    cluster = Cluster(folder / "mesh", 4, plan)
    for daemon in cluster.daemons:
        config = daemon.data_dir / "config.toml"
        text, count = re.subn(
            "^# (use|serve|dht) = .*", r"\1 = true", config.read_text(), flags=re.MULTILINE
        )
        assert count == 3, "what is off by default is served here as well"
        config.write_text(text)
    cluster.daemons.sort(key=node_of, reverse=True)
    return cluster


def main() -> None:
    """Bombard for some minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ambient-live-") as folder:
        mesh = besieged(Path(folder))
        try:
            mesh.start(3)
            check_served(mesh)
            seconds = chosen.minutes * 60
            gone = trio.run(partial(bombard, mesh, chosen.seed, seconds, sys.maxsize))
        finally:
            mesh.stop()
    each = ", ".join(f"{count} on {name}" for name, count in sorted(gone.items()))
    print(f"{gone.total()} cases of seed {chosen.seed} went out ({each}): the daemons went on")


if __name__ == "__main__":
    main()
