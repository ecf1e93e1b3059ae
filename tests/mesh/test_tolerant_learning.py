"""Five daemons train natively, audited within a tolerance; one poisons, and is barred.

It is of the committee as well: what it finds as an aggregator is as wrong, and bars nobody.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from tests.mesh.cluster import Cluster, Daemon
from tests.mesh.test_learning import ctl, shown

pytest.importorskip("numpy")

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

STUDY = """
name = "within"
model = "mlp:64,16,10"
aggregation = "median"
audits = 4
tolerance = 0.001
rounds = 6
participants_min = 3
wanted = 5
passes = 4
batch = 8
rate = 0.1
invite_s = 60
train_s = 15
step_s = 5
"""
POISON = """
from ambientd.adapters.learning import networks

_honest = networks.descended


def _poisoned(model, start, samples, how, seed):
    return start - 2 * (_honest(model, start, samples, how, seed) - start)


networks.descended = _poisoned
"""


def poison(daemon: Daemon, folder: Path) -> None:
    """Have a daemon that is not running train away from its data from its next start on."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(POISON)
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    daemon.python = program


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "mesh", 5, ClusterPlan(bitcoin="off"))
    poison(cluster.daemons[-1], tmp_path / "poison")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def test_a_daemon_that_poisons_native_training_is_named_and_barred_and_nobody_else(
    mesh: Cluster, tmp_path: Path
) -> None:
    plan = tmp_path / "study.toml"
    plan.write_text(STUDY)
    founder, *_, liar = mesh.daemons
    status = liar.status()
    assert status is not None
    study = ctl(founder, "fl", "start", plan).strip()
    for number, daemon in enumerate(mesh.daemons, start=1):
        mesh.until(lambda d=daemon: study[:12] in ctl(d, "fl", "list"), "the study is known")
        ctl(daemon, "fl", "join", study[:12], "--data", f"digits:{number}/5")
    ctl(founder, "fl", "watch", study[:12], "--timeout", "400")
    found = shown(founder, study)
    assert found["study"]["state"] == "done"
    assert found["study"]["tolerance"] == 0.001
    named = {node for each in found["rounds"] for node in each["faulty"]}
    assert named == {status.node}
    assert found["rounds"][-1]["participants"] == 4, "who is barred is in no later round"
    assert found["rounds"][-1]["correct"] / found["rounds"][-1]["total"] > 0.7
    assert "within 0.001 of what it moves" in ctl(founder, "fl", "show", study)
