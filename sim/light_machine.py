"""A light node in the world: telemetry and its cell, without log and ledger, in a few kilobytes.

The host does what a runtime does: it reads the probes, knows whom its transport reaches, and
carries bytes.
"""

import random
from collections.abc import Callable, Sequence

from ambientd.codec.signing import Signer
from ambientd.model.base import NodeId
from ambientd.model.telemetry import Measure, Observation
from ambientd.telemetry import messages
from ambientd.telemetry.cells import CellMember, Roster, SendBatch, SendReport
from ambientd.telemetry.core import Telemetry, TelemetryOptions
from sim.machine import Delivery, Effect

BATCH, REPORT = b"B", b"C"
SAMPLE_MS = 10_000
CHANGES_EVERY = 4  # samples between two loads

LOADS = tuple(
    (
        Observation(name=Measure.CPU_LOAD, value=load * 1000, source="sim"),
        Observation(name=Measure.MEMORY_AVAILABLE, value=60_000, source="sim"),
    )
    for load in range(0, 101, 10)
)


class LightHost:
    """Hosts the telemetry of one node of a large cluster."""

    __slots__ = (
        "_cell",
        "_committee",
        "_dice",
        "_epoch",
        "_load",
        "_options",
        "_reaches",
        "_roster",
        "_sample_at",
        "_signer",
        "_telemetry",
        "is_honest",
        "key",
    )

    def __init__(
        self,
        signer: Signer,
        roster: Roster,
        committee: tuple[bytes, ...],
        options: TelemetryOptions,
        reaches: Callable[[bytes], bool],
        dice: random.Random,
    ) -> None:
        self.key = signer.public_key
        self.is_honest = True
        self._signer = signer
        self._roster = roster
        self._committee = committee
        self._options = options
        self._reaches = reaches
        self._dice = dice
        self._epoch = 0
        self._sample_at = 0
        self._load = LOADS[0]
        self._telemetry: Telemetry | None = None
        self._cell: CellMember | None = None

    @property
    def next_deadline(self) -> int | None:
        """Give when the node or its host wants the next tick."""
        if self._telemetry is None or self._cell is None:
            return None
        due = min(self._sample_at, self._cell.next_deadline)
        checks = self._telemetry.next_deadline
        return due if checks is None else min(due, checks)

    def boot(self, now: int) -> Sequence[Effect]:
        """Build the node from what it kept and start it."""
        self._telemetry = Telemetry(self._signer, self._options, self._epoch)
        self._cell = CellMember(self._signer, self._roster)
        self._telemetry.handle(messages.MembersChanged(self._cell.members), now=now)
        self._sample_at = now + self._dice.randrange(SAMPLE_MS)
        return []

    def crash(self) -> None:
        """Lose everything but the count of starts."""
        self._telemetry = self._cell = None

    def receive(self, sender: bytes, data: bytes, now: int) -> Sequence[Effect] | None:
        """Take in a batch of a member of this cell."""
        assert self._telemetry is not None, "the node is up"
        if data[:1] != BATCH:
            return None
        effects = self._telemetry.handle(messages.BatchReceived(NodeId(sender), data[1:]), now=now)
        is_heard = len(effects) == 1 and isinstance(effects[0], messages.BatchAccepted)
        return None if is_heard else self._carry(effects, now)

    def tick(self, now: int) -> Sequence[Effect]:
        """Let time pass: read the probes, check the breakers, report as head."""
        telemetry, cell = self._telemetry, self._cell
        assert telemetry is not None, "the node is up"
        assert cell is not None, "the node is up"
        event: messages.Event = messages.Ticked()
        if now >= self._sample_at:
            self._sample_at = now + SAMPLE_MS
            if self._dice.randrange(CHANGES_EVERY) == 0:
                self._load = LOADS[self._dice.randrange(len(LOADS))]
            event = messages.Sampled(self._load)
        for node in cell.candidates(now):
            if node == self.key or self._reaches(node):
                cell.found(node)
                break  # whom else it reaches makes no difference now
            cell.lost(node)
        deliveries = self._carry(telemetry.handle(event, now=now), now)
        if cell.is_due(now):
            report = cell.on_reports(telemetry.reports(now), now)
            if isinstance(report, SendReport):
                deliveries += [Delivery(to, REPORT + report.data) for to in self._committee]
        return deliveries

    def _carry(self, effects: Sequence[messages.Effect], now: int) -> list[Effect]:
        assert self._cell is not None, "the node is up"
        deliveries: list[Effect] = []
        for effect in effects:
            match effect:
                case messages.PersistEpoch(epoch=epoch):
                    self._epoch = epoch
                case messages.Publish(data=data):
                    sent = self._cell.on_published(data, now)
                    if isinstance(sent, SendBatch):
                        deliveries.append(Delivery(sent.to, BATCH + sent.data))
                case _:
                    pass
        return deliveries

    def execute(self, effect: Effect) -> Delivery | None:
        """Give what must be sent; nothing else is to be done."""
        assert isinstance(effect, Delivery), "a light node only sends"
        return effect

    def settle(self, now: int) -> Sequence[Effect]:
        """Say nothing more."""
        del now
        return []
