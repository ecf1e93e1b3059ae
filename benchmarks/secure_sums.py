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

from ambientd.adapters.learning.learner import in_threads
from ambientd.model.base import NodeId
from ambientd.rules.learning import masking, noise, secure
from ambientd.rules.learning.privacy import Terms

ROUND = b"benchmark"


def one_run(
    size: int, count: int, gone: int, clock: Callable[[], float], spread: masking.Spread
) -> dict[str, float]:
    """Play one group's round; give seconds of each part."""
    nodes = sorted(NodeId(hashlib.sha256(b"%d" % number).digest()) for number in range(size))
    secrets = {node: os.urandom(32) for node in nodes}
    group = {node: secure.keys(secrets[node], ROUND) for node in nodes}
    threshold = 2 * size // 3 + 1
    rng = np.random.default_rng(1)
    values = {node: rng.integers(-(2**20), 2**20, count).astype("<i4") for node in nodes}
    survivors = nodes[gone:]

    terms = Terms(500_000, 4_000, threshold)
    update = rng.integers(-(2**12), 2**12, count).astype("<i4").tobytes()
    noise.quantised(terms, update[:4000], ROUND * 4)
    start = clock()
    noise.quantised(terms, update, ROUND * 4)
    quantising = clock() - start
    start = clock()
    for node in survivors:
        hashlib.sha256(values[node].data).digest()
    hashing = clock() - start

    start = clock()
    dealt = {n: secure.shares(secrets[n], n, group, threshold, ROUND) for n in nodes}
    dealing = (clock() - start) / size

    start = clock()
    uploads = {
        n: masking.masked(secrets[n], n, group, values[n].tobytes(), ROUND, spread)
        for n in survivors
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
    total = masking.unmasked(
        group, survivors, threshold, uploads, opened, dealt, ROUND, count, spread
    )
    unmasking = clock() - start
    expected = sum(values[node].astype(np.int64) for node in survivors)
    assert np.array_equal(np.frombuffer(total, "<i4"), expected)
    return {
        "a participant clips and adds noise": quantising,
        "a participant deals shares": dealing,
        "a participant masks": masks,
        "a participant opens shares": opening,
        "the aggregator has the sum": unmasking,
        "all of that together": quantising + dealing + masks + opening + unmasking,
        "the aggregator hashes all uploads, as they come": hashing,
    }


def main() -> None:
    """Print medians and ranges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--numbers", type=int, default=1_000_000)
    parser.add_argument("--dropouts", type=int, default=2)
    parser.add_argument("--cpu", action="store_true", help="processor time, on a busy machine")
    parser.add_argument("--threads", action="store_true", help="as the daemon does, on all cores")
    options = parser.parse_args()
    clock = time.process_time if options.cpu else time.perf_counter
    spread = in_threads if options.threads else masking.in_turn
    one_run(4, 1000, 0, clock, spread)
    runs = [
        one_run(options.size, options.numbers, options.dropouts, clock, spread)
        for _ in range(options.runs)
    ]
    for name in runs[0]:
        seen = sorted(1000 * run[name] for run in runs)
        print(f"{name}: {statistics.median(seen):.1f} ms ({seen[0]:.1f} - {seen[-1]:.1f})")
    print("load average", *(f"{load:.1f}" for load in os.getloadavg()))


if __name__ == "__main__":
    main()
