"""A queue of tasks that each touch their whole memory limit, on a pool with a smaller budget.

All must end with the same outcome, whatever the host's memory; the resident memory of this process
and of its workers together, sampled all the while, must stay within the budget and the processes'
own size.
"""

import argparse
import json
import os
import time
from pathlib import Path

import trio

from ambientd.codec.digest import sha256
from ambientd.model.execution import ExecutionLimits, ExecutionResult
from ambientd.ports.module_cache import ReadyModule
from ambientd.runtime.worker_options import WorkerPoolOptions
from ambientd.runtime.workers import WorkerPool, open_worker_pool
from benchmarks.mesh import machine
from benchmarks.wasm_modules import MIB, hungry_module

SAMPLE_S = 0.02
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--limit-mib", type=int, default=512, help="memory limit of a task")
    parser.add_argument("--budget-mib", type=int, default=4_096, help="memory budget of the pool")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    chosen = parser.parse_args()
    before = machine()
    figures = trio.run(
        measure, chosen.tasks, chosen.limit_mib * MIB, chosen.budget_mib * MIB, chosen.workers
    )
    if chosen.json:
        print(json.dumps({"before": before, "after": machine(), **figures}))
        return
    print(before)
    for name, value in figures.items():
        print(f"{name:36} {value}")
    print(machine())


async def measure(
    tasks: int, limit_bytes: int, budget_bytes: int, workers: int
) -> dict[str, object]:
    """Queue all tasks at once; give what became of them and the highest memory seen."""
    options = WorkerPoolOptions(size=workers, waiting_max=tasks, memory_budget_bytes=budget_bytes)
    limits = ExecutionLimits(
        memory_bytes_max=limit_bytes, gas_max=1 << 40, wall_ms_max=600_000, output_bytes_max=64
    )
    results: list[object] = []
    async with open_worker_pool(options) as pool:
        code = hungry_module()
        module = await pool.prepare(sha256(code), code)
        assert isinstance(module, ReadyModule)

        async def one() -> None:
            results.append(await pool.execute(module, b"", limits, bytes(32)))

        peak = Peak(pool)
        begin = time.perf_counter()
        async with trio.open_nursery() as watching:
            watching.start_soon(peak.watch)
            async with trio.open_nursery() as nursery:
                for _ in range(tasks):
                    nursery.start_soon(one)
            watching.cancel_scope.cancel()
        taken = time.perf_counter() - begin
    outcomes = {
        (result.kind.name.lower(), result.output.hex(), result.gas)
        for result in results
        if isinstance(result, ExecutionResult)
    }
    return {
        "tasks": tasks,
        "outcomes": len([each for each in results if isinstance(each, ExecutionResult)]),
        "different outcomes": len(outcomes),
        "pages each": sorted(
            {int.from_bytes(bytes.fromhex(text), "little") for _, text, _ in outcomes}
        ),
        "seconds": round(taken, 1),
        "daemon peak MiB": peak.own_bytes // MIB,
        "together peak MiB": peak.all_bytes // MIB,
        "budget MiB": budget_bytes // MIB,
    }


class Peak:
    """The most memory seen in this process, and in it and its workers together."""

    def __init__(self, pool: WorkerPool) -> None:
        self.own_bytes = self.all_bytes = 0
        self._pool = pool

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            own = resident_bytes(os.getpid())
            theirs = sum(map(resident_bytes, (*self._pool.pids, *self._pool.preparer_pids)))
            self.own_bytes = max(self.own_bytes, own)
            self.all_bytes = max(self.all_bytes, own + theirs)
            await trio.sleep(SAMPLE_S)


def resident_bytes(pid: int) -> int:
    """Return a process's resident memory, 0 once it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


if __name__ == "__main__":
    main()
