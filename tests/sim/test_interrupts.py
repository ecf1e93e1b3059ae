"""A signal ends a command of the simulator with all its processes, and it says how far it was."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEADLINE_S = 240
WORKERS_AND_TRACKER = 3

SOAK = ("soak", "log", "--minutes", "9", "--jobs", "2")
HUNT = ("mutants", "--jobs", "2")
SOAKED = r"\d+ worlds, \d+\.\d h, 0 broken"
SWEEP = ("sweep", "log-calm", "--seeds", "1..9000", "--jobs", "2")


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a session of its own; whatever is left of it ends with the test."""
    # Whoever started the tests by `nohup` has left SIGHUP ignored.
    command = ("env", "--default-signal=HUP", sys.executable, "-m", "sim", *words)
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            for member in members(process.pid):
                os.kill(member, signal.SIGKILL)


def members(session: int) -> list[int]:
    """List the living processes of a session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(words[3]) == session and words[0] != "Z":
            found.append(int(entry.name))
    return found


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Give the status and what it said of errors, once nobody holds its outputs any more."""
    _, errors = process.communicate(timeout=DEADLINE_S)
    wait_until(lambda: not members(process.pid))
    return process.returncode, errors


def wait_for_workers(process: subprocess.Popen[str]) -> None:
    wait_until(lambda: len(members(process.pid)) > WORKERS_AND_TRACKER)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "far", "number", "send"),
    [
        (SOAK, SOAKED, signal.SIGINT, os.kill),
        (SOAK, SOAKED, signal.SIGINT, os.killpg),  # as a terminal does
        (SOAK, SOAKED, signal.SIGTERM, os.kill),
        (HUNT, r"\d+ of \d+ mutants, 0 alive", signal.SIGINT, os.kill),
        (SWEEP, r"\d+ of 9000 worlds, 0 broken", signal.SIGTERM, os.kill),
    ],
    ids=["soak-ctrl-c", "soak-ctrl-c-to-all", "soak-sigterm", "mutants-ctrl-c", "sweep-sigterm"],
)
def test_a_signal_ends_a_command_and_its_workers(
    words: tuple[str, ...], far: str, number: signal.Signals, send: Callable[[int, int], None]
) -> None:
    with running(*words) as process:
        wait_for_workers(process)
        send(process.pid, number)
        status, errors = ended(process)
    assert status == 128 + number
    assert re.fullmatch(rf"interrupted: {far}\n", errors), errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_command_without_workers(number: signal.Signals) -> None:
    with running("museum") as process:
        assert process.stdout is not None
        assert "whole" in process.stdout.readline()
        os.kill(process.pid, number)
        status, errors = ended(process)
    assert status == 128 + number
    assert re.fullmatch(r"interrupted: [1-9]\d* of \d+ worlds, 0 broken, 0 idle\n", errors), errors
