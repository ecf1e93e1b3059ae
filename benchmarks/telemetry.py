"""Telemetry into one coordinator: signed batches by gossip, kept on disk, counted afterwards.

A guest of a mesh of one member publishes, over libp2p on the loopback, the batches of many authors
that have joined. The daemon keeps a journal. In the end it is killed, and the journal is held
against what was sent: every batch of every author must be there, in a row. Meanwhile the
coordinator tells its own condition each second, and answers the probes of its link: how late the
one is, and how long the other takes, says whether it keeps up.
"""

import argparse
import itertools
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import trio

from ambientd.adapters.batch_journal import read_journal
from ambientd.adapters.keys import draw_secret
from ambientd.api.client import Client
from ambientd.api.cluster import ClusterPlan
from ambientd.api.invitation import make_join, read_token
from ambientd.api.operations import CLUSTER_INVITE
from ambientd.api.requests import Invite
from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint, sign_record
from ambientd.config.places import Places, socket_path_for
from ambientd.model.base import Digest, NodeId
from ambientd.model.genesis import NodeKind, Profile
from ambientd.model.telemetry import Measure, Observation
from ambientd.ports.transport import PeerLost
from ambientd.runtime.performer import TELEMETRY_TOPIC
from ambientd.telemetry.batch import FIRST_HASH, author_of, batch_hash, decode_batch, sign_batch
from benchmarks.feeder import Feeder, joined_feeder
from benchmarks.mesh import machine, percentile, running_daemons

EPOCH = 1
BEAT_MS = 1_000
STEP_S = 0.02
WAITING_MAX = 64
MEASURES = sorted(each.value for each in Measure)


@dataclass(slots=True)
class Author:
    """One key that says how its device is, again and again."""

    signer: Signer
    seq: int = 0
    last: Digest = FIRST_HASH
    sent: set[int] = field(default_factory=set)

    def next_batch(self, count: int) -> bytes:
        """Sign the next batch, of so many observations."""
        observations = [
            Observation(name=name, value=1_000 * self.seq + place, source="bench")
            for place, name in enumerate(MEASURES[:count])
        ]
        batch = sign_batch(self.signer, EPOCH, self.seq, observations, self.last)
        if len(batch.observations) != count:
            sys.exit(f"a batch holds {len(batch.observations)} observations, not {count}")
        self.sent.add(self.seq)
        self.seq, self.last = self.seq + 1, batch_hash(batch)
        return encode(batch)


@dataclass(slots=True)
class Seen:
    """What a peer of the coordinator saw of it meanwhile."""

    beats_s: list[float] = field(default_factory=list)
    round_trips_ms: list[float] = field(default_factory=list)
    lost: int = 0


def main() -> None:
    """Run and print; fail when anything is lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000, help="observations a second")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--authors", type=int, default=64)
    parser.add_argument("--batch", type=int, default=20, help="observations of a batch")
    chosen = parser.parse_args()
    print(machine(), flush=True)
    kept = {"journal_bytes_max": 8 << 30, "interval_ms": BEAT_MS}
    plan = ClusterPlan(bitcoin="off", options={"telemetry": kept})
    with running_daemons(1, plan) as daemons:
        ((node, process),) = daemons.items()
        authors, seen, spent, took_s = trio.run(
            measured, node, process.pid, chosen.rate, chosen.seconds, chosen.authors, chosen.batch
        )
        process.send_signal(signal.SIGKILL)
        process.wait()
        sent, durable = count(node, authors, chosen.batch, took_s)
    tell(seen)
    share, cost_ms = 100 * spent / took_s, 1000 * spent / max(1, durable)
    print(f"the daemon used {share:.0f} % of a core, {cost_ms:.2f} ms for a durable batch")
    print(machine())
    sys.exit(sent != durable)


async def measured(
    node: Path, pid: int, rate: int, seconds: float, count: int, batch: int
) -> tuple[list[Author], Seen, float, float]:
    """Publish at the rate for so long; give what was sent, seen, spent, and the time it took."""
    async with joined_feeder([node], frozenset({TELEMETRY_TOPIC})) as feeder:
        authors = await joined_authors(node, feeder, count)
        seen = Seen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_beats, feeder, seen)
            nursery.start_soon(watch_link, feeder, seen)
            nursery.start_soon(watch_losses, feeder, seen)
            while len(seen.beats_s) < 3:  # noqa: ASYNC110 - both have heard each other by then
                await trio.sleep(0.1)
            seen.beats_s.clear()
            seen.round_trips_ms.clear()
            before, begin = psutil.Process(pid).cpu_times(), time.monotonic()
            await publish(feeder, authors, rate / batch, seconds, batch)
            took_s = time.monotonic() - begin
            after = psutil.Process(pid).cpu_times()
            await trio.sleep(3)  # what is on its way arrives, and is on disk
            nursery.cancel_scope.cancel()
        troubles = {name: each for name, each in feeder.transport.counters().items() if each}
        print(f"counted by the sender's transport: {troubles}")
        spent = after.user + after.system - before.user - before.system
        return authors, seen, spent, took_s


async def joined_authors(node: Path, feeder: Feeder, count: int) -> list[Author]:
    """Let so many keys join the cluster."""
    records, authors = [], []
    with Client(socket_path_for(node)) as client:
        for number in range(count):
            token = read_token(client.call(CLUSTER_INVITE, Invite()).token)
            signer = Signer(draw_secret(32), fingerprint(token.genesis))
            profile = Profile(name=f"author{number}", region="local", kind=NodeKind.EDGE)
            body = make_join(token, NodeId(signer.public_key), profile)
            records.append(encode(sign_record(signer, body)))
            authors.append(Author(signer))
    await feeder.feed(records)
    return authors


async def publish(
    feeder: Feeder, authors: list[Author], rate: float, seconds: float, count: int
) -> None:
    """Publish at most so many batches a second, of one author after the other.

    Nothing is signed while much waits to leave: what is asked for above that is not sent.
    """
    waiting = feeder.transport._gossip._outgoing  # type: ignore[attr-defined]
    turns, sent, begin = itertools.cycle(authors), 0, trio.current_time()
    while (past_s := trio.current_time() - begin) < seconds:
        room = WAITING_MAX - waiting.statistics().current_buffer_used
        for _ in range(min(room, int(past_s * rate) - sent)):
            feeder.transport.publish(TELEMETRY_TOPIC, next(turns).next_batch(count))
            sent += 1
        await trio.sleep(STEP_S)


async def watch_beats(feeder: Feeder, seen: Seen) -> None:
    """Note when the coordinator told its own condition."""
    own = set(feeder.transport.peers())
    async for _topic, _sender, data in feeder.transport.gossip:
        if author_of(data) in own:
            seen.beats_s.append(trio.current_time())


async def watch_link(feeder: Feeder, seen: Seen) -> None:
    """Note how long the coordinator takes to answer a probe of the link."""
    while True:
        await trio.sleep(1)
        for peer in feeder.transport.peers():
            round_trip_ms = feeder.transport.round_trip_ms(peer)
            if round_trip_ms is not None:
                seen.round_trips_ms.append(round_trip_ms)


async def watch_losses(feeder: Feeder, seen: Seen) -> None:
    """Note when the link is lost."""
    async for change in feeder.transport.connections:
        seen.lost += isinstance(change, PeerLost)


def count(node: Path, authors: list[Author], size: int, took_s: float) -> tuple[int, int]:
    """Hold the journal against what was sent; give how many batches that was, and what is there."""
    found: dict[bytes, set[int]] = {author.signer.public_key: set() for author in authors}
    for entry in read_journal(Places(node).telemetry):
        batch = decode_batch(entry.data)
        if batch.node in found:
            found[batch.node].add(batch.seq)
    sent = sum(len(author.sent) for author in authors)
    durable = sum(len(author.sent & found[author.signer.public_key]) for author in authors)
    print(
        f"sent {sent} batches of {size} observations in {took_s:.1f} s, "
        f"{sent * size / took_s:.0f} observations/s; durable {durable} batches, "
        f"{durable * size} observations; lost {(sent - durable) * size}"
    )
    return sent, durable


def tell(seen: Seen) -> None:
    """Print how the coordinator was meanwhile."""
    late_ms = [
        max(0.0, 1000 * (later - earlier) - BEAT_MS)
        for earlier, later in itertools.pairwise(seen.beats_s)
    ]
    print(
        f"its own beat, each {BEAT_MS} ms: {len(late_ms) + 1} heard, late by "
        f"p50 {percentile(late_ms, 0.5):.0f}, p99 {percentile(late_ms, 0.99):.0f}, "
        f"at most {max(late_ms):.0f} ms"
    )
    trips = seen.round_trips_ms
    print(
        f"link probes: p50 {percentile(trips, 0.5):.1f}, p99 {percentile(trips, 0.99):.1f}, "
        f"at most {max(trips):.1f} ms; the link was lost {seen.lost} times"
    )


if __name__ == "__main__":
    main()
