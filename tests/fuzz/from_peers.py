"""What reads a peer's messages, gossip, blobs and datagrams.

What has one form is written back to the same bytes.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from ambientd.adapters.libp2p.frames import (
    FrameDecoder,
    FrameKind,
    decode_probe,
    encode_frame,
    encode_probe,
)
from ambientd.adapters.libp2p.statements import verify, whose
from ambientd.adapters.mdns.messages import Told
from ambientd.adapters.mdns.messages import decode as decode_datagram
from ambientd.adapters.mdns.talk import MARK, service_of
from ambientd.codec.bundles import (
    bundle_of_items,
    decode_items,
    encode_items,
    encode_outcomes,
    read_outcomes,
)
from ambientd.codec.canonical import decode, encode
from ambientd.codec.chunks import decode_answer, decode_question
from ambientd.codec.state_pages import decode_page, encode_page
from ambientd.codec.statements import verify_record
from ambientd.consensus.messages import Append, EpochEnd, Snapshot, decode_message, encode_message
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.admission import decode_record, shape_fault
from ambientd.ledger.entries import decode_key, encode_key
from ambientd.ledger.versions import VERSIONS
from ambientd.model.base import Digest
from ambientd.model.blame import BlameFile
from ambientd.model.bundle import ItemOutcome, Items
from ambientd.model.dispute import FalseStep, SegmentVerdict, Trace
from ambientd.model.execution import INPUT_BYTES_CEILING, OutcomeKind
from ambientd.model.learning import LessonInput, RoundReceipt
from ambientd.model.mark import Mark
from ambientd.model.message import JobMessage
from ambientd.model.proof import ProofWord
from ambientd.model.receipt import RefereeVerdict, SignedReceipt
from ambientd.model.record import Record
from ambientd.node.frames import JOB_BYTES_MAX, LOG_FRAME, crowding, peek
from ambientd.node.stops import LogEvidence
from ambientd.rules.learning.noise import mean_of
from ambientd.rules.learning.privacy import Terms
from ambientd.rules.learning.secure import check_dealt, recovered
from ambientd.rules.learning.vectors import decoded, encoded
from ambientd.rules.lessons import LESSON_CLASS, input_of, lesson_parts, whole_input
from ambientd.rules.modules import read_manifest
from ambientd.rules.proofs import read_proof
from ambientd.rules.steps import STEP_VERSION, decode_step, read_step
from ambientd.telemetry.batch import author_of, decode_batch, is_evidence, stated, stated_in
from ambientd.telemetry.cells import REPORT_BYTES_MAX, CellReport
from ambientd.wasm.host_wasi import WorldState
from ambientd.wasm.state import decode_partial, decode_state, encode_state
from tests.fuzz.drawing import VECTORS, drawn
from tests.fuzz.promise import BrokenPromiseError, Target, same
from tests.ledger.cluster import TestCluster, spec
from tests.rules.learning.test_secure import ROUND, Circle
from tests.telemetry.builders import signed
from tests.wasm.test_state import state as execution

FRAME_BYTES_MAX = 1 << 16
CLUSTER = bytes(32)
SERVICE = service_of(bytes(range(32)))  # as in the vectors
LESSON = spec(task_class=LESSON_CLASS)
TERMS = Terms(clip_micro=1_000_000, noise_milli=4_000, survivors_min=3)

MANIFESTS: Final = json.loads((VECTORS / "modules-published.json").read_text())
_OF_MANIFESTS: Final = bytes.fromhex(MANIFESTS["cluster"])

KINDS: Final[MappingProxyType[str, Any]] = MappingProxyType(
    {
        "appended block": Append,
        "certificate of a culprit": BlameFile,
        "claimed step": FalseStep,
        "end of an epoch": EpochEnd,
        "evidence of the log": LogEvidence,
        "host's state in an execution": WorldState,
        "mark": Mark,
        "receipt of a replica": SignedReceipt,
        "receipt of a round": RoundReceipt,
        "referee's verdict": RefereeVerdict,
        "snapshot": Snapshot,
        "trace": Trace,
        "verdict on a segment": SegmentVerdict,
        "words on a proof": tuple[ProofWord, ...],
    }
)
"""Types that are read as they are, wherever they stand."""


def _of_kind(kind: Any, data: bytes) -> None:
    same(data, encode(decode(data, kind)))


def _log(data: bytes) -> None:
    same(data, encode_message(decode_message(data)))


def _log_frame(data: bytes) -> None:
    """Look into a frame before it is decoded; raises RemoteProtocolError for why not."""
    frame = LOG_FRAME + data
    fault = crowding(frame, *peek(frame))
    if fault is not None:
        raise RemoteProtocolError(fault)
    _log(data)


def _job(data: bytes) -> None:
    job: JobMessage = decode(data, JobMessage, JOB_BYTES_MAX)
    same(data, encode(job))


def _record(data: bytes) -> None:
    record = decode_record(data)
    shape_fault(record)
    same(data, encode(record))
    verify_record(record, CLUSTER)


def _batch(data: bytes) -> None:
    batch = decode_batch(data)
    same(data, encode(batch))
    same(stated(batch), stated_in(data))
    if author_of(data) != batch.node:
        raise BrokenPromiseError("the author of a batch is not whom it names")
    if is_evidence(data, data, CLUSTER):
        raise BrokenPromiseError("a batch contradicts itself")


def _cell(data: bytes) -> None:
    report: CellReport = decode(data, CellReport, REPORT_BYTES_MAX)
    same(data, encode(report))


def _page(data: bytes) -> None:
    same(data, encode_page(decode_page(data)[1]))


def _entries(data: bytes) -> None:
    """Read what a page of the state holds, with what `node.installing` catches."""
    form = VERSIONS.of(VERSIONS.newest)
    for raw, value in decode_page(data)[1]:
        try:
            key = decode_key(raw)
            entry = form.decode(key, value)
        except (ValueError, KeyError) as error:
            raise RemoteProtocolError("no entry of the state") from error
        same(raw, encode_key(key))
        same(value, form.encode(key, entry))


def _state(data: bytes) -> None:
    same(data, encode_state(decode_state(data)))


def _partial(data: bytes) -> None:
    same(data, encode_state(decode_partial(data)))


def _items(data: bytes) -> None:
    items: tuple[bytes, ...] = decode(data, Items, INPUT_BYTES_CEILING)
    same(data, encode_items(decode_items(data, bundle_of_items(items, len(data)))))


def _outcomes(data: bytes) -> None:
    if data:
        same(data[1:], encode(read_outcomes(data[1:], data[0])))


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


def _question(data: bytes) -> None:
    same(data, encode(decode_question(data)))


def _answer(data: bytes) -> None:
    same(data, encode(decode_answer(data)))


def _statement(data: bytes) -> None:
    where = verify(data)
    if where is not None and where.node_id != whose(data):
        raise BrokenPromiseError(f"{data.hex()} is two nodes' statement")


def _datagram(data: bytes) -> None:
    found = decode_datagram(data, SERVICE)
    for string in found.strings if isinstance(found, Told) else ():
        _statement(string.removeprefix(MARK))


def _lesson(data: bytes) -> None:
    parts = lesson_parts(LESSON, data)
    if parts is not None:
        same(data, encode(parts))
    input_of(LESSON, data)


STEP_BYTES: Final = 144


def _step(data: bytes) -> None:
    decode_step(data[:STEP_BYTES])


def _update(data: bytes) -> None:
    """Read a participant's numbers, and a group's sum."""
    same(data, encoded(decoded(data)))
    mean_of(TERMS, data, 3)


_CIRCLE: Final = Circle(4)
_OPENED: Final = {node: _CIRCLE.book(node).release(_CIRCLE.nodes)[1] for node in _CIRCLE.nodes}


def _dealt(data: bytes) -> None:
    """Open what a participant dealt to another."""
    dealer, holder = _CIRCLE.nodes[:2]
    secret = _CIRCLE.secrets[holder]
    check_dealt(secret, holder, _CIRCLE.group, dealer, data, ROUND)


def _opened(data: bytes) -> None:
    """Put secrets together of what participants opened, one of whom gave these bytes."""
    opened = {**_OPENED, _CIRCLE.nodes[0]: data}
    recovered(_CIRCLE.group, _CIRCLE.nodes, _CIRCLE.threshold, opened, _CIRCLE.dealt, ROUND)


TARGETS: Final[MappingProxyType[str, Target]] = MappingProxyType(
    {
        **{name: partial(_of_kind, kind) for name, kind in KINDS.items()},
        "answer about a blob": _answer,
        "batch of telemetry": _batch,
        "bundle of inputs": _items,
        "bundle of outcomes": _outcomes,
        "cell's report": _cell,
        "entries of the state": _entries,
        "frames": _frames,
        "lesson": _lesson,
        "log frame": _log_frame,
        "manifest of a module": lambda data: read_manifest(data, _OF_MANIFESTS),
        "mDNS datagram": _datagram,
        "message of a task": _job,
        "message of the log": _log,
        "opened shares": _opened,
        "page of the state": _page,
        "proof": read_proof,
        "proof of a step": read_step,
        "question about a blob": _question,
        "record": _record,
        "shares dealt": _dealt,
        "state of an execution": _state,
        "state without pages": _partial,
        "statement of a place": _statement,
        "statement of a step": _step,
        "update of a model": _update,
    }
)


def sound() -> Iterator[tuple[str, bytes]]:
    """Give inputs that the protocols' vectors do not hold, by target."""
    for name, kind in KINDS.items():
        for each in drawn(kind):
            yield name, each
    for key, entry in TestCluster().state.items().items():
        raw = VERSIONS.of(VERSIONS.newest).encode(key, entry)
        yield "entries of the state", encode_page(((encode_key(key), raw),))
    dealer, holder = _CIRCLE.nodes[:2]
    yield "shares dealt", _CIRCLE.dealt[dealer][holder]
    yield "opened shares", _OPENED[_CIRCLE.nodes[0]]
    yield "update of a model", encoded(np.arange(-8, 8, dtype=np.int64) * 65_536)
    yield "frames", encode_probe(FrameKind.PING, 7) + encode_frame(FrameKind.DATA, b"abc")
    yield "bundle of inputs", encode_items((b"first", b"", b"third"))
    parts = LessonInput(
        header=bytes(48),
        model=Digest(bytes(32)),
        model_size_bytes=4,
        data=Digest(bytes(32)),
        data_size_bytes=5,
    )
    yield "lesson", encode(parts)
    yield "lesson", whole_input(parts, b"abcd", b"efghi")
    for row in drawn(JobMessage):
        yield "message of a task", row
    for row in drawn(CellReport):
        yield "cell's report", row
    for record in drawn(Record):
        yield "record", record
    yield "batch of telemetry", encode(signed())
    outcome = ItemOutcome(kind=OutcomeKind.COMPLETED, reason="", gas=7, output=b"out")
    yield "bundle of outcomes", b"\x02" + encode_outcomes((outcome, outcome))
    yield "state of an execution", encode_state(execution([0, 7, 0, 9]))
    step = (VECTORS / "step.proof").read_bytes()
    yield "statement of a step", read_proof(step, STEP_VERSION).statement
    yield "proof of a step", step
    yield "proof", (VECTORS / "execution.proof").read_bytes()
