"""Helpers: identities, transports and a victim in a process of its own."""

import json
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio

from ambientd.adapters.libp2p import Libp2pTransport, open_transport
from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.host import build_host, dial, run_host
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.ports.transport import (
    HostPort,
    NodeId,
    PeerAddress,
    ServePiece,
    TransportOptions,
    serve_no_piece,
)
from tests.ports.transport_contract import (
    NODES,
    SEEDS,
    TOPIC,
    at,
    serve_blob,
    serve_join,
    until_connected,
)

QUICK = TransportOptions(
    topics=frozenset({TOPIC}),
    heartbeat_s=0.2,
    idle_limit_s=4.0,
    link_deadline_s=4.0,
    join_deadline_s=8.0,
)


@asynccontextmanager
async def node(
    number: int,
    allowed: tuple[int, ...] = (0, 1, 2, 3),
    *,
    options: TransportOptions = QUICK,
    blobs: Callable[[bytes], Awaitable[bytes | None]] = serve_blob,
    joins: Callable[[NodeId, bytes], Awaitable[bytes]] = serve_join,
    pieces: ServePiece = serve_no_piece,
    further: Callable[[Libp2pTransport], None] = lambda _: None,
    **changes: Any,
) -> AsyncIterator[Libp2pTransport]:
    async with open_transport(
        replace(options, **changes),
        seed=SEEDS[number],
        allowed=frozenset(NODES[n] for n in allowed),
        serve_blob=blobs,
        serve_join=joins,
        rng=random.Random(number),
        serve_piece=pieces,
        further=further,
    ) as transport:
        yield transport


@asynccontextmanager
async def raw_host(number: int) -> AsyncIterator[Any]:
    """A libp2p host with none of our protocols: the attacker's tool."""
    counters = Counters()
    host = build_host(TransportOptions(), SEEDS[number], counters)
    async with run_host(host, HostPort("127.0.0.1", 0), counters):
        yield host


@dataclass
class Victim:
    """A transport in another process; it echoes frames and answers questions about itself."""

    process: trio.Process
    node: NodeId
    address: HostPort

    async def attack(self, host: Any, *protocols: str) -> Any:
        """Connect a raw host and open a stream."""
        await dial(host, peer_id_of(self.node), self.address)
        return await host.new_stream(peer_id_of(self.node), list(protocols))

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)


VICTIM = 5


@asynccontextmanager
async def victim(
    *,
    allowed: tuple[int, ...],
    port: int = 0,
    bootstrap: PeerAddress | None = None,
    **options: Any,
) -> AsyncIterator[Victim]:
    """Start a victim and wait until it listens."""
    setup = {
        "seed": SEEDS[VICTIM].hex(),
        "allowed": [NODES[n].hex() for n in (*allowed, VICTIM)],
        "port": port,
        "bootstrap": [(each.node_id.hex(), each.host, each.port) for each in [bootstrap] if each],
        "options": options,
    }
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            lambda task_status: trio.run_process(
                [sys.executable, str(Path(__file__).with_name("victim.py")), json.dumps(setup)],
                stdout=subprocess.PIPE,
                stdin=subprocess.PIPE,
                check=False,
                task_status=task_status,
            )
        )
        line = b""
        with trio.fail_after(60):
            while not line.endswith(b"\n"):
                part = await process.stdout.receive_some()
                assert part, "the victim died at the start"
                line += part
        host, bound = json.loads(line)
        try:
            yield Victim(process, NODES[VICTIM], HostPort(host, bound))
        finally:
            if process.returncode is None:
                process.kill()
            nursery.cancel_scope.cancel()


class Friend:
    """A well-behaved peer of a victim: asks, and checks that it serves."""

    def __init__(self, transport: Libp2pTransport, of: Victim) -> None:
        self.transport = transport
        self.of = of

    async def ask(self, question: str) -> Any:
        """Ask the victim about itself over the frame stream."""
        with trio.fail_after(60):
            assert self.transport.send(self.of.node, b"?" + question.encode())
            async for _, frame in self.transport.frames:
                if frame.startswith(b"!"):
                    return json.loads(frame[1:])
        raise AssertionError

    async def until(self, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask until the victim's state is as said."""
        with trio.fail_after(60):
            while True:
                state: dict[str, Any] = await self.ask("state")
                if what(state):
                    return state
                await trio.lowlevel.checkpoint()

    async def until_counted(self, *kinds: str) -> None:
        await self.until(lambda state: any(state["counters"].get(kind) for kind in kinds))

    async def check_served(self) -> None:
        """Frames and gossip go to the victim and back."""
        with trio.fail_after(60):
            assert self.transport.send(self.of.node, b"echo")
            async for _, frame in self.transport.frames:
                if frame == b"echo":
                    break
            heard = False
            while not heard:
                self.transport.publish(TOPIC, b"hear me")
                with trio.move_on_after(0.2):
                    async for _, signer, data in self.transport.gossip:
                        heard = (signer, data) == (self.of.node, b"heard: hear me")
                        if heard:
                            break


@asynccontextmanager
async def friend_of(target: Victim, number: int = 4) -> AsyncIterator[Friend]:
    async with node(number, (number, VICTIM)) as transport:
        transport.set_peers([at(target.address, target.node)])
        with trio.fail_after(60):
            await until_connected(transport, target.node)
        yield Friend(transport, target)
