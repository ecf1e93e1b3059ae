"""A fleet of forked nodes: how much memory each takes, and whether tasks are slower among many.

`ambientd fleet` founds a mesh of so many nodes, which is then left alone for a while, and each
process tells its share of memory (PSS: what several map counts in parts). After that tasks are
submitted at one node, one after the other.
"""

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ambientd.api.own_ports import free_ports
from benchmarks.memory import KIB, rolled_up
from benchmarks.mesh import machine, percentile, report
from benchmarks.task_latency import one_run

BASE_PORT = 22_000
STOP_S = 90.0


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[10, 200])
    parser.add_argument("--idle", type=float, default=90.0, help="seconds without any work")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=40, help="tasks in a run")
    parser.add_argument("--together", type=int, default=1, help="nodes that share a process")
    parser.add_argument("--deadline", type=float, default=900.0, help="seconds to join in")
    chosen = parser.parse_args()
    for count in chosen.nodes:
        print(f"{count} nodes; {machine()}", flush=True)
        with running_fleet(count, chosen.deadline, chosen.together) as (root, process):
            time.sleep(chosen.idle)
            tell_memory(process.pid, count)
            tell_work(process.pid, count)
            figures: dict[str, list[float]] = {}
            for _ in range(chosen.runs):
                assigned, output = one_run([root / "node1"], chosen.tasks)
                for name, values in (("assigned", assigned), ("output", output)):
                    figures.setdefault(f"{name} p50", []).append(percentile(values, 0.5))
                    figures.setdefault(f"{name} p99", []).append(percentile(values, 0.99))
            for name, runs in figures.items():
                report(f"submit -> {name}, {count} nodes", runs, "ms")
            print(machine(), flush=True)


@contextmanager
def running_fleet(
    count: int, deadline_s: float, together: int
) -> Iterator[tuple[Path, "subprocess.Popen[bytes]"]]:
    """Give the folder and the first process of a fleet all of whose nodes have joined."""
    with tempfile.TemporaryDirectory(prefix="ambient-fleet-") as folder:
        root, path = Path(folder) / "fleet", Path(folder) / "log"
        options = ["--data-dir", str(root), "--nodes", str(count)]
        options += ["--together", str(together)]
        port = free_ports(BASE_PORT, count)[0]
        command = [sys.executable, "-m", "ambientd.daemon", "fleet", *options]
        begin = time.monotonic()
        with path.open("wb") as log:
            command += ["--base-port", str(port)]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            # A node that has joined has used up its token.
            while path.read_bytes().count(b"ready ") < count or any(
                root.glob("node*/invitation.token")
            ):
                if process.poll() is not None or time.monotonic() - begin > deadline_s:
                    print(path.read_text(errors="replace")[-3000:])
                    sys.exit(f"{count} nodes were not ready and joined in {deadline_s} s")
                time.sleep(0.5)
            print(f"all ready and joined after {time.monotonic() - begin:.1f} s", flush=True)
            yield root, process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def tell_memory(pid: int, count: int) -> None:
    """Print what the nodes, their workers and the process that forked them hold."""
    nodes = psutil.Process(pid).children()
    workers = [each for node in nodes for each in node.children(recursive=True)]
    shares = [rolled_up(each.pid)["Pss"] / KIB for each in nodes]
    print(f"{count} nodes in {len(nodes)} processes, PSS together {sum(shares):.1f} MiB")
    for name, processes in (
        ("a process", [each.pid for each in nodes]),
        ("the first process", [pid]),
    ):
        found = [rolled_up(each) for each in processes]
        for kind in ("Pss", "Rss", "Private_Dirty"):
            values = [each[kind] / KIB for each in found]
            spread = f"{min(values):.1f} - {max(values):.1f}"
            print(f"{name:18} {kind:14} {statistics.median(values):6.1f} MiB ({spread})")
    sizes = []
    for worker in workers:
        with contextlib.suppress(OSError):
            sizes.append(rolled_up(worker.pid)["Pss"] / KIB)
    print(f"{len(sizes)} worker processes, PSS together {sum(sizes):.1f} MiB", flush=True)


def tell_work(pid: int, count: int, seconds: float = 20.0) -> None:
    """Print how much processor time a node takes while nothing is asked of it."""
    nodes = psutil.Process(pid).children()
    before = sum(sum(node.cpu_times()[:2]) for node in nodes)
    time.sleep(seconds)
    spent = sum(sum(node.cpu_times()[:2]) for node in nodes) - before
    share = 100 * spent / seconds
    cores = os.cpu_count()
    print(f"idle: {share:.1f} % of a core for all ({cores} cores), {share / count:.2f} % a node")


if __name__ == "__main__":
    main()
