"""Whether a daemon's memory grows: a mesh with gossip and a slow stream of tasks, for hours.

The resident set of each daemon is sampled, and a line is laid through the samples by least
squares. What is bounded by design but fills slowly (histories of tasks, series of telemetry, what
the ledger keeps) counts as growth until it is full; so receipts are kept for minutes here, and the
first part, while everything fills, is left out of the line. Both are said with the result.
"""

import argparse
import csv
import math
import sys
import threading
import time
from pathlib import Path

from ambientd.api.client import Client
from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import SubmitTask, WaitForTask
from ambientd.config.places import socket_path_for
from ambientd.errors import AmbientError
from ambientd.model.genesis import Rules
from benchmarks.memory import KIB, rolled_up
from benchmarks.mesh import NOOP, machine, running_daemons

SAMPLE_S = 10.0
KEEP_MS = 300_000
TOLD_EVERY = 60

Samples = list[tuple[float, float]]
"""Hours since the start, and MiB."""


def main() -> None:
    """Run and print; fail when a daemon grows by more than is allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--settle", type=float, default=0.25, help="share that is left out")
    parser.add_argument("--every", type=float, default=1.0, help="seconds from task to task")
    parser.add_argument("--file", type=Path, help="where the samples go, as CSV")
    parser.add_argument(
        "--most", type=float, default=2.0, help="MiB an hour that a daemon may grow by"
    )
    chosen = parser.parse_args()
    print(machine(), flush=True)
    plan = ClusterPlan(bitcoin="off", rules=Rules(keep_ms=KEEP_MS))
    with running_daemons(plan=plan) as daemons:
        stop, done = threading.Event(), [0]
        arguments = (list(daemons), chosen.every, stop, done)
        stream = threading.Thread(target=submit, args=arguments, daemon=True)
        stream.start()
        pids = {node.name: process.pid for node, process in daemons.items()}
        samples = sample(pids, chosen.minutes * 60, done)
        stop.set()
        stream.join(60)
    if chosen.file is not None:
        write(chosen.file, samples)
    print(f"{done[0]} tasks in {chosen.minutes:g} minutes; {machine()}")
    sys.exit(not tell(samples, chosen.settle, chosen.most))


def submit(nodes: list[Path], every_s: float, stop: threading.Event, done: list[int]) -> None:
    """Submit a task now and then, to one node after the other, and wait for its end."""
    module, number = NOOP.read_bytes(), 0
    while not stop.wait(every_s):
        number += 1
        try:
            with Client(socket_path_for(nodes[number % len(nodes)])) as client:
                request = SubmitTask(module=module, input=number.to_bytes(8, "little"))
                task = client.call(TASK_SUBMIT, request).task_id
                client.call(TASK_WAIT, WaitForTask(task=task))
        except AmbientError as error:  # on a machine with much other work
            print(f"a task was not taken: {error}", flush=True)
        else:
            done[0] += 1


def sample(pids: dict[str, int], seconds: float, done: list[int]) -> dict[str, Samples]:
    """Note each daemon's resident set until the time is over."""
    begin = time.monotonic()
    found: dict[str, Samples] = {name: [] for name in pids}
    count = 0
    while (past_s := time.monotonic() - begin) < seconds:
        for name, pid in pids.items():
            found[name].append((past_s / 3600, rolled_up(pid)["Rss"] / KIB))
        if count % TOLD_EVERY == 0:
            sizes = ", ".join(f"{samples[-1][1]:.1f}" for samples in found.values())
            print(f"{past_s / 60:6.1f} min  {sizes} MiB  {done[0]} tasks", flush=True)
        count += 1
        time.sleep(SAMPLE_S)
    return found


def slope(samples: Samples) -> tuple[float, float]:
    """Lay a line through samples by least squares; give its slope and the standard error of it."""
    count = len(samples)
    mean_x = sum(x for x, _ in samples) / count
    mean_y = sum(y for _, y in samples) / count
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread
    left = sum((y - mean_y - rise * (x - mean_x)) ** 2 for x, y in samples)
    return rise, math.sqrt(left / max(1, count - 2) / spread)


def tell(samples: dict[str, Samples], settle: float, most: float) -> bool:
    """Print each daemon's line; tell whether all stayed below what is allowed."""
    is_flat = True
    for name, found in samples.items():
        settled = found[int(len(found) * settle) :]
        rise, error = slope(settled)
        first, last = settled[0][1], settled[-1][1]
        print(
            f"{name}: {rise:+.2f} ± {error:.2f} MiB an hour over the last "
            f"{(settled[-1][0] - settled[0][0]) * 60:.0f} minutes, {len(settled)} samples, "
            f"from {first:.1f} to {last:.1f} MiB; at the start {found[0][1]:.1f}"
        )
        is_flat = is_flat and rise - 2 * error <= most
    return is_flat


def write(path: Path, samples: dict[str, Samples]) -> None:
    """Write the samples down."""
    with path.open("w", encoding="ascii", newline="") as file:
        table = csv.writer(file)
        table.writerow(("node", "hours", "rss_mib"))
        for name, found in samples.items():
            table.writerows((name, f"{x:.5f}", f"{y:.3f}") for x, y in found)


if __name__ == "__main__":
    main()
