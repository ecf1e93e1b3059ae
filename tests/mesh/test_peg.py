"""Bitcoin comes into a real mesh, is credited, and goes out again while a member is away."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from ambientd.adapters.regtest.launcher import EmbeddedChain, EmbeddedRegtest
from ambientd.api.cluster import ClusterPlan
from ambientd.model.genesis import Rules
from tests.mesh.cluster import Cluster, Daemon

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

BLOCK_MS = 300
KEEP_MS = 10_000
SENDER = "bcrt1qqgpqyqszqgpqyqszqgpqyqszqgpqyqszazmwwa"
PAYEE = "bcrt1qqyqszqgpqyqszqgpqyqszqgpqyqszqgpvxat9t"


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    plan = ClusterPlan(block_interval_ms=BLOCK_MS, peg=True, rules=Rules(keep_ms=KEEP_MS))
    cluster = Cluster(tmp_path / "mesh", 4, plan)
    try:
        cluster.start()
        yield cluster
        cluster.check_alive()
    finally:
        cluster.stop()


def ctl(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    return of_node(daemon, "peg", *words)


def of_node(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ambientd.cli.main", "--data-dir", str(daemon.data_dir)]
    return subprocess.run([*command, *words], capture_output=True, text=True)


def asked(daemon: Daemon, *words: str) -> dict[str, Any]:
    done = ctl(daemon, *words, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def audited(mesh: Cluster, daemon: Daemon, held_sat: int) -> dict[str, Any]:
    """Give an audit that finds all of it, once the node has looked at the chain again."""

    def whole() -> dict[str, Any] | None:
        audit = asked(daemon, "audit")
        found = (audit["held_sat"], audit["fault"], audit["missing_sat"])
        return audit if found == (held_sat, "", 0) else None

    found = mesh.until(whole, f"the books hold {held_sat} sat")
    assert found is not None
    return found


def pay(root: Path, address: str, value_sat: int) -> None:
    async def fund() -> None:
        chain = await EmbeddedRegtest.start(EmbeddedChain(root / "chain", BLOCK_MS))
        try:
            assert await chain.fund(address, value_sat)
        finally:
            await chain.aclose()

    trio.run(fund)


def test_bitcoin_comes_in_and_goes_out_and_the_books_agree(
    mesh: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = mesh.daemons[0]
    mesh.until(lambda: ctl(daemon, "address").returncode == 0, "there is a wallet")
    pay(mesh.root, asked(daemon, "address")["address"], 500_000)

    def coming() -> bool:
        [found, *_] = asked(daemon, "deposits")["peg_ins"] or [{"confirmations": None}]
        return found["confirmations"] is not None

    mesh.until(coming, "the peg-in is seen before it counts")

    def counted() -> bool:
        return any(each["state"] == "counted" for each in asked(daemon, "deposits")["peg_ins"])

    mesh.until(counted, "the peg-in counts")
    away = mesh.daemons.pop()
    away.kill()
    assert ctl(daemon, "withdraw", "1nonsense", "100000sat", "--yes").returncode == 2
    payment = asked(daemon, "withdraw", PAYEE, "0.002btc", "--yes")
    assert (payment["kind"], payment["needed"]) == ("peg-out", 3)

    def final() -> bool:
        [found] = asked(daemon, "deposits")["payments"]
        return found["state"] == "final"

    mesh.until(final, "the peg-out is final")
    away.start()
    mesh.daemons.append(away)
    audit = audited(mesh, daemon, 300_000)
    assert audit["owed_msat"] == 300_000_000
    assert audit["in_sat"] == audit["held_sat"] + audit["out_sat"] + audit["fees_sat"]
    assert (daemon.data_dir / "peg.key").stat().st_mode & 0o777 == 0o600
    what_is_too_small_goes_back(mesh)
    a_lost_book_costs_the_key_and_coins_follow_the_new_one(mesh, monkeypatch)


def what_is_too_small_goes_back(mesh: Cluster) -> None:
    """On the same mesh: an output that is never credited is sent elsewhere by the members."""
    daemon = mesh.daemons[1]
    pay(mesh.root, asked(daemon, "address")["address"], 4_000)

    def seen(state: str) -> Callable[[], bool]:
        return lambda: [each["state"] for each in asked(daemon, "deposits")["peg_ins"]] == [state]

    mesh.until(seen("too-small"), "the owner sees it")
    [found] = asked(daemon, "deposits")["peg_ins"]
    assert "peg return" in ctl(daemon, "deposits").stdout
    told = asked(daemon, "return", found["outpoint"], SENDER, "--yes")
    assert told["arrives_sat"] == 4_000 - told["fee_sat"]
    mesh.until(seen("returned"), "it went back")
    audited(mesh, daemon, 300_000)


def a_lost_book_costs_the_key_and_coins_follow_the_new_one(
    mesh: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the same mesh, as it takes half a minute to get one that has coins."""
    daemon, other = mesh.daemons[1], mesh.daemons[0]
    daemon.stop()
    folder = daemon.data_dir
    (folder / "peg.book").unlink()
    daemon.start()
    assert daemon.process is not None
    assert daemon.process.wait(60) == 2
    said = (folder / "log").read_text().splitlines()[-1]
    assert "peg.book is missing: without it the key in" in said
    words = mesh.root / "words"
    words.write_text("correct horse\n")
    words.chmod(0o600)
    assert of_node(daemon, "key", "passphrase", "--new-file", str(words)).returncode == 0
    monkeypatch.setenv("AMBIENT_PASSPHRASE", "correct horse")
    assert of_node(daemon, "key", "replace-peg", "--yes").returncode == 0
    daemon.start()

    def moved(at: Daemon) -> bool:
        audit = asked(at, "audit")
        return len(audit["descriptors"]) == 2 and not audit["payments"]

    mesh.until(lambda: moved(other), "the coins are in the wallet of the new key")
    mesh.until(lambda: moved(daemon), "the node with the new key has applied it too")
    mesh.until(
        lambda: {coin["is_unspent"] for coin in asked(daemon, "audit")["coins"]} == {True},
        "it has looked for all its coins on the chain",
    )
    audit = asked(daemon, "audit")
    assert (audit["fault"], audit["missing_sat"]) == ("", 0)
    assert asked(daemon, "address")["descriptor"] == audit["descriptors"][1]
    mesh.until(
        lambda: (status := daemon.status()) is not None and not status.troubles,
        "nothing troubles it",
    )
