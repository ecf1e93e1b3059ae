"""Ambient's daemons, four of them that keep a log, asked by `map` of the Python library.

Every word of it is durable at three of four members before anybody acts on it. With `--bundle`
so many inputs are one task, and each daemon is asked for a part; without it `map` is as it comes.
"""

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TypedDict

from ambientd.client import Mesh
from benchmarks.mesh import running_mesh
from benchmarks.race.course import Work, compete

AT_ONCE = 32
MODULES = {"wasm-noop": "RACE_NOOP", "wasm-digest": "RACE_DIGEST"}


class Given(TypedDict, total=False):
    """What `map` is told beside its defaults."""

    at_once: int
    bundle: int


@contextmanager
def _mesh(members: int, assurance: str, bundle: int | None) -> Iterator[Work]:
    modules = {kind: Path(os.environ[name]).read_bytes() for kind, name in MODULES.items()}
    with running_mesh(members) as nodes, ExitStack() as open_:
        # As it comes, the library is given one list, and asks one daemon.
        asked = nodes[:1] if bundle is None else nodes
        meshes = [open_.enter_context(Mesh(node)) for node in asked]
        threads = open_.enter_context(ThreadPoolExecutor(len(meshes)))
        given: Given = {} if bundle is None else {"at_once": AT_ONCE, "bundle": bundle}

        def part(kind: str, mesh: Mesh, inputs: list[bytes]) -> list[bytes]:
            return mesh.map(modules[kind], inputs, assurance=assurance, **given)

        def work(kind: str, inputs: list[bytes]) -> list[bytes]:
            shares = [inputs[number :: len(meshes)] for number in range(len(meshes))]
            parts = threads.map(partial(part, kind), meshes, shares)
            answers = list(inputs)
            for number, each in enumerate(parts):
                answers[number :: len(meshes)] = each
            return answers

        yield work


def main() -> None:
    """Run the mesh that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("assurance", choices=("none", "replicated"))
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--bundle", type=int, help="inputs in one task, or as the library has it")
    chosen = parser.parse_args()
    compete(_mesh(chosen.members, chosen.assurance, chosen.bundle))


if __name__ == "__main__":
    main()
