"""Real daemons find a worker out that is wrong in one step, and a stranger sees it for himself."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ambientd.api.blame_replay import Replay, check_blame
from ambientd.api.cluster import ClusterPlan
from ambientd.api.module_pausing import PausingProcess
from ambientd.api.operations import BLAME_EXPORT, BLAME_LIST, TASK_OUTPUT, TASK_SUBMIT, TASK_WAIT
from ambientd.api.replies import Task
from ambientd.api.requests import ExportBlame, GetOutput, ListBlames, SubmitTask, WaitForTask
from ambientd.codec.canonical import decode
from ambientd.model.blame import BlameFile, WrongStep
from ambientd.model.genesis import Rules
from tests.mesh.cluster import Cluster, Daemon
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

REFEREE_GAS_MAX = 2_000_000
PLAN = ClusterPlan(bitcoin="off", rules=Rules(batch_ms=100, referee_gas_max=REFEREE_GAS_MAX))
GAS_MAX = 200_000_000


def lie(daemon: Daemon, how: str) -> None:
    """Have a daemon that is not running lie from its next start on."""
    config = daemon.data_dir / "config.toml"
    config.write_text(config.read_text().replace("[faults]\n", f"[faults]\n{how}\n", 1))


@contextmanager
def mesh_of(root: Path, members: int, lies: dict[int, str]) -> Iterator[Cluster]:
    """A running mesh in which the nodes of these numbers lie."""
    cluster = Cluster(root, members, PLAN)
    for number, how in lies.items():
        lie(cluster.daemons[number], how)
    try:
        cluster.start()
        yield cluster
        cluster.check_alive()
    finally:
        cluster.stop()


def summed(count: int) -> bytes:
    """What the module of that name must give."""
    total = 0
    for _ in range(count):
        total = (total * 31 + 7) % (1 << 64)
    return total.to_bytes(8, "little")


@dataclass
class Client:
    """One daemon's owner."""

    node: Daemon

    def submit(self, count: int, replicas: int) -> str:
        request = SubmitTask(
            module=module("sum"),
            input=count.to_bytes(4, "little"),
            gas_max=GAS_MAX,
            memory_bytes_max=1 << 20,
            replicas=replicas,
        )
        return self.node.ask(TASK_SUBMIT, request).task_id

    def end(self, task: str) -> Task:
        return self.node.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=120_000))

    def output(self, task: str) -> bytes:
        return self.node.ask(TASK_OUTPUT, GetOutput(task=task)).data


def ctl(*words: str | Path) -> tuple[int, str]:
    """Run a command as a person does; give its exit code and what it printed."""
    command = [sys.executable, "-m", "ambientd.cli.main", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout


def test_one_wrong_step_is_found_convicted_and_shown_to_a_stranger(tmp_path: Path) -> None:
    count = 3_000_000
    lies = {3: 'lie = "wrong_step"\nwrong_step_gas = 17_000_000'}
    with mesh_of(tmp_path / "mesh", 4, lies) as mesh:
        client = Client(mesh.daemons[0])
        task = client.submit(count, replicas=4)
        done = client.end(task)
        assert (done.outcome, done.verdict) == ("completed", "bisected")
        assert client.output(task) == summed(count)
        status = mesh.daemons[3].status()
        assert status is not None
        assert done.liars == (status.node,)
        (evidence,) = done.evidence
        assert (evidence.culprit, evidence.kind) == (status.node, "false-step")
        (blame,) = client.node.ask(BLAME_LIST, ListBlames()).blames
        assert (blame.node, blame.task, blame.kind) == (status.node, task, "false-step")
        fingerprint = status.fingerprint
        path = tmp_path / "liar.blame"
        code, out = ctl("--data-dir", client.node.data_dir, "blame", "export", task, "-o", path)
        assert (code, out) == (0, f"{path}\n")
        kept = client.node.data_dir / "blame" / f"{status.node}.blame"
        assert kept.read_bytes() == path.read_bytes()
    data = path.read_bytes()
    file: BlameFile = decode(data, BlameFile)
    assert isinstance(file.evidence, WrongStep)
    stretch = file.evidence.verdicts[0]
    assert stretch.start.gas_index < 17_000_100 <= stretch.until_gas + 100
    assert stretch.until_gas - stretch.start.gas_index <= 1_000_000
    assert len(data) - len(file.evidence.state) < 16 << 10
    blobs = {"--module": module("sum"), "--input": count.to_bytes(4, "little")}
    given: list[str | Path] = ["--cluster", fingerprint]
    for option, blob in blobs.items():
        (tmp_path / option).write_bytes(blob)
        given += [option, tmp_path / option]
    code, out = ctl("blame", "verify", path, *given)
    assert code == 0, out
    assert "ok    replay" in out
    assert out.endswith(f"node {status.node} lied\n")
    for at in (len(data) // 50, len(data) - 5):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        code, out = ctl("blame", "verify", path, *given)
        assert (code, "FAIL" in out) == (4, True)


def test_two_liars_of_different_kinds_are_both_named_and_every_answer_is_right(
    tmp_path: Path,
) -> None:
    lies = {5: 'lie = "corrupt_output"', 6: 'lie = "wrong_step"\nwrong_step_gas = 2_000_000'}
    counts = [200_000 + number for number in range(12)]
    with mesh_of(tmp_path / "mesh", 7, lies) as mesh:
        client = Client(mesh.daemons[0])
        tasks = [client.submit(count, replicas=3) for count in counts]
        ended = [client.end(task) for task in tasks]
        assert all(task.outcome == "completed" for task in ended), ended
        for task, count in zip(tasks, counts, strict=True):
            assert client.output(task) == summed(count)
        blamed = {each.node for each in client.node.ask(BLAME_LIST, ListBlames()).blames}
        liars = {mesh.daemons[number].status().node for number in lies}  # type: ignore[union-attr]
        assert blamed == liars
        for node in sorted(blamed):
            answer = client.node.ask(BLAME_EXPORT, ExportBlame(about=node, with_module=True))
            given = Replay(PausingProcess("wasmtime"))
            assert check_blame(answer.data, None, given).valid
