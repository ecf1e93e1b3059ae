"""How many no-ops a second a local mesh settles (4 daemons), and what one costs in processor time.

With `--assurance replicated` each task has 2 replicas that are compared; with `none` one executes.
"""

import argparse
import threading
import time
from pathlib import Path

import psutil

from ambientd.api.client import Client
from ambientd.api.operations import STATUS, TASK_SUBMIT
from ambientd.api.requests import GetStatus, SubmitTask
from ambientd.config.places import socket_path_for
from benchmarks.mesh import NOOP, machine, report, running_mesh

SUBMITTERS = 8


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=400, help="tasks in a run")
    parser.add_argument("--callers", type=int, default=SUBMITTERS, help="who submit at once")
    parser.add_argument("--assurance", choices=("replicated", "none"), default="replicated")
    parser.add_argument("--warm-up", type=int, default=40, help="tasks before the first run")
    chosen = parser.parse_args()
    print(machine())
    with running_mesh() as nodes:
        one_run(nodes, chosen.warm_up, -1, chosen.callers, chosen.assurance)
        runs = [
            one_run(nodes, chosen.tasks, run, chosen.callers, chosen.assurance)
            for run in range(chosen.runs)
        ]
    rates, costs_ms = zip(*runs, strict=True)
    report(f"settled, {chosen.assurance}", list(rates), "tasks/s")
    report("processor time of all daemons", list(costs_ms), "ms/task")
    print(machine())


def one_run(
    nodes: list[Path], tasks: int, run: int, callers: int, assurance: str
) -> tuple[float, float]:
    """Submit from several callers at once; give tasks a second until all are final, and cost."""
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
                data = f"{run} {number} {place}".encode()
                client.call(TASK_SUBMIT, SubmitTask(module=module, input=data, assurance=assurance))

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
    return each * callers / elapsed_s, 1000 * spent_s / (each * callers)


def processor_time_s(node: Path) -> float:
    """Give what a daemon and its workers have used so far."""
    daemon = psutil.Process(int((node / "lock").read_text()))
    used = [process.cpu_times() for process in (daemon, *daemon.children(recursive=True))]
    return sum(times.user + times.system for times in used)


if __name__ == "__main__":
    main()
