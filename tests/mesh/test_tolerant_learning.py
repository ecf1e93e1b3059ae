"""Five daemons train natively, audited within a tolerance; one poisons, one shows no rows.

The poisoner is barred when it is drawn, the other one when it is drawn twice. Both are of the
committee: what the poisoner finds as an aggregator is as wrong, and bars nobody.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from tests.mesh.cluster import Cluster, Daemon
from tests.mesh.test_learning import ctl, shown

pytest.importorskip("numpy")

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow, pytest.mark.hunt]

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
train_s = 30
step_s = 15
"""
POISON = """
from ambientd.adapters.learning import {engine} as networks

_honest = networks.descended


def _poisoned(model, start, samples, how, seed):
    return start - 2 * (_honest(model, start, samples, how, seed) - start)


networks.descended = _poisoned
"""
HOARD = """
from ambientd.runtime import learning


async def _kept_back(self, plan, source, committed, learner):
    return learner.lesson_data(plan, source)


learning.LearningHost._rows = _kept_back
"""
"""Trains on what it joined with, and keeps it where nobody can fetch it."""


def poison(daemon: Daemon, folder: Path, engine: str = "networks") -> None:
    """Have a daemon that is not running train away from its data from its next start on."""
    bend(daemon, folder, POISON.format(engine=engine))


def bend(daemon: Daemon, folder: Path, text: str) -> None:
    """Have a daemon that is not running do something else from its next start on."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(text)
    program = folder / "python"
    places = f"{folder}${{PYTHONPATH:+:$PYTHONPATH}}"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{places}" exec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    daemon.python = program


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "mesh", 5, ClusterPlan(bitcoin="off"))
    poison(cluster.daemons[-1], tmp_path / "poison")
    bend(cluster.daemons[-2], tmp_path / "hoard", HOARD)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def test_daemons_that_poison_or_hide_are_named_and_barred_and_nobody_else(
    mesh: Cluster, tmp_path: Path
) -> None:
    plan = tmp_path / "study.toml"
    plan.write_text(STUDY)
    founder, *_, hoarder, liar = mesh.daemons
    statuses = [each.status() for each in (liar, hoarder)]
    liar_id, hoarder_id = (each.node for each in statuses if each is not None)
    study = ctl(founder, "fl", "start", plan).strip()
    for number, daemon in enumerate(mesh.daemons, start=1):
        mesh.until(lambda d=daemon: study[:12] in ctl(d, "fl", "list"), "the study is known")
        ctl(daemon, "fl", "join", study[:12], "--data", f"digits:{number}/5")
    ctl(founder, "fl", "watch", study[:12], "--timeout", "400")
    found = shown(founder, study)
    assert found["study"]["state"] == "done"
    assert found["study"]["tolerance"] == 0.001
    named = {node for each in found["rounds"] for node in each["faulty"]}
    assert named == {liar_id, hoarder_id}
    unshown = [node for each in found["rounds"] for node in each["unshown"]]
    assert unshown == [hoarder_id] * 2, "once is not enough, and twice is"
    assert found["rounds"][-1]["participants"] == 3, "who is barred is in no later round"
    assert found["rounds"][-1]["correct"] / found["rounds"][-1]["total"] > 0.7
    assert "within 0.001 of what it moves" in ctl(founder, "fl", "show", study)
