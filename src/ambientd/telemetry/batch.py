"""Telemetry batches on the wire: form, sign, decode, verify, compare (protocols/07 section 2)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter, ge

from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import tagged
from ambientd.codec.signing import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Signer, verify
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import DIGEST_BYTES, Digest, NodeId
from ambientd.model.telemetry import Measure, Observation, TelemetryBatch

BATCH_BYTES_MAX = 1024
OBSERVATIONS_MAX = 32
INTEGER_MAX = 2**53 - 1
FIRST_HASH = Digest(bytes(DIGEST_BYTES))

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}\Z")
_SOURCE = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?\Z")
_PRIORITY = {measure.value: rank for rank, measure in enumerate(Measure)}
# An array of six fields, then 32 bytes: what every batch in canonical form begins with.
_HEAD = b"\x96\xc4\x20"
# The same fields without the signature, which is the last one and has two bytes before it.
_FIVE_FIELDS = b"\x95"
_SIGNATURE_FIELD_BYTES = 2 + SIGNATURE_BYTES
# The header of an observation array grows by two bytes beyond 15 entries.
_ARRAY_HEADER_GROWTH = 2


def stated(batch: TelemetryBatch) -> bytes:
    """Give the bytes that are signed and hashed: all but the signature."""
    fields = (batch.node, batch.epoch, batch.seq, batch.observations, batch.prev_hash)
    return encode(fields)


def stated_in(data: bytes) -> bytes:
    """Give the same of a batch that is encoded and was found to be sound; encodes nothing anew."""
    return _FIVE_FIELDS + data[1:-_SIGNATURE_FIELD_BYTES]


def hash_of(statement: bytes) -> Digest:
    """Name a batch by what it states; its signature is no part of that."""
    return Digest(tagged("ambient/telemetry-batch/1", statement))


def batch_hash(batch: TelemetryBatch) -> Digest:
    """Name a batch."""
    return hash_of(stated(batch))


def is_sound(observation: Observation) -> bool:
    """Tell whether an observation may travel."""
    value = observation.value
    is_in_range = value is None or -INTEGER_MAX <= value <= INTEGER_MAX
    return is_in_range and _is_named(observation.name, observation.source)


@lru_cache(maxsize=1024)
def _is_named(name: str, source: str) -> bool:
    return _NAME.match(name) is not None and _SOURCE.match(source) is not None


def author_of(data: bytes) -> NodeId | None:
    """Give whom an encoded batch claims to be from, before anything else is looked at."""
    end = len(_HEAD) + PUBLIC_KEY_BYTES
    if data[: len(_HEAD)] != _HEAD or len(data) < end:
        return None
    return NodeId(data[len(_HEAD) : end])


def decode_batch(data: bytes) -> TelemetryBatch:
    """Read and validate a batch, all but its signature; raise RemoteProtocolError."""
    batch: TelemetryBatch = decode(data, TelemetryBatch, BATCH_BYTES_MAX)
    if (
        len(batch.node) != PUBLIC_KEY_BYTES
        or len(batch.prev_hash) != DIGEST_BYTES
        or len(batch.signature) != SIGNATURE_BYTES
    ):
        msg = "telemetry has a key, hash or signature of a wrong length"
    elif not (0 <= batch.epoch <= INTEGER_MAX and 0 <= batch.seq <= INTEGER_MAX):
        msg = "telemetry has an epoch or sequence number out of range"
    elif batch.seq == 0 and batch.prev_hash != FIRST_HASH:
        msg = "the first telemetry of an epoch names a batch before it"
    else:
        fault = observations_fault(batch.observations)
        if fault is None:
            return batch
        msg = fault
    raise RemoteProtocolError(msg)


def observations_fault(observations: tuple[Observation, ...]) -> str | None:
    """Give what is wrong with a batch's observations, None for nothing."""
    names = [observation.name for observation in observations]
    if len(names) > OBSERVATIONS_MAX:
        return f"telemetry has {len(names)} observations, at most {OBSERVATIONS_MAX} are allowed"
    if any(map(ge, names, names[1:])):
        return "telemetry has observations out of order"
    if not all(map(is_sound, observations)):
        return "telemetry has an observation with a wrong name, source or value"
    return None


def verify_batch(batch: TelemetryBatch, cluster: bytes, statement: bytes | None = None) -> bool:
    """Tell whether the named node signed the batch; `statement` spares encoding it anew."""
    said = stated(batch) if statement is None else statement
    return verify(batch.node, "telemetry", cluster, said, batch.signature)


def sign_batch(
    signer: Signer,
    epoch: int,
    seq: int,
    observations: Iterable[Observation],
    prev_hash: Digest,
) -> TelemetryBatch:
    """Sign what fits of the sound observations, the most needed first, within 1 KiB."""
    node, kept = NodeId(signer.public_key), in_order(tuple(observations))
    statement = encode((node, epoch, seq, kept, prev_hash))
    if len(kept) > OBSERVATIONS_MAX or len(statement) + _SIGNATURE_FIELD_BYTES > BATCH_BYTES_MAX:
        empty = encode((node, epoch, seq, (), prev_hash, bytes(SIGNATURE_BYTES)))
        kept = _most_needed(kept, BATCH_BYTES_MAX - len(empty) - _ARRAY_HEADER_GROWTH)
        statement = encode((node, epoch, seq, kept, prev_hash))
    return TelemetryBatch(
        node=node,
        epoch=epoch,
        seq=seq,
        observations=kept,
        prev_hash=prev_hash,
        signature=signer.sign("telemetry", statement),
    )


def in_order(observations: tuple[Observation, ...]) -> tuple[Observation, ...]:
    """Give the sound ones sorted by name, the first of each name."""
    first = {each.name: each for each in reversed(observations) if is_sound(each)}
    return tuple(first[name] for name in sorted(first))


def _most_needed(found: Iterable[Observation], room: int) -> tuple[Observation, ...]:
    """Choose what travels when not all has room; sorted by name."""
    kept: list[Observation] = []
    for observation in sorted(found, key=_need):
        size_bytes = len(encode(observation))
        if size_bytes <= room and len(kept) < OBSERVATIONS_MAX:
            kept.append(observation)
            room -= size_bytes
    return tuple(sorted(kept, key=attrgetter("name")))


def _need(observation: Observation) -> tuple[int, str]:
    return _PRIORITY.get(observation.name, len(_PRIORITY)), observation.name


def contradict(first: TelemetryBatch, second: TelemetryBatch) -> bool:
    """Tell whether one honest node cannot have signed both (section 5); signatures aside."""
    if first.node != second.node or first.epoch != second.epoch:
        return False
    if first.seq > second.seq:
        first, second = second, first
    if first.seq == second.seq:
        return batch_hash(first) != batch_hash(second)
    return first.seq + 1 == second.seq and second.prev_hash != batch_hash(first)


def is_evidence(first: bytes, second: bytes, cluster: bytes) -> bool:
    """Tell whether two encoded batches prove that their author contradicted itself."""
    try:
        batches = decode_batch(first), decode_batch(second)
    except RemoteProtocolError:
        return False
    return contradict(*batches) and all(verify_batch(batch, cluster) for batch in batches)
