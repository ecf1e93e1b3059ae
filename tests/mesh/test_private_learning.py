"""Four daemons train in private: sums alone are seen, budgets are spent, shown, and refuse."""

import json
import subprocess
import sys
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from ambientd.api.cluster import ClusterPlan
from tests.mesh.cluster import Cluster, Daemon
from tests.mesh.test_learning import ctl, rounds_done

pytest.importorskip("numpy")

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

STUDY = """
name = "private-digits"
model = "mlp:64,16,10"
aggregation = "median"
private = true
clip = 1.0
noise = 4.0
group = 3
rounds = 3
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


def answered(daemon: Daemon, *arguments: str) -> dict[str, Any]:
    return dict(json.loads(ctl(daemon, *arguments, "--json")))


def refused(daemon: Daemon, *arguments: str) -> str:
    command = [sys.executable, "-m", "ambientd.cli.main", "--data-dir", str(daemon.data_dir)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert done.returncode != 0, done.stdout
    return done.stderr


def test_a_private_study_runs_to_its_end_and_what_it_spent_is_shown(
    mesh: Cluster, tmp_path: Path
) -> None:
    plan = tmp_path / "study.toml"
    plan.write_text(STUDY)
    founder, *_, last = mesh.daemons
    study = ctl(founder, "fl", "start", plan).strip()
    mesh.until(lambda: study[:12] in ctl(last, "fl", "list"), "the study is known")
    costs = refused(last, "fl", "join", study[:12], "--data", "digits:4/4")
    assert "--epsilon" in costs
    assert "one round costs" in costs
    assert not (last.data_dir / "learning.json").exists(), "no consent is left behind"
    for number, daemon in enumerate(mesh.daemons, start=1):
        mesh.until(lambda d=daemon: study[:12] in ctl(d, "fl", "list"), "the study is known")
        data = ("--data", f"digits:{number}/4", "--epsilon", "8")
        assert "in private mode" in ctl(daemon, "fl", "join", study[:12], *data)
    mesh.until(lambda: rounds_done(founder, study) >= 1, "done", 150)
    last.kill()
    watched = ctl(founder, "fl", "watch", study[:12], "--timeout", "300")
    assert "epsilon" in watched
    found = answered(founder, "fl", "show", study)
    assert found["study"]["state"] == "done"
    ended = [each for each in found["rounds"] if each["state"] == "done"]
    assert len(ended) == 3
    assert {each["total"] for each in found["rounds"]} == {0}, "nobody scores a private model"
    privacy = found["study"]["privacy"]
    budget = answered(founder, "fl", "budget")
    [line] = budget["studies"]
    assert line["releases"] == privacy["releases"] >= 3
    assert 0 < line["epsilon"] == privacy["spent"] == budget["epsilon"] <= line["limit"] == 8
    assert answered(founder, "status")["privacy"]["epsilon"] == budget["epsilon"]
    told = f"{ceil(budget['epsilon'] * 1000) / 1000:.3f}"
    assert f"epsilon {told} spent" in ctl(founder, "status")
    assert told in ctl(founder, "fl", "budget")
    assert "of 8.000 allowed" in ctl(founder, "fl", "show", study)
    ctl(founder, "fl", "export", study, "--out", tmp_path / "model.npz")
    last.start()
    mesh.until(lambda: last.status() is not None, "it is back")
    again = answered(last, "fl", "budget")["studies"][0]
    assert 1 <= again["releases"] <= line["releases"], "what was spent outlives a kill"
