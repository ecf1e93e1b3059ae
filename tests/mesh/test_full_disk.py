"""A real disk runs full under a real member: nothing that it said is lost, and it comes back."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.replies import TroubleKind
from tests.mesh.cluster import Cluster, Daemon
from tests.missing import missing

pytestmark = [pytest.mark.slow, pytest.mark.net, pytest.mark.mesh, pytest.mark.once]

ROOT = Path(__file__).parents[2]
HELLO = ROOT / "examples" / "hello-compute" / "hello.wasm"
DISK_BYTES = 48 * 1024 * 1024
FULL_AFTER_TASKS_MAX = 40


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        missing(f"a disk of one's own needs the right to mount one: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def has_run(daemon: Daemon, word: str, folder: Path) -> bool:
    """Have a node's mesh execute something."""
    (folder / "word").write_text(word)
    words = ["--data-dir", daemon.data_dir, "run", HELLO, "--input", folder / "word", "--quiet"]
    command = [sys.executable, "-m", "ambientd.cli.main", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout == word.upper()


def test_a_member_whose_disk_runs_full_stops_loses_nothing_and_goes_on_with_room(
    tmp_path: Path, disk: Path
) -> None:
    cluster = Cluster(tmp_path / "mesh", 4, ClusterPlan(bitcoin="off", block_interval_ms=200))
    shutil.move(cluster.daemons[3].data_dir, disk / "node4")
    victim = cluster.daemons[3] = Daemon(disk / "node4")
    others = cluster.daemons[0]
    try:
        cluster.start()
        assert has_run(others, "before", tmp_path)
        ballast = fill(disk)
        for number in range(FULL_AFTER_TASKS_MAX):
            assert has_run(others, f"full {number}", tmp_path), "three of four go on"
            assert victim.process is not None
            if victim.process.poll() is not None:
                break
        assert victim.process.wait(60) not in {0, -11}, "it ends by itself, and not well"
        ballast.unlink()
        victim.start()
        height = others.status().committed_height  # type: ignore[union-attr]
        cluster.until(
            lambda: (s := victim.status()) is not None and s.committed_height >= height,
            "the member has read what it missed",
        )
        kinds = {trouble.kind for trouble in victim.status().troubles}  # type: ignore[union-attr]
        assert TroubleKind.VOTE_LOST not in kinds
        assert has_run(victim, "after", tmp_path)
    finally:
        cluster.stop()
        os.sync()
