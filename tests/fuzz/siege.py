"""What each attack costs a live daemon, beside honest traffic of as many bytes a second.

Three of four members run. Each flood comes from a node of its own, which an invitation has let in:
whoever breaks a protocol a hundred times is kept out for a minute, and the next would find the
door shut. Meanwhile the daemon's memory and processor time are read, and its owner asks for its
status and for a task. Claimed are a bound on memory, a time within which the owner is answered, and
that a daemon rests when all is over.
"""

import argparse
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import trio

from ambientd.adapters.libp2p.exchanges import JOIN_PROTOCOL
from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.host import CONNECTIONS_PER_PEER_MAX, build_host, run_host
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.adapters.libp2p.muxer import BUFFERS_BYTES_MAX
from ambientd.api.invitation import make_join, read_token
from ambientd.api.operations import CLUSTER_INVITE, NODES, STATUS, TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import GetStatus, Invite, ListNodes, SubmitTask, WaitForTask
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_record
from ambientd.model.base import NodeId
from ambientd.model.genesis import NodeKind, Profile
from ambientd.node.build import signer_of
from ambientd.ports.transport import HostPort, TransportOptions
from ambientd.runtime.blobs import WHOLE_BYTES_MAX
from ambientd.runtime.pump import INBOX_BYTES_MAX
from tests.fuzz.floods import Flood, Target, attacks, honest
from tests.fuzz.live import besieged
from tests.mesh.cluster import Cluster
from tests.mesh.test_hostile_peers import check_served, victim_of

MIB = 1 << 20
_LIMITS = TransportOptions()
GROWTH_BYTES_MAX = (
    _LIMITS.queue_bytes_max
    + INBOX_BYTES_MAX
    + CONNECTIONS_PER_PEER_MAX * BUFFERS_BYTES_MAX
    + _LIMITS.blob_streams_per_peer_max * WHOLE_BYTES_MAX
)
"""What one peer may have a node hold, by the code's own bounds: frames that wait in the transport
(64 MiB), and before the log (16 MiB), what is unread on its connections (3 of 16 MiB), and answers
that it does not take (8 of 1 MiB): 136 MiB together."""

STATUS_S_MAX = 5.0
TASK_S_MAX = 20.0
"""Within these the owner has an answer, even where the attacker has one of two busy cores. A task
waits for the log, where a flood of frames has the attacker's turns alone: 0.1 to 2 s are usual."""

REST_PERCENT_MAX = 25.0
"""Of a core, once nobody attacks: what an attack leaves behind costs no more than an idle mesh."""

LOOK_S = 0.05
JOIN_AGAIN_S = 0.25
CLASS = "media"
"""Of the owner's tasks. Those that come to attack, or to talk, take none of them: whoever takes
work and does none is another matter, of leases."""

SEEN = ("MiB", "% of a core", "status, s", "task, s")
HEAD = ("attack", "kB/s", *SEEN, *(f"honest: {each}" for each in SEEN), "load")
NOOP = Path(__file__).parents[2] / "examples" / "noop" / "noop.wasm"


@dataclass
class Cost:
    """What was seen of a daemon for some seconds."""

    seconds: float = 0.0
    sent_bytes: int = 0
    grown_bytes: int = 0
    processor_s: float = 0.0
    status_s: float = 0.0
    task_s: float = 0.0

    @property
    def percent(self) -> float:
        """Give the share of a core."""
        return 100 * self.processor_s / self.seconds

    @property
    def bytes_per_s(self) -> float:
        return self.sent_bytes / self.seconds

    @property
    def cells(self) -> tuple[str, ...]:
        memory, percent = f"{self.grown_bytes / MIB:.1f}", f"{self.percent:.0f}"
        return memory, percent, f"{self.status_s:.2f}", f"{self.task_s:.2f}"

    def check(self, where: str) -> None:
        """Hold what was seen against what is claimed, of something that has come to be done."""
        assert self.sent_bytes, f"{where}: nothing went out, so nothing was seen: {self}"
        assert self.grown_bytes <= GROWTH_BYTES_MAX, f"{where}: {self}"
        assert self.status_s <= STATUS_S_MAX, f"{where}: {self}"
        assert self.task_s <= TASK_S_MAX, f"{where}: {self}"


@dataclass(frozen=True)
class Siege:
    """A mesh, and a blob that the daemon which is attacked has."""

    mesh: Cluster
    blob: bytes

    @classmethod
    def of(cls, mesh: Cluster) -> "Siege":
        """Give the daemon a blob of the largest size that goes out whole."""
        data = os.urandom(WHOLE_BYTES_MAX)
        _task_s(mesh, data)
        return cls(mesh, sha256(data))

    @property
    def process(self) -> psutil.Process:
        started = self.mesh.daemons[0].process
        assert started is not None
        return psutil.Process(started.pid)

    async def watched(self, seconds: float) -> Cost:
        """Read the figures, and be the owner, for so long and until it is answered."""
        process, cost, done = self.process, Cost(), trio.Event()
        resting, used_s, begun_s = process.memory_info().rss, _used_s(process), time.monotonic()

        async def look() -> None:
            while not done.is_set():
                cost.grown_bytes = max(cost.grown_bytes, process.memory_info().rss - resting)
                await trio.sleep(LOOK_S)

        async def ask() -> None:
            while not done.is_set():
                asked_s = time.monotonic()
                await trio.to_thread.run_sync(self.mesh.daemons[0].ask, STATUS, GetStatus())
                cost.status_s = max(cost.status_s, time.monotonic() - asked_s)
                await trio.sleep(LOOK_S)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            nursery.start_soon(ask)
            await trio.sleep(seconds / 3)
            cost.task_s = await trio.to_thread.run_sync(_task_s, self.mesh, b"still here")
            await trio.sleep(max(0.0, begun_s + seconds - time.monotonic()))
            done.set()
        cost.seconds = time.monotonic() - begun_s
        cost.processor_s = _used_s(process) - used_s
        return cost

    async def flooded(self, flood: Flood, seconds: float) -> Cost:
        """Let a node in, have it do something again and again, and give what that costs."""
        async with self._another() as target, trio.open_nursery() as nursery:
            nursery.start_soon(flood.run, target)
            cost = await self.watched(seconds)
            nursery.cancel_scope.cancel()
        cost.sent_bytes = target.sent_bytes
        self.mesh.check_alive()
        return cost

    async def besieged(self, name: str, attack: Flood, seconds: float) -> tuple[Cost, Cost]:
        """Give what an attack costs, and what as many honest bytes do; both are within bounds."""
        cost = await self.flooded(attack, seconds)
        cost.check(name)
        beside = await self.flooded(honest(cost.bytes_per_s), seconds)
        beside.check(f"honest traffic beside {name}")
        return cost, beside

    @asynccontextmanager
    async def _another(self) -> AsyncIterator[Target]:
        """Let a node in, and give it."""
        node, address = victim_of(self.mesh)
        # Of two the smaller id opens the frame stream.
        while Signer(seed := os.urandom(32), b"").public_key >= node:
            pass
        counters = Counters()
        host = build_host(TransportOptions(), seed, counters)
        async with run_host(host, HostPort("127.0.0.1", 0), counters):
            target = Target(host, node, address, self.blob)
            await self._let_in(seed, target)
            target.sent_bytes = 0
            yield target

    async def _let_in(self, seed: bytes, target: Target) -> None:
        member, own = self.mesh.daemons[0], NodeId(Signer(seed, b"").public_key)
        invited = await trio.to_thread.run_sync(member.ask, CLUSTER_INVITE, Invite())
        token = read_token(invited.token)
        profile = Profile(name="flood", region="local", kind=NodeKind.EDGE, refuses=(CLASS,))
        record = sign_record(signer_of(seed, token.genesis), make_join(token, own, profile))
        request = encode(record)
        while not await _answer(target, len(request).to_bytes(4, "big") + request):
            await trio.sleep(JOIN_AGAIN_S)  # an attack may have used up what joins there are

        def is_in() -> bool:
            return own.hex() in {each.id for each in member.ask(NODES, ListNodes()).nodes}

        await trio.to_thread.run_sync(self.mesh.until, is_in, "the log has let it in")


async def _answer(target: Target, request: bytes) -> bytes:
    with suppress(*NETWORK_ERRORS):
        stream = await target.stream(JOIN_PROTOCOL)
        await target.write(stream, request)
        answer: bytes = await stream.read(100)
        await stream.reset()
        return answer
    return b""


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _task_s(mesh: Cluster, data: bytes) -> float:
    """Give how long a small task takes whose owner asks this daemon."""
    node, asked_s = mesh.daemons[0], time.monotonic()
    request = SubmitTask(module=NOOP.read_bytes(), input=data, gas_max=10**6, task_class=CLASS)
    task = node.ask(TASK_SUBMIT, request).task_id
    done = node.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=60_000))
    assert (done.outcome, done.verdict) == ("completed", "agreed")
    return time.monotonic() - asked_s


async def run(mesh: Cluster, seconds: float, chosen: str = "", say: Any = print) -> None:
    """Go through the attacks whose names have a part; raise AssertionError beyond a bound."""
    siege = Siege.of(mesh)
    resting = siege.process.memory_info().rss
    idle = await siege.watched(seconds)
    say(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    say(_row("none", (idle,)))
    for name, attack in attacks():
        if chosen in name:
            say(_row(name, await siege.besieged(name, attack, seconds)))
    await trio.to_thread.run_sync(check_served, mesh)
    rest = await siege.watched(seconds)
    grown_bytes = siege.process.memory_info().rss - resting
    say(
        f"\nafter all: {grown_bytes / MIB:.1f} MiB more than before, {rest.percent:.0f} % of a core"
    )
    assert rest.percent <= REST_PERCENT_MAX, rest
    assert grown_bytes <= GROWTH_BYTES_MAX, f"{grown_bytes / MIB:.0f} MiB more than before"


def _row(name: str, costs: tuple[Cost, ...]) -> str:
    cells = [cell for cost in costs for cell in cost.cells] + [""] * (8 - 4 * len(costs))
    return " | ".join(
        (f"| {name}", f"{costs[0].bytes_per_s / 1000:.0f}", *cells, f"{os.getloadavg()[0]:.1f} |")
    )


def main() -> None:
    """Lay siege with each attack for some seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="for each attack")
    parser.add_argument("--attack", default="", help="a part of the names of those to try")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ambient-siege-") as folder:
        mesh = besieged(Path(folder))
        try:
            mesh.start(3)
            check_served(mesh)
            trio.run(run, mesh, chosen.seconds, chosen.attack)
        finally:
            mesh.stop()


if __name__ == "__main__":
    main()
