"""How long a cached 1 MB module takes from the disk to its first outcome in an idle worker.

The compiled module is in the cache folder (its pages in the system's memory), nothing of it in the
daemon, and the worker process is fresh: it has never loaded a module of anybody. The parts are
measured one by one in this process.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import trio

from ambientd.adapters.compiled_files import CompiledFiles
from ambientd.adapters.engines import installed, open_engine
from ambientd.codec.digest import sha256
from ambientd.model.execution import ExecutionLimits, ExecutionResult
from ambientd.ports.module_cache import ReadyModule
from ambientd.runtime.worker_options import WorkerPoolOptions
from ambientd.runtime.workers import WorkerPool, open_worker_pool
from benchmarks.mesh import machine, percentile, report
from benchmarks.wasm_modules import MIB, large_module

SEED = bytes(32)
SETTLE_S = 0.5  # for the next fresh process to start and come to rest


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=30, help="cold starts for each engine")
    parser.add_argument("--module", type=Path, help="measure with this module instead")
    parser.add_argument("--json", action="store_true", help="one object on one line")
    chosen = parser.parse_args()
    before = machine()
    module = chosen.module.read_bytes() if chosen.module else large_module(MIB)
    figures = {engine: trio.run(measure, engine, module, chosen.starts) for engine in installed()}
    if chosen.json:
        sizes = {"module_bytes": len(module)}
        print(json.dumps({"before": before, "after": machine(), **sizes, "engines": figures}))
        return
    print(before)
    print(f"module of {len(module)} bytes")
    for engine, parts in figures.items():
        for name, values in parts.items():
            unit = "MB" if name.startswith("size") else "ms"
            report(f"{engine}, {name}", values, unit)
        print(f"{engine}, p90 {percentile(parts['cold start'], 0.9):.1f} ms")
    print(machine())


async def measure(engine: str, module: bytes, starts: int) -> dict[str, list[float]]:
    """Time cold starts, each in a process of its own; then the parts."""
    with tempfile.TemporaryDirectory(prefix="ambient-bench-") as folder:
        cache = CompiledFiles(Path(folder), SEED)
        options = WorkerPoolOptions(size=1, engine=engine, executions_max=1)
        async with open_worker_pool(options, cache) as pool:
            source = sha256(module)
            ready = await pool.prepare(source, module)
            if not isinstance(ready, ReadyModule):
                raise SystemExit(f"the module was not prepared: {ready.reason}")
            times = [await cold_start(pool, source, module) for _ in range(starts)]
            maker = f"{pool.engine} {pool.engine_version}"
        size = len(ready.code) / 1e6
        parts = {"cold start": times, "size of the code": [size]}
        parts["read and verify"] = timed(lambda: cache.find(source, maker))
    if ready.is_compiled:
        here = open_engine(engine)
        parts["restore"] = timed(lambda: here.restore(ready.code))
        restored = here.restore(ready.code)
        limit = ExecutionLimits().memory_bytes_max
        parts["instantiate"] = timed(lambda: restored.instantiate(limit, None).close())
    return parts


async def cold_start(pool: WorkerPool, source: bytes, module: bytes) -> float:
    """Give the time in ms from the wish to the outcome."""
    await trio.sleep(SETTLE_S)
    begin = time.perf_counter()
    ready = await pool.prepare(source, module)
    assert isinstance(ready, ReadyModule)
    result = await pool.execute(ready, b"", ExecutionLimits(), SEED)
    taken = (time.perf_counter() - begin) * 1000
    if not isinstance(result, ExecutionResult):
        raise SystemExit(f"aborted: {result.reason}")
    return taken


def timed(work: Callable[[], object]) -> list[float]:
    """Give the times of nine repetitions in ms."""
    times = []
    for _ in range(9):
        begin = time.perf_counter()
        work()
        times.append((time.perf_counter() - begin) * 1000)
    return times


if __name__ == "__main__":
    main()
