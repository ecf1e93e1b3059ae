"""Four daemons train one model on digits that stay with each, and lose one of them on the way."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.learning_operations import FL_SHOW
from ambientd.api.learning_values import ShowStudy
from tests.mesh.cluster import Cluster, Daemon

pytest.importorskip("numpy")

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

STUDY = """
name = "digits"
model = "mlp:64,32,10"
rounds = 4
participants_min = 3
wanted = 4
passes = 5
rate = 0.2
invite_s = 60
train_s = 10
step_s = 5
"""


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "mesh", 4, ClusterPlan(bitcoin="off"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def ctl(daemon: Daemon, *arguments: str | Path) -> str:
    command = [sys.executable, "-m", "ambientd.cli.main", "--data-dir", str(daemon.data_dir)]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shown(daemon: Daemon, study: str) -> dict[str, Any]:
    return dict(json.loads(ctl(daemon, "fl", "show", study, "--json")))


def rounds_done(daemon: Daemon, study: str) -> int:
    """Ask the daemon itself: while a program starts, further rounds may pass."""
    return daemon.ask(FL_SHOW, ShowStudy(study=study)).study.done


def test_a_mesh_trains_a_model_and_outlives_a_participant(mesh: Cluster, tmp_path: Path) -> None:
    plan = tmp_path / "study.toml"
    plan.write_text(STUDY)
    founder, *_, last = mesh.daemons
    study = ctl(founder, "fl", "start", plan).strip()
    for number, daemon in enumerate(mesh.daemons, start=1):
        mesh.until(lambda d=daemon: study[:12] in ctl(d, "fl", "list"), "the study is known")
        ctl(daemon, "fl", "join", study[:12], "--data", f"digits:{number}/4")
    mesh.until(lambda: rounds_done(founder, study) >= 1, "a round is done")
    last.kill()
    watched = ctl(founder, "fl", "watch", study[:12], "--timeout", "120")
    assert "accuracy" in watched
    found = shown(founder, study)
    assert found["study"]["state"] == "done"
    ended = [each for each in found["rounds"] if each["state"] == "done"]
    assert len(ended) == 4
    assert ended[-1]["survivors"] == 3, "who is gone is left out"
    assert ended[-1]["correct"] / ended[-1]["total"] > 0.7
    for form in ("npz", "onnx"):
        ctl(founder, "fl", "export", study, "--out", tmp_path / f"model.{form}")
        assert (tmp_path / f"model.{form}").stat().st_size > 1_000
