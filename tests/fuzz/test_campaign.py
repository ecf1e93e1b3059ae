"""A campaign finishes clean, and outlives the processes that its engines bring down."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.fuzz.finds import load

pytest.importorskip("ambientd_fuzz", reason="`make fuzz` builds the module generator")
pytestmark = pytest.mark.slow
WAIT_S = 120


def campaign(finds: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.fuzz", "--engines", "wasmtime", "--finds", str(finds)]
    return subprocess.Popen([*command, *more], stdout=subprocess.PIPE, text=True)


def test_a_short_campaign_ends_without_a_find(tmp_path: Path) -> None:
    process = campaign(tmp_path, "--executions", "300", "--report", str(tmp_path / "report.md"))
    output, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, output
    assert "differences: 0" in (tmp_path / "report.md").read_text("utf-8")
    assert load(tmp_path) == []


def test_a_process_that_an_engine_brings_down_is_a_find_and_the_campaign_goes_on(
    tmp_path: Path,
) -> None:
    process = campaign(tmp_path, "--executions", "2000")
    supervisor = psutil.Process(process.pid)
    while not (children := supervisor.children()) or not _at_work(children[0]):
        assert process.poll() is None
    os.kill(children[0].pid, signal.SIGSEGV)
    output, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1, output
    (kept,) = load(tmp_path)
    assert "ended with status -11" in kept.about
    ended = re.search(r"ended with status -11 at module (\d+)", output)
    last = re.search(r"modules 0 to (\d+)", output)
    assert ended is not None, output
    assert last is not None, output
    assert int(last[1]) > int(ended[1])


def _at_work(child: psutil.Process) -> bool:
    """Tell whether the first module lies in the child's scratch folder."""
    arguments = child.cmdline()
    if not arguments or not arguments[-1].startswith("{"):
        return False  # not yet the program that it is to become
    return (Path(json.loads(arguments[-1])["scratch"]) / "module.wasm").exists()
