"""What a call costs: a no-op through the pool and a locked-down worker, one caller at a time."""

import argparse
import json
import time

import trio

from ambientd.adapters.engines import installed
from ambientd.codec.digest import sha256
from ambientd.model.execution import ExecutionLimits, ExecutionResult
from ambientd.ports.module_cache import ReadyModule
from ambientd.runtime.worker_options import WorkerPoolOptions
from ambientd.runtime.workers import open_worker_pool
from benchmarks.mesh import NOOP, machine, percentile, report

WARM_UP = 200
SEED = bytes(32)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--calls", type=int, default=2_000, help="calls in a run")
    parser.add_argument("--json", action="store_true", help="one object on one line")
    chosen = parser.parse_args()
    before = machine()
    figures = {
        engine: trio.run(measure, engine, chosen.runs, chosen.calls) for engine in installed()
    }
    if chosen.json:
        print(json.dumps({"before": before, "after": machine(), "us": figures}))
        return
    print(before)
    for engine, kinds in figures.items():
        for kind, runs in kinds.items():
            report(f"{engine}, call {kind}", runs, "us")
    print(machine())


async def measure(engine: str, runs: int, calls: int) -> dict[str, list[float]]:
    """Time single calls; give p50 and p99 of each run in µs."""
    figures: dict[str, list[float]] = {"p50": [], "p99": []}
    async with open_worker_pool(WorkerPoolOptions(size=1, engine=engine)) as pool:
        code = NOOP.read_bytes()
        module = await pool.prepare(sha256(code), code)
        if not isinstance(module, ReadyModule):
            raise SystemExit(f"the no-op was not prepared: {module.reason}")
        for _ in range(runs):
            times = []
            for number in range(WARM_UP + calls):
                begin = time.perf_counter()
                result = await pool.execute(module, b"", ExecutionLimits(), SEED)
                if number >= WARM_UP:
                    times.append((time.perf_counter() - begin) * 1e6)
                if not isinstance(result, ExecutionResult):
                    raise SystemExit(f"a call was aborted: {result.reason}")
            figures["p50"].append(percentile(times, 0.5))
            figures["p99"].append(percentile(times, 0.99))
    return figures


if __name__ == "__main__":
    main()
