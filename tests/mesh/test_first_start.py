"""A founder's folder of the first day, as a Secret keeps it, on a new volume: real processes."""

import shutil
import tarfile
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.replies import TroubleKind
from ambientd.config.places import Places
from tests.deploy.chart import take_folder
from tests.mesh.cluster import Cluster, Daemon

pytestmark = [pytest.mark.slow, pytest.mark.net, pytest.mark.mesh, pytest.mark.once]

PLAN = ClusterPlan(bitcoin="off")


def pack(folder: Path, founding: Path, number: int) -> None:
    founding.mkdir(exist_ok=True)
    with tarfile.open(founding / f"{number}.tar", "w") as packed:
        packed.add(folder, ".")


def troubles(daemon: Daemon) -> set[TroubleKind]:
    status = daemon.status()
    return set() if status is None else {each.kind for each in status.troubles}


def height_of(daemon: Daemon) -> int:
    status = daemon.status()
    return 0 if status is None else status.committed_height


def test_a_member_whose_volume_is_lost_follows_and_never_votes_again(tmp_path: Path) -> None:
    cluster, founding = Cluster(tmp_path / "mesh", 4, PLAN), tmp_path / "founding"
    for number, daemon in enumerate(cluster.daemons, 1):
        pack(daemon.data_dir, founding, number)
    try:
        cluster.start()
        status = cluster.daemons[0].status()
        assert status is not None
        assert status.coordinator is not None
        # Who coordinates has most to say twice: it would propose other blocks in the first term.
        victim = cluster.by_id(status.coordinator)
        number = cluster.daemons.index(victim) + 1
        others = [each for each in cluster.daemons if each is not victim]
        cluster.until(
            lambda: (
                height_of(others[0]) > 5 and not any(each.why_unready() for each in cluster.daemons)
            ),
            "everybody takes part",
        )
        victim.kill()
        shutil.rmtree(victim.data_dir)
        (tmp_path / "volume").mkdir()
        taken = take_folder(tmp_path / "volume", founding, number)
        assert taken.returncode == 0, taken.stderr
        shutil.move(tmp_path / "volume/node", victim.data_dir)
        assert not Places(victim.data_dir).voted_mark.exists()
        victim.start()
        height = height_of(others[0])
        cluster.until(lambda: height_of(victim) > height, "it follows the log")
        cluster.until(lambda: TroubleKind.VOTE_LOST in troubles(victim), "its owner is told")
        assert "vote lost" in victim.why_unready()
        cluster.until(
            lambda: "HAS LOST WHAT IT VOTED FOR" in (victim.data_dir / "log").read_text(),
            "its log says so",
        )
        assert Places(victim.data_dir).voted_mark.exists()
        others[0].stop()
        cluster.until(
            lambda: TroubleKind.NO_QUORUM in troubles(others[1]) | troubles(victim),
            "two voters of four are no quorum: it makes up for nobody",
        )
        others[0].start()
        height = height_of(others[1])
        cluster.until(lambda: height_of(others[1]) > height + 2, "the log goes on")
        # It stays so, whatever is restarted, and nobody was convicted of anything.
        victim.stop()
        victim.start()
        cluster.until(lambda: TroubleKind.VOTE_LOST in troubles(victim), "it knows by itself")
        for daemon in cluster.daemons:
            assert not troubles(daemon) & {TroubleKind.CONVICTED, TroubleKind.CONVICTED_MEMBERS}
    finally:
        cluster.stop()
        shutil.rmtree(tmp_path, ignore_errors=True)


def test_a_founder_that_comes_late_votes(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "mesh", 4, PLAN)
    *early, late = cluster.daemons
    try:
        cluster.start(3)
        cluster.until(lambda: height_of(early[0]) > 5, "the log has begun without it")
        late.start()
        cluster.until(lambda: late.status() is not None and not late.why_unready(), "it takes part")
        early[1].stop()
        cluster.until(
            lambda: early[0].status() is not None and len(early[0].status().peers) == 2,  # type: ignore[union-attr]
            "another one is gone",
        )
        height = height_of(early[0])
        cluster.until(lambda: height_of(early[0]) > height + 3, "its vote makes the quorum")
        assert troubles(late) == set()
    finally:
        cluster.stop()
        shutil.rmtree(tmp_path, ignore_errors=True)
