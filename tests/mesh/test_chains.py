"""A node that anchors through a Bitcoin node of its owner's, and keeps headers of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.adapters.anchor_wallet import AnchorWallet
from ambientd.adapters.header_file import decode_headers
from ambientd.adapters.keys import load_key
from ambientd.api.cluster import ClusterPlan
from ambientd.api.header_sync import export_headers
from ambientd.api.offline import check_receipt
from ambientd.api.operations import RECEIPT_GET, STATUS, TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import GetReceipt, GetStatus, SubmitTask, WaitForTask
from ambientd.codec.digest import tagged
from ambientd.config.places import Places
from tests.adapters.regtest.running import Running, running
from tests.mesh.cluster import Cluster, Daemon
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]


@pytest.fixture
def bitcoin(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "bitcoin", "--block-interval-ms", "300") as started:
        yield started


def followed(node: Daemon, height: int) -> bool:
    status = node.status()
    headers = None if status is None else status.chain.headers
    return headers is not None and (headers.state, headers.height) == ("following", height)


def test_a_receipt_is_anchored_through_a_bitcoin_node_and_holds_among_own_headers(
    tmp_path: Path, bitcoin: Running
) -> None:
    plan = ClusterPlan(bitcoin="rpc", bitcoin_url=str(bitcoin.endpoint))
    cluster = Cluster(tmp_path / "mesh", 1, plan)
    [node] = cluster.daemons
    places = Places(node.data_dir)
    cookie = bitcoin.endpoint.cookie_path
    assert cookie is not None
    places.rpc_login("bitcoin.login").write_bytes(cookie.read_bytes())
    seed = tagged("ambient/anchor-wallet/1", load_key(places.key))
    bitcoin.call("fundaddress", AnchorWallet(seed, "regtest").address, 1_000_000)
    try:
        cluster.start()
        task = node.ask(
            TASK_SUBMIT, SubmitTask(module=module("echo"), input=b"x", assurance="none")
        ).task_id
        node.ask(TASK_WAIT, WaitForTask(task=task, until="anchored", timeout_ms=60_000))
        receipt = node.ask(RECEIPT_GET, GetReceipt(task=task)).data
        chain, data = export_headers(node.data_dir)
        assert decode_headers(data).tip_hash == chain.tip_hash
        report = check_receipt(receipt, headers=chain)
        assert report.valid, [check for check in report.checks if not check.ok]
        assert "chain" in {check.name for check in report.checks}
    finally:
        cluster.stop()


def test_a_node_follows_an_esplora_server_while_nothing_waits(
    tmp_path: Path, bitcoin: Running
) -> None:
    bitcoin.call("generatetoaddress", 7, AnchorWallet(b"\x31" * 32, "regtest").address)
    url = f"{bitcoin.endpoint}/esplora"
    plan = ClusterPlan(bitcoin="esplora", bitcoin_url=url)
    cluster = Cluster(tmp_path / "mesh", 1, plan)
    [node] = cluster.daemons
    try:
        cluster.start()
        cluster.until(lambda: followed(node, 7), "the headers are followed")
        assert node.ask(STATUS, GetStatus()).chain.kind == "esplora"
    finally:
        cluster.stop()
