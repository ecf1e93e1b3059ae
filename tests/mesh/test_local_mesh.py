"""A mesh for one `with` block, and the examples that stand on it."""

import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ambientd.api.local_daemons import DaemonsError
from ambientd.client import LocalMesh
from ambientd.errors import UsageError
from tests.modules import compiled

pytestmark = [pytest.mark.mesh, pytest.mark.slow]
EXAMPLES = Path(__file__).parents[2] / "examples"


def processes_of(folder: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
    ]


def test_a_local_mesh_works_and_leaves_no_process_behind(tmp_path: Path) -> None:
    folder = tmp_path / "mesh"
    with LocalMesh(nodes=3, folder=folder) as mesh:
        task = mesh.run(compiled.module("echo"), b"hello")
        assert task.output() == b"hello"
        assert task.verify(mesh.fingerprint).valid
        processes = processes_of(folder)
        assert len(processes) >= 3
    # The chain's process lets its lock go a moment before it is gone.
    assert not psutil.wait_procs(processes, timeout=60)[1]
    assert not processes_of(folder)
    assert (folder / "node1").is_dir(), "a folder of the caller's own stays"


def test_a_local_mesh_ends_with_the_program_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "mesh"
    text = f"from ambientd.client import LocalMesh; LocalMesh(1, folder={str(folder)!r}); input()"
    with subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE) as program:
        deadline_s = time.monotonic() + 60
        while not (folder / "node1" / "ambientd.sock").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        nodes = [each for each in processes_of(folder) if str(folder / "node1") in each.cmdline()]
        program.kill()
    assert nodes
    assert not psutil.wait_procs(nodes, timeout=60)[1]
    for chain in processes_of(folder):
        chain.terminate()  # it ends by itself once nobody has asked it for a minute


def test_a_local_mesh_that_cannot_be_ready_in_time_ends_what_it_started(tmp_path: Path) -> None:
    folder = tmp_path / "mesh"
    with pytest.raises(DaemonsError, match="not ready after 0 s"):
        LocalMesh(nodes=1, folder=folder, ready_timeout_s=0.0)
    assert not processes_of(folder)


def test_a_mesh_of_no_node_is_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError):
        LocalMesh(nodes=0)


@pytest.mark.parametrize("name", ["local-mesh", "analytics"])
def test_an_example_prints_what_its_description_says(name: str) -> None:
    description = (EXAMPLES / name / "README.md").read_text()
    said = re.search(r"prints\n\n((?:    .*\n)+)", description)
    assert said is not None
    program = [sys.executable, str(EXAMPLES / name / "run.py")]
    printed = subprocess.run(program, capture_output=True, text=True, timeout=180, check=True)
    assert printed.stdout == re.sub("^    ", "", said[1], flags=re.MULTILINE)
