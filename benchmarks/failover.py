"""How long a killed coordinator holds a mesh up, and a killed leader an etcd beside it.

Four real daemons. Each round asks a member that stays for a task in the moment in which the
coordinator is killed (SIGKILL), and ends when that task is in the log: committed and durable.
With `--etcd PROGRAM`, rounds alternate with the same on as many members of etcd: a put, given to
the members that stay in turn until one confirms it.
"""

import argparse
import subprocess
import time
from pathlib import Path

from ambientd.api.client import Client
from ambientd.api.operations import STATUS, TASK_SUBMIT
from ambientd.api.requests import GetStatus, SubmitTask
from ambientd.config.places import socket_path_for
from benchmarks.etcd import EtcdCluster, running_etcd
from benchmarks.mesh import (
    NOOP,
    await_ready,
    machine,
    percentile,
    report,
    running_daemons,
    start_daemon,
)

MEMBERS = 4


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--calm", type=float, default=1.0, help="seconds without work before each kill"
    )
    parser.add_argument("--etcd", type=Path, help="the etcd program to compare with")
    chosen = parser.parse_args()
    print(machine())
    if chosen.etcd is None:
        measure(chosen.rounds, chosen.calm, None)
    else:
        with running_etcd(chosen.etcd, MEMBERS) as etcd:
            measure(chosen.rounds, chosen.calm, etcd)
    print(machine())


def measure(rounds: int, calm_s: float, etcd: EtcdCluster | None) -> None:
    """Kill and wait, in turns, and print both."""
    ours: list[float] = []
    theirs: list[float] = []
    with running_daemons(MEMBERS) as daemons:
        for number in range(rounds):
            time.sleep(calm_s)
            ours.append(mesh_round(daemons, number))
            if etcd is not None:
                time.sleep(calm_s)
                theirs.append(etcd_round(etcd, number))
    for name, found in (("ambientd", ours), ("etcd", theirs)):
        if found:
            report(f"{name}: killed to next commit", [1000 * each for each in found], "ms")
            print(f"{'':36} p90 {1000 * percentile(found, 0.9):.0f} ms")


def mesh_round(daemons: dict[Path, subprocess.Popen[bytes]], number: int) -> float:
    """Kill the coordinator; give the seconds until a task is in the log."""
    lost = coordinator_of(daemons)
    staying = next(node for node in daemons if node != lost)
    request = SubmitTask(module=NOOP.read_bytes(), input=b"failover %d" % number)
    with Client(socket_path_for(staying)) as client:
        client.call(STATUS, GetStatus())  # the connection is there
        daemons[lost].kill()
        begin = time.perf_counter()
        client.call(TASK_SUBMIT, request)
        passed_s = time.perf_counter() - begin
    daemons[lost].wait(30)
    daemons[lost] = start_daemon(lost)
    await_ready(lost, MEMBERS - 1)
    return passed_s


def coordinator_of(daemons: dict[Path, subprocess.Popen[bytes]]) -> Path:
    """Give the daemon that leads."""
    nodes: dict[str, Path] = {}
    leader = None
    for node in daemons:
        with Client(socket_path_for(node)) as client:
            status = client.call(STATUS, GetStatus())
        nodes[status.node] = node
        leader = status.coordinator
    return nodes[str(leader)]


def etcd_round(etcd: EtcdCluster, number: int) -> float:
    """Kill the leader; give the seconds until a put is confirmed."""
    leader = etcd.leader()
    staying = [member for member in range(MEMBERS) if member != leader]
    etcd.processes[leader].kill()
    begin = time.perf_counter()
    etcd.put(staying, str(number))
    passed_s = time.perf_counter() - begin
    etcd.kill(leader)
    etcd.restart(leader)
    etcd.leader()
    return passed_s


if __name__ == "__main__":
    main()
