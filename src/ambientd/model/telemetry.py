"""What a node says of its own condition, signed, each few seconds (protocols/07-telemetry.md)."""

from enum import StrEnum

from ambientd.model.base import Digest, NodeId, Value


class Measure(StrEnum):
    """The observations this program knows; the most needed first, as room is short."""

    SAFE_MODE = "safe_mode_flag"
    CAPACITY = "capacity_slots"
    EXECUTIONS = "executions_count"
    ENGINE = "engine_code"
    LATENCY = "latency_ms"
    BANDWIDTH = "bandwidth_mbit_per_s"
    CPU_LOAD = "cpu_load_percent"
    MEMORY_AVAILABLE = "memory_available_percent"
    CARBON = "carbon_g_per_kwh"
    TEMPERATURE = "temperature_celsius"
    POWER = "power_watt"
    BATTERY = "battery_percent"
    GPU_COUNT = "gpu_count"
    GPU_LOAD = "gpu_load_percent"
    GPU_MEMORY_FREE = "gpu_memory_free_mib"
    NPU_COUNT = "npu_count"
    LINK_SPEED = "link_speed_mbit_per_s"
    MEMORY_FREE = "memory_available_mib"
    DISK_FREE = "disk_free_mib"
    GPU_TEMPERATURE = "gpu_temperature_celsius"
    GPU_POWER = "gpu_power_watt"
    DISK_ERRORS = "disk_errors_count"
    DISK_WEAR = "disk_wear_percent"
    NETWORK_RECEIVED = "network_received_kbit_per_s"
    NETWORK_SENT = "network_sent_kbit_per_s"


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
