"""A committee whose keys keep two receipt logs is found out by whoever is shown both."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import LOG_UPDATE, TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import GetLogUpdate, SubmitTask, WaitForTask
from ambientd.errors import AmbientError
from tests.mesh.cluster import Cluster, Daemon
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]


def witness(daemon: Daemon, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ambientd.cli.main", "--data-dir", str(daemon.data_dir)]
    words = ("witness", *map(str, words), "--json")
    return subprocess.run([*command, *words], capture_output=True, text=True)


def settle_one(mesh: Cluster, data: bytes) -> None:
    """Let a task be executed, and its receipt get into a batch that is closed."""
    node = mesh.daemons[0]
    request = SubmitTask(module=module("echo"), input=data, gas_max=10_000)
    task = node.ask(TASK_SUBMIT, request).task_id
    node.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=60_000))

    def is_closed(daemon: Daemon) -> bool:
        try:
            return daemon.ask(LOG_UPDATE, GetLogUpdate()).size == 1
        except AmbientError:
            return False

    for daemon in mesh.daemons:
        mesh.until(lambda d=daemon: is_closed(d), "a head of one receipt is cosigned")


def test_two_logs_by_the_same_keys_leave_evidence_that_names_them(tmp_path: Path) -> None:
    root = tmp_path / "mesh"
    mesh = Cluster(root, 4, ClusterPlan(bitcoin="off"))
    shutil.copytree(root, tmp_path / "again")
    watching, offered = tmp_path / "witness", tmp_path / "first.update"
    try:
        mesh.start()
        settle_one(mesh, b"what some are shown")
        followed = witness(mesh.daemons[0], "run", watching, "--once")
        assert followed.returncode == 0, followed.stderr
        assert json.loads(followed.stdout)["outcome"] == "followed"
        assert witness(mesh.daemons[1], "offer", offered).returncode == 0
        mesh.stop()

        root.rename(tmp_path / "before")
        (tmp_path / "again").rename(root)
        mesh.start()
        settle_one(mesh, b"what others are shown")
        split = witness(mesh.daemons[2], "run", watching, "--once")
        found = json.loads(split.stdout)
        assert (split.returncode, found["outcome"], found["size"]) == (4, "split", 1)

        # Who has followed the second log finds out as well, once the head of the first comes round.
        late = tmp_path / "late"
        assert witness(mesh.daemons[3], "run", late, "--once").returncode == 0
        assert witness(mesh.daemons[3], "take", late, offered).returncode == 4
        mesh.check_alive()
    finally:
        mesh.stop()

    proven = witness(mesh.daemons[0], "check", found["evidence"])
    assert proven.returncode == 0, "no daemon is needed"
    answer = json.loads(proven.stdout)
    one, other = answer["heads"]
    assert (one["size"], other["size"]) == (1, 1)
    assert one["root"] != other["root"]
    assert len(answer["signed_both"]) >= 2, "two quorums of four share two members at least"
    [evidence] = late.glob("*.split")
    assert witness(mesh.daemons[0], "check", evidence).returncode == 0
