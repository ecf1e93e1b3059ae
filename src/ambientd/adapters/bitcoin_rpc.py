"""Chain over Bitcoin Core's JSON-RPC: a node with `txindex=1`, or the embedded regtest chain.

The client is blocking (http.client) and runs in one trio thread at a time; a daemon asks little.
"""

import base64
import http.client
import json
import threading
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trio

from ambientd.errors import ConfigError, RemoteProtocolError, UnreachableError, UsageError
from ambientd.ports.chain import Inclusion, MerkleBranch, Rejected, Tip, Utxo
from ambientd.rules.bitcoin import (
    HEADER_SIZE,
    NETWORKS,
    decode_header,
    decode_transaction,
    display,
    double_sha256,
    from_display,
    merkle_branch,
    root_from_branch,
)

REPLY_SIZE_MAX = 32_000_000
COINBASE_MATURITY = 100
FEE_TARGET_BLOCKS = 6
_SAT = 100_000_000
_VB_PER_KVB = 1_000

NOT_FOUND = -5
INVALID_PARAMETER = -8
_ALREADY_IN_CHAIN = -27
# A hanging node must not hold up a shutdown; the thread ends with its own timeout.
_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}
_REJECTIONS = frozenset({-22, -25, -26})


@dataclass(frozen=True, slots=True)
class RpcEndpoint:
    """Where a node listens and how to log in: a cookie file, or a user and password."""

    port: int
    cookie_path: Path | None = None
    user: str = ""
    password: str = ""
    host: str = "127.0.0.1"
    timeout_s: float = 60.0

    def __str__(self) -> str:
        return f"http://{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"RpcEndpoint({self})"  # never the password

    def authorization(self) -> str:
        """Give the Authorization header; the cookie is read afresh, as a restart changes it."""
        credentials = f"{self.user}:{self.password}"
        if self.cookie_path is not None:
            try:
                credentials = self.cookie_path.read_text("utf-8").strip()
            except OSError as error:
                msg = (
                    f"the Bitcoin node at {self} is not running, or its cookie cannot be read "
                    f"({error}): start the node, and allow this user to read the file"
                )
                raise UnreachableError(msg) from None
        return "Basic " + base64.b64encode(credentials.encode()).decode("ascii")


class RpcError(Exception):
    """The node answered a call with an error."""

    def __init__(self, code: int, message: str) -> None:
        """Take Bitcoin Core's code and text."""
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class RpcClient:
    """Blocking calls over one kept connection; safe from several threads, one call at a time."""

    def __init__(self, endpoint: RpcEndpoint) -> None:
        """Connect at the first call."""
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._authorization = ""

    def call(self, method: str, *params: object) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Run one call and give its result; floats come as Decimal.

        Raises:
            RpcError: when the node says no.
            UnreachableError: when it does not answer, or wants other credentials.
            RemoteProtocolError: when the answer is no JSON-RPC.
        """
        body = json.dumps({"jsonrpc": "1.0", "id": 1, "method": method, "params": list(params)})
        with self._lock:
            status, raw = self._exchange(body)
            if status == 401:  # the node restarted and wrote a new cookie
                self._authorization = ""
                status, raw = self._exchange(body)
        if status in {401, 403}:
            msg = (
                f"the Bitcoin node at {self.endpoint} refuses our credentials: "
                "check the cookie file, or user and password, in the configuration"
            )
            raise UnreachableError(msg)
        return _result(method, status, raw, str(self.endpoint))

    def _exchange(self, body: str) -> tuple[int, bytes]:
        """Send one request; a kept connection that the node has closed is opened once more."""
        was_kept = self._connection is not None
        try:
            return self._send(body)
        except (http.client.HTTPException, OSError) as error:
            self._disconnect()
            if not was_kept or isinstance(error, TimeoutError):
                raise self._unreachable(error) from None
        try:
            return self._send(body)
        except (http.client.HTTPException, OSError) as error:
            self._disconnect()
            raise self._unreachable(error) from None

    def _send(self, body: str) -> tuple[int, bytes]:
        if not self._authorization:
            self._authorization = self.endpoint.authorization()
        if self._connection is None:
            endpoint = self.endpoint
            self._connection = http.client.HTTPConnection(
                endpoint.host, endpoint.port, timeout=endpoint.timeout_s
            )
        headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
        self._connection.request("POST", "/", body, headers)
        with self._connection.getresponse() as reply:
            raw = reply.read(REPLY_SIZE_MAX + 1)
            if len(raw) > REPLY_SIZE_MAX or reply.will_close:
                self._disconnect()
            return reply.status, raw

    def _unreachable(self, error: Exception) -> UnreachableError:
        reason = str(error) or type(error).__name__
        msg = (
            f"the Bitcoin node at {self.endpoint} does not answer ({reason}): "
            "start it, or correct its address in the configuration"
        )
        return UnreachableError(msg)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._authorization = ""

    def redirect(self, endpoint: RpcEndpoint) -> None:
        """Speak to another place from now on."""
        with self._lock:
            self._disconnect()
            self.endpoint = endpoint

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        with self._lock:
            self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _result(method: str, status: int, raw: bytes, endpoint: str) -> Any:  # noqa: ANN401
    if len(raw) > REPLY_SIZE_MAX:
        msg = f"{endpoint} answered {method} with more than {REPLY_SIZE_MAX} bytes"
        raise RemoteProtocolError(msg)
    try:
        reply = json.loads(raw, parse_float=Decimal)
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict) or "result" not in reply:
        msg = f"{endpoint} answered {method} with HTTP {status} and no JSON-RPC reply"
        raise RemoteProtocolError(msg)
    error = reply.get("error")
    if error is None:
        return reply["result"]
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        msg = f"{endpoint} answered {method} with an error that is none of JSON-RPC"
        raise RemoteProtocolError(msg)
    raise RpcError(error["code"], str(error.get("message", ""))[:500])


class BitcoinRpcChain:
    """The Chain port over a Bitcoin Core style node."""

    def __init__(self, endpoint: RpcEndpoint, network: str) -> None:
        """Speak to a node that must be on the named network; see `check_network`."""
        if network not in NETWORKS:
            msg = f"unknown Bitcoin network {network!r}: choose one of {', '.join(NETWORKS)}"
            raise ConfigError(msg)
        self._network = network
        self._client = RpcClient(endpoint)
        self._limiter = trio.CapacityLimiter(1)

    @property
    def network(self) -> str:
        """The network's name."""
        return self._network

    async def check_network(self) -> None:
        """Refuse a node of another network.

        Raises:
            ConfigError: naming both networks.
        """
        info = await self._asked("getblockchaininfo")
        name = info.get("chain") if isinstance(info, dict) else None
        if name != self._network:
            msg = (
                f"the Bitcoin node at {self._client.endpoint} is on {name!r}, the configuration "
                f"says {self._network!r}: correct one of them"
            )
            raise ConfigError(msg)

    async def tip(self) -> Tip:
        """Give the newest Bitcoin block."""
        info = await self._asked("getblockchaininfo")
        try:
            return Tip(int(info["blocks"]), from_display(info["bestblockhash"]))
        except (TypeError, KeyError, ValueError) as error:
            raise self._senseless("getblockchaininfo", error) from None

    async def block_hash(self, height: int) -> bytes:
        """Give the hash at a height of the best chain."""
        try:
            return from_display(str(await self._call("getblockhash", height)))
        except RpcError as error:
            if error.code != INVALID_PARAMETER:
                raise self._refused("getblockhash", error) from None
            msg = f"the {self._network} chain has no Bitcoin block {height} yet"
            raise UsageError(msg) from None

    async def header(self, height: int) -> bytes:
        """Give a header of the best chain, checked against its hash."""
        block_hash = await self.block_hash(height)
        return await self._header_of(block_hash)

    async def _header_of(self, block_hash: bytes) -> bytes:
        raw = _bytes(await self._asked("getblockheader", display(block_hash), False))
        if len(raw) != HEADER_SIZE or double_sha256(raw) != block_hash:
            raise self._senseless("getblockheader", "the header does not hash to its name")
        return raw

    async def block_txids(self, block_hash: bytes) -> list[bytes]:
        """Give the transaction ids of a Bitcoin block."""
        try:
            block = await self._call("getblock", display(block_hash), 1)
        except RpcError as error:
            if error.code != NOT_FOUND:
                raise self._refused("getblock", error) from None
            msg = f"the {self._network} node knows no Bitcoin block {display(block_hash)}"
            raise UsageError(msg) from None
        try:
            return [from_display(txid) for txid in block["tx"]]
        except (TypeError, KeyError) as error:
            raise self._senseless("getblock", error) from None

    async def raw_tx(self, txid: bytes) -> bytes | None:
        """Give a transaction's bytes, checked against its id."""
        try:
            raw = _bytes(await self._call("getrawtransaction", display(txid), False))
        except RpcError as error:
            if error.code == NOT_FOUND:
                return None
            raise self._refused("getrawtransaction", error) from None
        if decode_transaction(raw).txid != txid:
            raise self._senseless("getrawtransaction", "the bytes do not hash to the id")
        return raw

    async def inclusion(self, txid: bytes) -> Inclusion | None:
        """Say where a transaction is mined in the best chain."""
        try:
            found = await self._call("getrawtransaction", display(txid), True)
            if "blockhash" not in found or int(found.get("confirmations", 0)) < 1:
                return None
            block_hash = from_display(found["blockhash"])
            described = await self._call("getblockheader", display(block_hash), True)
            if int(described["confirmations"]) < 1:
                return None  # a reorganisation came between the two calls
            return Inclusion(block_hash, int(described["height"]))
        except RpcError as error:
            if error.code == NOT_FOUND:
                return None
            raise self._refused("getrawtransaction", error) from None
        except (TypeError, KeyError, ValueError) as error:
            raise self._senseless("getrawtransaction", error) from None

    async def confirmations(self, txid: bytes) -> int:
        """Count the confirmations of a transaction."""
        inclusion = await self.inclusion(txid)
        if inclusion is None:
            return 0
        return max(0, (await self.tip()).height - inclusion.height + 1)

    async def merkle_branch(self, txid: bytes) -> MerkleBranch | None:
        """Build the branch of a mined transaction, and verify it against the header."""
        inclusion = await self.inclusion(txid)
        if inclusion is None:
            return None
        header = await self._header_of(inclusion.block_hash)
        txids = await self.block_txids(inclusion.block_hash)
        if txid not in txids:
            raise self._senseless("getblock", "the transaction is not in its Bitcoin block")
        branch = merkle_branch(txids, txids.index(txid))
        if root_from_branch(txid, branch) != decode_header(header).merkle_root:
            raise self._senseless("getblock", "its transactions do not lead to its Merkle root")
        return MerkleBranch(header, txid, branch.index, branch.siblings)

    async def broadcast(self, raw: bytes) -> bytes | Rejected:
        """Hand a transaction to the network."""
        txid = decode_transaction(raw).txid
        try:
            await self._call("sendrawtransaction", raw.hex())
        except RpcError as error:
            if error.code in _REJECTIONS:
                return Rejected(error.message)
            if error.code != _ALREADY_IN_CHAIN:
                raise self._refused("sendrawtransaction", error) from None
        return txid

    async def fee_rate_sat_vb(self) -> float | None:
        """Estimate a fee rate; None when the node has seen too little."""
        estimate = await self._asked("estimatesmartfee", FEE_TARGET_BLOCKS)
        rate = estimate.get("feerate") if isinstance(estimate, dict) else None
        if not isinstance(rate, Decimal | int) or rate <= 0:
            return None
        return float(rate * _SAT / _VB_PER_KVB)

    async def utxos(self, script_pubkey: bytes) -> list[Utxo]:
        """List what can be spent from a script now; a scan takes minutes on the main network."""
        scan = await self._asked("scantxoutset", "start", [{"desc": f"raw({script_pubkey.hex()})"}])
        try:
            height = int(scan["height"])
            found = [
                Utxo(
                    txid=from_display(one["txid"]),
                    index=int(one["vout"]),
                    value_sat=int(Decimal(one["amount"]) * _SAT),
                    script=script_pubkey,
                    height=int(one["height"]),
                )
                for one in scan["unspents"]
                if not one.get("coinbase") or height + 1 - int(one["height"]) >= COINBASE_MATURITY
            ]
        except (TypeError, KeyError, ValueError) as error:
            raise self._senseless("scantxoutset", error) from None
        found.sort(key=lambda utxo: (-utxo.value_sat, utxo.txid, utxo.index))
        return [utxo for utxo in found if await self._is_unspent(utxo)]

    async def _is_unspent(self, utxo: Utxo) -> bool:
        """Whether nothing that waits spends it; a scan sees only what is mined."""
        return await self._asked("gettxout", display(utxo.txid), utxo.index, True) is not None

    async def _call(self, method: str, *params: object) -> Any:  # noqa: ANN401
        """Run one call in a thread; it may raise RpcError."""
        return await trio.to_thread.run_sync(
            lambda: self._client.call(method, *params),
            limiter=self._limiter,
            **_ABANDON,
        )

    async def _asked(self, method: str, *params: object) -> Any:  # noqa: ANN401
        """Run one call to which no error reply is expected."""
        try:
            return await self._call(method, *params)
        except RpcError as error:
            raise self._refused(method, error) from None

    def _refused(self, method: str, error: RpcError) -> UnreachableError:
        msg = (
            f"the Bitcoin node at {self._client.endpoint} refuses {method}: {error}; "
            "wait until it has synchronised, and check that it runs with txindex=1"
        )
        return UnreachableError(msg)

    def _senseless(self, method: str, why: object) -> RemoteProtocolError:
        msg = f"the answer of {self._client.endpoint} to {method} makes no sense: {why}"
        return RemoteProtocolError(msg)

    async def aclose(self) -> None:
        """Close the connection."""
        await trio.to_thread.run_sync(self._client.close, limiter=self._limiter)


def _bytes(value: object) -> bytes:
    try:
        return bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        return b""
