"""The chain as a process: it keeps what it mined, refuses strangers, and ends cleanly."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ambientd.adapters.regtest import rpc_server
from ambientd.adapters.regtest.files import read_endpoint
from ambientd.adapters.regtest.launcher import EmbeddedChain
from ambientd.adapters.rpc_client import RpcClient, RpcError
from ambientd.errors import UnreachableError
from tests.adapters.regtest.running import WALLET, Running, running
from tests.missing import missing

pytestmark = pytest.mark.net

BY_HAND = ("--block-interval-ms", "0")
COMMAND = [sys.executable, "-m", "ambientd.adapters.regtest"]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("chain"), *BY_HAND) as started:
        yield started


def code_of(chain: Running, method: str, *params: object) -> int:
    with pytest.raises(RpcError) as refused:
        chain.call(method, *params)
    return refused.value.code


def test_a_clean_restart_keeps_the_tip(tmp_path: Path) -> None:
    with running(tmp_path, *BY_HAND) as first:
        first.call("generatetoaddress", 5, WALLET.address)
        tip = first.call("getbestblockhash")
        assert first.terminate() == 0
    assert not (tmp_path / "endpoint").exists()
    with running(tmp_path, *BY_HAND) as second:
        assert second.call("getbestblockhash") == tip


def test_a_killed_chain_keeps_its_tip(tmp_path: Path) -> None:
    with running(tmp_path, *BY_HAND) as first:
        first.call("generatetoaddress", 5, WALLET.address)
        tip = first.call("getbestblockhash")
        first.kill()
    with (tmp_path / "blocks.log").open("ab") as log:
        log.write(b"\x00\x01torn")
    with running(tmp_path, *BY_HAND) as second:
        assert second.call("getbestblockhash") == tip
        second.call("generatetoaddress", 1, WALLET.address)
        assert second.call("getblockcount") == 6


def test_a_second_chain_on_the_same_directory_is_refused(chain: Running) -> None:
    data_dir = chain.endpoint.cookie_path.parent
    second = subprocess.run(
        [*COMMAND, "--data-dir", str(data_dir)], capture_output=True, text=True, timeout=120
    )
    assert second.returncode == 2
    assert "another regtest chain is running" in second.stderr
    assert chain.call("getblockcount") is not None


def test_a_taken_port_is_named(chain: Running, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--data-dir", str(tmp_path), "--port", str(chain.endpoint.port)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert f"127.0.0.1:{chain.endpoint.port}" in done.stderr
    assert "choose another --port" in done.stderr


def test_only_the_owner_can_read_the_cookie(chain: Running) -> None:
    cookie = chain.endpoint.cookie_path
    assert cookie.stat().st_mode & 0o777 == 0o600
    assert cookie.read_text().startswith("__cookie__:")


@pytest.mark.parametrize("given", ["", "Basic Zm9vOmJhcg==", "Bearer x", "Basic \xff"])
def test_a_wrong_cookie_is_answered_401(chain: Running, given: str) -> None:
    status, body = chain.post(b"{}", Authorization=given)
    assert status == 401
    assert b".cookie" in body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"[]",
        b"null",
        b"{}",
        b'{"method": 5}',
        b'{"method": "getblockcount", "params": {}}',
        b'{"method": "getblockcount", "params": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"9" * 10_000,
    ],
)
def test_garbage_is_answered_400_with_an_error(chain: Running, body: bytes) -> None:
    status, reply = chain.post(body)
    assert status == 400
    assert json.loads(reply)["error"]["code"] in {-32700, -32600}
    assert chain.call("getblockcount") is not None


def test_an_oversized_request_is_refused_unread(chain: Running) -> None:
    size = str(rpc_server.REQUEST_SIZE_MAX + 1)
    assert chain.post(b"", **{"Content-Length": size})[0] == 413
    assert chain.post(b"", **{"Content-Length": "9" * 50})[0] == 413
    assert chain.post(b"", **{"Content-Length": "-1"})[0] == 411
    assert chain.post(b"", **{"Content-Length": "0", "Transfer-Encoding": "chunked"})[0] == 411


def test_a_truncated_request_costs_only_its_own_connection(chain: Running) -> None:
    with socket.create_connection(("127.0.0.1", chain.endpoint.port), timeout=60) as raw:
        raw.sendall(b"POST / HTTP/1.1\r\nContent-Le")
    assert chain.call("getblockcount") is not None


def test_a_connection_over_the_cap_is_closed_at_once(tmp_path: Path) -> None:
    with running(tmp_path, *BY_HAND) as chain:
        address = ("127.0.0.1", chain.endpoint.port)
        held = [
            socket.create_connection(address, timeout=60) for _ in range(rpc_server.CONNECTIONS_MAX)
        ]
        try:
            with socket.create_connection(address, timeout=60) as extra:
                assert extra.recv(1) == b""
        finally:
            for one in held:
                one.close()


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("nosuchmethod", [], -32601),
        ("__init__", [], -32601),
        ("call", ["getblockcount", []], -32601),
        ("_hash", [], -32601),
        ("getblockcount", [1], -8),
        ("getblockhash", [], -8),
        ("getblockhash", ["0"], -3),
        ("getblockhash", [True], -3),
        ("getblockhash", [-1], -8),
        ("getblockhash", [10**6], -8),
        ("getblock", ["00" * 32], -5),
        ("getblock", ["zz"], -8),
        ("getblock", ["00" * 32, 2], -8),
        ("getblockheader", ["00" * 32], -5),
        ("getrawtransaction", ["00" * 32], -5),
        ("gettxoutproof", [["00" * 32]], -5),
        ("gettxoutproof", ["00" * 32], -3),
        ("sendrawtransaction", ["00"], -22),
        ("sendrawtransaction", ["xx"], -22),
        ("submitblock", ["00" * 81], -22),
        ("generatetoaddress", [10_000, WALLET.address], -8),
        ("generatetoaddress", [1, "nonsense"], -5),
        ("generateblock", [WALLET.address, ["00"]], -22),
        ("scantxoutset", ["abort", []], -8),
        ("scantxoutset", ["start", ["wpkh(xpub)"]], -5),
        ("scantxoutset", ["start", [{}]], -3),
        ("fundaddress", [WALLET.address, 1], -8),
        ("fundaddress", [WALLET.address, 2_000_000_000_000_000], -4),
        ("estimatesmartfee", ["soon"], -3),
    ],
)
def test_a_senseless_call_gets_bitcoin_core_s_error_code(
    chain: Running, method: str, params: list[object], code: int
) -> None:
    assert code_of(chain, method, *params) == code


def test_the_described_views_agree_with_each_other(chain: Running) -> None:
    [block_hash] = chain.call("generatetoaddress", 1, WALLET.address)
    block = chain.call("getblock", block_hash)
    header = chain.call("getblockheader", block_hash)
    raw = bytes.fromhex(chain.call("getblock", block_hash, 0))
    assert raw[:80].hex() == chain.call("getblockheader", block_hash, False)
    assert block["hash"] == header["hash"] == chain.call("getbestblockhash") == block_hash
    assert block["height"] == header["height"] == chain.call("getblockcount")
    [coinbase] = block["tx"]
    described = chain.call("getrawtransaction", coinbase, True)
    assert (described["blockhash"], described["confirmations"]) == (block_hash, 1)
    assert bytes.fromhex(described["hex"]) in raw
    coin = chain.call("gettxout", coinbase, 0)
    assert (coin["coinbase"], coin["confirmations"]) == (True, 1)
    assert chain.call("gettxout", coinbase, 9) is None
    scan = chain.call(
        "scantxoutset", "start", [f"addr({WALLET.address})", f"raw({WALLET.script.hex()})#x"]
    )
    assert coinbase in {one["txid"] for one in scan["unspents"]}
    proof = bytes.fromhex(chain.call("gettxoutproof", [coinbase], block_hash))
    assert proof[:80] == raw[:80]
    assert bytes.fromhex(coinbase)[::-1] in proof
    assert code_of(chain, "gettxoutproof", [coinbase], "11" * 32) == -5
    assert chain.call("submitblock", raw.hex()) is None


def test_a_block_with_a_wrong_root_is_refused_with_a_reason(chain: Running) -> None:
    raw = bytearray.fromhex(chain.call("getblock", chain.call("getbestblockhash"), 0))
    raw[40] ^= 1
    assert chain.call("submitblock", raw.hex())


def test_mining_by_itself_confirms_a_payment_six_times_and_rests(tmp_path: Path) -> None:
    with running(tmp_path, "--block-interval-ms", "5") as chain:
        txid = chain.call("fundaddress", WALLET.address, 10_000)
        seen = 0
        for _ in range(20_000):
            seen = chain.call("getrawtransaction", txid, True)["confirmations"]
            if seen >= 6:
                break
        assert seen == 6
        # 1,000 more calls take many block intervals.
        counts = {chain.call("getblockcount") for _ in range(1_000)}
        assert len(counts) == 1
        assert chain.call("getrawtransaction", txid, True)["confirmations"] == 6


@pytest.mark.slow
def test_a_chain_nobody_calls_ends_by_itself(tmp_path: Path) -> None:
    with running(tmp_path, "--idle-exit-s", "1") as chain:
        assert chain.end() == 0


def test_the_stop_call_ends_the_chain(tmp_path: Path) -> None:
    with running(tmp_path) as chain:
        assert chain.call("stop") == "regtest chain stopping"
        assert chain.end() == 0


@pytest.mark.slow
def test_four_daemons_that_start_at_once_share_one_chain(tmp_path: Path) -> None:
    embedded = EmbeddedChain(tmp_path / "chain", block_interval_ms=0, idle_exit_s=20)
    assert embedded.running() is None
    gate = threading.Barrier(4)

    def start() -> object:
        gate.wait(60)
        return embedded.ensure_running()

    with ThreadPoolExecutor(4) as pool:
        endpoints = [future.result() for future in [pool.submit(start) for _ in range(4)]]
    assert len(set(endpoints)) == 1
    with RpcClient(endpoints[0]) as client:
        client.call("stop")


@pytest.mark.slow
def test_a_chain_is_started_again_after_a_kill_despite_its_stale_files(tmp_path: Path) -> None:
    embedded = EmbeddedChain(tmp_path, block_interval_ms=0, idle_exit_s=20)
    with running(tmp_path, *BY_HAND) as first:
        first.call("generatetoaddress", 3, WALLET.address)
        first.kill()
    assert read_endpoint(tmp_path) == first.endpoint.port
    endpoint = embedded.ensure_running()
    with RpcClient(endpoint) as client:
        assert client.call("getblockcount") == 3
        client.call("stop")


def test_a_chain_that_cannot_start_is_reported_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "kernel").write_text("not a directory")
    with pytest.raises(UnreachableError, match=r"regtest\.log"):
        EmbeddedChain(tmp_path).ensure_running()


SMALL_DISK = """\
mount -t tmpfs -o size={size} tmpfs "$1" && exec "$2" -c '
import sys
from pathlib import Path
from ambientd.adapters.regtest.launcher import EmbeddedChain
EmbeddedChain(Path(sys.argv[1]) / "chain", idle_exit_s=1).ensure_running()
' "$1"
"""


@pytest.mark.parametrize("size", ["64m", "1m", "4k"])
def test_a_chain_that_lacks_room_says_how_much_it_needs(tmp_path: Path, size: str) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        missing("no user namespaces here, in which a small disk can be mounted")
    script = SMALL_DISK.format(size=size)
    done = subprocess.run(
        [*alone, "sh", "-c", script, "sh", str(tmp_path), sys.executable],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    words = done.stderr.splitlines()[-1]
    assert "MiB of room, and a new chain needs 67: make room" in words


@pytest.mark.parametrize("text", ["", "garbage", "127.0.0.1:99999", "\xff"])
def test_a_damaged_endpoint_file_counts_as_no_chain(tmp_path: Path, text: str) -> None:
    (tmp_path / "endpoint").write_bytes(text.encode("latin-1"))
    assert read_endpoint(tmp_path) is None


def test_an_endpoint_file_whose_port_is_somebody_else_s_counts_as_no_chain(
    chain: Running, tmp_path: Path
) -> None:
    (tmp_path / "endpoint").write_text(f"127.0.0.1:{chain.endpoint.port}\n")
    (tmp_path / ".cookie").write_text("__cookie__:of another chain")
    assert EmbeddedChain(tmp_path).running() is None


def test_sigint_ends_the_chain_as_sigterm_does(tmp_path: Path) -> None:
    with running(tmp_path) as chain:
        os.kill(chain.process.pid, signal.SIGINT)
        assert chain.end() == 0
