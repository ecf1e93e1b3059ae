"""How many records a second a committee of four takes into its log: `make bench`.

Four real daemons on one machine, each record verified by all of them, in their SQLite stores
(synced) and applied to their ledgers. Records are SEAT_VOTEs, small ones that take effect, signed
beforehand by the members' own keys: each by itself, or many with one signature over a Merkle root.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import trio

from ambientd.adapters.keys import load_key
from ambientd.api.genesis_files import load_genesis
from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint, sign_records
from ambientd.config.places import Places
from ambientd.model.base import NodeId
from ambientd.model.record import SeatVote, SeatWish
from benchmarks.feeder import joined_feeder
from benchmarks.mesh import machine, report, running_mesh

TOGETHER = 64
"""Statements under one signature."""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="about how long a run takes")
    chosen = parser.parse_args()
    print(machine())
    with running_mesh() as nodes:
        trio.run(_measure, nodes, chosen.runs, chosen.seconds)
    print(machine())


async def _measure(nodes: list[Path], runs: int, seconds: float) -> None:
    found: dict[str, list[float]] = {}
    cost: dict[str, list[float]] = {}
    async with joined_feeder(nodes) as feeder:
        writer = Writer(nodes, feeder.node)
        for run in range(-1, runs):  # the first one warms up
            for name, together, rate in (
                ("signed one by one", 1, 1_000),
                (f"{TOGETHER} to a signature", TOGETHER, 3_000),
            ):
                records = writer.write(int(rate * seconds) if run >= 0 else 1_000, together)
                before, begin = _processor_s(nodes), time.perf_counter()
                await feeder.feed(records)
                if run >= 0:
                    passed_s = time.perf_counter() - begin
                    found.setdefault(name, []).append(len(records) / passed_s)
                    spent_s = _processor_s(nodes) - before
                    cost.setdefault(name, []).append(1e6 * spent_s / len(records) / len(nodes))
    for name, rates in found.items():
        report(f"committed at all four, {name}", rates, "records/s")
        report(f"processor time, {name}", cost[name], "µs a record and member")


class Writer:
    """Writes SEAT_VOTEs of the members on a guest, each later than the one before."""

    def __init__(self, nodes: Sequence[Path], about: NodeId) -> None:
        cluster = fingerprint(load_genesis(Places(nodes[0]).genesis))
        self._signers = [Signer(load_key(Places(node).key), cluster) for node in nodes]
        self._about = about
        self._said_ms = 0

    def write(self, count: int, together: int) -> list[bytes]:
        """Give signed records, members taking turns."""
        records: list[bytes] = []
        while len(records) < count:
            signer = self._signers[len(records) // together % len(self._signers)]
            bodies = []
            for _ in range(min(together, count - len(records))):
                self._said_ms += 1
                vote = SeatVote(node=self._about, wish=SeatWish.IN, said_ms=self._said_ms)
                bodies.append(vote)
            records += [encode(record) for record in sign_records(signer, bodies)]
        return records


def _processor_s(nodes: Sequence[Path]) -> float:
    """Give what the daemons have used of the processors."""
    total = 0.0
    for node in nodes:
        times = psutil.Process(int((node / "lock").read_text())).cpu_times()
        total += times.user + times.system
    return total


if __name__ == "__main__":
    main()
