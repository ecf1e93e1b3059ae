"""A node that joins with nothing is given credits, bonds, submits a task, gets its bond back."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.model.genesis import Rules
from tests.mesh.cluster import Cluster, Daemon
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

KEEP_MS = 12_000
GIFT_MSAT = 1_000_000


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    plan = ClusterPlan(bitcoin="off", rules=Rules(keep_ms=KEEP_MS))
    cluster = Cluster(tmp_path / "mesh", 4, plan)
    try:
        cluster.start()
        yield cluster
        cluster.check_alive()
    finally:
        cluster.stop()


def ctl(daemon: Daemon, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ambientd.cli.main", "--data-dir", str(daemon.data_dir)]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)


def account(daemon: Daemon, *arguments: str) -> dict[str, Any]:
    done = ctl(daemon, "account", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def joined(mesh: Cluster, folder: Path) -> Daemon:
    """Bring a fifth node in, which knows that it is."""
    token = ctl(mesh.daemons[0], "cluster", "invite").stdout.strip()
    newcomer = Daemon(folder)
    assert ctl(newcomer, "join", token, "--name", "fifth").returncode == 0
    newcomer.move()
    newcomer.start()
    mesh.daemons.append(newcomer)
    mesh.until(lambda: ctl(newcomer, "account", "show").returncode == 0, "the newcomer is in")
    return newcomer


def test_a_node_without_means_is_given_some_works_with_them_and_gets_its_bond_back(
    mesh: Cluster, tmp_path: Path
) -> None:
    founder, newcomer = mesh.daemons[0], joined(mesh, tmp_path / "fifth")
    own = account(newcomer, "show")
    assert (own["name"], own["balance_msat"], own["bond_msat"]) == ("fifth", 0, 0)
    task = tmp_path / "echo.wasm"
    task.write_bytes(module("echo"))
    wanted = ("run", task, "--gas-max", "100000", "--assurance", "none", "--timeout", "120")
    for words in (wanted, ("member", "ask", "--bond", "5")):
        refused = ctl(newcomer, *words)
        assert refused.returncode == 2
        assert f"`ambientctl account transfer {own['node'][:12]} AMOUNT`" in refused.stderr

    sent = ctl(founder, "account", "transfer", own["node"][:12], "1000sat", "--yes")
    assert sent.returncode == 0, sent.stderr
    assert "sent 1,000 sat (1000000 msat) to fifth" in sent.stdout
    mesh.until(lambda: account(newcomer, "show")["balance_msat"] == GIFT_MSAT, "it has come")
    bonded = account(newcomer, "bond", "400sat", "--yes")["account"]
    assert (bonded["balance_msat"], bonded["bond_msat"]) == (600_000, 400_000)
    done = ctl(newcomer, *wanted)
    assert done.returncode == 0, done.stderr

    asked = account(newcomer, "unbond", "150sat", "--yes")["account"]
    assert (asked["bond_msat"], asked["waiting_msat"]) == (250_000, 150_000)
    assert asked["due_ms"] > asked["time_ms"] + KEEP_MS - 5_000
    before_msat = asked["balance_msat"]
    seated = ctl(founder, "account", "unbond", "1", "--yes")
    assert seated.returncode == 2
    assert "give the seat back first: `ambientctl member leave`" in seated.stderr

    def is_back() -> bool:
        return account(newcomer, "show")["waiting_msat"] == 0

    mesh.until(is_back, "the bond is back")
    back = account(newcomer, "show")
    assert back["time_ms"] >= asked["due_ms"]
    assert back["balance_msat"] >= before_msat + 150_000
    # All agree, whoever is asked.
    for daemon in mesh.daemons:
        mesh.until(
            lambda d=daemon: account(d, "show", own["node"])["waiting_msat"] == 0, "all agree", 20
        )
