"""The JSON-RPC methods, named and shaped like Bitcoin Core's, plus `fundaddress`, the faucet."""

import inspect
from collections.abc import Callable, Mapping

from ambientd.adapters import anchor_wallet
from ambientd.adapters.regtest.kernel import Verdict
from ambientd.adapters.regtest.mempool import Entry, Refusal
from ambientd.adapters.regtest.node import RegtestNode
from ambientd.adapters.regtest.tx_proof import encode_tx_proof
from ambientd.errors import RemoteProtocolError, UsageError
from ambientd.rules.bitcoin import (
    AMOUNT_MAX_SAT,
    Outpoint,
    Transaction,
    decode_block,
    decode_header,
    decode_transaction,
    display,
    from_display,
)

GENERATE_MAX = 1_000
SCAN_MAX = 100
_SAT = 100_000_000

INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
TYPE_ERROR = -3
NOT_FOUND = -5
INVALID_PARAMETER = -8
DECODE_FAILED = -22


class RpcFault(Exception):  # noqa: N818 - the reply to a call, not a failure of ours
    """An error reply: Bitcoin Core's code and a text."""

    def __init__(self, code: int, message: str) -> None:
        """Take the code and the text of the reply."""
        super().__init__(message)
        self.code = code
        self.message = message


def _integer(value: object, name: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise RpcFault(TYPE_ERROR, f"{name} must be a whole number")
    if not low <= value <= high:
        raise RpcFault(INVALID_PARAMETER, f"{name} must be between {low} and {high}")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise RpcFault(TYPE_ERROR, f"{name} must be a string")
    return value


def _hash(value: object, name: str) -> bytes:
    try:
        return from_display(_text(value, name))
    except RemoteProtocolError as error:
        raise RpcFault(INVALID_PARAMETER, f"{name}: {error}") from None


def _bytes(value: object, name: str) -> bytes:
    try:
        return bytes.fromhex(_text(value, name))
    except ValueError:
        raise RpcFault(DECODE_FAILED, f"{name} must be hex digits") from None


def _list(value: object, name: str, count_max: int) -> list[object]:
    if not isinstance(value, list) or not 0 <= len(value) <= count_max:
        raise RpcFault(TYPE_ERROR, f"{name} must be a list of at most {count_max}")
    return value


def _transaction(value: object) -> Transaction:
    try:
        return decode_transaction(_bytes(value, "transaction"))
    except RemoteProtocolError as error:
        raise RpcFault(DECODE_FAILED, f"TX decode failed: {error}") from None


def _script_of_address(value: object) -> bytes:
    try:
        return anchor_wallet.script_of_address(_text(value, "address"))
    except UsageError as error:
        raise RpcFault(NOT_FOUND, str(error)) from None


class RpcMethods:
    """Calls by name; every public method below is one RPC."""

    def __init__(self, node: RegtestNode, request_stop: Callable[[], None]) -> None:
        """Serve a node; `request_stop` ends the process soon after it is called."""
        self._node = node
        self._request_stop = request_stop

    def call(self, method: str, params: list[object]) -> object:
        """Run one call under the node's lock.

        Raises:
            RpcFault: the error to reply with.
        """
        function = getattr(self, method, None) if method in METHODS else None
        if function is None:
            raise RpcFault(METHOD_NOT_FOUND, f"Method not found: {method[:40]}")
        try:
            inspect.signature(function).bind(*params)
        except TypeError as error:
            raise RpcFault(INVALID_PARAMETER, f"{method}: {error}") from None
        with self._node.lock:
            if self._node.is_closed:
                raise RpcFault(-28, "the chain is closing")
            return function(*params)

    def getblockcount(self) -> int:
        """Give the height of the best chain."""
        return self._node.index.height

    def getbestblockhash(self) -> str:
        """Give the hash of the tip."""
        return display(self._node.index.hashes[-1])

    def getblockhash(self, height: object) -> str:
        """Give the hash at a height."""
        at = _integer(height, "height", 0, 1 << 31)
        if at > self._node.index.height:
            raise RpcFault(INVALID_PARAMETER, "Block height out of range")
        return display(self._node.index.hashes[at])

    def getblockchaininfo(self) -> dict[str, object]:
        """Describe the chain."""
        height = self._node.index.height
        return {
            "chain": "regtest",
            "blocks": height,
            "headers": height,
            "bestblockhash": self.getbestblockhash(),
            "mediantime": self._node.index.median_time_s,
            "initialblockdownload": False,
            "pruned": False,
        }

    def _position(self, block_hash: bytes) -> dict[str, object]:
        height = self._node.index.height_of(block_hash)
        if height is None:
            return {"confirmations": -1}
        return {"height": height, "confirmations": self._node.index.height - height + 1}

    def getblock(self, block_hash: object, verbosity: object = 1) -> object:
        """Give a Bitcoin block: hex at verbosity 0, its transaction ids at 1."""
        wanted = _hash(block_hash, "blockhash")
        level = _integer(verbosity, "verbosity", 0, 1)
        raw = self._node.kernel.block(wanted)
        if raw is None:
            raise RpcFault(NOT_FOUND, "Block not found")
        if level == 0:
            return raw.hex()
        txids = [display(transaction.txid) for transaction in decode_block(raw)[1]]
        return {"hash": display(wanted), **self._position(wanted), "nTx": len(txids), "tx": txids}

    def getblockheader(self, block_hash: object, verbose: object = True) -> object:
        """Give a header: hex, or described."""
        wanted = _hash(block_hash, "blockhash")
        raw = self._node.kernel.header(wanted)
        if raw is None:
            raise RpcFault(NOT_FOUND, "Block not found")
        if not verbose:
            return raw.hex()
        header = decode_header(raw)
        return {
            "hash": display(wanted),
            **self._position(wanted),
            "version": header.version,
            "previousblockhash": display(header.previous),
            "merkleroot": display(header.merkle_root),
            "time": header.time_s,
            "bits": f"{header.bits:08x}",
            "nonce": header.nonce,
        }

    def getrawmempool(self) -> list[str]:
        """List what waits to be mined."""
        return [display(entry.transaction.txid) for entry in self._node.mempool.entries()]

    def getrawtransaction(self, txid: object, verbose: object = False) -> object:
        """Give a transaction, mined or waiting."""
        found = self._node.transaction(_hash(txid, "txid"))
        if found is None:
            raise RpcFault(NOT_FOUND, "No such mempool or blockchain transaction")
        transaction, height = found
        if not verbose:
            return transaction.raw.hex()
        described: dict[str, object] = {
            "txid": display(transaction.txid),
            "hash": display(transaction.wtxid),
            "vsize": transaction.vsize,
            "hex": transaction.raw.hex(),
            "confirmations": 0,
        }
        if height is not None:
            described["confirmations"] = self._node.index.height - height + 1
            described["blockhash"] = display(self._node.index.hashes[height])
        return described

    def gettxout(
        self, txid: object, index: object, include_mempool: object = True
    ) -> dict[str, object] | None:
        """Describe an unspent output, or give null."""
        outpoint = Outpoint(_hash(txid, "txid"), _integer(index, "n", 0, 0xFFFFFFFF))
        node = self._node
        coin = node.mempool.coin(outpoint) if include_mempool else node.index.coins.get(outpoint)
        if coin is None or (include_mempool and node.mempool.spends(outpoint)):
            return None
        return {
            "bestblock": self.getbestblockhash(),
            "confirmations": 0 if coin.height is None else node.index.height - coin.height + 1,
            "value": coin.output.value_sat / _SAT,
            "scriptPubKey": {"hex": coin.output.script.hex()},
            "coinbase": coin.is_coinbase,
        }

    def gettxoutproof(self, txids: object, block_hash: object = None) -> str:
        """Give a Merkle proof of transactions of one Bitcoin block (BIP 37's merkleblock)."""
        wanted = {_hash(txid, "txid") for txid in _list(txids, "txids", SCAN_MAX)}
        places = {self._node.index.place_of(txid) for txid in wanted}
        heights = {place[0] for place in places if place}
        if None in places or len(heights) != 1:
            raise RpcFault(NOT_FOUND, "Transaction not yet in block, or not all in one block")
        found = self._node.index.hashes[heights.pop()]
        if block_hash is not None and found != _hash(block_hash, "blockhash"):
            raise RpcFault(NOT_FOUND, "Not all transactions found in specified block")
        raw = self._node.kernel.block(found)
        assert raw is not None, "a block of the best chain is on disk"
        ids = [transaction.txid for transaction in decode_block(raw)[1]]
        return encode_tx_proof(raw[:80], ids, wanted).hex()

    def scantxoutset(self, action: object, descriptors: object) -> dict[str, object]:
        """List the unspent outputs of `raw(SCRIPT)` and `addr(ADDRESS)` descriptors."""
        if action != "start":
            raise RpcFault(INVALID_PARAMETER, "only the action start is known")
        scripts = [_descriptor_script(one) for one in _list(descriptors, "scanobjects", SCAN_MAX)]
        unspents = [
            {
                "txid": display(outpoint.txid),
                "vout": outpoint.index,
                "scriptPubKey": script.hex(),
                "amount": coin.output.value_sat / _SAT,
                "coinbase": coin.is_coinbase,
                "height": coin.height,
            }
            for script in dict.fromkeys(scripts)
            for outpoint, coin in self._node.index.coins_of(script)
        ]
        total_sat = sum(
            coin.output.value_sat
            for script in dict.fromkeys(scripts)
            for _, coin in self._node.index.coins_of(script)
        )
        return {
            "success": True,
            "height": self._node.index.height,
            "bestblock": self.getbestblockhash(),
            "unspents": unspents,
            "total_amount": total_sat / _SAT,
        }

    def estimatesmartfee(self, target: object) -> dict[str, object]:
        """Give no estimate: a regtest chain has no fee market, and Core says the same there."""
        _integer(target, "conf_target", 1, 1008)
        return {"errors": ["Insufficient data or no feerate found"], "blocks": 0}

    def sendrawtransaction(self, transaction: object) -> str:
        """Let a transaction wait to be mined."""
        decoded = _transaction(transaction)
        refusal = self._node.mempool.accept(decoded)
        if refusal:
            raise RpcFault(refusal.code, refusal.reason)
        return display(decoded.txid)

    def testmempoolaccept(self, transactions: object) -> list[dict[str, object]]:
        """Say whether one transaction would be accepted."""
        decoded = [_transaction(one) for one in _list(transactions, "rawtxs", 1)]
        replies: list[dict[str, object]] = []
        for one in decoded:
            refusal = self._node.mempool.accept(one, dry_run=True)
            reply: dict[str, object] = {"txid": display(one.txid), "allowed": refusal is None}
            replies.append({**reply, "reject-reason": refusal.reason} if refusal else reply)
        return replies

    def submitblock(self, block: object) -> str | None:
        """Hand in a Bitcoin block: null when it is valid, else the reason."""
        raw = _bytes(block, "block")
        try:
            decode_block(raw)
        except RemoteProtocolError as error:
            raise RpcFault(DECODE_FAILED, f"Block decode failed: {error}") from None
        verdict, reason = self._node.submit(raw)
        return reason if verdict is Verdict.REFUSED else None

    def generatetoaddress(self, count: object, address: object) -> list[str]:
        """Mine Bitcoin blocks that pay an address."""
        blocks = _integer(count, "nblocks", 0, GENERATE_MAX)
        script = _script_of_address(address)
        return [display(block_hash) for block_hash in self._node.mine(script, blocks)]

    def generateblock(self, address: object, transactions: object) -> dict[str, str]:
        """Mine one Bitcoin block with exactly these raw transactions; their fees are burnt."""
        script = _script_of_address(address)
        raws = _list(transactions, "transactions", SCAN_MAX)
        entries = [Entry(_transaction(raw), fee_sat=0) for raw in raws]
        try:
            return {"hash": display(self._node.mine_exactly(script, entries))}
        except UsageError as error:
            raise RpcFault(-25, str(error)) from None

    def fundaddress(self, address: object, value_sat: object) -> str:
        """Pay an address out of the miner's coins and mine it; not one of Bitcoin Core's."""
        wanted_sat = _integer(value_sat, "value_sat", 1_000, AMOUNT_MAX_SAT)
        paid = self._node.fund(_script_of_address(address), wanted_sat)
        if isinstance(paid, Refusal):
            raise RpcFault(paid.code, paid.reason)
        return display(paid)

    def stop(self) -> str:
        """End the process."""
        self._request_stop()
        return "regtest chain stopping"


def _descriptor_script(one: object) -> bytes:
    if isinstance(one, Mapping):
        one = one.get("desc")
    kind, _, inner = _text(one, "descriptor").partition("#")[0].partition("(")
    if inner.endswith(")") and kind == "raw":
        return _bytes(inner[:-1], "raw descriptor")
    if inner.endswith(")") and kind == "addr":
        return _script_of_address(inner[:-1])
    raise RpcFault(NOT_FOUND, "only raw(SCRIPT) and addr(ADDRESS) descriptors are known here")


METHODS = frozenset(
    name for name in vars(RpcMethods) if not name.startswith("_") and name != "call"
)
