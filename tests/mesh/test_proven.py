"""Real daemons and the real prover: one proves, members verify, a stranger checks it offline."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import NODES, TASK_SUBMIT, TASK_WAIT
from ambientd.api.replies import Task
from ambientd.api.requests import ListNodes, SubmitTask, WaitForTask
from tests.mesh.cluster import Cluster, Daemon
from tests.mesh.modules import rounds, spin
from tests.proofs.images import program
from tests.proofs.test_universal import universal

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.prover]

CYCLES = 1 << 17
PROVE_S = 540
"""On a machine that does much else beside; alone it takes seconds to half a minute."""


@pytest.fixture(params=[1, 4])
def mesh(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One member, or four; the last one proves."""
    image = tmp_path / "universal.elf"
    image.write_bytes(universal())
    prover, verifier = program("ambient-prove"), program("ambient-verify")
    cluster = Cluster(tmp_path / "mesh", request.param, ClusterPlan(block_interval_ms=200))
    for daemon in cluster.daemons:
        chosen = {"verifier": f'"{verifier}"'}
        if daemon is cluster.daemons[-1]:
            chosen |= {"prover": f'"{prover}"', "image": f'"{image}"'}
            chosen |= {"cycles_max": str(CYCLES), "memory_bytes_max": str(700 << 20)}
        configure(daemon, chosen)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def configure(daemon: Daemon, chosen: dict[str, str]) -> None:
    place = daemon.data_dir / "config.toml"
    before, section, rest = place.read_text().partition("\n[proving]\n")
    assert section
    lines = "".join(f"{name} = {value}\n" for name, value in chosen.items())
    place.write_text(f"{before}{section}{lines}{rest}")


def ctl(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ambientd.cli.main", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def proven(mesh: Cluster, submitter: Daemon, worker: Daemon, cycles_max: int) -> Task:
    """Have a task proven that may take so many cycles, once the prover has announced itself."""

    def is_announced() -> bool:
        found = submitter.ask(NODES, ListNodes()).nodes
        return any(f"prover={CYCLES}" in node.labels for node in found)

    mesh.until(is_announced, "the prover has announced itself")
    request = SubmitTask(
        module=spin(),
        input=rounds(20),
        assurance="proven",
        cycles_max=cycles_max,
        gas_max=1_000_000,
        memory_bytes_max=1 << 20,
        output_bytes_max=1_000,
        wall_ms_max=30_000,
    )
    task = submitter.ask(TASK_SUBMIT, request).task_id
    ended = submitter.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=PROVE_S * 1000))
    mesh.check_alive()
    said = (worker.data_dir / "log").read_text()
    assert (ended.state, ended.verdict) == ("final", "proven"), said
    return ended


def test_a_proven_task_is_proven_verified_paid_and_checked_offline(
    mesh: Cluster, tmp_path: Path
) -> None:
    submitter, worker = mesh.daemons[0], mesh.daemons[-1]
    ended = proven(mesh, submitter, worker, CYCLES)
    task = ended.task_id
    status = worker.status()
    assert status is not None
    assert [slot.worker for slot in ended.slots] == [status.node]
    assert ended.proof_sha256 is not None
    assert [pay.worker for pay in ended.payments] == [status.node]

    module, receipt = tmp_path / "spin.wasm", tmp_path / "it.receipt"
    proof = tmp_path / "it.proof"
    module.write_bytes(spin())
    at = ("--data-dir", submitter.data_dir)
    mesh.until(lambda: ctl("proof", "get", task, "-o", proof, *at).returncode == 0, "the proof")
    got = ctl("receipt", "get", task, "-o", receipt, *at)
    assert got.returncode == 0, got.stderr
    check = ("receipt", "verify", receipt, "--proof", proof, "--json")
    verifier = ("--verifier", program("ambient-verify"))
    told = ctl(*check, "--module", module, *verifier)
    found = json.loads(told.stdout)
    assert found["valid"], found
    assert {"name", "ok", "detail"} == set(found["checks"][-1])
    assert found["checks"][-1]["name"] == "proof"
    assert "this module" in found["checks"][-1]["detail"]
    wrong = bytearray(proof.read_bytes())
    wrong[-1] ^= 1
    proof.write_bytes(wrong)
    told = ctl(*check, "--module", module, *verifier)
    assert told.returncode == 4
    assert not json.loads(told.stdout)["valid"]
