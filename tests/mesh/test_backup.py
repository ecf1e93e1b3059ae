"""A real node loses its disk and comes back from a backup: it follows, and never votes again."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.replies import Trouble, TroubleKind
from ambientd.api.restoration import restore_node
from ambientd.errors import ConfigError, StoreError
from tests.mesh.cluster import Cluster, Daemon

pytestmark = [pytest.mark.slow, pytest.mark.net, pytest.mark.mesh]

PLAN = ClusterPlan(bitcoin="off")
ROCKSDB = pytest.param(
    "rocksdb",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("rocksdict") is None, reason="rocksdict is not installed"
    ),
)


def ctl(*words: str) -> str:
    command = [sys.executable, "-m", "ambientd.cli.main", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def troubles_of(daemon: Daemon) -> tuple[Trouble, ...]:
    status = daemon.status()
    return () if status is None else status.troubles


@pytest.mark.parametrize("engine", ["sqlite", ROCKSDB])
def test_a_node_comes_back_from_a_backup_and_follows(tmp_path: Path, engine: str) -> None:
    cluster, file = Cluster(tmp_path / "mesh", 4, PLAN), tmp_path / "node.backup"
    key, sealed = tmp_path / "backup.key", tmp_path / "node.backup.age"
    victim = cluster.daemons[3]
    folder = victim.data_dir
    config = folder / "config.toml"
    config.write_text(config.read_text().replace('# engine = "sqlite"', f'engine = "{engine}"'))
    stores = {"sqlite": "node.db", "rocksdb": "node.rocks"}
    try:
        cluster.start()
        there = ("--data-dir", str(folder), "backup")
        cluster.until(
            lambda: (s := victim.status()) is not None and s.committed_height >= 3,
            "the node has the blocks that it goes back to",
        )
        assert "heights 0 to" in ctl(*there, "create", str(file))
        public = ctl(*there, "key", str(key)).strip()
        assert ", sealed" in ctl(*there, "create", str(sealed), "--to", public)
        assert ": whole, block " in ctl(*there, "verify", str(sealed), "--identity", str(key))
        with pytest.raises(ConfigError, match="in use by process"):
            restore_node(folder, file)
        victim.stop()
        with pytest.raises(ConfigError, match="exists and is not overwritten"):
            restore_node(folder, file)
        name = stores[engine]
        (folder / name).rename(tmp_path / name)
        (folder / "node.voted").unlink()
        hurt = tmp_path / "hurt"
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        hurt.write_bytes(data)
        with pytest.raises(StoreError, match="is damaged"):
            restore_node(folder, hurt)
        assert not (folder / name).exists()
        assert not (folder / "node.voted").exists()
        words = ctl("--data-dir", str(folder), "backup", "restore", str(file), "--height", "3")
        assert (folder / "node.voted").exists()
        assert "never votes again" in words
        victim.start()
        height = cluster.daemons[0].status().committed_height
        cluster.until(
            lambda: (s := victim.status()) is not None and s.committed_height > height,
            "the restored node follows the log",
        )
        assert "HAS LOST WHAT IT VOTED FOR" in (folder / "log").read_text()
        cluster.until(
            lambda: [each.kind for each in troubles_of(victim)] == [TroubleKind.VOTE_LOST],
            "that is all that troubles it",
        )
        cluster.daemons[2].stop()
        cluster.until(
            lambda: TroubleKind.NO_QUORUM in {each.kind for each in troubles_of(victim)},
            "the restored node knows that it cannot make up for another",
        )
    finally:
        cluster.stop()
        shutil.rmtree(tmp_path, ignore_errors=True)
