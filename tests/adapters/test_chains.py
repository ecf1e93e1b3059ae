"""One contract on every way to a chain: embedded, Esplora, and btcd and Bitcoin Core as nodes."""

import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from ambientd.adapters.anchor_wallet import anchor_wallet
from ambientd.adapters.bitcoin_rpc import UTXOS_MAX, BitcoinRpcChain
from ambientd.adapters.esplora import EsploraChain
from ambientd.adapters.header_file import HeaderFile
from ambientd.adapters.header_keeper import HeaderKeeper
from ambientd.adapters.kept_chain import KeptChain
from ambientd.adapters.regtest.launcher import EmbeddedChain, EmbeddedRegtest
from ambientd.adapters.rpc_client import RpcClient, RpcEndpoint, RpcError
from ambientd.errors import ConfigError, UnreachableError
from ambientd.ports.chain import Chain
from ambientd.rules.bitcoin import REGTEST
from ambientd.rules.peg_script import address, descriptor, locking_script
from tests.adapters.chain_contract import ChainContract
from tests.adapters.ground import Ground
from tests.adapters.regtest.running import running
from tests.missing import missing
from tests.own_ports import fresh_port
from tests.rules.peg import wallet

pytestmark = [pytest.mark.net, pytest.mark.slow]

BTCD_VERSION = "v0.26.2"
BITCOIND_VERSION = "0.4.1"
START_S = 60.0


def cached(folder: str) -> Path:
    """Give where `make` keeps what it builds for the next run."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ambientd" / folder


def bitcoind_program() -> Path:
    """Find Bitcoin Core, which takes long to build; only who asks for it must have it."""
    named = os.environ.get("AMBIENT_BITCOIND")
    path = Path(named) if named else cached(f"bitcoind-{BITCOIND_VERSION}") / "bitcoind"
    if named and not path.exists():
        pytest.fail(f"AMBIENT_BITCOIND is {named}, where there is no program")
    if not path.exists():
        lack = "no bitcoind: run `make bitcoind`, or name one in AMBIENT_BITCOIND"
        if os.environ.get("AMBIENT_BITCOIN_CORE") == "1":
            pytest.fail(lack)
        pytest.skip(lack)
    return path


def btcd_program() -> Path:
    """Find btcd; a skip says how to build it, and where it must be there it is a failure."""
    path = cached(f"btcd-{BTCD_VERSION}") / "btcd"
    if not path.exists():
        lack = "" if shutil.which("go") else ", for which Go is missing"
        missing(f"btcd is not built: run `make btcd`{lack}")
    return path


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
    folder, port = tmp_path_factory.mktemp("btcd"), fresh_port()
    settings = folder / "btcd.conf"
    settings.write_text("[Application Options]\n")
    command = [
        *(btcd_program(), "--regtest", "--notls", "--nolisten", "--txindex", "--addrindex"),
        *(f"--configfile={settings}", f"--datadir={folder}", f"--logdir={folder}/log"),
        *("--rpcuser=u", "--rpcpass=p", f"--rpclisten=127.0.0.1:{port}"),
    ]
    with serving(command, RpcEndpoint(port, user="u", password="p")) as client:
        yield Ground(client)


@pytest.fixture(scope="module")
def bitcoind_ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    program, folder, port = bitcoind_program(), tmp_path_factory.mktemp("bitcoind"), fresh_port()
    command = [
        *(program, "-regtest", f"-datadir={folder}", f"-rpcport={port}", "-listen=0"),
        *("-server", "-txindex", "-acceptnonstdtxn", "-dnsseed=0", "-fixedseeds=0"),
    ]
    with serving(command, RpcEndpoint(port, folder / "regtest" / ".cookie")) as client:
        yield Ground(client)


@contextmanager
def serving(command: Sequence[str | Path], endpoint: RpcEndpoint) -> Iterator[RpcClient]:
    """Run a node, and end it whatever happens."""
    with ExitStack() as stack:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        client = stack.enter_context(RpcClient(endpoint))
        wait_for(client, process)
        yield client


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

    async def test_dust_that_strangers_pay_hides_nothing_larger_and_costs_little(
        self, chain: Chain, ground: Ground
    ) -> None:
        script, other = b"\x00\x14" + bytes(20), b"\x51"
        dust = [(1_000 + number, script) for number in range(UTXOS_MAX + 2)]
        ground.mine(1, [ground.spend((90_000, script), *dust), ground.spend((5_000, other))])
        listed = await chain.utxos_of([script, other])
        of_script = [each.value_sat for each in listed if each.script == script]
        assert of_script == [90_000, *range(1_001 + UTXOS_MAX, 1_002, -1)]
        assert 5_000 in {each.value_sat for each in listed if each.script == other}


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


class RpcContract(ChainContract):
    """A node of another make, over its own RPC."""

    @pytest.fixture
    async def chain(self, ground: Ground) -> AsyncIterator[Chain]:
        opened = BitcoinRpcChain(ground.rpc.endpoint, "regtest")
        await opened.check_network()
        yield opened
        await opened.aclose()


class TestBtcd(RpcContract):
    """btcd, which shares no code with Bitcoin Core nor with us."""

    @pytest.fixture
    def ground(self, btcd_ground: Ground) -> Ground:
        return btcd_ground


class TestBitcoinCore(RpcContract):
    """Bitcoin Core itself, without a wallet."""

    @pytest.fixture
    def ground(self, bitcoind_ground: Ground) -> Ground:
        return bitcoind_ground

    def test_it_reads_our_descriptors_and_adds_up_what_they_hold(self, ground: Ground) -> None:
        ours, paying = wallet(3, 4), anchor_wallet(bytes(32), "regtest")
        text = descriptor(ours, "regtest")
        derived = ground.rpc.call("deriveaddresses", text, [0, 3])
        assert derived == [address(ours, index, "regtest") for index in range(4)]
        assert ground.rpc.call("deriveaddresses", paying.descriptor, [0, 0]) == [paying.address]
        scan = [{"desc": text, "range": 5}]
        before = ground.rpc.call("scantxoutset", "start", scan)["total_amount"]
        ground.mine(1, [ground.spend(*((30_000, locking_script(ours, each)) for each in (0, 3)))])
        after = ground.rpc.call("scantxoutset", "start", scan)["total_amount"]
        assert after - before == Decimal("0.0006")


def wait_for(client: RpcClient, process: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + START_S
    while True:
        try:
            client.call("getblockcount")
        except (UnreachableError, RpcError):  # Bitcoin Core answers that it is still loading
            assert process.poll() is None, "the node ended at its start"
            assert time.monotonic() < end_s, "the node does not answer"
            time.sleep(0.05)
        else:
            return
