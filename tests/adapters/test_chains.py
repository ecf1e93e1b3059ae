"""One contract, three ways to a chain: embedded, btcd as an independent node, and Esplora."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ambientd.adapters.bitcoin_rpc import BitcoinRpcChain
from ambientd.adapters.esplora import EsploraChain
from ambientd.adapters.header_file import HeaderFile
from ambientd.adapters.header_keeper import HeaderKeeper
from ambientd.adapters.kept_chain import KeptChain
from ambientd.adapters.regtest.launcher import EmbeddedChain, EmbeddedRegtest
from ambientd.adapters.rpc_client import RpcClient, RpcEndpoint
from ambientd.errors import ConfigError, UnreachableError
from ambientd.ports.chain import Chain
from ambientd.rules.bitcoin import REGTEST
from tests.adapters.chain_contract import ChainContract, Ground
from tests.adapters.regtest.running import running

pytestmark = [pytest.mark.net, pytest.mark.slow]

BTCD_VERSION = "v0.26.2"
START_S = 60.0


def btcd_program() -> Path:
    """Find btcd; a skip says how to build it, and where it must be there it is a failure."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache / "ambientd" / f"btcd-{BTCD_VERSION}" / "btcd"
    if not path.exists():
        missing = "" if shutil.which("go") else ", for which Go is missing"
        refuse = pytest.fail if os.environ.get("AMBIENT_PROGRAMS") == "1" else pytest.skip
        refuse(f"btcd is not built: run `make btcd`{missing}")
    return path


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def embedded_ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("embedded")
    with running(folder, "--block-interval-ms", "0") as started:
        yield Ground(started.client)


@pytest.fixture(scope="module")
def esplora_ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("esplora")
    with running(folder, "--block-interval-ms", "0") as started:
        yield Ground(started.client)


@pytest.fixture(scope="module")
def kept_ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("kept")
    with running(folder, "--block-interval-ms", "0") as started:
        yield Ground(started.client)


@pytest.fixture(scope="module")
def btcd_ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder, port = tmp_path_factory.mktemp("btcd"), free_port()
    settings = folder / "btcd.conf"
    settings.write_text("[Application Options]\n")
    command = [
        *(btcd_program(), "--regtest", "--notls", "--nolisten", "--txindex", "--addrindex"),
        *(f"--configfile={settings}", f"--datadir={folder}", f"--logdir={folder}/log"),
        *("--rpcuser=u", "--rpcpass=p", f"--rpclisten=127.0.0.1:{port}"),
    ]
    with ExitStack() as stack:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        client = stack.enter_context(RpcClient(RpcEndpoint(port, user="u", password="p")))
        wait_for(client, process)
        yield Ground(client)


class TestEmbedded(ChainContract):
    """The embedded chain, over its own JSON-RPC."""

    @pytest.fixture
    def ground(self, embedded_ground: Ground) -> Ground:
        return embedded_ground

    @pytest.fixture
    async def chain(self, ground: Ground) -> AsyncIterator[Chain]:
        cookie = ground.rpc.endpoint.cookie_path
        assert cookie is not None
        opened = await EmbeddedRegtest.start(EmbeddedChain(cookie.parent, 0))
        yield opened
        await opened.aclose()


class TestEsplora(ChainContract):
    """Our server of Esplora's shape, on top of the embedded chain."""

    @pytest.fixture
    def ground(self, esplora_ground: Ground) -> Ground:
        return esplora_ground

    @pytest.fixture
    async def chain(self, ground: Ground) -> AsyncIterator[Chain]:
        opened = EsploraChain(f"{ground.rpc.endpoint}/esplora/", "regtest")
        await opened.check_network()
        yield opened
        await opened.aclose()

    async def test_another_network_is_refused(self, ground: Ground) -> None:
        chain = EsploraChain(f"{ground.rpc.endpoint}/esplora", "signet")
        with pytest.raises(ConfigError, match="another network than the configuration"):
            await chain.check_network()
        await chain.aclose()


class TestKeptHeaders(ChainContract):
    """The embedded chain, believed as far as headers of our own go, as the daemon uses it."""

    @pytest.fixture
    def ground(self, kept_ground: Ground) -> Ground:
        return kept_ground

    @pytest.fixture
    async def chain(self, ground: Ground, tmp_path: Path) -> AsyncIterator[Chain]:
        server = BitcoinRpcChain(ground.rpc.endpoint, "regtest")
        file = HeaderFile(tmp_path / "headers", REGTEST)
        opened = KeptChain(server, HeaderKeeper(server, file, time.time))
        await opened.tip()
        yield opened
        await server.aclose()


class TestBtcd(ChainContract):
    """btcd, which shares no code with Bitcoin Core nor with us."""

    @pytest.fixture
    def ground(self, btcd_ground: Ground) -> Ground:
        return btcd_ground

    @pytest.fixture
    async def chain(self, ground: Ground) -> AsyncIterator[Chain]:
        opened = BitcoinRpcChain(ground.rpc.endpoint, "regtest")
        await opened.check_network()
        yield opened
        await opened.aclose()


def wait_for(client: RpcClient, process: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + START_S
    while True:
        try:
            client.call("getblockcount")
        except UnreachableError:
            assert process.poll() is None, "btcd ended at its start"
            assert time.monotonic() < end_s, "btcd does not answer"
            time.sleep(0.05)
        else:
            return
