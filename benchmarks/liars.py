"""Real daemons, two liars of different kinds, many tasks: who is named, and whether all is right.

One liar changes its outputs before it seals them, the other flips one bit of memory on the way and
goes on. Tasks are large enough to be bisected. Every output is held against what it must be, every
conviction becomes a certificate that is checked and executed again without a daemon.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from ambientd.api.blame_replay import Replay, check_blame
from ambientd.api.module_pausing import PausingProcess
from ambientd.api.operations import BLAME_EXPORT, BLAME_LIST, NODES
from ambientd.api.replies import Task
from ambientd.api.requests import ExportBlame, ListBlames, ListNodes
from benchmarks.mesh import machine
from tests.mesh.test_liars import Client, mesh_of, summed

MEMBERS = 7
LIES = {5: 'lie = "corrupt_output"', 6: 'lie = "wrong_step"\nwrong_step_gas = 2_000_000'}
KINDS = {5: "wrong output", 6: "wrong in one step"}
FIRST_COUNT = 200_000  # additions; about 20 gas each
AT_ONCE = 8


def play(client: Client, count: int, replicas: int) -> list[tuple[int, Task]]:
    """Have tasks executed, some at once, and give how each ended."""
    ended: list[tuple[int, Task]] = []
    waiting: list[tuple[int, str]] = []
    for number in range(count):
        waiting.append((FIRST_COUNT + number, client.submit(FIRST_COUNT + number, replicas)))
        if len(waiting) == AT_ONCE:
            first, task = waiting.pop(0)
            ended.append((first, client.end(task)))
    ended += [(first, client.end(task)) for first, task in waiting]
    return ended


def main() -> None:
    """Print the table; fail when an answer is wrong or a liar goes unnamed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.liars", description=__doc__)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--replicas", type=int, default=3)
    chosen = parser.parse_args()
    print(machine())
    with (
        tempfile.TemporaryDirectory(prefix="ambient-liars-") as folder,
        mesh_of(Path(folder) / "mesh", MEMBERS, LIES) as mesh,
    ):
        client = Client(mesh.daemons[0])
        begin = time.monotonic()
        ended = play(client, chosen.tasks, chosen.replicas)
        spent_s = time.monotonic() - begin
        wrong = sum(client.output(task.task_id) != summed(count) for count, task in ended)
        places = {task.task_id: place for place, (_, task) in enumerate(ended, start=1)}
        names = {each.id: each.name for each in client.node.ask(NODES, ListNodes()).nodes}
        statuses = {number: mesh.daemons[number].status() for number in LIES}
        liars = {status.node: number for number, status in statuses.items() if status is not None}
        blames = client.node.ask(BLAME_LIST, ListBlames()).blames
        files = {
            each.node: client.node.ask(
                BLAME_EXPORT, ExportBlame(about=each.node, with_module=True)
            ).data
            for each in blames
        }
    verdicts = Counter(task.verdict for _, task in ended)
    print(f"{len(ended)} tasks of {chosen.replicas} replicas on {MEMBERS} daemons, {spent_s:.0f} s")
    print(f"{wrong} wrong; {', '.join(f'{n} {name}' for name, n in verdicts.most_common())}")
    print(f"{'node':8} {'lie':20} {'convicted for':20} {'task':>5} {'bytes':>8}  certificate")
    for each in blames:
        report = check_blame(files[each.node], None, Replay(PausingProcess("wasmtime")))
        replayed = report.valid and report.checks[-1].name == "replay"
        print(
            f"{names[each.node]:8} {KINDS.get(liars.get(each.node, 0), 'none'):20} {each.kind:20} "
            f"{places.get(each.task or '', 0):5} {len(files[each.node]):8,}  "
            f"{'holds, executed again' if replayed else 'DOES NOT HOLD'}"
        )
    if wrong or {each.node for each in blames} != set(liars):
        sys.exit("a wrong answer came through, or not exactly the liars were named")


if __name__ == "__main__":
    main()
