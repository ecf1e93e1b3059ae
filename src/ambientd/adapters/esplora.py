"""Chain over Esplora's HTTP interface: a light way to a network, by a server of whomever.

Whatever can be checked is: bytes against their hashes, transactions against Merkle roots, outputs
against the transactions that make them. That a header belongs to the chain which everybody follows
a server cannot show; `adapters.header_keeper` checks it against headers of our own.
"""

import hashlib
import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
import structlog
import trio
from msgspec import Meta

from ambientd.adapters.http_client import HttpClient
from ambientd.adapters.mined import mined_transaction
from ambientd.config.urls import parse_url
from ambientd.errors import ConfigError, RemoteProtocolError, UnreachableError, UsageError
from ambientd.ports.chain import Inclusion, MerkleBranch, Rejected, Tip, Utxo
from ambientd.rules.bitcoin import (
    BRANCH_DEPTH_MAX,
    COINBASE_MATURITY,
    HEADER_SIZE,
    HEIGHT_MAX,
    MINED_SIZE_MAX,
    NETWORKS,
    Branch,
    Outpoint,
    Transaction,
    decode_header,
    decode_transaction,
    display,
    double_sha256,
    encode_header,
    from_display,
    merkle_root,
    root_from_branch,
)

log = structlog.get_logger("ambientd.esplora")

TIMEOUT_S: Final = 20.0
UTXOS_MAX: Final = 1_000
"""Outputs of one script that are looked at, the largest ones."""
CHECKED_MAX: Final = 16_384
"""Outputs whose transactions are not asked for again; so a long list costs little but once."""
FEE_TARGET_BLOCKS: Final = "6"
_SMALL_BYTES: Final = 4_096
_LIST_BYTES: Final = 2_000_000  # the ids of a Bitcoin block of the smallest transactions
_HEX_BYTES: Final = 2 * MINED_SIZE_MAX
_ALREADY_IN_CHAIN: Final = "-27"
_CODE: Final = re.compile(r"-\d{1,5}\b")
_MESSAGE: Final = re.compile(r'"message":\s*"([^"]*)"')

# A hanging server must not hold up a shutdown; the thread ends with its own timeout.
_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}

_Height = Annotated[int, Meta(ge=0, le=HEIGHT_MAX)]
_Uint32 = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
_Kind = TypeVar("_Kind")


class _BlockStatus(msgspec.Struct):
    in_best_chain: bool
    height: _Height | None = None


class _TxStatus(msgspec.Struct):
    confirmed: bool
    block_height: _Height | None = None
    block_hash: str | None = None


class _MerkleProof(msgspec.Struct):
    merkle: Annotated[list[str], Meta(max_length=BRANCH_DEPTH_MAX)]
    pos: Annotated[int, Meta(ge=0, lt=1 << BRANCH_DEPTH_MAX)]


class _Unspent(msgspec.Struct):
    txid: str
    vout: _Uint32
    value: Annotated[int, Meta(ge=0, le=1 << 62)]
    status: _TxStatus


class _Outspend(msgspec.Struct):
    spent: bool


class _Block(msgspec.Struct):
    id: str
    version: Annotated[int, Meta(ge=-(1 << 31), le=0xFFFFFFFF)]
    timestamp: _Uint32
    bits: _Uint32
    nonce: _Uint32
    merkle_root: str
    previousblockhash: str | None = None


class EsploraChain:
    """The Chain port over a server with Esplora's interface."""

    def __init__(self, url: str, network: str, timeout_s: float = TIMEOUT_S) -> None:
        """Speak to a server that must be on the named network; see `check_network`."""
        if network not in NETWORKS:
            msg = f"unknown Bitcoin network {network!r}: choose one of {', '.join(NETWORKS)}"
            raise ConfigError(msg)
        self._network = network
        self._url = parse_url(url)
        self._timeout_s = timeout_s
        self._client = HttpClient(self._url, timeout_s)
        self._limiter = trio.CapacityLimiter(1)
        self._checked: dict[Outpoint, tuple[int, bytes, bool]] = {}
        self._told: set[bytes] = set()

    @property
    def network(self) -> str:
        """The network's name."""
        return self._network

    async def check_network(self) -> None:
        """Refuse a server of another network.

        Raises:
            ConfigError: naming the configured one.
        """
        if await self.block_hash(0) != double_sha256(NETWORKS[self._network].genesis):
            msg = (
                f"the Esplora server at {self._url} is on another network than the configuration "
                f"says, {self._network!r}: correct one of them"
            )
            raise ConfigError(msg)

    async def tip(self) -> Tip:
        """Give the newest Bitcoin block."""
        path = "/blocks/tip/hash"
        block_hash = self._hash(path, await self._required(path))
        path = f"/block/{display(block_hash)}/status"
        status = self._decoded(path, await self._required(path), _BlockStatus)
        if status.height is None:
            raise self._senseless(path, "the newest Bitcoin block has no height")
        return Tip(status.height, block_hash)

    async def block_hash(self, height: int) -> bytes:
        """Give the hash at a height of the best chain."""
        path = f"/block-height/{height}"
        answer = await self._get(path)
        if answer is None:
            raise self._no_block(height)
        return self._hash(path, answer)

    async def header(self, height: int) -> bytes:
        """Give a header of the best chain, checked against its hash."""
        return await self._header_of(await self.block_hash(height))

    async def headers(self, start: int, end: int) -> bytes:
        """Give the headers from a height of the best chain up to, without, another."""
        found: list[bytes] = []
        expected: bytes | None = None
        while len(found) < end - start:  # downwards, a few in one answer
            at = end - 1 - len(found)
            path = f"/blocks/{at}"
            answer = await self._get(path, _LIST_BYTES)
            if answer is None:
                raise self._no_block(at)
            blocks = self._decoded(path, answer, list[_Block])
            if not blocks:
                raise self._senseless(path, "there is no Bitcoin block in it")
            for block in blocks[: end - start - len(found)]:
                raw = self._header_from(path, block)
                block_hash = double_sha256(raw)
                if block_hash != (expected or self._hash(path, block.id.encode())):
                    raise self._senseless(path, "its headers do not follow each other downwards")
                found.append(raw)
                expected = decode_header(raw).previous
        return b"".join(reversed(found))

    def _header_from(self, path: str, block: _Block) -> bytes:
        version = block.version - (1 << 32) if block.version >> 31 == 1 else block.version
        previous = bytes(32)
        if block.previousblockhash is not None:
            previous = self._hash(path, block.previousblockhash.encode())
        root = self._hash(path, block.merkle_root.encode())
        return encode_header(version, previous, root, block.timestamp, block.bits, block.nonce)

    async def _header_of(self, block_hash: bytes) -> bytes:
        path = f"/block/{display(block_hash)}/header"
        answer = await self._get(path)
        if answer is None:
            raise self._unknown_block(block_hash)
        raw = self._bytes(path, answer)
        if len(raw) != HEADER_SIZE or double_sha256(raw) != block_hash:
            raise self._senseless(path, "the header does not hash to its name")
        return raw

    async def block_txids(self, block_hash: bytes) -> list[bytes]:
        """Give the transaction ids of a Bitcoin block, checked against its Merkle root."""
        header = decode_header(await self._header_of(block_hash))
        path = f"/block/{display(block_hash)}/txids"
        answer = await self._get(path, _LIST_BYTES)
        if answer is None:
            raise self._unknown_block(block_hash)
        listed = self._decoded(path, answer, list[str])
        txids = [self._hash(path, txid.encode()) for txid in listed]
        if not txids or merkle_root(txids) != header.merkle_root:
            raise self._senseless(path, "its transactions do not lead to its Merkle root")
        return txids

    async def raw_tx(self, txid: bytes) -> bytes | None:
        """Give a transaction's bytes, checked against its id."""
        found = await self._transaction(txid)
        return None if found is None else found.raw

    async def _transaction(self, txid: bytes) -> Transaction | None:
        path = f"/tx/{display(txid)}/hex"
        answer = await self._get(path, _HEX_BYTES)
        if answer is None:
            return None
        found = await mined_transaction(self._bytes(path, answer))
        if found.txid != txid:
            raise self._senseless(path, "the bytes do not hash to the id")
        return found

    async def inclusion(self, txid: bytes) -> Inclusion | None:
        """Say where a transaction is mined in the best chain; its Merkle branch is verified."""
        located = await self._located(txid)
        return None if located is None else located[0]

    async def confirmations(self, txid: bytes) -> int:
        """Count the confirmations of a transaction."""
        inclusion = await self.inclusion(txid)
        if inclusion is None:
            return 0
        return max(0, (await self.tip()).height - inclusion.height + 1)

    async def merkle_branch(self, txid: bytes) -> MerkleBranch | None:
        """Give the branch of a mined transaction, verified against the header."""
        located = await self._located(txid)
        return None if located is None else located[1]

    async def _located(self, txid: bytes) -> tuple[Inclusion, MerkleBranch] | None:
        path = f"/tx/{display(txid)}/status"
        answer = await self._get(path)
        if answer is None:
            return None
        status = self._decoded(path, answer, _TxStatus)
        if not status.confirmed:
            return None
        if status.block_hash is None or status.block_height is None:
            raise self._senseless(path, "a mined transaction has no place")
        place = Inclusion(self._hash(path, status.block_hash.encode()), status.block_height)
        path = f"/tx/{display(txid)}/merkle-proof"
        answer = await self._get(path)
        if answer is None:
            return None  # a reorganisation came between the calls
        proof = self._decoded(path, answer, _MerkleProof)
        branch = Branch(proof.pos, tuple(self._hash(path, one.encode()) for one in proof.merkle))
        header = await self._header_of(place.block_hash)
        if await self.block_hash(place.height) != place.block_hash:
            return None
        if root_from_branch(txid, branch) != decode_header(header).merkle_root:
            raise self._senseless(path, "the branch does not lead to the Merkle root")
        return place, MerkleBranch(header, txid, branch.index, branch.siblings)

    async def broadcast(self, raw: bytes) -> bytes | Rejected:
        """Hand a transaction to the network."""
        txid = decode_transaction(raw).txid
        status, answer = await self._request("POST", "/tx", _SMALL_BYTES, raw.hex().encode())
        if status == 200:
            if self._hash("/tx", answer) != txid:
                raise self._senseless("/tx", "it names another transaction")
            return txid
        reason = answer.decode("utf-8", "replace")
        if status != 400:
            raise self._refused("/tx", status)
        code = _CODE.search(reason)
        if code is not None and code.group() == _ALREADY_IN_CHAIN:
            return txid
        message = _MESSAGE.search(reason)
        return Rejected((message.group(1) if message else reason.strip())[:200])

    async def fee_rate_sat_vb(self) -> float | None:
        """Estimate a fee rate; None when the server gives none."""
        path = "/fee-estimates"
        estimates = self._decoded(path, await self._required(path), dict[str, float])
        rate = estimates.get(FEE_TARGET_BLOCKS)
        return rate if rate is not None and math.isfinite(rate) and rate > 0 else None

    async def utxos(self, script_pubkey: bytes) -> list[Utxo]:
        """List the largest outputs that can be spent from a script now, each seen in its bytes."""
        path = f"/scripthash/{hashlib.sha256(script_pubkey).hexdigest()}/utxo"
        status, answer = await self._request("GET", path, _LIST_BYTES)
        if status == 400:  # so servers answer when a script has more outputs than they list
            raise self._crowded(script_pubkey)
        if status != 200:
            raise self._refused(path, status)
        listed = self._decoded(path, answer, list[_Unspent])
        mined = [
            Utxo(
                self._hash(path, one.txid.encode()),
                one.vout,
                one.value,
                script_pubkey,
                one.status.block_height,
            )
            for one in listed
            if one.status.confirmed and one.status.block_height is not None
        ]
        mined.sort(key=lambda utxo: (-utxo.value_sat, utxo.txid, utxo.index))
        if len(mined) > UTXOS_MAX and script_pubkey not in self._told:
            self._told.add(script_pubkey)
            log.warning(
                "only the most valuable outputs of a script are looked at: spend some of them, and "
                "the others are seen",
                most=UTXOS_MAX,
                script=script_pubkey.hex(),
                outputs=len(mined),
            )
        height = (await self.tip()).height
        return [utxo for utxo in mined[:UTXOS_MAX] if await self._is_mature(path, utxo, height)]

    async def utxos_of(self, scripts: Sequence[bytes]) -> list[Utxo]:
        """List the same of several scripts, one after the other."""
        found = [utxo for script in dict.fromkeys(scripts) for utxo in await self.utxos(script)]
        return sorted(found, key=lambda utxo: (-utxo.value_sat, utxo.txid, utxo.index))

    async def is_unspent(self, coin: Outpoint) -> bool:
        """Tell whether an output is there and nothing spends it; of what is unknown, nothing is."""
        path = f"/tx/{display(coin.txid)}/outspend/{coin.index}"
        found = await self._transaction(coin.txid)
        if found is None or coin.index >= len(found.outputs):
            return False
        return not self._decoded(path, await self._required(path), _Outspend).spent

    async def _is_mature(self, path: str, utxo: Utxo, height: int) -> bool:
        """Whether an output can be spent in the next Bitcoin block; it must be what was said."""
        coin = Outpoint(utxo.txid, utxo.index)
        if coin not in self._checked:
            transaction = await self._transaction(utxo.txid)
            if transaction is None:
                return False  # it was replaced, or reorganised away
            outputs = transaction.outputs
            if utxo.index >= len(outputs):
                raise self._senseless(path, "an output is not what its transaction says")
            if len(self._checked) == CHECKED_MAX:
                del self._checked[next(iter(self._checked))]
            output = outputs[utxo.index]
            self._checked[coin] = (output.value_sat, output.script, transaction.is_coinbase)
        value_sat, script, is_coinbase = self._checked[coin]
        if (value_sat, script) != (utxo.value_sat, utxo.script):
            raise self._senseless(path, "an output is not what its transaction says")
        return not is_coinbase or height + 1 - utxo.height >= COINBASE_MATURITY

    async def _required(self, path: str, size_max: int = _SMALL_BYTES) -> bytes:
        """Ask for what every chain has."""
        answer = await self._get(path, size_max)
        if answer is None:
            raise self._refused(path, 404)
        return answer

    async def _get(self, path: str, size_max: int = _SMALL_BYTES) -> bytes | None:
        """Ask for something; None when the server knows no such thing."""
        status, answer = await self._request("GET", path, size_max)
        if status == 404:
            return None
        if status != 200:
            raise self._refused(path, status)
        return answer

    async def _request(
        self, method: str, path: str, size_max: int, body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Run one request in a thread, and give up on a server that takes its time."""
        with trio.move_on_after(self._timeout_s):
            return await trio.to_thread.run_sync(
                lambda: self._client.request(method, path, size_max, body),
                limiter=self._limiter,
                **_ABANDON,
            )
        self._client.cut()
        msg = f"the Esplora server at {self._url} does not answer within {self._timeout_s:g} s"
        raise UnreachableError(f"{msg}: try again later, or name another one in the configuration")

    def _decoded(self, path: str, answer: bytes, kind: type[_Kind]) -> _Kind:
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise self._senseless(path, error) from None

    def _hash(self, path: str, answer: bytes) -> bytes:
        try:
            return from_display(answer.decode("ascii", "replace").strip())
        except RemoteProtocolError as error:
            raise self._senseless(path, error) from None

    def _bytes(self, path: str, answer: bytes) -> bytes:
        try:
            return bytes.fromhex(answer.decode("ascii", "replace"))
        except ValueError:
            raise self._senseless(path, "it is not hex") from None

    def _refused(self, path: str, status: int) -> UnreachableError:
        advice = {
            404: "check that its address ends where Esplora's paths begin, often with /api",
            429: "it is asked too often: try again later, or run a server of your own",
        }.get(status, "try again later, or name another server in the configuration")
        if 300 <= status < 400:
            advice = "it moved: put the address that a browser ends at into the configuration"
        msg = f"the Esplora server at {self._url} answers {path} with HTTP {status}: {advice}"
        return UnreachableError(msg)

    def _crowded(self, script: bytes) -> RemoteProtocolError:
        msg = (
            f"the Esplora server at {self._url} does not list what script {script.hex()} was paid, "
            "often because it is too much: name a server that lists more (electrs: "
            "--utxos-limit), or a Bitcoin Core node, in the configuration"
        )
        return RemoteProtocolError(msg)

    def _senseless(self, path: str, why: object) -> RemoteProtocolError:
        msg = f"the answer of {self._url} to {path} makes no sense: {str(why)[:200]}"
        return RemoteProtocolError(msg)

    def _no_block(self, height: int) -> UsageError:
        return UsageError(f"the {self._network} chain has no Bitcoin block {height} yet")

    def _unknown_block(self, block_hash: bytes) -> UsageError:
        msg = f"the {self._network} server knows no Bitcoin block {display(block_hash)}"
        return UsageError(msg)

    async def aclose(self) -> None:
        """Close the connection."""
        await trio.to_thread.run_sync(self._client.close, limiter=self._limiter)
