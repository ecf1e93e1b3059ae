"""How many verified no-ops a second a local mesh settles (2 replicas, 4 daemons)."""

import argparse
import threading
import time
from pathlib import Path

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
    chosen = parser.parse_args()
    print(machine())
    with running_mesh() as nodes:
        runs = [one_run(nodes, chosen.tasks, run) for run in range(chosen.runs)]
    report("settled, 2 replicas each", runs, "tasks/s")
    print(machine())


def one_run(nodes: list[Path], tasks: int, run: int) -> float:
    """Submit from several callers at once; give tasks a second until all are final."""
    module = NOOP.read_bytes()
    with Client(socket_path_for(nodes[0])) as client:
        before = client.call(STATUS, GetStatus()).tasks.get("final", 0)
    begin = time.perf_counter()

    def submit(number: int) -> None:
        path = socket_path_for(nodes[number % len(nodes)])
        with Client(path) as client:
            for place in range(tasks // SUBMITTERS):
                data = f"{run} {number} {place}".encode()
                client.call(TASK_SUBMIT, SubmitTask(module=module, input=data))

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(SUBMITTERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = before + tasks // SUBMITTERS * SUBMITTERS
    with Client(socket_path_for(nodes[0])) as client:
        while client.call(STATUS, GetStatus()).tasks.get("final", 0) < wanted:
            time.sleep(0.02)
    return (wanted - before) / (time.perf_counter() - begin)


if __name__ == "__main__":
    main()
