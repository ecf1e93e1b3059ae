"""Real daemons and the real prover: what a dispute leaves is proven, and members only verify."""

from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import NODES, TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import ListNodes, SubmitTask, WaitForTask
from ambientd.model.genesis import Rules
from tests.mesh.cluster import Cluster
from tests.mesh.test_liars import lie
from tests.mesh.test_proven import configure
from tests.modules.compiled import module
from tests.proofs.images import program
from tests.proofs.steps import image
from tests.proofs.test_universal import universal

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.prover]

RULES = Rules(t0_ms=2_000, batch_ms=100, referee_gas_max=1_000_000)
"""Proving takes all cores of this machine: its members shall not change coordinators over it."""
PLAN = ClusterPlan(bitcoin="off", rules=RULES)
COUNT = 400_000
STRAY_GAS = 1_500_000
CYCLES = 1 << 19
ANNOUNCE_S = 300
PROVE_S = 900
"""On a machine that does much else beside; alone it takes half a minute."""


def test_a_false_step_is_proven_and_members_verify_instead_of_executing(tmp_path: Path) -> None:
    images = {"image": universal(), "step_image": image()}
    for name, data in images.items():
        (tmp_path / name).write_bytes(data)
    prover, verifier = program("ambient-prove"), program("ambient-verify")
    mesh = Cluster(tmp_path / "mesh", 3, PLAN)
    for daemon in mesh.daemons:
        chosen = {"verifier": f'"{verifier}"'}
        if daemon is mesh.daemons[0]:
            chosen |= {"prover": f'"{prover}"', "cycles_max": str(CYCLES)}
            chosen |= {name: f'"{tmp_path / name}"' for name in images}
            chosen |= {"memory_bytes_max": str(2560 << 20)}
        configure(daemon, chosen)
    lie(mesh.daemons[2], f'lie = "wrong_step"\nwrong_step_gas = {STRAY_GAS}')
    try:
        mesh.start()
        play(mesh)
    finally:
        mesh.stop()


def play(mesh: Cluster) -> None:
    honest, liar = mesh.daemons[0], mesh.daemons[2].status()
    assert liar is not None

    def is_announced() -> bool:
        found = honest.ask(NODES, ListNodes()).nodes
        return any(f"prover={CYCLES}" in node.labels for node in found)

    mesh.until(is_announced, "the prover has announced itself", ANNOUNCE_S)
    request = SubmitTask(
        module=module("sum"), input=COUNT.to_bytes(4, "little"), gas_max=100_000_000,
        memory_bytes_max=1 << 20, output_bytes_max=1_000, wall_ms_max=30_000, replicas=3,
    )  # fmt: skip
    task = honest.ask(TASK_SUBMIT, request).task_id
    ended = honest.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=PROVE_S * 1000))
    mesh.check_alive()
    said = (honest.data_dir / "log").read_text()
    assert (ended.state, ended.verdict) == ("final", "bisected"), said
    assert ended.liars == (liar.node,)
    prover = honest.status()
    assert prover is not None
    assert prover.node in {pay.worker for pay in ended.payments}
    assert "stretch not proven" not in said

    proofs = proofs_in(honest.data_dir)
    assert len(proofs) == 1
    assert [each.name for each in proofs_in(mesh.daemons[1].data_dir)] == [proofs[0].name]


def proofs_in(folder: Path) -> list[Path]:
    """Give the proofs that a node has made, or fetched to verify them."""
    files = [each for each in (folder / "blobs").rglob("*") if each.is_file()]
    return [each for each in files if each.read_bytes()[:8] == b"AMBPROOF"]
