"""Daemons train with PyTorch: in private mode, and audited within a tolerance.

These run where the extra `torch` is installed: some gigabytes for one of three trainers (ADR 68).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from tests.mesh.cluster import Cluster
from tests.mesh.test_learning import ctl, shown
from tests.mesh.test_private_learning import STUDY as PRIVATE
from tests.mesh.test_tolerant_learning import STUDY as WITHIN
from tests.mesh.test_tolerant_learning import bend, poison

pytest.importorskip("numpy")
pytest.importorskip("torch", reason="PyTorch is an extra: `pip install torch` and these tests run")

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

NODES = 4
LONGER = {"invite_s", "train_s", "step_s", "wanted"}
OTHER_FLOATS = """
from ambientd.adapters.learning import networks, torch_networks

torch_networks.descended = networks.descended
"""
"""An honest device whose floats are others: NumPy's of 64 bits where PyTorch has 32."""


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "mesh", NODES, ClusterPlan(bitcoin="off"))
    try:
        yield cluster
    finally:
        cluster.stop()


def begun(mesh: Cluster, plan: Path, text: str, *words: str) -> str:
    """Begin a study, of which every daemon has a part of the digits."""
    # PyTorch takes its time to be read from the disk: a study waits for it, if it must.
    longer = "invite_s = 1200\ntrain_s = 120\nstep_s = 60\n"
    kept = [line for line in text.splitlines() if line.split(" ")[0] not in LONGER]
    plan.write_text("\n".join(kept) + f'\nwanted = {NODES}\ntrainer = "torch"\n{longer}')
    mesh.start()
    study = ctl(mesh.daemons[0], "fl", "start", plan).strip()
    for number, daemon in enumerate(mesh.daemons, start=1):
        mesh.until(lambda d=daemon: study[:12] in ctl(d, "fl", "list"), "the study is known")
        ctl(daemon, "fl", "join", study[:12], "--data", f"digits:{number}/{NODES}", *words)
    ctl(mesh.daemons[0], "fl", "watch", study[:12], "--timeout", "900")
    return study


def test_a_private_study_is_trained_with_pytorch(mesh: Cluster, tmp_path: Path) -> None:
    study = begun(mesh, tmp_path / "study.toml", PRIVATE, "--epsilon", "8")
    found = shown(mesh.daemons[0], study)
    assert (found["study"]["state"], found["study"]["trainer"]) == ("done", "torch")
    assert sum(each["state"] == "done" for each in found["rounds"]) == 3
    assert 0 < found["study"]["privacy"]["spent"] <= 8


def test_of_those_who_train_with_pytorch_the_poisoner_alone_is_barred(
    mesh: Cluster, tmp_path: Path
) -> None:
    *_, other, liar = mesh.daemons
    bend(other, tmp_path / "other", OTHER_FLOATS)
    poison(liar, tmp_path / "poison", "torch_networks")
    study = begun(mesh, tmp_path / "study.toml", WITHIN)
    status = liar.status()
    assert status is not None
    found = shown(mesh.daemons[0], study)
    assert found["study"]["state"] == "done"
    assert {node for each in found["rounds"] for node in each["faulty"]} == {status.node}
    assert found["rounds"][-1]["correct"] / found["rounds"][-1]["total"] > 0.7
