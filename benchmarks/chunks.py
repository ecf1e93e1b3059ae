"""How fast a blob comes over loopback: as a whole from one peer, by chunks from one and from two.

    python -m benchmarks.chunks --runs 5 --mib 48

Each node is a process with the daemon's transport, files and server; the ways take turns.
Processor time is counted, as the machine may be busy with other things.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trio
from nacl.signing import SigningKey

from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.libp2p import open_transport
from ambientd.codec.digest import sha256
from ambientd.model.base import Digest, NodeId
from ambientd.ports.transport import HostPort, PeerAddress, TransportOptions
from ambientd.runtime import blobs as runtime_blobs
from ambientd.runtime.blobs import Blobs, SealedBlobs
from ambientd.runtime.bringing import Bringer
from ambientd.runtime.serving import ChunkServer

MIB = 1024 * 1024
SEEDS = [bytes([number + 1]) * 32 for number in range(3)]
NODES = [NodeId(bytes(SigningKey(seed).verify_key)) for seed in SEEDS]
WAYS = ("whole, one peer", "chunks, one peer", "chunks, two peers")


async def refuse(_node: bytes, _payload: bytes) -> bytes:
    """Let nobody in."""
    return b""


async def hold(folder: Path, number: int) -> None:
    """Serve what a folder has until standard input ends; a line asks for processor time."""
    files = BlobFiles(folder)
    sealed = SealedBlobs(files)
    async with open_transport(
        TransportOptions(listen=HostPort("127.0.0.1", 0)),
        seed=SEEDS[number],
        allowed=frozenset(NODES),
        serve_blob=sealed.give,  # nodes give no more than 1 MiB so, and this compares
        serve_join=refuse,
        rng=random.Random(number),
        serve_piece=ChunkServer(files, sealed, lambda: int(time.time() * 1000)).serve,
    ) as transport:
        print(transport.address.port, flush=True)
        while await trio.to_thread.run_sync(sys.stdin.readline):
            print(time.process_time(), flush=True)


class Holder:
    """A process that serves."""

    def __init__(self, folder: Path, number: int) -> None:
        words = [sys.executable, "-m", "benchmarks.chunks", "--hold", str(folder), str(number)]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = PeerAddress(NODES[number], "127.0.0.1", int(self._line()))

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def cpu_s(self) -> float:
        """Ask how much processor time it took so far."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._line())


@contextmanager
def holding(folder: Path, number: int) -> Iterator[Holder]:
    """Have a holder for the length of a block."""
    holder = Holder(folder, number)
    try:
        yield holder
    finally:
        holder.process.communicate()


async def fetch(folder: Path, way: str, holders: list[Holder], name: Digest, size: int) -> float:
    """Fetch once into an empty folder; give the seconds it took."""
    runtime_blobs.WHOLE_BYTES_MAX = size if way == WAYS[0] else MIB
    files = BlobFiles(folder)
    async with open_transport(
        TransportOptions(listen=HostPort("127.0.0.1", 0)),
        seed=SEEDS[2],
        allowed=frozenset(NODES),
        serve_blob=SealedBlobs(files).serve,
        serve_join=refuse,
        rng=random.Random(2),
    ) as transport:
        transport.set_peers([holder.address for holder in holders])
        with trio.fail_after(60):
            while len(transport.peers()) < len(holders):
                await transport.connections.receive()
        peers = [NodeId(holder.address.node_id) for holder in holders]
        bringer = Bringer(transport.request_piece, files)
        blobs = Blobs(files, transport.request_blob, lambda: peers, None, bringer)
        began_s = time.perf_counter()
        found = await blobs.fetch(name, size, is_synced=False)
        took_s = time.perf_counter() - began_s
        assert found is not None
    return took_s


def measure(runs: int, mib: int) -> None:
    """Let the ways take turns, and write what came of them."""
    data = random.Random(1).randbytes(mib * MIB)
    name = Digest(sha256(data))
    speeds: dict[str, list[float]] = {way: [] for way in WAYS}
    costs: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="ambient-chunks-") as text, ExitStack() as stack:
        root = Path(text)
        holders = []
        for number in range(2):
            BlobFiles(root / f"held{number}").put(data)
            holders.append(stack.enter_context(holding(root / f"held{number}", number)))
        for run in range(-1, runs):  # the first is not counted: outlines are made in it
            for place, way in enumerate(WAYS):
                used = holders[: 1 + (way == WAYS[2])]
                before_s = time.process_time(), sum(each.cpu_s() for each in used)
                into = root / f"{run}.{place}"
                took_s = trio.run(fetch, into, way, used, name, len(data))
                own_s = time.process_time() - before_s[0]
                theirs_s = sum(each.cpu_s() for each in used) - before_s[1]
                if run >= 0:
                    speeds[way].append(mib * MIB / 1e6 / took_s)
                    costs[way].append((own_s / mib * 1e3, theirs_s / mib * 1e3))
    print(json.dumps({"load average": [round(load, 1), round(os.getloadavg()[0], 1)]}))
    for way in WAYS:
        own, theirs = (sorted(each) for each in zip(*costs[way], strict=True))
        print(
            f"{way}: {statistics.median(speeds[way]):.0f} MB/s "
            f"({min(speeds[way]):.0f} - {max(speeds[way]):.0f}), processor time a MiB: "
            f"{statistics.median(own):.1f} ms here ({own[0]:.1f} - {own[-1]:.1f}), "
            f"{statistics.median(theirs):.1f} ms there ({theirs[0]:.1f} - {theirs[-1]:.1f})"
        )


def main() -> None:
    """Measure, or hold."""
    parser = argparse.ArgumentParser("python -m benchmarks.chunks")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mib", type=int, default=48)
    parser.add_argument("--hold", nargs=2, metavar=("FOLDER", "NUMBER"))
    chosen = parser.parse_args()
    if chosen.hold:
        trio.run(hold, Path(chosen.hold[0]), int(chosen.hold[1]))
    else:
        measure(chosen.runs, chosen.mib)


if __name__ == "__main__":
    main()
