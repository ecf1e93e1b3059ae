"""Fetching headers without a daemon, from a node and from a server of Esplora's shape."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.adapters.header_file import decode_headers
from ambientd.api.header_sync import HeaderSource, sync_headers
from ambientd.errors import ConfigError, UnreachableError, UsageError
from tests.adapters.regtest.running import WALLET, Running, running

pytestmark = [pytest.mark.net, pytest.mark.slow]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("chain"), "--block-interval-ms", "0") as started:
        started.call("generatetoaddress", 30, WALLET.address)
        yield started


def source_of(process: Running, kind: str, network: str = "regtest") -> HeaderSource:
    if kind == "esplora":
        return HeaderSource(network, esplora_url=f"{process.endpoint}/esplora")
    return HeaderSource(network, str(process.endpoint), str(process.endpoint.cookie_path))


@pytest.mark.parametrize("kind", ["rpc", "esplora"])
def test_a_file_is_made_and_brought_up_to_the_tip(
    process: Running, tmp_path: Path, kind: str
) -> None:
    path, seen = tmp_path / "headers", []
    source = source_of(process, kind)
    chain = sync_headers(path, source, lambda at, end: seen.append((at, end)))
    height = process.call("getblockcount")
    assert (chain.height, seen) == (height, [(height, height)])
    process.call("generatetoaddress", 2, WALLET.address)
    again = sync_headers(path, source, lambda at, end: None)
    assert again.height == height + 2
    assert decode_headers(path.read_bytes()).tip_hash == again.tip_hash


@pytest.mark.parametrize("kind", ["rpc", "esplora"])
def test_a_server_of_another_network_is_refused_and_no_file_made(
    process: Running, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "headers"
    with pytest.raises(ConfigError, match="the configuration"):
        sync_headers(path, source_of(process, kind, "signet"), lambda at, end: None)
    assert not path.exists()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (HeaderSource("dogecoin", esplora_url="http://127.0.0.1:1"), "unknown Bitcoin network"),
        (HeaderSource("main"), "say where headers come from"),
        (HeaderSource("main", "http://127.0.0.1:1", "x", "http://127.0.0.1:1"), "say where"),
        (HeaderSource("main", "http://127.0.0.1:1"), "needs --login FILE"),
    ],
)
def test_what_makes_no_sense_is_the_caller_s_mistake(
    tmp_path: Path, source: HeaderSource, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        sync_headers(tmp_path / "headers", source, lambda at, end: None)


def test_a_server_that_is_away_leaves_the_file_alone(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="does not answer"):
        sync_headers(
            tmp_path / "headers",
            HeaderSource("main", esplora_url="http://127.0.0.1:1"),
            lambda at, end: None,
        )
    assert list(tmp_path.iterdir()) == []
