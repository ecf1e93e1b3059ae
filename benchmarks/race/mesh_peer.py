"""Ambient's daemons, four of them that keep a log; asked by the Python library, a part each.

Every word of it is durable at three of four members before anybody acts on it.
"""

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ambientd.client import Mesh
from benchmarks.mesh import running_mesh
from benchmarks.race.course import Work, compete

MODULES = {"wasm-noop": "RACE_NOOP", "wasm-digest": "RACE_DIGEST"}


@contextmanager
def _mesh(members: int, assurance: str, at_once: int) -> Iterator[Work]:
    modules = {kind: Path(os.environ[name]).read_bytes() for kind, name in MODULES.items()}
    with (
        running_mesh(members) as nodes,
        ThreadPoolExecutor(members) as threads,
        ExitStack() as open_,
    ):
        meshes = [open_.enter_context(Mesh(node)) for node in nodes]

        def part(kind: str, number: int, inputs: list[bytes]) -> list[bytes]:
            return meshes[number].map(
                modules[kind], inputs[number::members], at_once=at_once, assurance=assurance
            )

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
    chosen = parser.parse_args()
    compete(_mesh(chosen.members, chosen.assurance, chosen.at_once))


if __name__ == "__main__":
    main()
