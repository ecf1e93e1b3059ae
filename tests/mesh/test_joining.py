"""A newcomer with a token comes in by itself, follows the log, and works; a bad token is told."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan, JoinPlan, join_cluster
from ambientd.api.invitation import read_token
from ambientd.api.operations import (
    CLUSTER_INVITE,
    NODES,
    PING,
    TASK_OUTPUT,
    TASK_SUBMIT,
    TASK_WAIT,
    OperationError,
)
from ambientd.api.requests import GetOutput, Invite, ListNodes, Ping, SubmitTask, WaitForTask
from tests.mesh.cluster import Cluster, Daemon
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

NOT_IN = "every member that the token names refuses this node: "


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    plan = ClusterPlan(bitcoin="off")
    cluster = Cluster(tmp_path_factory.mktemp("joining") / "mesh", 4, plan)
    try:
        cluster.start()
        yield cluster
        cluster.check_alive()
    finally:
        cluster.stop()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ambientd.cli.main", *arguments], capture_output=True, text=True
    )


def write_folder(folder: Path, token: str, name: str) -> Daemon:
    done = command("join", "--data-dir", str(folder), "--name", name, token)
    assert done.returncode == 0, done.stderr
    newcomer = Daemon(folder)
    newcomer.move()
    return newcomer


def node_id(daemon: Daemon) -> str | None:
    status = daemon.status()
    return None if status is None else status.node


def ended(daemon: Daemon, deadline_s: float = 90) -> tuple[int, str]:
    assert daemon.process is not None
    status = daemon.process.wait(deadline_s)
    return status, (daemon.data_dir / "log").read_text()


def test_a_newcomer_joins_follows_works_and_comes_back(mesh: Cluster, tmp_path: Path) -> None:
    made = command("cluster", "invite", "--data-dir", str(mesh.daemons[0].data_dir))
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    newcomer = write_folder(tmp_path / "attic", token, "attic")
    newcomer.start()
    try:
        own = mesh.until(lambda: node_id(newcomer), "the newcomer answers")
        for daemon in [*mesh.daemons, newcomer]:
            info = mesh.until(
                lambda d=daemon: next(
                    (n for n in d.ask(NODES, ListNodes()).nodes if n.id == own and n.connected),
                    None,
                ),
                f"{daemon.data_dir.name} lists the newcomer",
            )
            assert (info.name, info.committee, info.balance_msat) == ("attic", False, 0)
        mesh.until(
            lambda: not (tmp_path / "attic" / "invitation.token").exists(), "the token is used up"
        )

        # With five replicas on five nodes the newcomer has one.
        def all_five() -> bool:
            try:
                request = SubmitTask(
                    module=module("echo"),
                    input=b"five",
                    gas_max=1000,
                    price_msat_per_mgas=10**6,
                    replicas=5,
                )
                task = mesh.daemons[0].ask(TASK_SUBMIT, request).task_id
            except OperationError:
                return False
            done = mesh.daemons[0].ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=60_000))
            return done.outcome == "completed" and own in {s.worker for s in done.slots}

        mesh.until(all_five, "the newcomer has executed a slot")
        # It may apply the block that pays it a moment after the others.
        mesh.until(
            lambda: (s := newcomer.status()) is not None and s.balance_msat > 0,
            "its work was paid",
        )

        # What it has earned it can spend.
        request = SubmitTask(module=module("echo"), input=b"mine", gas_max=10**5, assurance="none")
        task = newcomer.ask(TASK_SUBMIT, request).task_id
        done = newcomer.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=60_000))
        assert done.outcome == "completed"
        assert newcomer.ask(TASK_OUTPUT, GetOutput(task=task)).data == b"mine"

        # It restarts from its own disk as an observer.
        newcomer.kill()
        newcomer.start()
        height = mesh.daemons[0].status().committed_height
        mesh.until(
            lambda: (s := newcomer.status()) is not None and s.committed_height >= height,
            "the newcomer has caught up after its restart",
        )
        assert newcomer.task(task).outcome == "completed"

        # Nobody else comes in on the same token.
        second = write_folder(tmp_path / "cellar", token, "cellar")
        second.start()
        try:
            status_code, log = ended(second)
        finally:
            second.stop()
        assert status_code == 2
        assert f"{NOT_IN}'the invitation has been used'; ask for a new token" in log
        assert "Traceback" not in log
    finally:
        newcomer.stop()
    assert newcomer.process is not None
    assert newcomer.process.returncode == 0


def test_a_token_that_expires_before_the_daemon_starts_is_told(
    mesh: Cluster, tmp_path: Path
) -> None:
    answer = mesh.daemons[0].ask(CLUSTER_INVITE, Invite(expires_in_ms=3_000))
    # As in time: a command of its own may begin too late where there is much to do.
    in_time = JoinPlan(now_ms=answer.expires_ms - 1, name="late")
    join_cluster(tmp_path / "late", read_token(answer.token), answer.token, in_time)
    late = Daemon(tmp_path / "late")
    late.move()
    mesh.until(
        lambda: mesh.daemons[0].ask(PING, Ping()).now_ms > answer.expires_ms,
        "the token has expired",
    )
    late.start()
    try:
        status, log = ended(late)
    finally:
        late.stop()
    assert status == 2
    assert f"{NOT_IN}'the invitation has expired'" in log
    done = command("join", "--data-dir", str(tmp_path / "later"), answer.token)
    assert done.returncode == 2
    assert "the token has expired; ask for a new one" in done.stderr
    assert not (tmp_path / "later").exists()


def test_a_token_that_was_tampered_with_is_told(mesh: Cluster, tmp_path: Path) -> None:
    token = mesh.daemons[0].ask(CLUSTER_INVITE, Invite()).token
    middle = len(token) - 40
    bent = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    done = command("join", "--data-dir", str(tmp_path / "bent"), bent)
    assert done.returncode == 2
    assert "the token's grant is not signed by its inviter" in done.stderr
    # Somebody bends the file in the folder instead.
    daemon = write_folder(tmp_path / "folder", token, "folder")
    (tmp_path / "folder" / "invitation.token").write_text(bent)
    daemon.start()
    try:
        status, log = ended(daemon)
    finally:
        daemon.stop()
    assert status == 2
    assert "invitation.token: the token's grant is not signed by its inviter" in log
    assert "Traceback" not in log


def test_only_members_invite(mesh: Cluster, tmp_path: Path) -> None:
    token = mesh.daemons[1].ask(CLUSTER_INVITE, Invite()).token
    guest = write_folder(tmp_path / "guest", token, "guest")
    guest.start()
    try:
        mesh.until(lambda: node_id(guest), "the guest answers")
        with pytest.raises(OperationError, match="only committee members invite") as refused:
            guest.ask(CLUSTER_INVITE, Invite())
        assert refused.value.code == "forbidden"
    finally:
        guest.stop()
