"""What a node says of its own condition, signed, each few seconds (protocols/07-telemetry.md)."""

from ambientd.model.base import Digest, NodeId, Value


class Observation(Value, frozen=True):
    """One value in thousandths of the unit that ends its name; None is not known.

    `temperature_celsius` 63500 is 63.5 °C. `source` names what measured it.
    """

    name: str
    value: int | None
    source: str


class TelemetryBatch(Value, frozen=True):
    """A node's whole condition; the one with the highest (epoch, seq) replaces all before it.

    `epoch` counts the node's starts, `seq` its batches since; `prev_hash` is the hash of the
    batch before, or zeros for the first. Signed (domain `telemetry`) over all before `signature`.
    """

    node: NodeId
    epoch: int
    seq: int
    observations: tuple[Observation, ...]
    prev_hash: Digest
    signature: bytes
