"""Esplora's paths on top of the regtest chain: for tests and development, not Esplora itself.

What a path gives has the shape that Esplora's has, as far as `adapters.esplora` and people who
build against such a server need it.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ambientd.adapters.regtest.node import RegtestNode
from ambientd.adapters.regtest.tx_proof import encode_tx_proof
from ambientd.errors import RemoteProtocolError
from ambientd.rules.bitcoin import (
    Outpoint,
    decode_block,
    decode_header,
    decode_transaction,
    display,
    from_display,
    merkle_branch,
)

PREFIX: Final = "/esplora"
BLOCKS_IN_ONE_ANSWER: Final = 10
_HASH: Final = "([0-9a-f]{64})"
_OUTPOINT: Final = "[0-9a-f]{64}/outspend/[0-9]{1,9}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to reply: a status and a body, JSON unless it is a text."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class Missing(Exception):  # noqa: N818 - the reply to a request, not a failure of ours
    """Nothing of that name is here; Esplora's own words."""


class EsploraPaths:
    """Answers GET and POST below `PREFIX`."""

    def __init__(self, node: RegtestNode) -> None:
        """Serve a node."""
        self._node = node
        self._routes: list[tuple[re.Pattern[str], Callable[[str], object]]] = [
            (re.compile(pattern), answer)
            for pattern, answer in (
                ("/blocks/tip/hash()", self._tip_hash),
                ("/blocks/tip/height()", self._tip_height),
                ("/blocks/([0-9]{1,9})", self._blocks),
                ("/block-height/([0-9]{1,9})", self._hash_at),
                (f"/block/{_HASH}/header", self._header),
                (f"/block/{_HASH}/status", self._block_status),
                (f"/block/{_HASH}/txids", self._txids),
                (f"/tx/{_HASH}/hex", self._tx_hex),
                (f"/tx/{_HASH}/status", self._tx_status),
                (f"/tx/{_HASH}/merkle-proof", self._merkle_proof),
                (f"/tx/{_HASH}/merkleblock-proof", self._merkleblock_proof),
                (f"/tx/({_OUTPOINT})", self._outspend),
                (f"/scripthash/{_HASH}/utxo", self._utxo),
                ("/fee-estimates()", self._fee_estimates),
            )
        ]

    def get(self, path: str) -> Answer:
        """Answer a GET of what follows `PREFIX`."""
        for pattern, answer in self._routes:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            try:
                with self._node.lock:
                    if self._node.is_closed:
                        return Answer(503, b"the chain is closing")
                    found = answer(match.group(1))
            except Missing as missing:
                return Answer(404, str(missing).encode())
            if isinstance(found, str):
                return Answer(200, found.encode())
            return Answer(200, json.dumps(found).encode(), "application/json")
        return Answer(404, b"no such path: an Esplora-shaped server for tests and development")

    def post(self, path: str, body: bytes) -> Answer:
        """Answer a POST: of a transaction in hex to /tx, the only one there is."""
        if path != "/tx":
            return Answer(404, b"only /tx takes a POST")
        try:
            transaction = decode_transaction(bytes.fromhex(body.decode("ascii", "replace")))
        except (ValueError, RemoteProtocolError):
            return Answer(400, b"the body must be a transaction in hex")
        with self._node.lock:
            if self._node.is_closed:
                return Answer(503, b"the chain is closing")
            refusal = self._node.mempool.accept(transaction)
        if refusal:
            error = json.dumps({"code": refusal.code, "message": refusal.reason})
            return Answer(400, f"sendrawtransaction RPC error: {error}".encode())
        return Answer(200, display(transaction.txid).encode())

    def _tip_hash(self, _: str) -> str:
        return display(self._node.index.hashes[-1])

    def _tip_height(self, _: str) -> str:
        return str(self._node.index.height)

    def _hash_at(self, height: str) -> str:
        if int(height) > self._node.index.height:
            raise Missing("Block not found")
        return display(self._node.index.hashes[int(height)])

    def _raw_header(self, block_hash: str) -> bytes:
        raw = self._node.kernel.header(from_display(block_hash))
        if raw is None:
            raise Missing("Block not found")
        return raw

    def _header(self, block_hash: str) -> str:
        return self._raw_header(block_hash).hex()

    def _block_status(self, block_hash: str) -> object:
        self._raw_header(block_hash)
        height = self._node.index.height_of(from_display(block_hash))
        if height is None:
            return {"in_best_chain": False}
        return {"in_best_chain": True, "height": height}

    def _blocks(self, height: str) -> object:
        top = int(height)
        if top > self._node.index.height:
            raise Missing("Block not found")
        heights = range(top, max(-1, top - BLOCKS_IN_ONE_ANSWER), -1)
        return [self._described(at) for at in heights]

    def _described(self, height: int) -> dict[str, object]:
        block_hash = self._hash_at(str(height))
        header = decode_header(self._raw_header(block_hash))
        return {
            "id": block_hash,
            "height": height,
            "version": header.version,
            "timestamp": header.time_s,
            "bits": header.bits,
            "nonce": header.nonce,
            "merkle_root": display(header.merkle_root),
            "previousblockhash": display(header.previous) if height else None,
        }

    def _ids(self, block_hash: bytes) -> list[bytes]:
        raw = self._node.kernel.block(block_hash)
        if raw is None:
            raise Missing("Block not found")
        return [transaction.txid for transaction in decode_block(raw)[1]]

    def _txids(self, block_hash: str) -> object:
        return [display(txid) for txid in self._ids(from_display(block_hash))]

    def _tx_hex(self, txid: str) -> str:
        found = self._node.transaction(from_display(txid))
        if found is None:
            raise Missing("Transaction not found")
        return found[0].raw.hex()

    def _status_at(self, height: int | None) -> dict[str, object]:
        if height is None:
            return {"confirmed": False}
        block_hash = self._hash_at(str(height))
        time_s = decode_header(self._raw_header(block_hash)).time_s
        return {
            "confirmed": True,
            "block_height": height,
            "block_hash": block_hash,
            "block_time": time_s,
        }

    def _tx_status(self, txid: str) -> object:
        found = self._node.transaction(from_display(txid))
        if found is None:
            raise Missing("Transaction not found")
        return self._status_at(found[1])

    def _place(self, txid: str) -> tuple[int, int]:
        place = self._node.index.place_of(from_display(txid))
        if place is None:
            raise Missing("Transaction not found or is unconfirmed")
        return place

    def _merkle_proof(self, txid: str) -> object:
        height, place = self._place(txid)
        branch = merkle_branch(self._ids(self._node.index.hashes[height]), place)
        siblings = [display(one) for one in branch.siblings]
        return {"block_height": height, "merkle": siblings, "pos": place}

    def _merkleblock_proof(self, txid: str) -> str:
        height, _ = self._place(txid)
        block_hash = self._node.index.hashes[height]
        header = self._raw_header(display(block_hash))
        return encode_tx_proof(header, self._ids(block_hash), {from_display(txid)}).hex()

    def _outspend(self, place: str) -> object:
        """Say as Esplora that nothing spends what nobody knows."""
        txid, _, number = place.partition("/outspend/")
        outpoint = Outpoint(from_display(txid), int(number))
        found = self._node.transaction(outpoint.txid)
        if found is None or outpoint.index >= len(found[0].outputs):
            return {"spent": False}
        is_unspent = self._node.mempool.coin(outpoint) is not None
        return {"spent": not is_unspent or self._node.mempool.spends(outpoint)}

    def _utxo(self, script_hash: str) -> object:
        node = self._node
        script = node.index.script_of_hash(bytes.fromhex(script_hash))
        if script is None:
            return []
        return [
            {
                "txid": display(outpoint.txid),
                "vout": outpoint.index,
                "value": coin.output.value_sat,
                "status": self._status_at(coin.height),
            }
            for outpoint, coin in node.index.coins_of(script)
            if not node.mempool.spends(outpoint)
        ]

    def _fee_estimates(self, _: str) -> object:
        return {}  # a regtest chain has no fee market
