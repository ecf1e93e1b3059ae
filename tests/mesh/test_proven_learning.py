"""Five daemons train by a module; one says that it got another update, and is found out."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from tests.mesh.cluster import Cluster
from tests.mesh.test_learning import ctl, shown
from tests.mesh.test_liars import lie

pytest.importorskip("numpy")

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow, pytest.mark.hunt]

TRAINER = Path(__file__).parents[2] / "examples" / "fixed-train" / "train.wasm"
STUDY = """
name = "proven"
model = "mlp:64,16,10"
trainer = "wasm"
module = "train.wasm"
audits = 4
rounds = 12
participants_min = 3
wanted = 5
passes = 4
batch = 8
rate = 0.25
invite_s = 60
train_s = 30
step_s = 20
"""


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "mesh", 5, ClusterPlan(bitcoin="off"))
    lie(cluster.daemons[-1], 'lie = "corrupt_output"')
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def test_a_daemon_that_lies_about_its_training_is_blamed_and_left_out(
    mesh: Cluster, tmp_path: Path
) -> None:
    shutil.copy(TRAINER, tmp_path / "train.wasm")
    plan = tmp_path / "study.toml"
    plan.write_text(STUDY)
    founder, *_, liar = mesh.daemons
    status = liar.status()
    assert status is not None
    study = ctl(founder, "fl", "start", plan).strip()
    for number, daemon in enumerate(mesh.daemons, start=1):
        mesh.until(lambda d=daemon: study[:12] in ctl(d, "fl", "list"), "the study is known")
        ctl(daemon, "fl", "join", study[:12], "--data", f"digits:{number}/5")
    mesh.until(
        lambda: status.node in ctl(founder, "blame", "list", "--json"), "the liar is named", 240
    )
    ctl(founder, "fl", "watch", study[:12], "--timeout", "300")
    found = shown(founder, study)
    assert found["study"]["state"] == "done"
    assert found["rounds"][-1]["participants"] == 4, "a convict is in no later round"
    assert found["rounds"][-1]["correct"] / found["rounds"][-1]["total"] > 0.8
    blamed = json.loads(ctl(founder, "blame", "list", "--json"))["blames"]
    assert {each["node"] for each in blamed} == {status.node}
    certificate = tmp_path / "liar.blame"
    ctl(founder, "blame", "export", status.node, "--with-module", "--output", certificate)
    mesh.stop()
    report = json.loads(ctl(founder, "blame", "verify", certificate, "--json"))
    assert report["valid"]
    replay = [each for each in report["checks"] if each["name"] == "replay"]
    assert [each["ok"] for each in replay] == [True]
