"""What can go wrong around a daemon: its folder, its port, its disk, its end."""

import os
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import RECEIPT_GET, TASK_LIST, TASK_SUBMIT, TASK_WAIT
from ambientd.api.replies import Task
from ambientd.api.requests import GetReceipt, ListTasks, SubmitTask, WaitForTask
from ambientd.errors import AmbientError
from ambientd.model.genesis import Rules
from ambientd.rules.receipt_check import check_receipt_file
from tests.mesh.cluster import Cluster, Daemon
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

PLAN = ClusterPlan(bitcoin="off", rules=Rules(batch_ms=100))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of one member: small, and all there is to break."""
    cluster = Cluster(tmp_path / "alone", 1, PLAN)
    try:
        yield cluster
    finally:
        cluster.stop()


def last_words(data_dir: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ambientd.daemon", "--data-dir", str(data_dir)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()[-1]


def execute(node: Daemon, data: bytes = b"hello") -> Task:
    request = SubmitTask(module=module("echo"), input=data, gas_max=10**6, assurance="none")
    task = node.ask(TASK_SUBMIT, request).task_id
    return node.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=60_000))


def workers_of(daemon: Daemon) -> list[psutil.Process]:
    assert daemon.process is not None
    return psutil.Process(daemon.process.pid).children(recursive=True)


def test_a_cluster_of_one_executes_survives_sigkill_and_ends_cleanly(alone: Cluster) -> None:
    (node,) = alone.daemons
    alone.start()
    done = execute(node)
    assert (done.state, done.outcome, done.verdict) == ("final", "completed", "none")
    file = node.ask(RECEIPT_GET, GetReceipt(task=done.task_id)).data
    assert check_receipt_file(file, output=b"hello").valid

    workers = workers_of(node)
    assert len(workers) == 3  # two that execute, one that prepares
    node.kill()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive, "workers outlived their daemon"
    alone.start()
    assert node.task(done.task_id).state == "final"
    assert execute(node).outcome == "completed"

    workers = workers_of(node)
    assert node.process is not None
    node.process.send_signal(signal.SIGTERM)
    assert node.process.wait(60) == 0
    assert not psutil.wait_procs(workers, timeout=60)[1], "workers outlived their daemon"
    assert not (node.data_dir / "ambientd.sock").exists()
    log = (node.data_dir / "log").read_text()
    assert "stopping" in log
    assert "Traceback" not in log


def test_a_folder_or_port_in_use_is_told_with_what_to_do(alone: Cluster, tmp_path: Path) -> None:
    (node,) = alone.daemons
    alone.start()
    assert node.process is not None
    status, words = last_words(node.data_dir)
    assert status == 2
    pid = node.process.pid
    assert f"{node.data_dir} is in use by process {pid}: stop it, or give this node" in words
    node.stop()
    config = (node.data_dir / "config.toml").read_text()
    listen = re.search(r'^listen = "127.0.0.1:(\d+)"', config, re.MULTILINE)
    assert listen is not None
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(listen[1])))
        other.listen()
        status, words = last_words(node.data_dir)
    assert status == 2
    assert f"cannot listen on 127.0.0.1:{listen[1]}: the port is in use: stop the other" in words


def test_a_wrong_or_missing_file_is_named(alone: Cluster, tmp_path: Path) -> None:
    folder = alone.daemons[0].data_dir
    config, key, genesis = (folder / name for name in ("config.toml", "node.key", "genesis.bin"))
    good = config.read_text()

    def fault() -> str:
        status, words = last_words(folder)
        assert status == 2
        return words

    line = 1 + next(i for i, text in enumerate(good.splitlines()) if text == "[telemetry]")
    config.write_text(good.replace("[telemetry]\n", "[telemetry]\ninterval_ms = 5\n", 1))
    assert f"{config}, line {line + 1}: [telemetry] interval_ms: must be" in fault()
    config.write_text(good.replace("[telemetry]\n", "[telemetry]\ninterval = 5\n", 1))
    assert f"{config}, line {line + 1}: [telemetry] interval: unknown key 'interval'" in fault()
    config.write_text("[node\n")
    assert f"{config}, line 1: not valid TOML" in fault()
    config.unlink()
    assert f"{config}: no such file; create a node with" in fault()
    config.write_text(good)
    secret = key.read_bytes()
    key.unlink()
    assert f"there is no key file {key}: " in fault()
    key.write_bytes(secret)
    key.chmod(0o644)
    assert f"the key file {key} is open to others (mode 0644): chmod 600" in fault()
    key.chmod(0o600)
    whole = genesis.read_bytes()
    genesis.write_bytes(whole[:-1])
    assert f"{genesis}: is damaged" in fault()
    genesis.write_bytes(whole)
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    status, words = last_words(plain)
    assert status == 2
    assert str(plain / "config.toml") in words


def test_a_damaged_row_is_named_and_nothing_is_made_of_it(alone: Cluster) -> None:
    (node,) = alone.daemons
    alone.start()
    execute(node)
    node.stop()
    path = node.data_dir / "node.db"
    with sqlite3.connect(path) as base:
        tables = [name for (name,) in base.execute("SELECT name FROM sqlite_master")]
        table = next(name for name in tables if name.lower() == "ledger")
        key, value = base.execute(f"SELECT key, value FROM {table} LIMIT 1 OFFSET 2").fetchone()
        bent = bytes([value[0] ^ 1]) + value[1:]
        base.execute(f"UPDATE {table} SET value=? WHERE key=?", (bent, key))
    base.close()
    status, words = last_words(node.data_dir)
    assert status == 1
    assert f"{path}: table {table}, key {key.hex()} is damaged; " in words


def test_a_full_disk_stops_the_node_and_costs_nothing_that_was_acknowledged(
    alone: Cluster,
) -> None:
    (node,) = alone.daemons
    most = 400 * 1024

    log = node.data_dir / "log"
    with log.open("ab") as out:
        node.process = subprocess.Popen(
            [sys.executable, "-m", "ambientd.daemon", "--data-dir", str(node.data_dir)],
            stdout=out,
            stderr=out,
            env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")},
        )
    alone.until(lambda: node.status() is not None, "the node answers")
    # From now on only, because the limit holds for shared memory as well, which workers start with.
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (most, most))
    known: list[str] = []

    def submit_for_ever() -> None:
        for number in range(10_000):
            request = SubmitTask(
                module=module("echo"), input=b"%d" % number, gas_max=10**6, assurance="none"
            )
            known.append(node.ask(TASK_SUBMIT, request).task_id)

    with pytest.raises(AmbientError):
        submit_for_ever()
    assert node.process.wait(60) == 1
    words = log.read_text()
    assert "Traceback" not in words
    assert "make room" in words.splitlines()[-1]
    assert known
    alone.start()
    listed = {line.task_id for line in node.ask(TASK_LIST, ListTasks(limit=1000)).tasks}
    assert set(known) <= listed
    done = node.ask(TASK_WAIT, WaitForTask(task=known[-1], timeout_ms=60_000))
    assert done.outcome == "completed"


@pytest.mark.parametrize("members", [3, 7])
def test_committees_that_are_not_four_work_and_survive_a_kill(members: int, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "mesh", members, PLAN)
    request = SubmitTask(module=module("echo"), input=b"hello", gas_max=10**6)
    try:
        cluster.start()
        node, victim = cluster.daemons[0], cluster.daemons[-1]
        for _ in range(2):
            task = node.ask(TASK_SUBMIT, request).task_id
            done = node.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=60_000))
            assert (done.outcome, done.verdict) == ("completed", "agreed")
            if victim.process is not None and victim.process.poll() is None:
                victim.kill()
        survivors = cluster.daemons[:-1]
        assert all(daemon.status() is not None for daemon in survivors)
    finally:
        cluster.stop()


def test_only_the_owner_may_read_what_a_node_writes(alone: Cluster) -> None:
    alone.start()
    folder = alone.daemons[0].data_dir
    for name in ("node.db", "lock", "ambientd.sock", "node.key"):
        assert os.stat(folder / name).st_mode & 0o077 == 0, name


def test_a_key_that_lost_its_store_follows_the_log_and_never_votes_again(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "mesh", 4, PLAN)
    try:
        cluster.start()
        amnesiac = cluster.daemons[3]
        amnesiac.kill()
        for file in amnesiac.data_dir.glob("node.db*"):
            file.unlink()
        amnesiac.start()
        height = cluster.daemons[0].status().committed_height
        cluster.until(
            lambda: (s := amnesiac.status()) is not None and s.committed_height > height,
            "the node without a memory follows the log",
        )
        said = (amnesiac.data_dir / "log").read_text()
        assert "HAS LOST WHAT IT VOTED FOR" in said
        # With it silent, three voters are a quorum; without one of them there is none left.
        cluster.daemons[0].kill()
        survivor = cluster.daemons[1]
        before = survivor.status().committed_height
        time.sleep(3)  # nothing to wait for: the claim is that nothing happens
        assert survivor.status().committed_height <= before + 2
    finally:
        cluster.stop()


def test_a_key_of_another_cluster_is_refused(alone: Cluster, tmp_path: Path) -> None:
    other = Cluster(tmp_path / "other", 1, PLAN)
    key = alone.daemons[0].data_dir / "node.key"
    key.write_bytes((other.daemons[0].data_dir / "node.key").read_bytes())
    code, word = last_words(alone.daemons[0].data_dir)
    assert code == 2
    assert "is of no node of this cluster" in word
