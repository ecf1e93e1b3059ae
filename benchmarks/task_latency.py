"""How long a verified no-op takes: submit -> assigned, submit -> output (2 replicas, 4 daemons)."""

import argparse
import threading
import time

from ambientd.api.client import Client
from ambientd.api.operations import EVENTS, TASK_OUTPUT, TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import FollowEvents, GetOutput, SubmitTask, WaitForTask
from ambientd.config.places import socket_path_for
from benchmarks.mesh import NOOP, machine, percentile, report, running_mesh

WARM_UP = 5


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=60, help="tasks in a run")
    chosen = parser.parse_args()
    print(machine())
    with running_mesh() as nodes:
        figures: dict[str, list[float]] = {}
        for _ in range(chosen.runs):
            assigned, output = one_run(nodes, chosen.tasks)
            for name, values in (("assigned", assigned), ("output", output)):
                figures.setdefault(f"{name} p50", []).append(percentile(values, 0.5))
                figures.setdefault(f"{name} p99", []).append(percentile(values, 0.99))
        for name, runs in figures.items():
            report(f"submit -> {name}", runs, "ms")
    print(machine())


def one_run(nodes: list, tasks: int) -> tuple[list[float], list[float]]:
    """Submit one task after the other; give both latencies in ms."""
    module = NOOP.read_bytes()
    path = socket_path_for(nodes[0])
    seen: dict[str, float] = {}
    stop = threading.Event()

    def follow() -> None:
        with Client(path) as client:
            for event in client.stream(EVENTS, FollowEvents()):
                if event.kind == "task_assigned":
                    seen.setdefault(str(event.fields["task"]), time.perf_counter())
                if stop.is_set():
                    return

    listener = threading.Thread(target=follow, daemon=True)
    listener.start()
    assigned, output = [], []
    with Client(path) as client:
        for number in range(tasks + WARM_UP):
            data = number.to_bytes(8, "little")
            begin = time.perf_counter()
            task = client.call(TASK_SUBMIT, SubmitTask(module=module, input=data)).task_id
            done = client.call(TASK_WAIT, WaitForTask(task=task))
            client.call(TASK_OUTPUT, GetOutput(task=task))
            end = time.perf_counter()
            if done.verdict != "agreed":
                raise SystemExit(f"task {task} ended {done.state}, {done.verdict}")
            if number >= WARM_UP:
                output.append((end - begin) * 1000)
                assigned.append((seen[task] - begin) * 1000)
        stop.set()
        client.call(TASK_SUBMIT, SubmitTask(module=module, input=b""))
    listener.join(5)
    return assigned, output


if __name__ == "__main__":
    main()
