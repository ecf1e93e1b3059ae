"""ambientctl as a process of its own: pipes, interrupts, a terminal, and its cold start."""

import os
import pty
import resource
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ambientd.api.requests import WaitForTask
from tests.fakes.desk_node import SLOW, DeskNode, served

pytestmark = pytest.mark.net
COMMAND = [sys.executable, "-m", "ambientd.cli.main"]
STATUS_MS_MAX = 150
# Measuring coverage inside these processes would change what they import, print and take.
# As a person's shell has it: what is printed into a pipe is not flushed by itself.
UNUSUAL = ("COVERAGE", "PYTHONUNBUFFERED")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(UNUSUAL)}


def test_a_reader_that_leaves_is_no_traceback(live: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "--data-dir", str(live), "status"],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=CLEAN,
    )
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == b""


def test_an_interrupt_ends_with_130_and_no_traceback(node: DeskNode, data_dir: Path) -> None:
    with served(data_dir / "ambientd.sock", node.handlers()):
        process = subprocess.Popen(
            [*COMMAND, "--data-dir", str(data_dir), "events", "--task", "abcd"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=CLEAN,
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (130, "")


def test_an_interrupted_run_says_that_the_task_goes_on(
    node: DeskNode, data_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "m.wasm").write_bytes(SLOW)
    with served(data_dir / "ambientd.sock", node.handlers()):
        process = subprocess.Popen(
            [*COMMAND, "--data-dir", str(data_dir), "run", str(tmp_path / "m.wasm")],
            stderr=subprocess.PIPE,
            text=True,
            env=CLEAN,
        )
        assert process.stderr is not None
        assert any("task assigned" in line for line in iter(process.stderr.readline, ""))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("ambientctl: the task goes on; `ambientctl task cancel ")
    assert err.count("\n") == 1


def test_an_interrupted_run_over_inputs_names_the_tasks_that_go_on(
    node: DeskNode, data_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "m.wasm").write_bytes(SLOW)
    (tmp_path / "in").write_bytes(b"one\ntwo\n")
    words = ["run", str(tmp_path / "m.wasm"), "--inputs", str(tmp_path / "in")]
    with served(data_dir / "ambientd.sock", node.handlers()):
        process = subprocess.Popen(
            [*COMMAND, "--data-dir", str(data_dir), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=CLEAN,
        )
        until_s = time.monotonic() + 60
        # It waits for the first once it knows of both.
        while not any(isinstance(each, WaitForTask) for each in node.requests):
            assert time.monotonic() < until_s, "it waits for nothing"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "ambientctl: 2 tasks may go on: " in err
    assert "Traceback" not in err


@pytest.mark.parametrize("no_color", [False, True])
def test_tables_are_drawn_on_a_terminal_without_colours_if_asked(
    live: Path, no_color: bool
) -> None:
    controller, terminal = pty.openpty()
    environment = {**CLEAN, "TERM": "xterm-256color", "COLUMNS": "160"}
    environment.pop("NO_COLOR", None)
    if no_color:
        environment["NO_COLOR"] = "1"
    done = subprocess.run(
        [*COMMAND, "--data-dir", str(live), "nodes"], stdout=terminal, env=environment
    )
    os.close(terminal)
    text = os.read(controller, 65_536).decode()
    os.close(controller)
    assert done.returncode == 0
    assert "REPUTATION" in text
    assert "\x1b[31m" not in text  # a peer's name asked for red
    assert ("\x1b[3" in text) is False


def children_s() -> float:
    """Give the processor time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
def test_a_cold_status_is_quick(live: Path) -> None:
    times_ms = []
    for _ in range(7):
        begun_s = children_s()
        subprocess.run(
            [*COMMAND, "--data-dir", str(live), "status"],
            stdout=subprocess.DEVNULL,
            check=True,
            env=CLEAN,
        )
        times_ms.append((children_s() - begun_s) * 1000)
    # The quickest of a few, by its processor time: other work on the machine only ever adds.
    assert min(times_ms) < STATUS_MS_MAX, statistics.median(times_ms)


def test_an_interrupt_during_the_imports_is_as_quiet_as_any() -> None:
    program = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'ambientd.cli.parser': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from ambientd.cli.main import main\n"
        "sys.exit(main(['status']))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")
