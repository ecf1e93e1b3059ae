"""Idempotency keys against real daemons, which are killed while what was asked for is under way."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import ACCOUNT_SHOW, ACCOUNT_TRANSFER, NODES, OperationError
from ambientd.api.requests import ListNodes, ShowAccount, TransferCredits
from ambientd.api.routes import Scope
from ambientd.api.tokens import create_token
from ambientd.client import Mesh
from ambientd.config.places import Places
from tests.fuzz.rest import switch_on
from tests.mesh.cluster import Cluster
from tests.mesh.test_rest import Site
from tests.own_ports import own_port

pytestmark = [pytest.mark.slow, pytest.mark.mesh, pytest.mark.net]

AMOUNT_MSAT = 1_000


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "mesh", 3, ClusterPlan(bitcoin="off", block_interval_ms=200))
    try:
        yield cluster
        cluster.check_alive()
    finally:
        cluster.stop()


class Payer:
    """The first node, whose owner pays the second over HTTP."""

    def __init__(self, mesh: Cluster) -> None:
        self.mesh = mesh
        self.daemon = mesh.daemons[0]
        switch_on(self.daemon.data_dir, own_port() + 10)
        tokens = Places(self.daemon.data_dir).http_file("http.tokens")
        self.site = Site(own_port() + 10, create_token(tokens, "test", Scope.ADMIN, 0, 0)[1])

    def find(self) -> None:
        own = self.daemon.status()
        assert own is not None
        nodes = self.daemon.ask(NODES, ListNodes()).nodes
        self.other = next(each.id for each in nodes if each.id != own.node)
        self.node = own.node

    def has_msat(self) -> int:
        """Give what the ledger says of the first node, as its third one knows it."""
        return self.mesh.daemons[2].ask(ACCOUNT_SHOW, ShowAccount(node=self.node)).balance_msat

    def post(self, path: str, key: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        told = {"Content-Type": "application/json", "Idempotency-Key": key}
        status, said = self.site.ask("POST", path, json.dumps(fields).encode(), **told)
        return status, json.loads(said)

    def pay(self, key: str, amount_msat: int = AMOUNT_MSAT) -> tuple[int, dict[str, Any]]:
        return self.post("/account/transfer", key, to=self.other, amount_msat=amount_msat)


def test_a_transfer_that_is_asked_for_again_under_its_key_is_paid_once(mesh: Cluster) -> None:
    payer = Payer(mesh)
    mesh.start()
    payer.find()
    before_msat = payer.has_msat()
    status, first = payer.pay("rent")
    assert (status, first["amount_msat"]) == (200, AMOUNT_MSAT)
    assert payer.pay("rent") == (200, first)
    status, other = payer.pay("rent", 2 * AMOUNT_MSAT)
    assert (status, other["code"]) == (422, "reused_key")
    invited = payer.post("/invitations", "guest")
    assert payer.post("/invitations", "guest") == invited
    assert payer.post("/invitations", "another")[1] != invited[1]

    payer.daemon.kill()
    payer.daemon.start()
    mesh.until(lambda: payer.daemon.status() is not None, "it is back")
    mesh.until(lambda: payer.site.ask("GET", "/ready")[0] == 200, "it takes part")
    assert payer.pay("rent") == (200, first)
    assert payer.pay("rent", 2 * AMOUNT_MSAT)[0] == 422
    assert payer.post("/invitations", "guest") == invited
    paid_msat = mesh.until(lambda: before_msat - payer.has_msat(), "it is paid")
    assert paid_msat == AMOUNT_MSAT


@pytest.mark.parametrize("after", ["the time is on disk", "the ledger has it"])
def test_a_daemon_killed_in_the_middle_of_a_transfer_pays_once_when_it_is_asked_again(
    mesh: Cluster, after: str
) -> None:
    payer = Payer(mesh)
    mesh.start()
    payer.find()
    before_msat = payer.has_msat()
    for turn in range(1, 4):
        killed_while_paying(payer, after, f"turn-{turn}", before_msat - (turn - 1) * AMOUNT_MSAT)
    assert payer.pay("turn-1")[0] == 200
    assert payer.pay("one-more")[0] == 200
    mesh.until(lambda: before_msat - payer.has_msat() == 4 * AMOUNT_MSAT, "all are paid once")


def killed_while_paying(payer: Payer, after: str, key: str, before_msat: int) -> None:
    mesh, kept = payer.mesh, Places(payer.daemon.data_dir).keys_asked
    begun = kept.read_bytes().count(b'"open"')

    def ask() -> None:
        with suppress(OSError, http.client.HTTPException):  # it is killed
            payer.pay(key)

    asking = threading.Thread(target=ask)
    asking.start()
    if after == "the ledger has it":
        mesh.until(lambda: before_msat - payer.has_msat() == AMOUNT_MSAT, "it has it")
    else:
        mesh.until(lambda: kept.read_bytes().count(b'"open"') > begun, "it has begun")
    payer.daemon.kill()
    asking.join()
    payer.daemon.start()
    mesh.until(lambda: payer.daemon.status() is not None, "it is back")
    mesh.until(lambda: payer.site.ask("GET", "/ready")[0] == 200, "it takes part")
    status, said = payer.pay(key)
    assert (status, said["kind"]) == (200, "transfer"), said
    mesh.until(lambda: before_msat - payer.has_msat() == AMOUNT_MSAT, "it is paid")


def test_a_program_names_its_own_key_and_its_retries_have_one(mesh: Cluster) -> None:
    payer = Payer(mesh)
    mesh.start()
    payer.find()
    before_msat = payer.has_msat()
    wanted = TransferCredits(to=payer.other, amount_msat=AMOUNT_MSAT)
    with Mesh(payer.daemon.data_dir) as program:
        first = program.call(ACCOUNT_TRANSFER, wanted, key="rent")
        assert program.call(ACCOUNT_TRANSFER, wanted, key="rent") == first
        more = TransferCredits(to=payer.other, amount_msat=1)
        with pytest.raises(OperationError, match="another request before"):
            program.call(ACCOUNT_TRANSFER, more, key="rent")
    payer.daemon.kill()
    payer.daemon.start()
    mesh.until(lambda: payer.daemon.status() is not None, "it is back")
    with Mesh(payer.daemon.data_dir) as program:
        assert program.call(ACCOUNT_TRANSFER, wanted, key="rent") == first
    assert mesh.until(lambda: before_msat - payer.has_msat(), "it is paid") == AMOUNT_MSAT
