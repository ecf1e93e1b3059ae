"""How many no-ops a second a local mesh settles (4 daemons), and the processor time one costs.

With `--assurance replicated` each is executed by 2 nodes that are compared; with `none` by one.
With `--bundle N` so many inputs travel as one task, in turns with tasks of one input each.
"""

import argparse
import itertools
import statistics
import threading
import time
from pathlib import Path

import psutil

from ambientd.api.client import Client
from ambientd.api.operations import STATUS, TASK_SUBMIT
from ambientd.api.requests import GetStatus, SubmitTask
from ambientd.config.places import socket_path_for
from ambientd.model.bundle import ITEMS_MAX
from benchmarks.mesh import NOOP, machine, report, running_mesh

SUBMITTERS = 8
ALONE = 1


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=400, help="tasks of one input in a run")
    parser.add_argument("--callers", type=int, default=SUBMITTERS, help="who submit at once")
    parser.add_argument(
        "--assurance", nargs="+", choices=("replicated", "none"), default=["replicated"]
    )
    parser.add_argument("--bundle", type=int, nargs="*", default=[], help="inputs of a task")
    parser.add_argument("--bundles", type=int, default=32, help="tasks of so many in a run")
    parser.add_argument("--warm-up", type=int, default=40, help="tasks before the first run")
    chosen = parser.parse_args()
    ways = list(itertools.product(chosen.assurance, (ALONE, *chosen.bundle)))
    rates: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    costs_ms: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    print(machine())
    with running_mesh() as nodes:
        one_run(nodes, chosen.warm_up, -1, chosen.callers, chosen.assurance[0], ALONE)
        for run in range(chosen.runs):
            for way in ways:
                tasks = chosen.tasks if way[1] == ALONE else chosen.bundles
                rate, cost_ms = one_run(nodes, tasks, run, chosen.callers, *way)
                rates[way].append(rate)
                costs_ms[way].append(cost_ms)
                print(f"{way[0]}, {way[1]} to a task: {rate:.1f}/s, {cost_ms:.3f} ms; {machine()}")
    for assurance, bundle in ways:
        report(f"{assurance}, {bundle} to a task", rates[assurance, bundle], "inputs/s")
        spent = costs_ms[assurance, bundle]
        low, middle, high = min(spent), statistics.median(spent), max(spent)
        print(f"  processor time of all daemons {middle:.3f} ms an input ({low:.3f} .. {high:.3f})")
    print(machine())


def one_run(
    nodes: list[Path], tasks: int, run: int, callers: int, assurance: str, bundle: int
) -> tuple[float, float]:
    """Submit from several callers at once; give inputs a second until all are final, and cost."""
    assert ALONE <= bundle <= ITEMS_MAX, f"a task has 1 to {ITEMS_MAX} inputs"
    module = NOOP.read_bytes()
    each = tasks // callers
    with Client(socket_path_for(nodes[0])) as client:
        before = client.call(STATUS, GetStatus()).tasks.get("final", 0)
    spent_s = sum(processor_time_s(node) for node in nodes)
    begin = time.perf_counter()

    def submit(number: int) -> None:
        path = socket_path_for(nodes[number % len(nodes)])
        with Client(path) as client:
            for place in range(each):
                data = f"{run} {number} {place} {bundle}".encode()
                request = SubmitTask(module=module, input=data, assurance=assurance)
                if bundle != ALONE:
                    items = tuple(b"%s %d" % (data, item) for item in range(bundle))
                    request = SubmitTask(module=module, items=items, assurance=assurance)
                client.call(TASK_SUBMIT, request)

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = before + each * callers
    with Client(socket_path_for(nodes[0])) as client:
        while client.call(STATUS, GetStatus()).tasks.get("final", 0) < wanted:
            time.sleep(0.02)
    elapsed_s = time.perf_counter() - begin
    spent_s = sum(processor_time_s(node) for node in nodes) - spent_s
    inputs = each * callers * bundle
    return inputs / elapsed_s, 1000 * spent_s / inputs


def processor_time_s(node: Path) -> float:
    """Give what a daemon and its workers have used so far, also those that have ended."""
    daemon = psutil.Process(int((node / "lock").read_text()))
    times = daemon.cpu_times()
    ended_s = times.children_user + times.children_system
    used = [process.cpu_times() for process in (daemon, *daemon.children(recursive=True))]
    return ended_s + sum(each.user + each.system for each in used)


if __name__ == "__main__":
    main()
