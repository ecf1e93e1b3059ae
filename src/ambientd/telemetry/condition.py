"""A node's condition as seen from here, and its coarse form for the log (section 8)."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

from ambientd.model.base import NodeId
from ambientd.model.record import NodeReport
from ambientd.model.telemetry import Measure, Observation
from ambientd.telemetry.batch import decode_batch
from ambientd.telemetry.health import Health, HealthInputs
from ambientd.telemetry.safe_mode import Reason

HEALTH_STEP_PERCENT = 5
LOAD_STEP_PERCENT = 10
CARBON_STEP_G_PER_KWH = 50
CARBON_G_PER_KWH_MAX = 1000
LATENCY_BUCKETS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
CAPACITY_MAX = 1024
ENGINE_CODE_MAX = 255

_DECIDING = MappingProxyType(
    {
        measure.value: measure
        for measure in (
            Measure.SAFE_MODE,
            Measure.CAPACITY,
            Measure.EXECUTIONS,
            Measure.ENGINE,
            Measure.LATENCY,
            Measure.BANDWIDTH,
            Measure.LINK_SPEED,
            Measure.CPU_LOAD,
            Measure.MEMORY_AVAILABLE,
            Measure.CARBON,
        )
    }
)


@dataclass(frozen=True, slots=True)
class Readings:
    """What decides about a node, out of its last batch, in thousandths; None is not known."""

    values: dict[Measure, int]

    def of(self, measure: Measure) -> int | None:
        """Give one reading."""
        return self.values.get(measure)

    @property
    def load_permille(self) -> int | None:
        """Give the larger of processor load and occupied slots."""
        cpu, capacity = self.of(Measure.CPU_LOAD), self.of(Measure.CAPACITY)
        running = self.of(Measure.EXECUTIONS)
        known = [] if cpu is None else [cpu // 100]
        if capacity and running is not None:
            known.append(running * 1000 // capacity)
        return max(known, default=None)

    def health_inputs(self, latency_us: int | None, reputation: int | None) -> HealthInputs:
        """Give what the score is made from; a link's speed stands in for a missing transfer."""
        bandwidth, cpu = self.of(Measure.BANDWIDTH), self.of(Measure.CPU_LOAD)
        memory = self.of(Measure.MEMORY_AVAILABLE)
        return HealthInputs(
            bandwidth_kbit_per_s=self.of(Measure.LINK_SPEED) if bandwidth is None else bandwidth,
            latency_us=latency_us,
            cpu_load_permille=None if cpu is None else cpu // 100,
            memory_available_permille=None if memory is None else memory // 100,
            reputation_permille=reputation,
        )


def readings_of(observations: Iterable[Observation]) -> Readings:
    """Pick what decides out of a batch; a negative value is impossible and thus not known."""
    values: dict[Measure, int] = {}
    for observation in observations:
        value = observation.value
        if value is not None and value >= 0:
            measure = _DECIDING.get(observation.name)
            if measure is not None:
                values[measure] = value
    return Readings(values)


_TRIPPED = "tripped: "
_BETWEEN = ", "


def with_causes(
    observations: tuple[Observation, ...], reasons: tuple[Reason, ...]
) -> tuple[Observation, ...]:
    """Name the breakers that have tripped as the source of the safe mode flag."""
    if not reasons:
        return observations
    source = _TRIPPED + _BETWEEN.join(each.value for each in reasons)
    flag = Measure.SAFE_MODE.value
    return tuple(
        Observation(name=flag, value=each.value, source=source) if each.name == flag else each
        for each in observations
    )


def causes_of(observations: Iterable[Observation]) -> tuple[str, ...]:
    """Give the breakers that a node names; a later version may name one not known here."""
    for each in observations:
        if each.name == Measure.SAFE_MODE and each.source.startswith(_TRIPPED):
            said = each.source.removeprefix(_TRIPPED).split(_BETWEEN)
            return tuple(word for word in said if word.isalpha())
    return ()


@dataclass(frozen=True, slots=True)
class Condition:
    """One node as last heard of; None is not known."""

    node: NodeId
    epoch: int
    seq: int
    age_ms: int
    accepting: bool
    safe_mode: bool
    capacity: int
    engine: int
    load_permille: int | None
    latency_us: int | None
    link_us: int | None
    """As measured from here, one way."""
    carbon_g_per_kwh: int | None
    health: Health
    data: bytes

    @property
    def observations(self) -> tuple[Observation, ...]:
        """Give all that the node last said."""
        return decode_batch(self.data).observations


def _up(value: int, step: int, ceiling: int) -> int:
    return min(ceiling, -(-value // step) * step)


def buckets(condition: Condition) -> NodeReport:
    """Give the coarse form; the worst bucket means this much, more, or not known."""
    load, latency = condition.load_permille, condition.latency_us
    carbon = condition.carbon_g_per_kwh
    percent = condition.health.score_permille // 10
    worst = LATENCY_BUCKETS_MS[-1]
    fitting = (
        each for each in LATENCY_BUCKETS_MS if latency is not None and latency <= each * 1000
    )
    return NodeReport(
        node=condition.node,
        accepting=condition.accepting,
        safe_mode=condition.safe_mode,
        health_percent=percent - percent % HEALTH_STEP_PERCENT,
        load_percent=100 if load is None else _up(-(-load // 10), LOAD_STEP_PERCENT, 100),
        latency_ms=next(fitting, worst),
        carbon_g_per_kwh=CARBON_G_PER_KWH_MAX
        if carbon is None
        else _up(carbon, CARBON_STEP_G_PER_KWH, CARBON_G_PER_KWH_MAX),
        capacity=condition.capacity,
        engine=condition.engine,
    )
