"""Small makers for telemetry tests."""

from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.model.base import Digest, NodeId
from ambientd.model.telemetry import Observation, TelemetryBatch
from ambientd.telemetry.batch import FIRST_HASH, batch_hash, sign_batch
from ambientd.telemetry.core import Telemetry, TelemetryOptions
from ambientd.telemetry.messages import MembersChanged

CLUSTER = b"c" * 32
SIGNERS = [Signer(bytes([number]) * 32, CLUSTER) for number in range(1, 6)]
NODES = [NodeId(signer.public_key) for signer in SIGNERS]
ME, PEER, OTHER, FOURTH, STRANGER = NODES
RELAY = NodeId(b"r" * 32)


def observation(
    name: str = "cpu_load_percent", value: int | None = 1, source: str = "s"
) -> Observation:
    return Observation(name=name, value=value, source=source)


def signed(
    author: int = 1,
    epoch: int = 1,
    seq: int = 0,
    value: int | None = 1,
    prev_hash: Digest | None = None,
    **others: int | None,
) -> TelemetryBatch:
    """Give a batch of node `author` with a few observations."""
    observations = [observation(value=value)]
    observations += [observation(name, each) for name, each in others.items()]
    if prev_hash is None:
        prev_hash = FIRST_HASH if seq == 0 else Digest(b"p" * 32)
    return sign_batch(SIGNERS[author], epoch, seq, observations, prev_hash)


def chain(length: int, author: int = 1, epoch: int = 1) -> list[TelemetryBatch]:
    """Give the batches that an honest node signs in a row."""
    batches: list[TelemetryBatch] = []
    for seq in range(length):
        prev_hash = batch_hash(batches[-1]) if batches else FIRST_HASH
        batches.append(signed(author, epoch, seq, value=seq, prev_hash=prev_hash))
    return batches


def data(batch: TelemetryBatch) -> bytes:
    return encode(batch)


def fresh(options: TelemetryOptions | None = None, last_epoch: int = 0) -> Telemetry:
    """Give a core that knows all nodes but the stranger."""
    core = Telemetry(SIGNERS[0], options or TelemetryOptions(), last_epoch)
    assert core.handle(MembersChanged(frozenset(NODES[:4])), now=0) == []
    return core
