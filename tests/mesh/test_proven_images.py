"""Real daemons and the real prover: a task is proven with the image that members decided on."""

import json
from pathlib import Path

import pytest

from ambientd.adapters.verifier_program import image_id
from ambientd.api.cluster import ClusterPlan
from ambientd.rules.proofs import read_proof
from scripts.proof_image import build
from tests.mesh.cluster import Cluster
from tests.mesh.modules import spin
from tests.mesh.test_proven import CYCLES, configure, ctl, proven
from tests.proofs.images import program
from tests.proofs.test_universal import universal

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.prover]

FEW_CYCLES = 1 << 15
"""The universal image takes more for any module, so that none but the own one proves this."""


def test_members_decide_on_an_image_a_task_is_proven_with_it_and_a_stranger_checks_that(
    tmp_path: Path,
) -> None:
    universal_image, module = tmp_path / "universal.elf", tmp_path / "spin.wasm"
    universal_image.write_bytes(universal())
    module.write_bytes(spin())
    draft, folder = tmp_path / "spin.elf", tmp_path / "own"
    draft.write_bytes(build(spin()))
    prover, verifier = program("ambient-prove"), program("ambient-verify")
    image = image_id(str(verifier), draft)
    folder.mkdir()
    draft.rename(folder / f"{image}.elf")
    mesh = Cluster(tmp_path / "mesh", 4, ClusterPlan(block_interval_ms=200, bitcoin="off"))
    submitter, other, worker = mesh.daemons[0], mesh.daemons[1], mesh.daemons[-1]
    for daemon in mesh.daemons:
        chosen = {"verifier": f'"{verifier}"'}
        if daemon is worker:
            chosen |= {"prover": f'"{prover}"', "image": f'"{universal_image}"'}
            chosen |= {"own_images": f'"{folder}"'}
            chosen |= {"cycles_max": str(CYCLES), "memory_bytes_max": str(700 << 20)}
        configure(daemon, chosen)
    at = ("--data-dir", submitter.data_dir)
    file, proof, receipt = (tmp_path / f"it.{kind}" for kind in ("image", "proof", "receipt"))
    try:
        mesh.start()
        for daemon in (submitter, other):
            named = ctl("image", "name", module, image, "--yes", "--data-dir", daemon.data_dir)
            assert named.returncode == 0, named.stderr
        shown = ("image", "show", module, "--data-dir", worker.data_dir)
        mesh.until(lambda: "decided in epoch 1" in ctl(*shown).stdout, "the prover knows it")
        task = proven(mesh, submitter, worker, FEW_CYCLES).task_id
        mesh.until(lambda: ctl("proof", "get", task, "-o", proof, *at).returncode == 0, "the proof")
        for words in (
            ("receipt", "get", task, "-o", receipt),
            ("image", "show", module, "-o", file),
        ):
            got = ctl(*words, *at)
            assert got.returncode == 0, got.stderr
    finally:
        mesh.stop()
    assert read_proof(proof.read_bytes()).image.hex() == image
    check = ("receipt", "verify", receipt, "--proof", proof, "--verifier", verifier, "--json")
    found = json.loads(ctl(*check, "--images", file).stdout)
    assert found["valid"], found
    assert image in found["checks"][-1]["detail"]
    assert any("2 of the 4 members in epoch 1" in each for each in found["trust"])
    alone = ctl(*check)
    assert alone.returncode == 4, "its prover's word on the image is nobody's"
    assert "--images" in json.loads(alone.stdout)["checks"][-1]["detail"]
    pinned = ctl(*check, "--images", file, "--image", image)
    assert pinned.returncode == 2
