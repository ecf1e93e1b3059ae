"""What reads files that others hand over, tokens that are pasted, and answers of servers.

A check of a file never raises: it says what is wrong.
"""

import hashlib
import io
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np

import ambientd
from ambientd.adapters.esplora import (
    EsploraChain,
    _Block,
    _BlockStatus,
    _MerkleProof,
    _Outspend,
    _TxStatus,
    _Unspent,
)
from ambientd.adapters.header_file import decode_headers, encode_headers, salvage_headers
from ambientd.adapters.learning import native_rows, npz_file, png, samples
from ambientd.adapters.probes.carbon import _picked
from ambientd.adapters.rpc_client import RpcError, _result
from ambientd.api.frames import RequestFrame, frame_size, pack, read
from ambientd.api.genesis_files import load_genesis
from ambientd.api.invitation import make_token, read_token
from ambientd.api.local_socket import _fitting
from ambientd.api.module_pausing import FILE_MARK, decode_file
from ambientd.api.operations import OPERATIONS, OperationError
from ambientd.api.witnessing import check_evidence, read_update
from ambientd.cli.learning_commands import read_study
from ambientd.cli.registry_commands import _module_file
from ambientd.codec.canonical import decode, encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint
from ambientd.config.faults import read_config
from ambientd.config.load import decode_text
from ambientd.config.module_pins import decode_pins
from ambientd.config.owner_terms import decode_terms
from ambientd.consensus.messages import Position, QuorumCertificate
from ambientd.errors import RemoteProtocolError
from ambientd.model.witness import SplitView
from ambientd.node.stops import culprit_of, follow_epochs
from ambientd.ports.worker_protocol import Reply
from ambientd.rules.bitcoin import REGTEST
from ambientd.rules.bitcoin_codec import decode_block, decode_header, decode_transaction
from ambientd.rules.blame_check import check_blame_file
from ambientd.rules.header_chain import HeaderChain
from ambientd.rules.images import read_image_file
from ambientd.rules.item_check import read_item_receipt, with_item_checked
from ambientd.rules.receipt_check import check_receipt_file
from ambientd.rules.round_check import check_round_file
from ambientd.runtime import backup
from ambientd.runtime.backup import MAGIC, Manifest, read_manifest, read_rows
from ambientd.wasm.state import encode_state
from tests.fuzz.drawing import drawn
from tests.fuzz.promise import Target, same
from tests.ledger.cluster import genesis, seed_of
from tests.ledger.imaging import MODULE
from tests.ledger.studies import OPEN
from tests.rules.headers import grow
from tests.rules.logs import GENESIS, Log
from tests.rules.test_bitcoin import transaction
from tests.rules.test_images import file_of, says
from tests.wasm.test_state import state as execution

REPLY_BYTES_MAX = 1 << 16
PLACE: Final = Path("given")
DESCRIPTION: Final = Path(ambientd.__file__).parent / "cli" / "templates" / "module.toml"
CHAIN: Final = EsploraChain("https://esplora.example/api", "regtest")


def _in_a_file(take: Callable[[Path], object], suffix: str = "") -> Target:
    """Give what reads a file of these bytes, where nothing reads them otherwise."""

    def taken(data: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="ambient-given-") as folder:
            path = Path(folder) / f"given{suffix}"
            path.write_bytes(data)
            take(path)

    return taken


# ---- files of a cluster


def _receipt(data: bytes) -> None:
    check_receipt_file(data)


def _item(data: bytes) -> None:
    file = read_item_receipt(data)
    if file is not None:
        same(data, encode(file))
        with_item_checked(check_receipt_file(file.receipt), file, b"")


def _round(data: bytes) -> None:
    check_round_file(data, follow=follow_epochs)


def _blame(data: bytes) -> None:
    check_blame_file(data, follow=follow_epochs, judge=culprit_of)


def _evidence(data: bytes) -> None:
    check_evidence(data)


def _image(data: bytes) -> None:
    read_image_file(data, MODULE, follow_epochs)


def _paused(data: bytes) -> None:
    decode_file(FILE_MARK + data, "given")


def _manifest(data: bytes) -> None:
    manifest = read_manifest(MAGIC + data, PLACE)
    same(data, encode(manifest))
    manifest.rows  # noqa: B018 - which is computed


def _backup(path: Path) -> None:
    for _ in read_rows(path):
        pass


def _headers(data: bytes) -> None:
    salvage_headers(data)
    same(data, encode_headers(decode_headers(data)))


def _token(data: bytes) -> None:
    read_token(data.decode("ascii", "replace"))


# ---- of Bitcoin, and of servers


def _transaction(data: bytes) -> None:
    decode_transaction(data)


def _block(data: bytes) -> None:
    decode_header(data[:80])
    decode_block(data)


_ESPLORA: Final[tuple[Any, ...]] = (
    _BlockStatus, _TxStatus, _MerkleProof, _Outspend, list[_Block], list[_Unspent], list[str],
    dict[str, float],
)  # fmt: skip


def _esplora(data: bytes) -> None:
    """Read one answer as all that it could be, refused or not."""
    for take in (CHAIN._hash, CHAIN._bytes, *(partial(_as, kind) for kind in _ESPLORA)):
        try:
            take("/path", data)
        except RemoteProtocolError:
            continue


def _as(kind: Any, path: str, data: bytes) -> None:
    CHAIN._decoded(path, data, kind)


def _rpc(data: bytes) -> None:
    try:
        _result("getblock", 200, data, "a node")
    except RpcError:
        return


def _carbon(data: bytes) -> None:
    _picked(data, ["data", "0", "intensity"])


# ---- of this machine's user, and its workers


def _request(data: bytes) -> None:
    frame_size(data[:4])
    read(data[4:], RequestFrame)


def _operation(data: bytes) -> None:
    """Read what is asked of an operation; the first byte chooses it."""
    if data:
        name = sorted(OPERATIONS)[data[0] % len(OPERATIONS)]
        try:
            _fitting(msgspec.Raw(data[1:]), OPERATIONS[name])
        except OperationError:
            return


def _reply(data: bytes) -> None:
    reply: Reply = decode(data, Reply, REPLY_BYTES_MAX)
    same(data, encode(reply))


def _config(data: bytes) -> None:
    read_config(decode_text(data, "given"))


def _pins(data: bytes) -> None:
    decode_pins(data, "given")


def _terms(data: bytes) -> None:
    decode_terms(data, "given")


# ---- of learning


def _picture(data: bytes) -> None:
    try:
        png.read(data, samples.INPUTS_MAX)
    except ValueError:  # which `samples` makes a ConfigError of
        return


def _rows(data: bytes) -> None:
    same(data, native_rows.written(native_rows.read(OPEN, data)))


def _samples(suffix: str) -> Target:
    return _in_a_file(lambda path: samples.read(str(path)), suffix)


IN_MEMORY: Final[MappingProxyType[str, Target]] = MappingProxyType(
    {
        "answer of a carbon service": _carbon,
        "answer of a Bitcoin node": _rpc,
        "answer of an Esplora server": _esplora,
        "Bitcoin block": _block,
        "Bitcoin transaction": _transaction,
        "configuration": _config,
        "evidence of a split view": _evidence,
        "exported model": npz_file.read,
        "file of a blame": _blame,
        "file of a round": _round,
        "file of an image": _image,
        "headers": _headers,
        "join token": _token,
        "manifest of a backup": _manifest,
        "owner's terms": _terms,
        "paused execution": _paused,
        "picture": _picture,
        "pins": _pins,
        "receipt": _receipt,
        "receipt of an item": _item,
        "reply of a worker": _reply,
        "request of an operation": _operation,
        "request of the local socket": _request,
        "samples to train again": _rows,
        "update for a witness": read_update,
    }
)
ON_DISK: Final[MappingProxyType[str, Target]] = MappingProxyType(
    {
        "backup": _in_a_file(_backup),
        "description of a module": _in_a_file(lambda path: _module_file(str(path), str(path))),
        "genesis": _in_a_file(load_genesis),
        "picture as PGM": _in_a_file(samples._pgm),
        "samples as CSV": _samples(".csv"),
        "samples as npz": _samples(".npz"),
        "study": _in_a_file(lambda path: read_study(str(path))),
    }
)
TARGETS: Final[MappingProxyType[str, Target]] = MappingProxyType(IN_MEMORY | ON_DISK)


def sound() -> Iterator[tuple[str, bytes]]:
    """Give inputs that the protocols' vectors do not hold, by target."""
    chain = HeaderChain(REGTEST)
    chain.extend(1, grow(chain, 3))
    yield "headers", encode_headers(chain)
    founded = genesis(4)
    signer = Signer(seed_of(0), fingerprint(founded))
    yield "genesis", encode(founded)
    log, other = Log(9), Log(9, fork=2)
    yield "update for a witness", encode(log.update(9, since=3))
    split = SplitView(
        version=1, genesis=GENESIS, first=log.head(9), second=other.head(9), prefix=None
    )
    yield "evidence of a split view", encode(split)
    for row in drawn(Manifest):
        yield "manifest of a backup", row
    for row in drawn(Reply):
        yield "reply of a worker", row
    yield "backup", _backup_of(b"block")
    address = f"{signer.public_key.hex()}@192.0.2.7:4001"
    yield "join token", make_token(founded, signer, (address,), bytes(32), 9).encode()
    yield "file of an image", file_of(says(0), says(1))
    yield "paused execution", bytes(32) + encode_state(execution([0, 7]))
    yield "Bitcoin block", REGTEST.genesis + b"\x01" + transaction(b"\x51")
    yield "picture", _png()
    yield "picture as PGM", b"P5\n2 2\n255\n\x00\x01\x02\x03"
    yield "samples as CSV", b"label,a,b\n0,1.5,-2\n1,3,4e2\n"
    inputs, labels = np.zeros((2, 4), np.float32), np.array([0, 1])
    yield "samples as npz", _npz(inputs=inputs, labels=labels)
    weights = {"weights1": np.zeros((2, 2)), "biases1": np.zeros(2)}
    yield "exported model", _npz(**weights)
    yield "samples to train again", native_rows.written(samples.Samples(inputs, labels))
    yield "study", b'name = "a"\nmodel = "mlp:4,3,2"\nrounds = 3\n'
    yield "description of a module", DESCRIPTION.read_bytes()
    yield "configuration", b'[transport]\nlisten = "127.0.0.1:4001"\n[log]\nlevel = "info"\n'
    yield "owner's terms", b'{"paused": true}'
    yield "pins", b"[]"
    yield "answer of a carbon service", b'{"data": [{"intensity": 120}]}'
    yield "answer of a Bitcoin node", b'{"result": 1.5, "error": null, "id": 1}'
    yield "answer of a Bitcoin node", b'{"result": null, "error": {"code": -5, "message": "no"}}'
    yield "answer of an Esplora server", b'{"in_best_chain": true, "height": 7}'
    yield "answer of an Esplora server", b'["' + b"0" * 64 + b'"]'
    yield "request of the local socket", pack(RequestFrame(id=1, op="ping", body=b"\x80"))
    for number in range(len(OPERATIONS)):
        yield "request of an operation", bytes([number]) + b"\x80"


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _png() -> bytes:
    """Give a picture of two grey pixels."""
    chunks = (
        (b"IHDR", struct.pack(">2I5B", 2, 1, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\x00\x10\x20")),
        (b"IEND", b""),
    )
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _backup_of(*rows: bytes) -> bytes:
    """Give a backup whose own checks hold, of rows that need not."""
    digest = hashlib.sha256()
    certificate = QuorumCertificate(Position(1, 1), 1, bytes(32), ())
    manifest = Manifest(bytes(32), len(rows) - 1, bytes(32), 0, 0, 0, 0, certificate)
    framed = [MAGIC + encode(manifest), *rows]
    parts = [backup._framed(digest, number, row) for number, row in enumerate(framed)]
    return b"".join(parts) + digest.digest()
