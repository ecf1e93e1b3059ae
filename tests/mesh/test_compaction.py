"""Real daemons that delete their log: who was away and who is new fetch the state instead."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import BACKUP_CREATE, TASK_SUBMIT, TASK_WAIT, OperationError
from ambientd.api.requests import CreateBackup, SubmitTask, WaitForTask
from tests.mesh.cluster import Cluster, Daemon
from tests.mesh.test_joining import command, node_id, write_folder
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

SHORT = {"snapshot_blocks": 16, "kept_blocks": 8}


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    plan = ClusterPlan(bitcoin="off")
    cluster = Cluster(tmp_path_factory.mktemp("compaction") / "mesh", 4, plan)
    for daemon in cluster.daemons:
        shorten(daemon)
    try:
        cluster.start()
        yield cluster
        cluster.check_alive()
    finally:
        cluster.stop()


def shorten(daemon: Daemon) -> None:
    """Let a node keep a few blocks only."""
    path = daemon.data_dir / "config.toml"
    text = path.read_text()
    for name, value in SHORT.items():
        text, found = re.subn(rf"(?m)^#? ?{name} = .*$", f"{name} = {value}", text)
        assert found == 1, name
    path.write_text(text)


def work(daemon: Daemon, number: int, replicas: int = 2) -> frozenset[str]:
    """Let a task run to its end; give who executed it."""
    request = SubmitTask(
        module=module("echo"),
        input=b"%d of %d" % (number, replicas),
        gas_max=1000,
        price_msat_per_mgas=10**6,
        replicas=replicas,
    )
    try:
        task = daemon.ask(TASK_SUBMIT, request).task_id
    except OperationError:
        return frozenset()
    done = daemon.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=60_000))
    return frozenset(slot.worker for slot in done.slots)


def first_height(daemon: Daemon, file: Path) -> int:
    """Give the lowest height that a backup of a node can restore."""
    file.unlink(missing_ok=True)
    try:
        return daemon.ask(BACKUP_CREATE, CreateBackup(path=str(file))).from_height
    except OperationError:
        return 0  # a block is under way


def height_of(daemon: Daemon) -> int:
    status = daemon.status()
    return 0 if status is None else status.committed_height


def test_who_was_away_and_who_is_new_go_on_from_a_snapshot(mesh: Cluster, tmp_path: Path) -> None:
    first, away = mesh.daemons[0], mesh.daemons[3]
    behind = height_of(away)
    away.kill()
    tasks = iter(range(10_000))
    mesh.until(
        lambda: work(first, next(tasks)) and first_height(first, tmp_path / "backup") > behind + 32,
        "the log is compacted beyond what the fourth member has",
    )
    away.start()
    mesh.until(lambda: height_of(away) >= height_of(first) > 0, "the fourth member has caught up")
    assert first_height(away, tmp_path / "backup") > behind

    made = command("cluster", "invite", "--data-dir", str(first.data_dir))
    assert made.returncode == 0, made.stderr
    newcomer = write_folder(tmp_path / "attic", made.stdout.strip(), "attic")
    newcomer.start()
    try:
        own = mesh.until(lambda: node_id(newcomer), "the newcomer answers")
        mesh.until(
            lambda: own in work(first, next(tasks), replicas=5),
            "the newcomer has executed a slot",
        )
        height = height_of(first)
        mesh.until(lambda: height_of(newcomer) >= height, "the newcomer has the present state")
        newcomer.kill()
        newcomer.start()
        mesh.until(lambda: height_of(newcomer) >= height, "it has it after a restart")
    finally:
        newcomer.stop()
