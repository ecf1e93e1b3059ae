"""Opening the chain that a config names."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.adapters.chains import open_chain
from ambientd.adapters.header_file import newest_checkpoint
from ambientd.adapters.header_keeper import FOLLOWING
from ambientd.config.options import BitcoinOptions, ChainKind, HeadersBase
from ambientd.config.places import Places
from ambientd.errors import ConfigError
from ambientd.rules.bitcoin import MAIN
from tests.adapters.regtest.running import WALLET, Running, running

pytestmark = pytest.mark.net


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("chain"), "--block-interval-ms", "0") as started:
        started.call("generatetoaddress", 5, WALLET.address)
        yield started


def options_of(process: Running, kind: ChainKind) -> BitcoinOptions:
    return BitcoinOptions(
        chain=kind,
        rpc_url=str(process.endpoint),
        rpc_login=str(process.endpoint.cookie_path),
        esplora_url=f"{process.endpoint}/esplora",
        embedded_dir=str(process.endpoint.cookie_path.parent),
    )


@pytest.mark.parametrize("kind", [ChainKind.EMBEDDED, ChainKind.RPC, ChainKind.ESPLORA])
async def test_each_kind_is_followed_by_headers_in_the_data_directory(
    process: Running, tmp_path: Path, kind: ChainKind
) -> None:
    places = Places(tmp_path)
    opened = await open_chain(options_of(process, kind), "regtest", places, time.time)
    height = process.call("getblockcount")
    assert (await opened.chain.tip()).height == height
    status = opened.headers.status()
    assert (status.state, status.base_height, status.height) == (FOLLOWING, 0, height)
    assert places.headers.exists()
    assert (opened.fund is None) == (kind is not ChainKind.EMBEDDED)
    assert (opened.poll_s is None) == (kind is ChainKind.EMBEDDED)
    await opened.aclose()


@pytest.mark.parametrize("kind", [ChainKind.RPC, ChainKind.ESPLORA])
async def test_a_server_of_another_network_ends_the_start(
    process: Running, tmp_path: Path, kind: ChainKind
) -> None:
    with pytest.raises(ConfigError, match="the configuration"):
        await open_chain(options_of(process, kind), "signet", Places(tmp_path), time.time)


async def test_a_server_that_is_away_does_not_end_the_start(tmp_path: Path) -> None:
    away = BitcoinOptions(chain=ChainKind.ESPLORA, esplora_url="http://127.0.0.1:1")
    opened = await open_chain(away, "main", Places(tmp_path), time.time)
    assert opened.headers.status().base_height == newest_checkpoint(MAIN)
    await opened.aclose()


async def test_headers_may_begin_at_the_genesis(tmp_path: Path) -> None:
    away = BitcoinOptions(
        chain=ChainKind.ESPLORA,
        esplora_url="http://127.0.0.1:1",
        headers_from=HeadersBase.GENESIS,
    )
    opened = await open_chain(away, "main", Places(tmp_path), time.time)
    assert opened.headers.status().base_height == 0
    await opened.aclose()


async def test_a_cluster_without_a_network_has_no_chain(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'set chain = "off"'):
        await open_chain(BitcoinOptions(), "none", Places(tmp_path), time.time)
