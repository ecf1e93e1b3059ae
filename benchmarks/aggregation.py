"""Rules of aggregation over a hundred updates of a million numbers: time and memory.

    python -m benchmarks.aggregation --runs 5

Each rule runs in a process of its own, which makes its updates one by one, as they come from disk.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

from ambientd.rules.learning import averaging


def updates(count: int, numbers: int) -> Iterator[tuple[bytes, int]]:
    """Give updates one at a time."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        yield rng.integers(-(2**12), 2**12, numbers, dtype=np.int32).tobytes(), 100


def alone(rule: str, count: int, numbers: int) -> None:
    """Run one rule; print seconds without the making, and the most memory."""
    before = time.perf_counter()
    for _ in updates(count, numbers):
        pass
    start = time.perf_counter()
    averaging.average(rule, updates(count, numbers), numbers, 330)
    seconds = time.perf_counter() - start - (start - before)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([seconds, peak]))


def main() -> None:
    """Print medians and ranges of all rules."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--numbers", type=int, default=1_000_000)
    parser.add_argument("--alone", choices=sorted(averaging.RULES))
    options = parser.parse_args()
    if options.alone:
        alone(options.alone, options.updates, options.numbers)
        return
    rules = ("fedavg", "trimmed-mean", "median", "multi-krum")
    command = [sys.executable, "-m", "benchmarks.aggregation"]
    command += ["--updates", str(options.updates), "--numbers", str(options.numbers), "--alone"]
    seen: dict[str, list[tuple[float, float]]] = {rule: [] for rule in rules}
    for _ in range(options.runs):
        for rule in rules:
            # As the daemon does: more threads than free cores spin, and take ten times as long.
            env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
            done = subprocess.run([*command, rule], check=True, capture_output=True, env=env)
            seen[rule].append(json.loads(done.stdout))
    for rule, runs in seen.items():
        seconds = sorted(run[0] for run in runs)
        peak = max(run[1] for run in runs)
        print(
            f"{rule}: {statistics.median(seconds):.2f} s ({seconds[0]:.2f} - {seconds[-1]:.2f}), "
            f"at most {peak:.0f} MiB"
        )
    print("load average", *(f"{load:.1f}" for load in os.getloadavg()))


if __name__ == "__main__":
    main()
