"""Ambient's daemons, four of them that keep a log; asked by the Python library, a part each.

Every word of it is durable at three of four members before anybody acts on it. With `--bundle`
so many inputs are one task, each with a receipt of its own.
"""

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ambientd.api.operations import TASK_OUTPUT, TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import GetOutput, SubmitTask, WaitForTask
from ambientd.client import Mesh
from ambientd.codec.canonical import decode
from ambientd.model.bundle import Outcomes
from ambientd.model.execution import OUTPUT_BYTES_CEILING
from benchmarks.mesh import running_mesh
from benchmarks.race.course import Work, compete

WALL_MS = 30_000
WAIT_MS = 500_000
MODULES = {"wasm-noop": "RACE_NOOP", "wasm-digest": "RACE_DIGEST"}


def _in_bundles(
    mesh: Mesh, module: bytes, inputs: list[bytes], size: int, assurance: str
) -> list[bytes]:
    """Submit all bundles, then take their outcomes apart."""
    asked = []
    for begin in range(0, len(inputs), size):
        items = tuple(inputs[begin : begin + size])
        request = SubmitTask(module=module, items=items, assurance=assurance, wall_ms_max=WALL_MS)
        asked.append(mesh.call(TASK_SUBMIT, request).task_id)
    answers: list[bytes] = []
    for task in asked:
        ended = mesh.call(TASK_WAIT, WaitForTask(task=task, timeout_ms=WAIT_MS))
        if ended.outcome != "completed":
            raise SystemExit(f"a bundle ended as {ended.state}, {ended.outcome}")
        data = mesh.call(TASK_OUTPUT, GetOutput(task=task)).data
        answers += [outcome.output for outcome in decode(data, Outcomes, OUTPUT_BYTES_CEILING)]
    return answers


@contextmanager
def _mesh(members: int, assurance: str, at_once: int, bundle: int) -> Iterator[Work]:
    modules = {kind: Path(os.environ[name]).read_bytes() for kind, name in MODULES.items()}
    with (
        running_mesh(members) as nodes,
        ThreadPoolExecutor(members) as threads,
        ExitStack() as open_,
    ):
        meshes = [open_.enter_context(Mesh(node)) for node in nodes]

        def part(kind: str, number: int, inputs: list[bytes]) -> list[bytes]:
            mesh, share = meshes[number], inputs[number::members]
            if bundle:
                return _in_bundles(mesh, modules[kind], share, bundle, assurance)
            return mesh.map(modules[kind], share, at_once=at_once, assurance=assurance)

        def work(kind: str, inputs: list[bytes]) -> list[bytes]:
            asked = [threads.submit(part, kind, number, inputs) for number in range(members)]
            answers = list(inputs)
            for number, each in enumerate(asked):
                answers[number::members] = each.result()
            return answers

        yield work


def main() -> None:
    """Run the mesh that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("assurance", choices=("none", "replicated"))
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--at-once", type=int, default=32, help="tasks under way at each daemon")
    parser.add_argument("--bundle", type=int, default=0, help="inputs in one task")
    chosen = parser.parse_args()
    compete(_mesh(chosen.members, chosen.assurance, chosen.at_once, chosen.bundle))


if __name__ == "__main__":
    main()
