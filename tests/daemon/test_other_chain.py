"""A chain that lacks the log's newest anchor is not the one that anchors were made in."""

from pathlib import Path

import pytest

from ambientd.adapters.header_file import HeaderFile
from ambientd.adapters.header_keeper import HeaderKeeper
from ambientd.daemon.bitcoin_parts import is_another
from ambientd.model.record import Anchor
from ambientd.rules.bitcoin import REGTEST, double_sha256
from tests.fakes.header_server import HeaderServer
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import TestCluster
from tests.rules.receipts import agreed


@pytest.fixture(scope="module")
def anchored() -> tuple[TestCluster, HeaderServer]:
    """A cluster, and the chain that has its anchor."""
    cluster, server = agreed(anchored=False), HeaderServer(100)
    size = cluster.state.checkpoint_size()
    root = cluster.state.receipt_log_root(size)
    proof = anchor_proof(root, previous=double_sha256(server.header_at(100)), height=101)
    server.raw += b"".join((proof.header, *proof.following_headers))
    cluster.block((0, Anchor(size=size, root=root, proof=proof)))
    assert cluster.state.anchored_size() == size
    return cluster, server


async def told(folder: Path, cluster: TestCluster, server: HeaderServer) -> bool:
    keeper = HeaderKeeper(server, HeaderFile(folder / "headers", REGTEST), lambda: 4e9)
    return await is_another(keeper, cluster.state)


async def test_the_chain_that_has_the_newest_anchor_is_no_other(
    tmp_path: Path, anchored: tuple[TestCluster, HeaderServer]
) -> None:
    assert not await told(tmp_path, *anchored)
    assert not await told(tmp_path, *anchored), "nor is it once its headers are here"


@pytest.mark.parametrize("height", [0, 50, 200])
async def test_a_chain_without_the_newest_anchor_is_another_however_high(
    tmp_path: Path, anchored: tuple[TestCluster, HeaderServer], height: int
) -> None:
    assert await told(tmp_path, anchored[0], HeaderServer(height, salt=1))


async def test_where_nothing_was_anchored_or_nobody_answers_nothing_is_said(
    tmp_path: Path, anchored: tuple[TestCluster, HeaderServer]
) -> None:
    assert not await told(tmp_path, agreed(anchored=False), HeaderServer(3))
    away = HeaderServer(3)
    away.is_away = True
    assert not await told(tmp_path, anchored[0], away)
