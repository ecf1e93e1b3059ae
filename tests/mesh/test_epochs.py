"""The committee of real daemons changes while tasks go on: one comes, one leaves, one was away."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.offline import check_receipt
from ambientd.api.operations import MEMBER_LIST, NODES, RECEIPT_GET, TASK_SUBMIT, TASK_WAIT
from ambientd.api.replies import Members
from ambientd.api.requests import GetReceipt, ListMembers, ListNodes, SubmitTask, WaitForTask
from tests.mesh.cluster import Cluster, Daemon
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    plan = ClusterPlan(bitcoin="off")
    cluster = Cluster(tmp_path / "mesh", 4, plan)
    try:
        cluster.start()
        yield cluster
        cluster.check_alive()
    finally:
        cluster.stop()


def ctl(daemon: Daemon, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ambientd.cli.main", "--data-dir", str(daemon.data_dir), *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def members(daemon: Daemon) -> Members:
    return daemon.ask(MEMBER_LIST, ListMembers())


def epoch_of(daemon: Daemon) -> int:
    status = daemon.status()
    return 0 if status is None else status.epoch


def receipt_of(daemon: Daemon, data: bytes) -> bytes:
    """Let a task be executed; give its receipt."""
    request = SubmitTask(module=module("echo"), input=data, gas_max=10_000)
    task = daemon.ask(TASK_SUBMIT, request).task_id
    done = daemon.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=60_000))
    assert done.outcome == "completed"
    return daemon.ask(RECEIPT_GET, GetReceipt(task=task)).data


def newcomer_of(mesh: Cluster, folder: Path) -> Daemon:
    """Bring a fifth node in, connected to all members."""
    token = ctl(mesh.daemons[0], "cluster", "invite")
    newcomer = Daemon(folder)
    ctl(newcomer, "join", token, "--name", "fifth")
    newcomer.move()
    newcomer.start()
    mesh.daemons.append(newcomer)

    def is_connected() -> bool:
        status = newcomer.status()
        return status is not None and all(
            any(n.id == status.node and n.connected for n in d.ask(NODES, ListNodes()).nodes)
            for d in mesh.daemons
        )

    mesh.until(is_connected, "all members are connected to the newcomer")
    return newcomer


def test_the_committee_changes_under_a_running_mesh(mesh: Cluster, tmp_path: Path) -> None:
    founders = list(mesh.daemons)
    receipts = [receipt_of(founders[0], b"before")]
    newcomer = newcomer_of(mesh, tmp_path / "fifth")
    asked = json.loads(ctl(newcomer, "member", "ask", "--json"))
    for daemon in founders[:3]:
        ctl(daemon, "member", "admit", asked["node"][:12])
    for daemon in mesh.daemons:
        mesh.until(lambda d=daemon: epoch_of(d) == 2, "epoch 2 has begun")
    assert {seat.id for seat in members(newcomer).seats if seat.member} >= {asked["node"]}
    receipts.append(receipt_of(founders[0], b"with the fifth"))

    # Of five members four are a quorum: with one founder away, the newcomer must vote.
    founders[1].kill()
    receipts.append(receipt_of(founders[0], b"the fifth votes"))

    # One leaves while another is away; who was away is shown how the epoch ended.
    ctl(founders[2], "member", "leave", "--yes")
    for daemon in (founders[0], founders[2], founders[3], newcomer):
        mesh.until(lambda d=daemon: epoch_of(d) == 3, "epoch 3 has begun")
    founders[1].start()
    mesh.until(lambda: epoch_of(founders[1]) == 3, "who was away is in epoch 3")
    assert sum(seat.member for seat in members(founders[1]).seats) == 4

    # Who left follows, and is not needed any more; who votes was killed in its epoch before.
    newcomer.kill()
    receipts.append(receipt_of(founders[0], b"without the third"))
    newcomer.start()
    mesh.until(lambda: epoch_of(newcomer) == 3, "the newcomer is back in its epoch")
    founders[2].kill()
    receipts.append(receipt_of(founders[3], b"the last"))
    cluster = bytes.fromhex(founders[0].status().fingerprint)
    for number, receipt in enumerate(receipts):
        report = check_receipt(receipt, pinned=cluster)
        assert report.valid, (number, report.checks)
        assert report.file is not None
        assert len(report.file.epochs) == (0, 1, 1, 2, 2)[number]
    founders[2].start()
    mesh.until(lambda: epoch_of(founders[2]) == 3, "who left is back")
