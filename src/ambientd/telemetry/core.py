"""The telemetry core: tells this node's condition, and learns that of all others.

Implements protocols/07-telemetry.md. Each node has a last-writer-wins register ordered by
(epoch, seq), never by wall time. Host's duties: run effects in order, and have PersistEpoch on
disk before a later Publish leaves; a node that reuses an epoch would contradict itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

import msgspec

from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest, NodeId
from ambientd.model.execution import EngineCode
from ambientd.model.record import NodeReport
from ambientd.model.telemetry import Measure, Observation, TelemetryBatch
from ambientd.telemetry import messages
from ambientd.telemetry.batch import (
    BATCH_BYTES_MAX,
    FIRST_HASH,
    INTEGER_MAX,
    author_of,
    decode_batch,
    hash_of,
    sign_batch,
    stated_in,
    verify_batch,
)
from ambientd.telemetry.condition import (
    CAPACITY_MAX,
    ENGINE_CODE_MAX,
    Condition,
    Readings,
    buckets,
    readings_of,
    with_causes,
)
from ambientd.telemetry.health import health
from ambientd.telemetry.messages import Effect, Event
from ambientd.telemetry.round_trips import RoundTrips, Transfers
from ambientd.telemetry.safe_mode import Mode, Reason, SafeMode, SafeModeOptions

EVIDENCE_KIND = "telemetry"
OWN_SOURCE = "ambientd"
_NO_READINGS = (
    messages.Ticked,
    messages.BatchReceived,
    messages.CapacityChanged,
    messages.MembersChanged,
)


@dataclass(frozen=True, slots=True)
class TelemetryOptions:
    """Limits and beats; `published` names the observations that may leave the device."""

    interval_ms: int = 10_000
    stale_ms: int = 35_000
    check_ms: int = 1_000
    nodes_max: int = 10_000
    capacity: int = 1
    engine: EngineCode = EngineCode.UNKNOWN
    published: frozenset[str] = frozenset(measure.value for measure in Measure)
    safe_mode: SafeModeOptions = field(default_factory=SafeModeOptions)

    def validate(self) -> None:
        """Raise ValueError when the numbers make no sense together."""
        if self.interval_ms <= 0 or self.check_ms <= 0 or self.nodes_max <= 0:
            msg = "interval_ms, check_ms and nodes_max are above 0"
            raise ValueError(msg)
        if self.stale_ms <= self.interval_ms:
            msg = f"stale_ms ({self.stale_ms}) is above interval_ms ({self.interval_ms})"
            raise ValueError(msg)
        if not 0 <= self.capacity <= CAPACITY_MAX:
            msg = f"capacity is {self.capacity}, not 0..{CAPACITY_MAX}"
            raise ValueError(msg)


_Seen: TypeAlias = tuple[int | None, int | None, bool]
"""A round trip measured from here, a reputation, and whether the node is not silent."""


class _Register(msgspec.Struct):
    """The last batch of one node, encoded, with what decides picked out."""

    data: bytes
    epoch: int
    seq: int
    digest: Digest
    heard_ms: int
    readings: Readings
    reported: tuple[_Seen, NodeReport] | None
    """The last report made of these readings, and what else it was made of."""


class Telemetry:
    """One node's telemetry."""

    def __init__(self, signer: Signer, options: TelemetryOptions, last_epoch: int) -> None:
        """Begin the epoch after `last_epoch`, the last one persisted (0 when there is none)."""
        options.validate()
        self._signer = signer
        self._node = NodeId(signer.public_key)
        self._options = options
        self._epoch = last_epoch + 1
        self._epoch_persisted = False
        self._seq = 0
        self._last_hash = FIRST_HASH
        self._sampled: tuple[Observation, ...] | None = None
        self._running = 0
        self._capacity = options.capacity
        self._members: frozenset[NodeId] = frozenset()
        self._registers: dict[NodeId, _Register] = {}
        self._accused: set[NodeId] = set()
        self._round_trips = RoundTrips()
        self._transfers = Transfers()
        self._safe_mode = SafeMode(options.safe_mode)
        self._published_ms: int | None = None
        self._checked_ms: int | None = None
        self._has_news = False  # readings since the breakers were checked

    @property
    def mode(self) -> Mode:
        """Give this node's mode."""
        return self._safe_mode.mode

    @property
    def trip_reasons(self) -> tuple[Reason, ...]:
        """Give the breakers that hold this node in safe mode."""
        return self._safe_mode.reasons

    @property
    def is_hot(self) -> bool:
        """Tell whether this device is too hot to work, as far as its sensors say."""
        return Reason.HOT in self._safe_mode.reasons

    @property
    def last_hash(self) -> Digest:
        """Give the hash of this node's last batch, zeros before the first; for receipts."""
        return self._last_hash

    @property
    def next_deadline(self) -> int | None:
        """Give when to check the breakers or to publish; 0 is at once."""
        options, published_ms = self._options, self._published_ms
        if self._checked_ms is None:
            return 0
        publish_at = None
        if self._sampled is not None:
            publish_at = 0 if published_ms is None else published_ms + options.interval_ms
        if self._has_news or not self._safe_mode.is_steady:
            check_at = self._checked_ms + options.check_ms
            return check_at if publish_at is None else min(check_at, publish_at)
        return publish_at

    def handle(self, event: Event, *, now: int) -> list[Effect]:
        """Advance by one event."""
        self._has_news = self._has_news or not isinstance(event, _NO_READINGS)
        match event:
            case messages.Ticked():
                return self._beat(now)
            case messages.Sampled():
                self._sampled = event.observations
                return self._beat(now)
            case messages.BatchReceived():
                return self._on_batch(event, now)
            case messages.RoundTripMeasured():
                self._round_trips.add(event.peer, event.round_trip_us, now)
            case messages.TransferMeasured():
                self._transfers.add(event.kbit_per_s, now)
            case messages.SizeSeen():
                self._safe_mode.note_size(event.size_bytes)
            case messages.OperationEnded():
                self._safe_mode.note_outcome(now, succeeded=event.succeeded)
            case messages.ExecutionsChanged():
                self._running = event.running
            case messages.CapacityChanged():
                return self._on_capacity(event.capacity, now)
            case messages.MembersChanged():
                self._on_members(event.nodes)
            case _:
                assert_never(event)
        return []

    def _on_capacity(self, capacity: int | None, now: int) -> list[Effect]:
        """Tell a change of capacity at once, as it decides how much work comes."""
        before = self._capacity
        most = self._options.capacity
        self._capacity = most if capacity is None else min(most, capacity)
        if self._capacity == before or self._sampled is None:
            return []
        return self._publish(now)

    def _on_members(self, nodes: frozenset[NodeId]) -> None:
        self._members = nodes
        self._registers = {
            node: register for node, register in self._registers.items() if node in nodes
        }
        self._accused &= nodes

    # Telling

    def _beat(self, now: int) -> list[Effect]:
        """Check the breakers and publish, each when it is due."""
        effects: list[Effect] = []
        if self._checked_ms is None or now - self._checked_ms >= self._options.check_ms:
            self._checked_ms = now
            self._has_news = False
            effects += self._check(now)
        due = self._published_ms is None or now - self._published_ms >= self._options.interval_ms
        # A change of mode is told at once: assignments are on their way.
        if self._sampled is not None and (due or effects):
            effects += self._publish(now)
        return effects

    def _check(self, now: int) -> list[Effect]:
        before = self._safe_mode.mode
        hottest = self._sample(Measure.TEMPERATURE)
        latency_us = self._round_trips.latency_us_of_all(now)
        after = self._safe_mode.check(hottest, latency_us, self._running, now)
        if after is before:
            return []
        return [messages.SafeModeChanged(after, self._safe_mode.reasons)]

    def _sample(self, measure: Measure) -> int | None:
        for each in self._sampled or ():
            if each.name == measure:
                return each.value
        return None

    def _publish(self, now: int) -> list[Effect]:
        effects: list[Effect] = []
        if not self._epoch_persisted:
            effects.append(messages.PersistEpoch(self._epoch))
            self._epoch_persisted = True
        observations = self._observations(now)
        batch = sign_batch(self._signer, self._epoch, self._seq, observations, self._last_hash)
        data = encode(batch)
        own = _register(batch, data, stated_in(data), now)
        self._registers[self._node] = own
        self._last_hash = own.digest
        self._seq += 1
        self._published_ms = now
        return [*effects, messages.BatchAccepted(batch), messages.Publish(data)]

    def _observations(self, now: int) -> tuple[Observation, ...]:
        """Give what may leave of what is known; a node's own word wins over a probe's."""
        own = (
            0 if self._safe_mode.mode is Mode.NORMAL else 1000,
            self._capacity * 1000,
            self._running * 1000,
            self._options.engine * 1000,
            self._round_trips.latency_us_of_all(now),
            self._transfers.bandwidth_kbit_per_s(now),
        )
        observations = chosen(own, self._sampled or (), self._options.published)
        return with_causes(observations, self._safe_mode.reasons)

    # Learning

    def _on_batch(self, event: messages.BatchReceived, now: int) -> list[Effect]:
        """Take a batch, the cheapest checks first (section 4)."""
        sender, data = event.sender, event.data
        author = author_of(data)
        if len(data) > BATCH_BYTES_MAX or author is None:
            return [messages.Penalise(sender, "telemetry that is too large or malformed")]
        held = self._registers.get(author)
        if author not in self._members or (held is not None and held.data == data):
            return []
        try:
            batch = decode_batch(data)
        except RemoteProtocolError as error:
            return [messages.Penalise(sender, str(error))]
        if held is not None and (batch.epoch, batch.seq) < (held.epoch, held.seq):
            return []
        statement = stated_in(data)
        if not verify_batch(batch, self._signer.cluster, statement):
            return [messages.Penalise(sender, "telemetry with a wrong signature")]
        if author == self._node:
            return self._on_own_batch(batch)
        return self._learn(batch, _register(batch, data, statement, now), held, now)

    def _on_own_batch(self, batch: TelemetryBatch) -> list[Effect]:
        """Move past what others hold of this node, or they would ignore all it says."""
        if batch.epoch < self._epoch:
            return []
        if batch.epoch >= INTEGER_MAX:
            return [messages.IdentitySeenElsewhere(batch.epoch)]
        self._epoch = batch.epoch + 1
        self._epoch_persisted = False
        self._seq = 0
        self._last_hash = FIRST_HASH
        self._published_ms = None
        return [messages.IdentitySeenElsewhere(batch.epoch)]

    def _learn(
        self, batch: TelemetryBatch, fresh: _Register, held: _Register | None, now: int
    ) -> list[Effect]:
        """Let the last writer win; of two that contradict each other, the smaller hash."""
        effects: list[Effect] = []
        if held is not None:
            same = (batch.epoch, batch.seq) == (held.epoch, held.seq)
            follows = (batch.epoch, batch.seq) == (held.epoch, held.seq + 1)
            if (same and fresh.digest != held.digest) or (
                follows and batch.prev_hash != held.digest
            ):
                effects += self._accuse(batch.node, held.data, fresh.data)
            if same and fresh.digest >= held.digest:
                return effects
            if fresh.readings == held.readings:
                fresh.reported = held.reported
        elif len(self._registers) >= self._options.nodes_max and not self._evict(now):
            return []
        self._registers[batch.node] = fresh
        return [*effects, messages.BatchAccepted(batch)]

    def _accuse(self, culprit: NodeId, first: bytes, second: bytes) -> list[Effect]:
        if culprit in self._accused:
            return []
        self._accused.add(culprit)
        return [messages.ReportEvidence(culprit, EVIDENCE_KIND, first, second)]

    def _evict(self, now: int) -> bool:
        """Make room by forgetting the node that was silent for the longest time, if stale."""
        others = (node for node in self._registers if node != self._node)
        oldest = min(others, key=lambda node: (self._registers[node].heard_ms, node), default=None)
        if oldest is None or now - self._registers[oldest].heard_ms <= self._options.stale_ms:
            return False
        del self._registers[oldest]
        return True

    # Showing

    def view(
        self, now: int, reputations: Mapping[NodeId, int] | None = None
    ) -> dict[NodeId, Condition]:
        """Give every node's condition; `reputations` in thousandths, as the ledger knows them."""
        known = reputations or {}
        return {
            node: self._condition(node, now, known.get(node)) for node in sorted(self._registers)
        }

    def condition(self, node: NodeId, now: int) -> Condition | None:
        """Give one node's condition, reputation aside; None when nothing was heard of it."""
        return self._condition(node, now, None) if node in self._registers else None

    def reports(
        self, now: int, reputations: Mapping[NodeId, int] | None = None
    ) -> tuple[NodeReport, ...]:
        """Give every node's condition in coarse buckets, for a REGISTRY record."""
        known = reputations or {}
        return tuple(
            self._coarse(node, register, now, known.get(node))
            for node, register in sorted(self._registers.items())
        )

    def report(self, node: NodeId, now: int, reputation: int | None = None) -> NodeReport | None:
        """Give one node's condition in the same form; None when nothing was heard of it."""
        register = self._registers.get(node)
        return None if register is None else self._coarse(node, register, now, reputation)

    def _coarse(
        self, node: NodeId, register: _Register, now: int, reputation: int | None
    ) -> NodeReport:
        """Give the last report again while nothing has changed that it is made of."""
        is_heard = now - register.heard_ms <= self._options.stale_ms
        seen = (self._round_trips.latency_us(node, now), reputation, is_heard)
        if register.reported is None or register.reported[0] != seen:
            register.reported = seen, buckets(self._condition(node, now, reputation))
        return register.reported[1]

    def _condition(self, node: NodeId, now: int, reputation: int | None) -> Condition:
        register = self._registers[node]
        readings = register.readings
        age_ms = now - register.heard_ms
        # What was measured from here counts more than what the node says of itself.
        link_us = self._round_trips.latency_us(node, now)
        latency_us = readings.of(Measure.LATENCY) if link_us is None else link_us
        capacity = min(CAPACITY_MAX, (readings.of(Measure.CAPACITY) or 0) // 1000)
        safe_mode = bool(readings.of(Measure.SAFE_MODE))
        carbon = readings.of(Measure.CARBON)
        return Condition(
            node=node,
            epoch=register.epoch,
            seq=register.seq,
            age_ms=age_ms,
            accepting=capacity > 0 and not safe_mode and age_ms <= self._options.stale_ms,
            safe_mode=safe_mode,
            capacity=capacity,
            engine=min(ENGINE_CODE_MAX, (readings.of(Measure.ENGINE) or 0) // 1000),
            load_permille=readings.load_permille,
            latency_us=latency_us,
            link_us=link_us,
            carbon_g_per_kwh=None if carbon is None else carbon // 1000,
            health=health(readings.health_inputs(latency_us, reputation)),
            data=register.data,
        )


_OWN = (
    (Measure.SAFE_MODE, OWN_SOURCE),
    (Measure.CAPACITY, OWN_SOURCE),
    (Measure.EXECUTIONS, OWN_SOURCE),
    (Measure.ENGINE, OWN_SOURCE),
    (Measure.LATENCY, "round-trips"),
    (Measure.BANDWIDTH, "transfers"),
)
"""What a node knows of itself without a probe, and what measured it."""


def chosen(
    own: tuple[int | None, ...], sampled: tuple[Observation, ...], published: frozenset[str]
) -> tuple[Observation, ...]:
    """Give as observations what a node knows of itself, and its probes', as far as they leave."""
    first = (
        Observation(name=measure, value=value, source=source)
        for (measure, source), value in zip(_OWN, own, strict=True)
    )
    return tuple(each for each in (*first, *sampled) if each.name in published)


def _register(batch: TelemetryBatch, data: bytes, statement: bytes, now: int) -> _Register:
    return _Register(
        data=data,
        epoch=batch.epoch,
        seq=batch.seq,
        digest=hash_of(statement),
        heard_ms=now,
        readings=readings_of(batch.observations),
        reported=None,
    )
