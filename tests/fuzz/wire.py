"""Coverage-guided fuzzing of what a node decodes off the wire: `python -m tests.fuzz.wire`.

An input's first byte chooses the decoder, the rest is what a peer sends. Whatever the bytes: a
decoder ends, refuses with the one error that is a peer's fault, and where a form is canonical, what
it accepts is written back to the same bytes.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import atheris

INSTRUMENTED = [
    "ambientd.adapters.libp2p.frames",
    "ambientd.adapters.libp2p.statements",
    "ambientd.adapters.mdns",
    "ambientd.api.frames",
    "ambientd.api.invitation",
    "ambientd.codec",
    "ambientd.consensus.messages",
    "ambientd.ledger.admission",
    "ambientd.rules.bitcoin_codec",
    "ambientd.rules.receipt_check",
    "ambientd.telemetry",
    "ambientd.wasm.state",
]

with atheris.instrument_imports(include=INSTRUMENTED):
    from ambientd.adapters.libp2p.frames import FrameDecoder, FrameKind, decode_probe, encode_frame
    from ambientd.adapters.libp2p.statements import verify, whose
    from ambientd.adapters.mdns.messages import Told
    from ambientd.adapters.mdns.messages import decode as decode_datagram
    from ambientd.adapters.mdns.talk import MARK, service_of
    from ambientd.api.frames import RequestFrame, read
    from ambientd.api.invitation import read_token
    from ambientd.codec.bundles import read_outcomes
    from ambientd.codec.canonical import decode, encode
    from ambientd.codec.chunks import decode_answer, decode_question
    from ambientd.codec.state_pages import decode_page, encode_page
    from ambientd.consensus.messages import decode_message, encode_message
    from ambientd.errors import RemoteProtocolError, UsageError
    from ambientd.ledger.admission import decode_record, shape_fault
    from ambientd.model.message import JobMessage
    from ambientd.node.frames import JOB_BYTES_MAX
    from ambientd.ports.worker_protocol import Reply
    from ambientd.rules.bitcoin_codec import decode_block, decode_header, decode_transaction
    from ambientd.rules.receipt_check import check_receipt_file
    from ambientd.telemetry.batch import author_of, decode_batch, is_evidence, stated, stated_in
    from ambientd.telemetry.cells import REPORT_BYTES_MAX, CellReport
    from ambientd.wasm.state import decode_partial, decode_state, encode_state

MEMORY_MIB_MAX = 2048
CALL_S_MAX = 20
SIZE_BYTES_MAX = 1 << 16
FRAME_BYTES_MAX = 1 << 16
CLUSTER = bytes(32)
SERVICE = service_of(bytes(range(32)))  # as in the vectors
VECTORS = Path(__file__).parent.parent.parent / "protocols" / "vectors"


class BrokenPromiseError(Exception):
    """A decoder took what is not the canonical form of what it gave."""


def _same(data: bytes, again: bytes) -> None:
    if again != data:
        raise BrokenPromiseError(f"{data.hex()} was taken for {again.hex()}")


def _log(data: bytes) -> None:
    _same(data, encode_message(decode_message(data)))


def _job(data: bytes) -> None:
    job: JobMessage = decode(data, JobMessage, JOB_BYTES_MAX)
    _same(data, encode(job))


def _record(data: bytes) -> None:
    record = decode_record(data)
    shape_fault(record.body)
    _same(data, encode(record))


def _batch(data: bytes) -> None:
    batch = decode_batch(data)
    _same(data, encode(batch))
    _same(stated(batch), stated_in(data))
    if author_of(data) != batch.node:
        raise BrokenPromiseError("the author of a batch is not whom it names")
    if is_evidence(data, data, CLUSTER):
        raise BrokenPromiseError("a batch contradicts itself")


def _cell(data: bytes) -> None:
    report: CellReport = decode(data, CellReport, REPORT_BYTES_MAX)
    _same(data, encode(report))


def _page(data: bytes) -> None:
    _same(data, encode_page(decode_page(data)[1]))


def _state(data: bytes) -> None:
    _same(data, encode_state(decode_state(data)))


def _partial(data: bytes) -> None:
    _same(data, encode_state(decode_partial(data)))


def _outcomes(data: bytes) -> None:
    if data:
        _same(data[1:], encode(read_outcomes(data[1:], data[0])))


def _frames(data: bytes) -> None:
    """Read a stream at once and byte by byte: the same frames, and the same end."""
    pieces = [data[at : at + 1] for at in range(min(len(data), 512))]
    if _cut([data[:512]]) != _cut(pieces):
        raise BrokenPromiseError(f"{data[:512].hex()} depends on where it is cut")
    for kind, body in _cut([data])[0]:
        if kind is not FrameKind.DATA:
            decode_probe(body)
        if encode_frame(kind, body) not in data:
            raise BrokenPromiseError("a frame that nobody sent")


def _cut(pieces: Sequence[bytes]) -> tuple[list[tuple[FrameKind, bytes]], bool]:
    decoder, found = FrameDecoder(FRAME_BYTES_MAX), list[tuple[FrameKind, bytes]]()
    try:
        for piece in pieces:
            found += decoder.feed(piece)
    except RemoteProtocolError:
        return found, True
    return found, False


def _transaction(data: bytes) -> None:
    decode_transaction(data)


def _bitcoin(data: bytes) -> None:
    decode_header(data[:80])
    decode_block(data)


def _receipt(data: bytes) -> None:
    """A receipt's check never raises: it says what is wrong."""
    check_receipt_file(data)


def _question(data: bytes) -> None:
    _same(data, encode(decode_question(data)))


def _answer(data: bytes) -> None:
    _same(data, encode(decode_answer(data)))


def _statement(data: bytes) -> None:
    where = verify(data)
    if where is not None and where.node_id != whose(data):
        raise BrokenPromiseError(f"{data.hex()} is two nodes' statement")


def _datagram(data: bytes) -> None:
    found = decode_datagram(data, SERVICE)
    for string in found.strings if isinstance(found, Told) else ():
        _statement(string.removeprefix(MARK))


def _request(data: bytes) -> None:
    read(data, RequestFrame)


def _reply(data: bytes) -> None:
    reply: Reply = decode(data, Reply, SIZE_BYTES_MAX)
    _same(data, encode(reply))


def _token(data: bytes) -> None:
    read_token(data.decode("ascii", "replace"))


DECODERS: tuple[Callable[[bytes], None], ...] = (
    _log, _job, _record, _batch, _cell, _page, _state, _partial, _outcomes, _frames,
    _transaction, _bitcoin, _receipt, _request, _reply, _token, _question, _answer, _statement,
    _datagram,
)  # fmt: skip


def examine(data: bytes) -> None:
    """Hold one input against the promises; raises whatever else a decoder raises."""
    if not data:
        return
    try:
        DECODERS[data[0] % len(DECODERS)](data[1:])
    except (RemoteProtocolError, UsageError):  # a peer's fault, or that of whoever pastes a token
        return


def seeds() -> list[bytes]:
    """Give what the protocols' vectors hold, for each decoder that takes it, and some for all."""
    from tests.fuzz.live import bytes_in
    from tests.rules import blames

    found: set[bytes] = set()
    raws = {
        raw
        for path in sorted(VECTORS.glob("*.json"))
        for raw in bytes_in(json.loads(path.read_text()))
        if len(raw) <= SIZE_BYTES_MAX
    }
    raws |= {encode(file)[:SIZE_BYTES_MAX] for _, file in blames.scenes()}
    for number, take in enumerate(DECODERS):
        for raw in raws:
            try:
                take(raw)
            except (RemoteProtocolError, UsageError):
                continue
            found.add(bytes([number]) + raw)
        found |= {bytes([number]) + raw for raw in random.Random(number).sample(sorted(raws), 8)}
    return sorted(found)


def main() -> None:
    """Fuzz until the time is over; a broken promise ends it with the input in a file."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.wire")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ambient-wire-") as folder:
        for number, data in enumerate(seeds()):
            (Path(folder) / f"{number}").write_bytes(data)
        options = [
            sys.argv[0], folder, f"-max_total_time={int(arguments.minutes * 60)}",
            f"-seed={arguments.seed}", f"-rss_limit_mb={MEMORY_MIB_MAX}", f"-timeout={CALL_S_MAX}",
            f"-max_len={SIZE_BYTES_MAX}", "-print_final_stats=1",
        ]  # fmt: skip
        atheris.Setup(options, examine)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
