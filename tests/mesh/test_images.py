"""Real daemons go over to state version 2, name a module's image, and a stranger believes them."""

import subprocess
import sys
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import STATUS
from ambientd.api.requests import GetStatus
from ambientd.rules.proofs import read_proof
from tests.mesh.cluster import Cluster, Daemon
from tests.proofs.images import program
from tests.proofs.test_verifier import MODULE, PROOF

pytestmark = [pytest.mark.slow, pytest.mark.mesh, pytest.mark.net]


def lets_speak(daemon: Daemon) -> None:
    """Let a node say which state version its program knows."""
    place = daemon.data_dir / "config.toml"
    before, section, rest = place.read_text().partition("\n[log]\n")
    assert section
    place.write_text(f"{before}{section}says_next_version = true\n{rest}")


def ctl(daemon: Daemon, *words: str | Path) -> str:
    place = ("--data-dir", str(daemon.data_dir))
    command = [sys.executable, "-m", "ambientd.cli.main", *place, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def test_members_name_an_image_and_a_stranger_verifies_a_proof_by_their_word(
    tmp_path: Path,
) -> None:
    image = read_proof(PROOF.read_bytes()).image.hex()
    cluster = Cluster(tmp_path / "mesh", 4, ClusterPlan(bitcoin="off", state_version=1))
    first, second, liar, _ = cluster.daemons
    for daemon in cluster.daemons:
        lets_speak(daemon)
    try:
        cluster.start()
        cluster.until(
            lambda: {d.ask(STATUS, GetStatus()).state_version for d in cluster.daemons} == {2},
            "all have gone over",
        )
        assert "not decided" in ctl(liar, "image", "name", MODULE, "ab" * 32, "--yes")
        assert "fee: nothing" in ctl(first, "image", "name", MODULE, image, "--yes")
        assert image in ctl(second, "image", "name", MODULE, image, "--yes")
        file = tmp_path / "it.image"
        cluster.until(
            lambda: "not decided" not in ctl(liar, "image", "show", MODULE), "all know the image"
        )
        ctl(liar, "image", "show", MODULE, "-o", file)
        cluster.check_alive()
    finally:
        cluster.stop()
    about = ("--module", MODULE, "--images", file, "--verifier", program("ambient-verify"))
    said = ctl(first, "proof", "verify", PROOF, *about)
    assert "2 of the 4 members" in said
