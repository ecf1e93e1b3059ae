"""Whether a pool of processes verifies signatures sooner than the process that wants them verified.

`python -m benchmarks.verification`: batches of 16 to 1,024 Ed25519 signatures over 300 bytes each,
inline and in a pool of two, in turn; medians and the least of the wall clock, medians of all
processors' time. What is sent to the pool is what it needs: keys, messages and signatures as bytes.
"""

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeAlias

from ambientd.codec import ed25519

Signed: TypeAlias = tuple[bytes, bytes, bytes]

SIZES = (16, 64, 256, 1_024)
PROCESSES = 2
MESSAGE_BYTES = 300
RUNS = 7


def batch(size: int, run: int) -> list[Signed]:
    """Give signatures that were never seen before, of a few keys as in a committee."""
    made = []
    for number in range(size):
        seed = bytes([number % 16]) * 32
        message = b"%d of %d" % (number, run) + os.urandom(MESSAGE_BYTES)
        made.append((ed25519.public_key(seed), message, ed25519.sign(seed, message)))
    return made


def verify_all(signed: Sequence[Signed]) -> bool:
    """Verify one after the other."""
    return all(ed25519.verify(*each) for each in signed)


def in_pool(pool: ProcessPoolExecutor, signed: Sequence[Signed]) -> bool:
    """Verify in as many parts as there are processes."""
    size = -(-len(signed) // PROCESSES)
    parts = [signed[first : first + size] for first in range(0, len(signed), size)]
    return all(pool.map(verify_all, parts))


def _processor_s(pids: Sequence[int]) -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime + sum(map(_used_s, pids))


def _used_s(pid: int) -> float:
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:  # nanoseconds on a processor
        return int(file.read().split()[0]) / 1e9


def measured(verify: Callable[[], bool], pids: Sequence[int]) -> tuple[float, float]:
    """Give wall-clock and processor time of one way; seconds."""
    began, used = time.perf_counter(), _processor_s(pids)
    assert verify(), "every signature is good"
    return time.perf_counter() - began, _processor_s(pids) - used


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser("benchmarks.verification", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    runs: int = parser.parse_args().runs
    print(f"load average {os.getloadavg()[0]:.1f} before, {os.cpu_count()} cores, {runs} runs each")
    print("| signatures | inline, ms | pool of 2, ms | ratio | least, ms | processor, ms |")
    print("|---|---|---|---|---|---|")
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        for _ in range(PROCESSES * 4):
            assert in_pool(pool, batch(PROCESSES * 4, -1))
        pids = list(pool._processes)
        for size in SIZES:
            found: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
            for run in range(runs):
                first, second = batch(size, 2 * run), batch(size, 2 * run + 1)
                ways = [
                    (0, lambda signed=first: verify_all(signed)),
                    (1, lambda signed=second: in_pool(pool, signed)),
                ]
                for place, way in ways if run % 2 else ways[::-1]:
                    found[place].append(measured(way, pids))
            wall = [statistics.median(each[0] for each in way) * 1e3 for way in found]
            used = [statistics.median(each[1] for each in way) * 1e3 for way in found]
            least = [min(each[0] for each in way) * 1e3 for way in found]
            both = (f"{one:.1f} / {two:.1f}" for one, two in (least, used))
            cells = (f"{size}", *(f"{each:.1f}" for each in wall), f"{wall[1] / wall[0]:.2f}")
            print(f"| {' | '.join((*cells, *both))} |", flush=True)
    print(f"load average {os.getloadavg()[0]:.1f} afterwards")


if __name__ == "__main__":
    main()
