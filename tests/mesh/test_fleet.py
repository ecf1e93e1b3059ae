"""A fleet of real daemons, forked from one process that watches them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ambientd.api.client import Client
from ambientd.api.operations import NODES, STATUS, TASK_OUTPUT, TASK_SUBMIT, TASK_WAIT
from ambientd.api.own_ports import free_ports
from ambientd.api.requests import GetOutput, GetStatus, ListNodes, SubmitTask, WaitForTask
from ambientd.config.places import Places, socket_path_for
from ambientd.daemon import EXIT_DONE, EXIT_USAGE
from benchmarks.memory import KIB, rolled_up
from tests.modules import compiled
from tests.own_ports import own_port

pytestmark = [pytest.mark.mesh, pytest.mark.slow]

DEADLINE_S = 120.0
PSS_MIB_MAX = 36.0
"""A node that is not forked has 48 (docs/adr/0072-memory-profiles.md)."""


class Fleet:
    """The process that `ambientd fleet` is, and what it says."""

    def __init__(self, root: Path, nodes: int, *more: str) -> None:
        self.root, self.log = root, root.parent / "fleet.log"
        port = free_ports(own_port(), nodes)[0]
        command = [sys.executable, "-m", "ambientd.daemon", "fleet", "--nodes", str(nodes)]
        options = ["--data-dir", str(root), "--base-port", str(port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, *options, *more], stdout=log, stderr=log)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def until_said(self, pattern: str, times: int = 1) -> None:
        end = time.monotonic() + DEADLINE_S
        while len(re.findall(pattern, self.said())) < times:
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end, f"{pattern} x {times}\n{self.said()}"
            time.sleep(0.05)

    def nodes(self) -> dict[str, int]:
        """Give the process of each node."""
        folders = [each.name for each in self.root.iterdir() if (each / "lock").exists()]
        return {name: int((self.root / name / "lock").read_text()) for name in folders}

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(120)
        finally:
            self.process.kill()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path / "fleet", 10)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.end()


def test_ten_forked_nodes_are_one_mesh_and_share_what_they_are_made_of(fleet: Fleet) -> None:
    fleet.until_said(r"ready\s+.*node", times=10)
    with Client(socket_path_for(fleet.root / "node1")) as client:
        until_joined(client, 10)
        request = SubmitTask(module=compiled.module("echo"), input=b"forked")
        task = client.call(TASK_SUBMIT, request).task_id
        assert client.call(TASK_WAIT, WaitForTask(task=task)).verdict == "agreed"
        assert client.call(TASK_OUTPUT, GetOutput(task=task)).data == b"forked"
    keys = {Places(fleet.root / name).key.read_bytes() for name in fleet.nodes()}
    assert len(keys) == 10
    shares = [rolled_up(pid)["Pss"] / KIB for pid in fleet.nodes().values()]
    assert sorted(shares)[5] < PSS_MIB_MAX, shares
    pids = set(fleet.nodes().values())
    assert fleet.end() == EXIT_DONE
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def until_joined(client: Client, count: int) -> None:
    end = time.monotonic() + DEADLINE_S
    while True:
        known = {each.name for each in client.call(NODES, ListNodes()).nodes}
        if len(known) == count:
            return
        assert time.monotonic() < end, known
        time.sleep(0.1)


def test_a_node_that_is_killed_is_reported_and_started_again(fleet: Fleet) -> None:
    fleet.until_said(r"ready\s+.*node", times=10)
    victim = fleet.nodes()["node7"]
    os.kill(victim, signal.SIGKILL)
    fleet.until_said("a node ended, and starts again")
    fleet.until_said(r"ready\s+.*node7", times=2)
    assert fleet.nodes()["node7"] != victim
    with Client(socket_path_for(fleet.root / "node7")) as client:
        assert client.call(STATUS, GetStatus()).name == "node7"


def test_nodes_that_share_a_process_have_half_its_memory_each_and_start_again_as_one(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path / "fleet", 8, "--together", "4")
    try:
        fleet.until_said(r"ready\s+.*node", times=8)
        pids = fleet.nodes()
        assert len(set(pids.values())) == 5
        assert pids["node5"] == pids["node8"]
        share = rolled_up(pids["node5"])["Pss"] / KIB / 4
        assert share < PSS_MIB_MAX / 2, share
        os.kill(pids["node6"], signal.SIGKILL)
        fleet.until_said("a node ended, and starts again .*node5 to node8")
        for number in range(5, 9):
            fleet.until_said(rf"ready\s+.*node{number}", times=2)
        with Client(socket_path_for(fleet.root / "node7")) as client:
            assert client.call(STATUS, GetStatus()).name == "node7"
            until_joined(client, 8)
        with Client(socket_path_for(fleet.root / "node1")) as client:
            request = SubmitTask(module=compiled.module("echo"), input=b"together")
            task = client.call(TASK_SUBMIT, request).task_id
            assert client.call(TASK_WAIT, WaitForTask(task=task)).verdict == "agreed"
        assert fleet.end() == EXIT_DONE
    finally:
        fleet.process.kill()


def test_nodes_end_with_the_process_that_forked_them_when_that_is_killed(fleet: Fleet) -> None:
    fleet.until_said(r"ready\s+.*node", times=10)
    nodes = [psutil.Process(pid) for pid in fleet.nodes().values()]
    fleet.process.kill()
    assert not psutil.wait_procs(nodes, timeout=60)[1]


def test_a_fleet_whose_node_has_a_wrong_config_says_so_and_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "fleet"
    first = Fleet(root, 2)
    try:
        first.until_said(r"ready\s+.*node", times=2)
        again = Fleet(root, 2)
        assert again.process.wait(60) == EXIT_USAGE
        assert f"in use by process {first.process.pid}" in again.said()
        assert first.end() == EXIT_DONE
        with Places(root / "node2").config.open("a") as file:
            file.write("\n[nonsense]\n")
        second = Fleet(root, 2)
        second.until_said("A NODE IS GIVEN UP")
        assert "nonsense" in (root / "node2" / "daemon.log").read_text()
        second.until_said(r"ready\s+.*node1", times=2)
        assert second.end() == 1
    finally:
        for each in (first, second):
            each.process.kill()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--nodes", "0"], "a fleet has 1 to"),
        (["--nodes", "3", "--base-port", "65534"], "choose another --base-port"),
        (["--nodes", "3", "--tokens", "/nowhere/tokens"], "check the path"),
    ],
)
def test_a_fleet_that_cannot_be_says_why(tmp_path: Path, options: list[str], word: str) -> None:
    command = [sys.executable, "-m", "ambientd.daemon", "fleet", "--data-dir", str(tmp_path / "f")]
    ended = subprocess.run([*command, *options], capture_output=True, timeout=60, text=True)
    assert (ended.returncode, word in ended.stderr) == (EXIT_USAGE, True), ended.stderr
    assert not (tmp_path / "f").exists()
