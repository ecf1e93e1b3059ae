"""A real node loses its disk and comes back from a backup: it follows, and never votes again."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.replies import Trouble, TroubleKind
from ambientd.api.restoration import restore_node
from ambientd.errors import ConfigError, DamagedError, StoreError, UsageError
from tests.adapters.s3_server import BUCKET, serving
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


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the folder of a real server's bucket, to which all that is started here can go."""
    with serving(tmp_path / "s3") as told:
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        yield tmp_path / "s3" / "buckets" / BUCKET


def follows(cluster: Cluster, daemon: Daemon, what: str) -> None:
    """Start a node, and wait until it is further than another was then."""
    daemon.start()
    height = cluster.daemons[0].status().committed_height
    cluster.until(lambda: (s := daemon.status()) is not None and s.committed_height > height, what)


def test_a_node_comes_back_from_sealed_copies_and_from_copies_in_a_bucket(
    tmp_path: Path, bucket: Path
) -> None:
    cluster = Cluster(tmp_path / "mesh", 4, PLAN)
    victim = cluster.daemons[3]
    folder = victim.data_dir
    here = ("--data-dir", str(folder), "backup")
    key, leaked = tmp_path / "backup.key", tmp_path / "other.key"
    public = ctl(*here, "key", str(key)).strip()
    ctl(*here, "key", str(leaked))
    config = folder / "config.toml"
    said = f'\n[backup]\nfolder = "s3://{BUCKET}/clock"\nrecipients = ["{public}"]\n'
    config.write_text(config.read_text().replace("\n[backup]\n", said))
    sealed = str(tmp_path / "node.backup.age")
    remote, both = f"s3://{BUCKET}/node.backup", f"s3://{BUCKET}/node.backup.age"
    opened = ("--identity", str(key))
    try:
        cluster.start()
        cluster.until(
            lambda: (s := victim.status()) is not None and s.committed_height >= 3,
            "the node has the blocks that it goes back to",
        )
        ctl(*here, "create", sealed, "--to", public)
        ctl(*here, "create", remote)
        ctl(*here, "create", both, "--to", public)
        victim.stop()
        (folder / "node.db").rename(tmp_path / "node.db")
        (folder / "node.voted").unlink()
        kept = {path.name for path in folder.iterdir()}
        for copy, words, fault, why in (
            (sealed, (), UsageError, "is sealed: name the secret key"),
            (both, (), UsageError, "is sealed: name the secret key"),
            (both, (leaked,), DamagedError, "is not sealed to a key of"),
            (f"{remote}s", (), StoreError, "is not there"),
        ):
            with pytest.raises(fault, match=why):
                restore_node(folder, copy, None, *words)
            assert {path.name for path in folder.iterdir()} == kept, "a refusal leaves nothing"
        for copy, words in (
            (sealed, (*opened, "--height", "3")),
            (remote, ("--height", "3")),
            (both, opened),
        ):
            assert "never votes again" in ctl(*here, "restore", copy, *words)
            assert not (folder / "restoring").exists(), "nothing is left in the clear"
            follows(cluster, victim, f"the node restored from {copy} follows the log")
            if copy != both:
                victim.stop()
                (folder / "node.db").unlink()
        by_itself = cluster.until(
            lambda: next((bucket / "clock").glob("*.backup.age"), None), "a copy by the clock"
        )
        victim.stop()
        (folder / "node.db").unlink()
        ctl(*here, "restore", f"s3://{BUCKET}/clock/{by_itself.name}", *opened)
        follows(cluster, victim, "the node restored from its own copy follows the log")
        cluster.stop()
        (folder / "node.db").unlink()
        told = ctl(*here, "restore", both, "--height", "3", *opened)
        [height] = re.findall(r"restored to block (\d+) of ", told)
        victim.start()
        status = cluster.until(victim.status, "a node that is alone tells how it was")
        assert status.committed_height == int(height) <= 3
    finally:
        cluster.stop()
        shutil.rmtree(tmp_path, ignore_errors=True)
