"""Real daemons of the version before are replaced by this one's, one after another."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ambientd import __version__
from ambientd.api.operations import STATUS
from ambientd.api.requests import GetStatus
from tests.before import ROOT, VERSION, environment_before
from tests.mesh.cluster import Cluster, Daemon, own_port

pytestmark = [pytest.mark.slow, pytest.mark.net, pytest.mark.mesh]

NOW = Path(sys.executable)
HELLO = ROOT / "examples" / "hello-compute" / "hello.wasm"


def ctl(python: Path, *words: object) -> str:
    """Say something in the words of one version; give what it answers."""
    command = [str(python), "-m", "ambientd.cli.main", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


class Founded(Cluster):
    """A cluster that the version before has founded."""

    def __init__(self, root: Path, python: Path) -> None:
        options = ("--members", 4, "--base-port", own_port(), "--bitcoin", "off")
        ctl(python, "cluster", "create", root, *options)
        self.root = root
        self.daemons = [Daemon(root / f"node{number}") for number in (1, 2, 3, 4)]
        for daemon in self.daemons:
            daemon.python = python


def versions_of(cluster: Cluster) -> list[str]:
    return [each.ask(STATUS, GetStatus()).version for each in cluster.daemons]


def tasks_of(daemon: Daemon) -> tuple[str, ...]:
    """Give the states of all tasks, as a node tells them."""
    told = ctl(daemon.python, "--data-dir", daemon.data_dir, "task", "list", "--json")
    return tuple(task["state"] for task in msgspec.json.decode(told)["tasks"])


def test_a_mesh_is_updated_one_daemon_after_another_while_it_works(tmp_path: Path) -> None:
    before = environment_before(tmp_path / "before")
    cluster = Founded(tmp_path / "mesh", before)
    word = tmp_path / "word"
    word.write_bytes(b"ambient")
    receipts: list[Path] = []

    def has_work_done_by(daemon: Daemon) -> None:
        receipt = tmp_path / f"{len(receipts)}.receipt"
        words = (HELLO, "--input", word, "--receipt", receipt, "--quiet")
        assert ctl(daemon.python, "--data-dir", daemon.data_dir, "run", *words) == "AMBIENT"
        receipts.append(receipt)

    try:
        cluster.start()
        assert versions_of(cluster) == [VERSION] * 4
        has_work_done_by(cluster.daemons[0])
        copy = tmp_path / "before.backup"
        ctl(before, "--data-dir", cluster.daemons[0].data_dir, "backup", "create", copy)
        for daemon in cluster.daemons:
            daemon.stop()
            daemon.python = NOW
            daemon.start()
            cluster.until(
                lambda d=daemon: cluster._is_ready(d, 3),  # type: ignore[misc]
                f"{daemon.data_dir.name} is back",
            )
            has_work_done_by(daemon)
        assert versions_of(cluster) == [__version__] * 4
        told = {tasks_of(each) for each in cluster.daemons}
        assert told == {("final",) * len(receipts)}
        cluster.check_alive()
    finally:
        cluster.stop()
    assert "valid" in ctl(NOW, "receipt", "verify", receipts[0])
    assert "valid" in ctl(before, "receipt", "verify", receipts[-1])
    whole = ctl(NOW, "--data-dir", cluster.daemons[0].data_dir, "backup", "verify", copy)
    assert ": whole, block " in whole
