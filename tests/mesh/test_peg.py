"""Bitcoin comes into a real mesh, is credited, and goes out again while a member is away."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from ambientd.adapters.regtest.launcher import EmbeddedChain, EmbeddedRegtest
from ambientd.api.cluster import ClusterPlan
from tests.mesh.cluster import Cluster, Daemon

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

BLOCK_MS = 300
PAYEE = "bcrt1qqyqszqgpqyqszqgpqyqszqgpqyqszqgpvxat9t"


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "mesh", 4, ClusterPlan(block_interval_ms=BLOCK_MS, peg=True))
    try:
        cluster.start()
        yield cluster
        cluster.check_alive()
    finally:
        cluster.stop()


def ctl(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ambientd.cli.main", "--data-dir", str(daemon.data_dir)]
    return subprocess.run([*command, "peg", *words], capture_output=True, text=True)


def asked(daemon: Daemon, *words: str) -> dict[str, Any]:
    done = ctl(daemon, *words, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def pay(root: Path, address: str, value_sat: int) -> None:
    async def fund() -> None:
        chain = await EmbeddedRegtest.start(EmbeddedChain(root / "chain", BLOCK_MS))
        try:
            assert await chain.fund(address, value_sat)
        finally:
            await chain.aclose()

    trio.run(fund)


def test_bitcoin_comes_in_and_goes_out_and_the_books_agree(mesh: Cluster) -> None:
    daemon = mesh.daemons[0]
    mesh.until(lambda: ctl(daemon, "address").returncode == 0, "there is a wallet", 30)
    pay(mesh.root, asked(daemon, "address")["address"], 500_000)

    def counted() -> bool:
        return any(each["state"] == "counted" for each in asked(daemon, "deposits")["peg_ins"])

    mesh.until(counted, "the peg-in counts", 60)
    away = mesh.daemons.pop()
    away.kill()
    assert ctl(daemon, "withdraw", "1nonsense", "100000", "--yes").returncode == 2
    payment = asked(daemon, "withdraw", PAYEE, "200000", "--yes")
    assert (payment["kind"], payment["needed"]) == ("peg-out", 3)

    def final() -> bool:
        [found] = asked(daemon, "deposits")["payments"]
        return found["state"] == "final"

    mesh.until(final, "the peg-out is final", 60)
    away.start()
    mesh.daemons.append(away)
    audit = asked(daemon, "audit")
    assert (audit["held_sat"], audit["fault"], audit["missing_sat"]) == (300_000, "", 0)
    assert audit["owed_msat"] == 300_000_000
    assert audit["in_sat"] == audit["held_sat"] + audit["out_sat"] + audit["fees_sat"]
    assert (daemon.data_dir / "peg.key").stat().st_mode & 0o777 == 0o600
