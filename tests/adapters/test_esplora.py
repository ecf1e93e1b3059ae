"""Esplora servers that talk nonsense, lie, trickle, move away, or are not there."""

import datetime
import json
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from structlog.testing import capture_logs

from ambientd.adapters import esplora
from ambientd.adapters.esplora import EsploraChain
from ambientd.adapters.regtest import miner
from ambientd.adapters.regtest.mempool import Entry
from ambientd.config.urls import parse_url
from ambientd.errors import ConfigError, RemoteProtocolError, UnreachableError
from ambientd.ports.chain import Inclusion, Rejected
from ambientd.rules.bitcoin import (
    HEADER_SIZE,
    REGTEST,
    decode_block,
    decode_header,
    decode_transaction,
    display,
    double_sha256,
    merkle_branch,
)

pytestmark = pytest.mark.net

GENESIS_HASH = double_sha256(REGTEST.genesis)
SPEND = decode_transaction(miner.open_spend([(b"\x05" * 32, 0)], [(4_000, b"\x51")]))
BLOCK = miner.mine(GENESIS_HASH, 1, 1_600_000_000, b"\x51", [Entry(SPEND, fee_sat=0)])
HEADER, TXIDS = BLOCK[:HEADER_SIZE], [each.txid for each in decode_block(BLOCK)[1]]
COINBASE = decode_block(BLOCK)[1][0]
HASH = double_sha256(HEADER)
OTHER = "22" * 32
ONE_DAY = datetime.timedelta(days=1)
DESCRIBED = {
    "id": display(HASH),
    "height": 1,
    "version": decode_header(HEADER).version,
    "timestamp": 1_600_000_000,
    "bits": decode_header(HEADER).bits,
    "nonce": decode_header(HEADER).nonce,
    "merkle_root": display(decode_header(HEADER).merkle_root),
    "previousblockhash": display(GENESIS_HASH),
}
BRANCH = merkle_branch(TXIDS, 1)
TRUTH: dict[str, object] = {
    "/blocks/tip/hash": display(HASH),
    f"/block/{display(HASH)}/status": {"in_best_chain": True, "height": 1, "next_best": None},
    f"/block/{display(HASH)}/header": HEADER.hex(),
    f"/block/{display(HASH)}/txids": [display(txid) for txid in TXIDS],
    "/block-height/1": display(HASH),
    "/blocks/1": [DESCRIBED],
    f"/tx/{display(SPEND.txid)}/hex": SPEND.raw.hex(),
    f"/tx/{display(COINBASE.txid)}/hex": COINBASE.raw.hex(),
    f"/tx/{display(SPEND.txid)}/status": {
        "confirmed": True,
        "block_height": 1,
        "block_hash": display(HASH),
        "block_time": 1_600_000_000,
    },
    f"/tx/{display(SPEND.txid)}/merkle-proof": {
        "block_height": 1,
        "merkle": [display(one) for one in BRANCH.siblings],
        "pos": 1,
    },
    "/fee-estimates": {"1": 87.9, "6": 12.345, "144": 1.0},
}
SCRIPT_PATH = "/scripthash/4ae81572f06e1b88fd5ced7a1a000945432e83e1551e6f721ee9c00b8cc33260/utxo"
Ask = Callable[[EsploraChain], Awaitable[object]]

ASKS: dict[str, Ask] = {
    "tip": lambda chain: chain.tip(),
    "block_hash": lambda chain: chain.block_hash(1),
    "header": lambda chain: chain.header(1),
    "headers": lambda chain: chain.headers(1, 2),
    "block_txids": lambda chain: chain.block_txids(HASH),
    "raw_tx": lambda chain: chain.raw_tx(SPEND.txid),
    "inclusion": lambda chain: chain.inclusion(SPEND.txid),
    "fee": lambda chain: chain.fee_rate_sat_vb(),
    "utxos": lambda chain: chain.utxos(b"\x51"),
    "broadcast": lambda chain: chain.broadcast(SPEND.raw),
}


class Liar(BaseHTTPRequestHandler):
    """Answers each path from the server's table; a text goes out as it is."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status, body = self.server.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def served(answer: Callable[[str], tuple[int, bytes]], handler: type = Liar) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.answer, server.asked = answer, []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def told(changes: dict[str, object]) -> Callable[[str], tuple[int, bytes]]:
    """Answer the truth but for some paths; None is a 404."""
    table = {**TRUTH, **changes}

    def answer(path: str) -> tuple[int, bytes]:
        found = table.get(path)
        if found is None:
            return 404, b"not found"
        if isinstance(found, bytes):
            return 200, found
        return 200, found.encode() if isinstance(found, str) else json.dumps(found).encode()

    return answer


async def asked(ask: Ask, answer: Callable[[str], tuple[int, bytes]]) -> object:
    with served(answer) as url:
        chain = EsploraChain(url, "regtest")
        try:
            return await ask(chain)
        finally:
            await chain.aclose()


async def test_the_truth_is_believed() -> None:
    place = await asked(ASKS["inclusion"], told({}))
    assert place == Inclusion(HASH, 1)
    assert await asked(ASKS["headers"], told({})) == HEADER
    assert await asked(ASKS["block_txids"], told({})) == TXIDS
    assert await asked(ASKS["fee"], told({})) == 12.345


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b"null", b"5", b'"x"', b"[" * 4_000, b"\xff\xfe", b"zz" * 40],
)
async def test_nonsense_is_the_server_s_fault(ask: Ask, body: bytes) -> None:
    if ask is ASKS["fee"] and body == b"{}":
        assert await asked(ask, lambda _: (200, body)) is None
        return
    with pytest.raises(RemoteProtocolError):
        await asked(ask, lambda _: (200, body))


TX = f"/tx/{display(SPEND.txid)}"
STATUS = TRUTH[f"{TX}/status"]
PROOF = TRUTH[f"{TX}/merkle-proof"]


@pytest.mark.parametrize(
    ("ask", "path", "lie"),
    [
        ("tip", f"/block/{display(HASH)}/status", {"in_best_chain": False}),
        ("tip", f"/block/{display(HASH)}/status", {"in_best_chain": True, "height": -1}),
        ("tip", f"/block/{display(HASH)}/status", {"in_best_chain": True, "height": 10**30}),
        ("header", f"/block/{display(HASH)}/header", REGTEST.genesis.hex()),
        ("headers", "/blocks/1", [{**DESCRIBED, "nonce": 7}]),
        ("headers", "/blocks/1", [{**DESCRIBED, "id": OTHER}]),
        ("headers", "/blocks/1", [{**DESCRIBED, "timestamp": 1 << 40}]),
        ("headers", "/blocks/1", []),
        ("block_txids", f"/block/{display(HASH)}/txids", [OTHER]),
        ("block_txids", f"/block/{display(HASH)}/txids", []),
        ("raw_tx", f"{TX}/hex", COINBASE.raw.hex()),
        ("raw_tx", f"{TX}/hex", "00" * 40),
        ("inclusion", f"{TX}/status", {"confirmed": True}),
        ("inclusion", f"{TX}/status", {**STATUS, "block_hash": OTHER[:62]}),
        ("inclusion", f"{TX}/status", {**STATUS, "block_height": "1"}),
        ("inclusion", f"{TX}/merkle-proof", {**PROOF, "pos": 0}),
        ("inclusion", f"{TX}/merkle-proof", {**PROOF, "pos": 1 << 40}),
        ("inclusion", f"{TX}/merkle-proof", {**PROOF, "merkle": [OTHER]}),
        ("inclusion", f"{TX}/merkle-proof", {**PROOF, "merkle": [OTHER] * 300}),
    ],
)
async def test_a_lie_is_seen(ask: str, path: str, lie: object) -> None:
    with pytest.raises(RemoteProtocolError):
        await asked(ASKS[ask], told({path: lie}))


async def test_a_block_that_left_the_best_chain_holds_nothing() -> None:
    assert await asked(ASKS["inclusion"], told({"/block-height/1": OTHER})) is None


async def test_outputs_must_be_what_their_transactions_say() -> None:
    listed = {"txid": display(SPEND.txid), "vout": 0, "value": 4_000, "status": STATUS}
    [found] = await asked(ASKS["utxos"], told({SCRIPT_PATH: [listed]}))  # type: ignore[misc]
    assert (found.value_sat, found.height) == (4_000, 1)
    for lie in ({"value": 9_000}, {"vout": 1}, {"value": -1}, {"txid": "x"}):
        with pytest.raises(RemoteProtocolError):
            await asked(ASKS["utxos"], told({SCRIPT_PATH: [{**listed, **lie}]}))
    # The second output of the coinbase pays another script.
    foreign = {**listed, "txid": display(COINBASE.txid), "vout": 1, "value": 0}
    with pytest.raises(RemoteProtocolError, match="not what its transaction says"):
        await asked(ASKS["utxos"], told({SCRIPT_PATH: [foreign]}))


async def test_a_script_with_more_outputs_than_the_server_lists_is_no_failure_of_the_server() -> (
    None
):
    with pytest.raises(RemoteProtocolError, match="--utxos-limit"):
        await asked(ASKS["utxos"], lambda _: (400, b"Too many unspent outputs"))


async def test_of_very_many_outputs_the_largest_are_looked_at_and_each_is_asked_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(esplora, "UTXOS_MAX", 3)
    listed = {"txid": display(SPEND.txid), "vout": 0, "value": 4_000, "status": STATUS}
    strangers = [{**listed, "txid": f"{number:064x}", "value": 5_000} for number in range(1, 4)]
    known: dict[str, object] = {SCRIPT_PATH: [listed]}

    async def look(chain: EsploraChain) -> None:
        assert len(await chain.utxos(b"\x51")) == 1
        known[f"{TX}/hex"] = None  # asked for again, it would not be there
        assert len(await chain.utxos(b"\x51")) == 1
        known[SCRIPT_PATH] = [listed, *strangers]
        assert [await chain.utxos(b"\x51") for _ in range(2)] == [[], []]
        known[SCRIPT_PATH] = [listed, *strangers[1:]]
        assert len(await chain.utxos(b"\x51")) == 1

    def answer(path: str) -> tuple[int, bytes]:
        return told(known)(path)

    with capture_logs() as said:
        await asked(look, answer)
    assert [(each["outputs"], "spend some" in each["event"]) for each in said] == [(4, True)]


async def test_a_young_coinbase_is_left_out_and_a_waiting_output_too() -> None:
    young = {
        "txid": display(COINBASE.txid),
        "vout": 0,
        "value": COINBASE.outputs[0].value_sat,
        "status": STATUS,
    }
    waiting = {
        "txid": display(SPEND.txid),
        "vout": 0,
        "value": 4_000,
        "status": {"confirmed": False},
    }
    assert await asked(ASKS["utxos"], told({SCRIPT_PATH: [young, waiting]})) == []


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ((200, display(SPEND.txid).encode()), SPEND.txid),
        (
            (400, b'sendrawtransaction RPC error: {"code":-25,"message":"bad-txns-in"}'),
            Rejected("bad-txns-in"),
        ),
        (
            (400, b"sendrawtransaction RPC error -26: min relay fee not met"),
            Rejected("sendrawtransaction RPC error -26: min relay fee not met"),
        ),
        ((400, b'sendrawtransaction RPC error: {"code":-27,"message":"known"}'), SPEND.txid),
        ((400, b"x" * 1_000), Rejected("x" * 200)),
    ],
)
async def test_an_answer_to_a_broadcast_is_an_id_or_a_reason(
    reply: tuple[int, bytes], outcome: object
) -> None:
    assert await asked(ASKS["broadcast"], lambda _: reply) == outcome


@pytest.mark.parametrize(
    ("estimates", "rate"),
    [
        (b'{"6": 3}', 3.0),
        (b'{"6": 0}', None),
        (b'{"6": -1.5}', None),
        (b'{"144": 1.0}', None),
    ],
)
async def test_a_fee_estimate_is_a_rate_or_none(estimates: bytes, rate: float | None) -> None:
    assert await asked(ASKS["fee"], told({"/fee-estimates": estimates})) == rate


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (301, "it moved: put the address"),
        (404, "often with /api"),
        (429, "asked too often"),
        (503, "try again later"),
    ],
)
async def test_a_server_that_will_not_answer_is_named_with_what_to_do(
    status: int, advice: str
) -> None:
    with pytest.raises(UnreachableError, match=rf"127\.0\.0\.1.*HTTP {status}: .*{advice}"):
        await asked(ASKS["tip"], lambda _: (status, b""))


async def test_a_huge_answer_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(esplora, "_SMALL_BYTES", 100)
    with pytest.raises(RemoteProtocolError, match="more than"):
        await asked(ASKS["tip"], lambda _: (200, b"0" * 5_000))


async def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    chain = EsploraChain("http://127.0.0.1:1", "main")
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:1 does not answer.*correct"):
        await chain.tip()
    await chain.aclose()


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + ONE_DAY)
    alternative = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = made.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    pem = tmp_path / "server.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=greet, args=(context, listening))
        server.start()
        chain = EsploraChain(f"https://localhost:{listening.getsockname()[1]}", "main")
        with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
            await chain.tip()
        await chain.aclose()
        server.join()


def greet(context: ssl.SSLContext, listening: socket.socket) -> None:
    """Take one connection; the client hangs up on what it is shown."""
    plain, _ = listening.accept()
    with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as held:
        held.recv(1)


class Trickling(Liar):
    """Sends the head of an answer, and then a byte whenever the test allows one, which is never."""

    def do_GET(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n0")
        self.wfile.flush()
        self.server.answer(self.path)


async def test_a_server_that_stalls_is_given_up_at_the_deadline() -> None:
    end = threading.Event()
    with served(lambda _: end.wait(60), Trickling) as url:
        chain = EsploraChain(url, "regtest", timeout_s=0.2)
        with pytest.raises(UnreachableError, match=r"does not answer"):
            await chain.tip()
        end.set()
        await chain.aclose()


class Torn(Liar):
    """Promises more bytes than it sends."""

    def do_GET(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n0000")
        self.close_connection = True


async def test_a_torn_answer_is_none() -> None:
    with served(lambda _: (200, b""), Torn) as url:
        chain = EsploraChain(url, "regtest")
        with pytest.raises(UnreachableError, match="does not answer"):
            await chain.tip()
        await chain.aclose()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1:3000",
        "ftp://host",
        "http://",
        "http://host:x",
        "http://host:99999",
        "http://user:secret@host",
        "http://host/api?key=1",
        "http://ho st",
        "http://host/\r\nX: y",
        "http://[::1",
    ],
)
def test_an_address_that_is_none_is_the_operator_s_mistake(address: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_url(address)
    assert not any(secret in str(refused.value) for secret in ("user", "secret", "key=1"))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://mempool.example/signet/api/", "https://mempool.example:443/…"),
        ("http://[::1]:3002", "http://[::1]:3002"),
        ("HTTP://Host", "http://host:80"),
    ],
)
def test_an_address_is_shown_without_its_path_which_may_be_a_secret(
    address: str, shown: str
) -> None:
    assert str(parse_url(address)) == shown


def test_an_unknown_network_is_the_operator_s_mistake() -> None:
    with pytest.raises(ConfigError, match="unknown Bitcoin network"):
        EsploraChain("http://127.0.0.1:1", "dogecoin")
