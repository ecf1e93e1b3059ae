"""The Chain port over a real regtest process, and over servers that talk nonsense."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ambientd.adapters import rpc_client
from ambientd.adapters.anchor_wallet import AnchorWallet
from ambientd.adapters.bitcoin_rpc import BitcoinRpcChain
from ambientd.adapters.regtest.launcher import EmbeddedChain, EmbeddedRegtest
from ambientd.adapters.rpc_client import RpcClient, RpcEndpoint, RpcError
from ambientd.errors import ConfigError, RemoteProtocolError, UnreachableError, UsageError
from ambientd.ports.chain import Chain, Rejected, Utxo
from ambientd.rules.bitcoin import REGTEST, Transaction, check_anchor, decode_header, double_sha256
from tests.adapters.anchors import anchor_of
from tests.adapters.regtest.running import Running, running

pytestmark = pytest.mark.net

WALLET = AnchorWallet(b"\x21" * 32, "regtest")
ROOT = bytes(range(32))


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("chain"), "--block-interval-ms", "0") as started:
        yield started


@pytest.fixture
async def chain(process: Running) -> EmbeddedRegtest:
    embedded = EmbeddedChain(process.endpoint.cookie_path.parent, 0)
    opened = await EmbeddedRegtest.start(embedded)
    yield opened
    await opened.aclose()


async def funded_anchor(chain: EmbeddedRegtest, root: bytes = ROOT) -> Transaction:
    await chain.fund(WALLET.address)
    assert await chain.fee_rate_sat_vb() is None
    return anchor_of(WALLET, await chain.utxos(WALLET.script), root)


async def test_the_adapter_is_a_chain(chain: EmbeddedRegtest) -> None:
    port: Chain = chain
    assert port.network == "regtest"
    await chain.check_network()


async def test_an_anchor_is_funded_mined_six_deep_and_checked_offline(
    chain: EmbeddedRegtest,
) -> None:
    anchor = await funded_anchor(chain)
    assert await chain.merkle_branch(anchor.txid) is None
    assert await chain.raw_tx(anchor.txid) is None
    assert await chain.broadcast(anchor.raw) == anchor.txid
    assert await chain.raw_tx(anchor.txid) == anchor.raw
    assert await chain.inclusion(anchor.txid) is None
    assert await chain.confirmations(anchor.txid) == 0
    hashes = await chain.generate(6, WALLET.address)
    assert await chain.confirmations(anchor.txid) == 6
    assert await chain.broadcast(anchor.raw) == anchor.txid, "mined already is no refusal"

    inclusion = await chain.inclusion(anchor.txid)
    branch = await chain.merkle_branch(anchor.txid)
    assert inclusion is not None
    assert branch is not None
    assert inclusion.block_hash == hashes[0] == await chain.block_hash(inclusion.height)
    headers = [await chain.header(inclusion.height + above) for above in range(6)]
    assert branch.header == headers[0]
    assert double_sha256(headers[-1]) == (await chain.tip()).hash == hashes[-1]
    check = check_anchor(ROOT, anchor.raw, branch.branch, headers[0], headers[1:], REGTEST)
    assert check.passed, check.faults
    assert check.time_s == decode_header(headers[0]).time_s


async def test_a_replacement_takes_the_place_of_an_anchor_that_waits(
    chain: EmbeddedRegtest,
) -> None:
    await chain.fund(WALLET.address)
    coins = await chain.utxos(WALLET.script)
    first = anchor_of(WALLET, coins, ROOT)
    assert await chain.broadcast(first.raw) == first.txid
    assert not set(coins) & set(await chain.utxos(WALLET.script))
    second = anchor_of(WALLET, coins, ROOT, 785)
    assert await chain.broadcast(second.raw) == second.txid
    assert await chain.raw_tx(first.txid) is None
    await chain.generate(1, WALLET.address)
    assert await chain.confirmations(second.txid) == 1
    outcome = await chain.broadcast(first.raw)
    assert outcome == Rejected("bad-txns-inputs-missingorspent")
    assert [utxo.txid for utxo in await chain.utxos(WALLET.script)] == [second.txid]


async def test_funding_pays_once(chain: EmbeddedRegtest) -> None:
    await chain.fund(WALLET.address)
    height = (await chain.tip()).height
    assert await chain.fund(WALLET.address) is None
    assert (await chain.tip()).height == height


async def test_a_height_above_the_tip_and_an_unknown_block_are_the_caller_s_mistakes(
    chain: EmbeddedRegtest,
) -> None:
    with pytest.raises(UsageError, match="no Bitcoin block 1000000 yet"):
        await chain.header(1_000_000)
    with pytest.raises(UsageError, match="knows no Bitcoin block"):
        await chain.block_txids(bytes(32))


async def test_a_node_of_another_network_is_refused(process: Running) -> None:
    chain = BitcoinRpcChain(process.endpoint, "main")
    with pytest.raises(ConfigError, match="is on 'regtest', the configuration says 'main'"):
        await chain.check_network()
    await chain.aclose()
    with pytest.raises(ConfigError, match="unknown Bitcoin network"):
        BitcoinRpcChain(process.endpoint, "dogecoin")


async def test_a_node_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    chain = BitcoinRpcChain(RpcEndpoint(1, user="u", password="p"), "main")
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:1 does not answer.*start it"):
        await chain.tip()
    no_cookie = BitcoinRpcChain(RpcEndpoint(1, tmp_path / "missing"), "main")
    with pytest.raises(UnreachableError, match=r"cookie cannot be read .*rpc_login"):
        await no_cookie.tip()


async def test_wrong_credentials_are_named_and_never_shown(process: Running) -> None:
    endpoint = RpcEndpoint(process.endpoint.port, user="u", password="hunter2")
    assert "hunter2" not in repr(endpoint)
    chain = BitcoinRpcChain(endpoint, "regtest")
    with pytest.raises(UnreachableError, match="refuses our credentials") as refused:
        await chain.tip()
    assert "hunter2" not in str(refused.value)
    await chain.aclose()


def test_a_new_cookie_is_read_when_the_node_restarts_on_its_port(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        assert first.call("getblockcount") == 0
        client = RpcClient(first.endpoint)
        assert client.call("getblockcount") == 0
        first.terminate()
        with running(tmp_path, "--port", str(first.endpoint.port)) as second:
            assert second.endpoint == first.endpoint
            assert client.call("getblockcount") == 0
            client.close()


@pytest.mark.slow
async def test_the_embedded_chain_comes_back_when_it_is_gone(tmp_path: Path) -> None:
    chain = await EmbeddedRegtest.start(EmbeddedChain(tmp_path, 0, idle_exit_s=20))
    await chain.generate(3, WALLET.address)
    pid_holder = RpcClient(EmbeddedChain(tmp_path).ensure_running())
    pid_holder.call("stop")
    pid_holder.close()
    assert (await chain.tip()).height == 3
    await chain._call("stop")
    await chain.aclose()


class Scripted(BaseHTTPRequestHandler):
    """Answers every call with the next of the server's replies, over and over."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.server.replies[0]
        self.server.replies.append(self.server.replies.pop(0))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def scripted(*replies: tuple[int, bytes], network: str = "regtest") -> Iterator[BitcoinRpcChain]:
    with HTTPServer(("127.0.0.1", 0), Scripted) as server:
        server.replies = list(replies)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield BitcoinRpcChain(
                RpcEndpoint(server.server_address[1], user="u", password="p"), network
            )
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b"[" * 50_000,
        b'{"result": null}',
        b'{"result": {}}',
        b'{"result": {"blocks": "x", "bestblockhash": ""}}',
        b'{"result": {"blocks": 1, "bestblockhash": "zz"}}',
        b'{"result": {"blocks": 1, "bestblockhash": 5}}',
        b'{"result": null, "error": 5}',
    ],
)
async def test_a_node_that_talks_nonsense_is_a_protocol_error(body: bytes) -> None:
    with scripted((200, body)) as chain:
        with pytest.raises(RemoteProtocolError):
            await chain.tip()
        await chain.aclose()


@pytest.mark.parametrize(
    "body",
    [
        b'{"result": {"blocks": Infinity, "bestblockhash": ""}}',
        b'{"result": {"height": 1, "unspents": [5]}}',
        b'{"result": {"height": Infinity, "unspents": []}}',
        *(
            b'{"result": {"height": 1, "unspents": [{"txid": "%s", "vout": %s, "amount": %s, '
            b'"scriptPubKey": "51", "height": 1}]}}' % (b"11" * 32, vout, amount)
            for vout, amount in (
                (b"0", b'"much"'),
                (b"0", b"1e999999999"),
                (b"0", b"NaN"),
                (b"0", b'"sNaN"'),
                (b"Infinity", b"1"),
            )
        ),
    ],
)
async def test_no_number_of_a_node_ends_the_daemon(body: bytes) -> None:
    with scripted((200, body)) as chain:
        for ask in (chain.tip, lambda: chain.utxos(b"\x51"), lambda: chain.inclusion(ROOT)):
            with suppress(RemoteProtocolError):
                await ask()
        await chain.aclose()


def described(**more: object) -> tuple[int, bytes]:
    info = {"blocks": 100, "bestblockhash": "11" * 32, **more}
    return 200, json.dumps({"result": info, "error": None}).encode()


@pytest.mark.parametrize(
    ("network", "more", "is_behind"),
    [
        ("main", {"headers": 100, "initialblockdownload": True}, True),
        ("signet", {"headers": 900_000, "initialblockdownload": True}, True),
        ("main", {"headers": 107, "initialblockdownload": False}, True),
        ("main", {"headers": 107}, True),
        ("main", {"headers": 106, "initialblockdownload": False}, False),
        ("main", {}, False),
        ("regtest", {"headers": 100, "initialblockdownload": True}, False),
        ("regtest", {"headers": 200, "initialblockdownload": True}, True),
    ],
)
async def test_a_node_that_still_downloads_has_no_tip_and_says_how_far_it_is(
    network: str, more: dict[str, object], is_behind: bool
) -> None:
    with scripted(described(**more), network=network) as chain:
        if is_behind:
            with pytest.raises(UnreachableError, match=r"has 100 of \d+ .*anchors wait"):
                await chain.tip()
        else:
            assert (await chain.tip()).height == 100
        await chain.aclose()


async def test_a_reply_over_the_cap_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_client, "REPLY_SIZE_MAX", 100)
    with scripted((200, b"x" * 101)) as chain:
        with pytest.raises(RemoteProtocolError, match="more than 100 bytes"):
            await chain.tip()
        await chain.aclose()


async def test_a_node_that_refuses_for_its_own_reasons_is_unreachable_with_advice() -> None:
    loading = b'{"result": null, "error": {"code": -28, "message": "Loading block index"}}'
    with scripted((500, loading)) as chain:
        for ask in (
            chain.tip,
            chain.fee_rate_sat_vb,
            lambda: chain.block_hash(1),
            lambda: chain.block_txids(ROOT),
            lambda: chain.raw_tx(ROOT),
            lambda: chain.inclusion(ROOT),
            lambda: chain.utxos(b"\x51"),
        ):
            with pytest.raises(UnreachableError, match=r"Loading block index.*txindex=1"):
                await ask()
        await chain.aclose()


async def test_answers_that_do_not_hash_to_their_names_are_refused() -> None:
    coin = Utxo(ROOT, 0, 10**6, WALLET.script, height=1)
    anchor = anchor_of(WALLET, [coin], ROOT)
    with scripted((200, b'{"result": "%s"}' % anchor.raw.hex().encode())) as chain:
        with pytest.raises(RemoteProtocolError, match="do not hash"):
            await chain.raw_tx(ROOT)
        await chain.aclose()
    hash_of = b'{"result": "%s"}' % ("11" * 32).encode()
    with scripted((200, hash_of), (200, b'{"result": "%s"}' % ("00" * 80).encode())) as chain:
        with pytest.raises(RemoteProtocolError, match="does not hash"):
            await chain.header(1)
        await chain.aclose()


@pytest.mark.parametrize(
    ("result", "rate"),
    [
        (b'{"feerate": 0.00012345, "blocks": 6}', 12.345),
        (b'{"feerate": 1, "blocks": 6}', 100_000.0),
        (b'{"errors": ["Insufficient data"], "blocks": 6}', None),
        (b'{"feerate": -1}', None),
        (b'{"feerate": "much"}', None),
        (b'{"feerate": 1e999999999}', None),
        (b'{"feerate": 1e400}', None),
        (b"[]", None),
    ],
)
async def test_a_fee_estimate_is_in_sat_per_virtual_byte_or_none(
    result: bytes, rate: float | None
) -> None:
    with scripted((200, b'{"result": %s, "error": null}' % result)) as chain:
        assert await chain.fee_rate_sat_vb() == rate
        await chain.aclose()


async def test_immature_coinbases_are_not_spendable(chain: EmbeddedRegtest) -> None:
    young = AnchorWallet(b"\x22" * 32, "regtest")
    await chain.generate(1, young.address)
    assert await chain.utxos(young.script) == []
    await chain.generate(99, WALLET.address)
    [ripe] = await chain.utxos(young.script)
    assert ripe.value_sat > 0


async def test_a_reply_is_exact_to_the_satoshi() -> None:
    client_reply = b'{"result": 20999999.9769, "error": null}'
    with scripted((200, client_reply)) as chain:
        assert await chain._call("anything") == Decimal("20999999.9769")
        await chain.aclose()


def test_an_error_reply_carries_code_and_text() -> None:
    error = RpcError(-5, "not found")
    assert (error.code, error.message, str(error)) == (-5, "not found", "not found (-5)")
