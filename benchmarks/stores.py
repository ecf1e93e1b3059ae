"""Measure the stores: durable write latency, throughput in groups, memory, opening.

Run as: python -m benchmarks.stores [--runs N]
"""

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import msgspec
import psutil
import trio

from ambientd.adapters.stores import STORE_NAMES, open_store
from ambientd.config.options import StoreEngine
from ambientd.ports.store import Put, StoreTable
from ambientd.runtime.store_writer import StoreWriter

VALUE_BYTES = 1024
ONE_BY_ONE = 1500
CALLERS = 64
EACH = 150
FILL_ROWS = 60_000
MIB = 1 << 20


def _put(number: int, source: random.Random) -> list[Put]:
    return [Put(StoreTable.BLOCK, number.to_bytes(8, "big"), source.randbytes(VALUE_BYTES))]


async def _measure(writer: StoreWriter, source: random.Random) -> dict[str, float]:
    delays = []
    for number in range(ONE_BY_ONE):
        batch = _put(number, source)
        begun = time.perf_counter()
        await writer.write(batch)
        delays.append((time.perf_counter() - begun) * 1000)
    delays.sort()
    groups_before = writer.groups

    async def caller(first: int) -> None:
        for number in range(first, first + EACH):
            await writer.write(_put(number, source))

    begun = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for who in range(CALLERS):
            nursery.start_soon(caller, ONE_BY_ONE + who * EACH)
    took = time.perf_counter() - begun
    groups = writer.groups - groups_before
    return {
        "p50_ms": delays[len(delays) // 2],
        "p99_ms": delays[len(delays) * 99 // 100],
        "writes_s": CALLERS * EACH / took,
        "group": CALLERS * EACH / groups,
    }


async def _child(engine: StoreEngine, folder: Path) -> dict[str, float]:
    source, process = random.Random(1), psutil.Process()
    before = process.memory_info().rss
    async with StoreWriter(open_store(folder, engine)) as writer:
        figures = await _measure(writer, source)
        start = ONE_BY_ONE + CALLERS * EACH
        for first in range(start, FILL_ROWS, 500):
            rows = [put for n in range(first, first + 500) for put in _put(n, source)]
            await writer.write(rows)
        figures["rss_mib"] = (process.memory_info().rss - before) / MIB
    path = folder / STORE_NAMES[engine]
    files = path.rglob("*") if path.is_dir() else [path]
    figures["size_mib"] = sum(file.stat().st_size for file in files) / MIB
    begun = time.perf_counter()
    open_store(folder, engine).close()
    figures["open_s"] = time.perf_counter() - begun
    return figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--child")
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if chosen.child:
        figures = trio.run(_child, StoreEngine(chosen.child), chosen.folder)
        sys.stdout.buffer.write(msgspec.json.encode(figures))
        return
    engines = [StoreEngine.SQLITE]
    if find_spec("rocksdict") is not None:
        engines.append(StoreEngine.ROCKSDB)
    all_runs: dict[StoreEngine, list[dict[str, float]]] = {engine: [] for engine in engines}
    for run in range(chosen.runs):
        for engine in engines:
            print(f"run {run + 1} of {chosen.runs}: {engine}", file=sys.stderr)
            with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
                command = [sys.executable, "-m", "benchmarks.stores", "--child", engine]
                output = subprocess.check_output([*command, "--folder", folder])
                all_runs[engine].append(msgspec.json.decode(output))
    for engine, runs in all_runs.items():
        for name in runs[0]:
            values = sorted(run[name] for run in runs)
            middle = statistics.median(values)
            print(f"{engine:8} {name:9} {middle:10.2f}  [{values[0]:.2f} - {values[-1]:.2f}]")


if __name__ == "__main__":
    main()
