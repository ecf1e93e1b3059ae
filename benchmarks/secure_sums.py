"""Secure aggregation of a million numbers from a group of 16 of which two drop out.

    python -m benchmarks.secure_sums --runs 5

Every member's part is done here, one after another, and timed by itself: what a participant does
for its group, and what the aggregator does to have the sum.
"""

import argparse
import hashlib
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from ambientd.model.base import NodeId
from ambientd.rules.learning import masking, secure

ROUND = b"benchmark"


def one_run(size: int, count: int, gone: int, clock: Callable[[], float]) -> dict[str, float]:
    """Play one group's round; give seconds of each part."""
    nodes = sorted(NodeId(hashlib.sha256(b"%d" % number).digest()) for number in range(size))
    secrets = {node: os.urandom(32) for node in nodes}
    group = {node: secure.keys(secrets[node], ROUND) for node in nodes}
    threshold = 2 * size // 3 + 1
    rng = np.random.default_rng(1)
    values = {node: rng.integers(-(2**20), 2**20, count).astype("<i4") for node in nodes}
    survivors = nodes[gone:]

    start = clock()
    dealt = {n: secure.shares(secrets[n], n, group, threshold, ROUND) for n in nodes}
    dealing = (clock() - start) / size

    start = clock()
    uploads = {
        n: masking.masked(secrets[n], n, group, values[n].tobytes(), ROUND) for n in survivors
    }
    masks = (clock() - start) / len(survivors)

    start = clock()
    opened = {}
    for node in survivors:
        sealed = {dealer: blobs[node] for dealer, blobs in dealt.items()}
        book = secure.share_book(secrets[node], node, group, sealed, threshold, group, ROUND)
        opened[node] = book.release(survivors)[1]
    opening = (clock() - start) / len(survivors)

    start = clock()
    total = masking.unmasked(group, survivors, threshold, uploads, opened, dealt, ROUND, count)
    unmasking = clock() - start
    expected = sum(values[node].astype(np.int64) for node in survivors)
    assert np.array_equal(np.frombuffer(total, "<i4"), expected)
    return {
        "a participant deals shares": dealing,
        "a participant masks": masks,
        "a participant opens shares": opening,
        "the aggregator has the sum": unmasking,
        "all of it together": dealing + masks + opening + unmasking,
    }


def main() -> None:
    """Print medians and ranges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--numbers", type=int, default=1_000_000)
    parser.add_argument("--dropouts", type=int, default=2)
    parser.add_argument("--cpu", action="store_true", help="processor time, on a busy machine")
    options = parser.parse_args()
    clock = time.process_time if options.cpu else time.perf_counter
    one_run(4, 1000, 0, clock)
    runs = [
        one_run(options.size, options.numbers, options.dropouts, clock) for _ in range(options.runs)
    ]
    for name in runs[0]:
        seen = sorted(1000 * run[name] for run in runs)
        print(f"{name}: {statistics.median(seen):.1f} ms ({seen[0]:.1f} - {seen[-1]:.1f})")
    print("load average", *(f"{load:.1f}" for load in os.getloadavg()))


if __name__ == "__main__":
    main()
