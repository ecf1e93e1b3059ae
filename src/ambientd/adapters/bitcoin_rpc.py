"""Chain over Bitcoin Core's JSON-RPC: Core or btcd with a transaction index, or the embedded chain.

The client is blocking and runs in one trio thread at a time; a daemon asks little.
"""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import trio

from ambientd.adapters.anchor_wallet import address_of_script
from ambientd.adapters.mined import mined_transaction
from ambientd.adapters.rpc_client import RpcClient, RpcEndpoint, RpcError
from ambientd.errors import ConfigError, RemoteProtocolError, UnreachableError, UsageError
from ambientd.ports.chain import Inclusion, MerkleBranch, Rejected, Tip, Utxo
from ambientd.rules.bitcoin import (
    AMOUNT_MAX_SAT,
    COINBASE_MATURITY,
    HEADER_SIZE,
    NETWORKS,
    Outpoint,
    Transaction,
    decode_header,
    decode_transaction,
    display,
    double_sha256,
    from_display,
    merkle_branch,
    root_from_branch,
)

FEE_TARGET_BLOCKS = 6
BEHIND_BLOCKS_MAX: Final = 6
"""So many Bitcoin blocks a node may know the headers of, and lack, before its tip is no tip."""
_SAT = 100_000_000
_VB_PER_KVB = 1_000
_COINS_MAX: Final = AMOUNT_MAX_SAT // _SAT
_SENSELESS: Final = (TypeError, KeyError, ValueError, AttributeError, ArithmeticError)
"""What comes of an answer that is not as it should be; numbers of any size are among them."""

NOT_FOUND = -5
INVALID_PARAMETER = -8
METHOD_NOT_FOUND = -32601
_OUT_OF_RANGE = -1  # what btcd says to a height above its tip
_ALREADY_IN_CHAIN = -27
_ALREADY_WAITS = "already have transaction"  # btcd refuses what waits with it already
# A hanging node must not hold up a shutdown; the thread ends with its own timeout.
_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}
_REJECTIONS = frozenset({-22, -25, -26})
_NAMES: Final = {"mainnet": "main"}  # btcd's name of the main network
UTXOS_MAX: Final = 1_000
"""Outputs of one script that are looked at, the largest ones."""
_SCRIPTS_A_SCAN: Final = 64
_SEARCH_PAGE: Final = 100
_SEARCH_PAGES_MAX: Final = 50


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
        if not isinstance(name, str) or _NAMES.get(name, name) != self._network:
            msg = (
                f"the Bitcoin node at {self._client.endpoint} is on {name!r}, the configuration "
                f"says {self._network!r}: correct one of them"
            )
            raise ConfigError(msg)

    async def tip(self) -> Tip:
        """Give the newest Bitcoin block."""
        info = await self._asked("getblockchaininfo")
        try:
            self._check_synchronised(info)
            return Tip(_whole(info["blocks"]), from_display(info["bestblockhash"]))
        except _SENSELESS as error:
            raise self._senseless("getblockchaininfo", error) from None

    def _check_synchronised(self, info: dict[str, Any]) -> None:
        """Refuse the tip of a node that still downloads: what is mined looks as if it were not.

        On regtest a node says so of any chain whose last Bitcoin block is a day old.
        """
        blocks, headers = _whole(info["blocks"]), _whole(info.get("headers", 0))
        is_downloading = info.get("initialblockdownload") is True and self._network != "regtest"
        if is_downloading or headers > blocks + BEHIND_BLOCKS_MAX:
            msg = (
                f"the Bitcoin node at {self._client.endpoint} is still downloading the chain: it "
                f"has {blocks} of {max(blocks, headers)} Bitcoin blocks it knows of; anchors wait "
                "until it has all, and go on by themselves; `bitcoin-cli getblockchaininfo` there "
                "shows how far it is"
            )
            raise UnreachableError(msg)

    async def block_hash(self, height: int) -> bytes:
        """Give the hash at a height of the best chain."""
        try:
            return from_display(str(await self._call("getblockhash", height)))
        except RpcError as error:
            if error.code not in {INVALID_PARAMETER, _OUT_OF_RANGE}:
                raise self._refused("getblockhash", error) from None
            msg = f"the {self._network} chain has no Bitcoin block {height} yet"
            raise UsageError(msg) from None

    async def header(self, height: int) -> bytes:
        """Give a header of the best chain, checked against its hash."""
        block_hash = await self.block_hash(height)
        return await self._header_of(block_hash)

    async def headers(self, start: int, end: int) -> bytes:
        """Give the headers from a height of the best chain up to, without, another."""
        block_hash = await self.block_hash(end - 1)
        found = []
        for _ in range(start, end):  # downwards, so that a reorganisation cannot come in between
            found.append(await self._header_of(block_hash))
            block_hash = decode_header(found[-1]).previous
        return b"".join(reversed(found))

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
        except _SENSELESS as error:
            raise self._senseless("getblock", error) from None

    async def raw_tx(self, txid: bytes) -> bytes | None:
        """Give a transaction's bytes, checked against its id."""
        try:
            raw = _bytes(await self._call("getrawtransaction", display(txid), 0))
        except RpcError as error:
            if error.code == NOT_FOUND:
                return None
            raise self._refused("getrawtransaction", error) from None
        if (await mined_transaction(raw)).txid != txid:
            raise self._senseless("getrawtransaction", "the bytes do not hash to the id")
        return raw

    async def inclusion(self, txid: bytes) -> Inclusion | None:
        """Say where a transaction is mined in the best chain."""
        try:
            found = await self._call("getrawtransaction", display(txid), 1)
            if "blockhash" not in found or _whole(found.get("confirmations", 0)) < 1:
                return None
            block_hash = from_display(found["blockhash"])
            described = await self._call("getblockheader", display(block_hash), True)
            if _whole(described["confirmations"]) < 1:
                return None  # a reorganisation came between the two calls
            return Inclusion(block_hash, _whole(described["height"]))
        except RpcError as error:
            if error.code == NOT_FOUND:
                return None
            raise self._refused("getrawtransaction", error) from None
        except _SENSELESS as error:
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
            if error.code in _REJECTIONS and _ALREADY_WAITS not in error.message:
                return Rejected(error.message)
            if error.code not in {_ALREADY_IN_CHAIN, *_REJECTIONS}:
                raise self._refused("sendrawtransaction", error) from None
        return txid

    async def fee_rate_sat_vb(self) -> float | None:
        """Estimate a fee rate; None when the node has seen too little, or cannot estimate."""
        try:
            estimate = await self._call("estimatesmartfee", FEE_TARGET_BLOCKS)
        except RpcError as error:
            if error.code == METHOD_NOT_FOUND:  # btcd
                return None
            raise self._refused("estimatesmartfee", error) from None
        rate = estimate.get("feerate") if isinstance(estimate, dict) else None
        if not isinstance(rate, Decimal | int) or not 0 < rate <= _COINS_MAX:
            return None
        return float(rate * _SAT / _VB_PER_KVB)

    async def utxos(self, script_pubkey: bytes) -> list[Utxo]:
        """List what can be spent from a script now; a scan takes minutes on the main network."""
        return await self.utxos_of([script_pubkey])

    async def utxos_of(self, scripts: Sequence[bytes]) -> list[Utxo]:
        """List the same of several scripts by one scan; btcd searches for one after the other."""
        wanted = list(dict.fromkeys(scripts))
        found: list[Utxo] = []
        for first in range(0, len(wanted), _SCRIPTS_A_SCAN):
            found += await self._scanned(wanted[first : first + _SCRIPTS_A_SCAN])
        return sorted(found, key=lambda utxo: (-utxo.value_sat, utxo.txid, utxo.index))

    async def _scanned(self, scripts: list[bytes]) -> list[Utxo]:
        try:
            descriptors = [{"desc": f"raw({script.hex()})"} for script in scripts]
            scan = await self._call("scantxoutset", "start", descriptors)
        except RpcError as error:
            if error.code == METHOD_NOT_FOUND:
                return [utxo for one in scripts for utxo in await self._searched_utxos(one)]
            raise self._refused("scantxoutset", error) from None
        try:
            height = _whole(scan["height"])
            found = [
                Utxo(
                    txid=from_display(one["txid"]),
                    index=_whole(one["vout"]),
                    value_sat=_satoshi(one["amount"]),
                    script=bytes.fromhex(one["scriptPubKey"]),
                    height=_whole(one["height"]),
                )
                for one in scan["unspents"]
                if not one.get("coinbase")
                or height + 1 - _whole(one["height"]) >= COINBASE_MATURITY
            ]
        except _SENSELESS as error:
            raise self._senseless("scantxoutset", error) from None
        if not {utxo.script for utxo in found} <= set(scripts):
            fault = ValueError("an output pays none of the scripts that were asked for")
            raise self._senseless("scantxoutset", fault)
        # A scan sees only what is mined; strangers who pay much dust cost no question each.
        found = _largest(found, UTXOS_MAX)
        return [each for each in found if await self.is_unspent(Outpoint(each.txid, each.index))]

    async def is_unspent(self, coin: Outpoint) -> bool:
        """Tell whether nothing has spent an output; btcd does not look at what waits."""
        return await self._asked("gettxout", display(coin.txid), coin.index, True) is not None

    async def _searched_utxos(self, script_pubkey: bytes) -> list[Utxo]:
        """List the same from btcd's index of addresses, which gives whole transactions."""
        transactions = await self._search(address_of_script(script_pubkey, self._network))
        spent = {spent.outpoint for each in transactions for spent in each.inputs}
        tip = await self.tip()
        found = []
        for transaction in transactions:
            place = await self.inclusion(transaction.txid)
            if place is None:
                continue
            if transaction.is_coinbase and tip.height + 1 - place.height < COINBASE_MATURITY:
                continue
            found += [
                Utxo(outpoint.txid, outpoint.index, output.value_sat, output.script, place.height)
                for outpoint, output in transaction.outpoints()
                if output.script == script_pubkey and outpoint not in spent
            ]
        found.sort(key=lambda utxo: (-utxo.value_sat, utxo.txid, utxo.index))
        return found

    async def _search(self, address: str) -> list[Transaction]:
        """List the transactions that pay an address or spend from it."""
        found: list[Transaction] = []
        for page in range(_SEARCH_PAGES_MAX):
            try:
                raws = await self._call(
                    "searchrawtransactions", address, 0, page * _SEARCH_PAGE, _SEARCH_PAGE
                )
            except RpcError as error:
                if error.code == NOT_FOUND:
                    break
                raise self._refused("searchrawtransactions", error, "addrindex=1") from None
            if not isinstance(raws, list):
                raise self._senseless("searchrawtransactions", "it is no list")
            found += [await mined_transaction(_bytes(raw)) for raw in raws]
            if len(raws) < _SEARCH_PAGE:
                break
        return found

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

    def _refused(self, method: str, error: RpcError, needed: str = "txindex=1") -> UnreachableError:
        msg = (
            f"the Bitcoin node at {self._client.endpoint} refuses {method}: {error}; "
            f"wait until it has synchronised, and check that it runs with {needed}"
        )
        return UnreachableError(msg)

    def _senseless(self, method: str, why: object) -> RemoteProtocolError:
        msg = f"the answer of {self._client.endpoint} to {method} makes no sense: {why}"
        return RemoteProtocolError(msg)

    async def aclose(self) -> None:
        """Close the connection."""
        await trio.to_thread.run_sync(self._client.close, limiter=self._limiter)


def _largest(found: list[Utxo], most: int) -> list[Utxo]:
    """Give the largest outputs of each script, as many as are looked at."""
    seen: Counter[bytes] = Counter()
    kept = []
    for utxo in sorted(found, key=lambda each: (-each.value_sat, each.txid, each.index)):
        seen[utxo.script] += 1
        if seen[utxo.script] <= most:
            kept.append(utxo)
    return kept


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{str(value)[:40]} is no whole number")
    return value


def _satoshi(amount: Decimal | int | str) -> int:
    coins = Decimal(amount)
    if not 0 <= coins <= _COINS_MAX:
        raise ValueError(f"{str(amount)[:40]} is more than there can be")
    return int(coins * _SAT)


def _bytes(value: object) -> bytes:
    try:
        return bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        return b""
