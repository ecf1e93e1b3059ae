"""Processor, memory, disk, network and battery, through psutil."""

from collections.abc import Sequence
from pathlib import Path

import psutil

from ambientd.model.telemetry import Measure, Observation
from ambientd.ports.clock import Clock

MIB = 1024 * 1024
LOOPBACK = frozenset({"lo", "lo0"})


class PsutilProbe:
    """What psutil knows; rates are means since the read before, and unknown at the first."""

    def __init__(self, disk_path: Path, clock: Clock) -> None:
        self._disk_path = disk_path
        self._clock = clock
        self._last_ms: int | None = None
        self._last_bytes: tuple[int, int] | None = None

    def read(self) -> Sequence[Observation]:
        """Measure now."""
        now_ms = self._clock.monotonic_ms()
        elapsed_ms = None if self._last_ms is None else now_ms - self._last_ms
        self._last_ms = now_ms
        return [
            _processor(known=elapsed_ms is not None),
            *_memory(),
            self._disk(),
            *self._network(elapsed_ms),
            _link(),
            _battery(),
        ]

    def _disk(self) -> Observation:
        try:
            value = psutil.disk_usage(str(self._disk_path)).free * 1000 // MIB
        except OSError:
            value = None
        return Observation(name=Measure.DISK_FREE, value=value, source="psutil:disk")

    def _network(self, elapsed_ms: int | None) -> list[Observation]:
        try:
            cards = psutil.net_io_counters(pernic=True, nowrap=True)
        except OSError:
            cards = {}
        outside = [card for name, card in sorted(cards.items()) if name not in LOOPBACK]
        now = (sum(card.bytes_recv for card in outside), sum(card.bytes_sent for card in outside))
        before, self._last_bytes = self._last_bytes, now if outside else None
        names = (Measure.NETWORK_RECEIVED, Measure.NETWORK_SENT)
        rates: list[int | None] = [None, None]
        if before is not None and self._last_bytes is not None and elapsed_ms:
            # Bits a millisecond are kbit a second; a card that went away takes its count along.
            rates = [
                max(0, late - early) * 8 * 1000 // elapsed_ms
                for early, late in zip(before, now, strict=True)
            ]
        return [
            Observation(name=name, value=rate, source="psutil:net")
            for name, rate in zip(names, rates, strict=True)
        ]


def _processor(*, known: bool) -> Observation:
    # psutil compares with its last call: the first of all has nothing to compare with.
    percent = psutil.cpu_percent(interval=None)
    value = round(percent * 1000) if known else None
    return Observation(name=Measure.CPU_LOAD, value=value, source="psutil:cpu")


def _memory() -> list[Observation]:
    memory = psutil.virtual_memory()
    share = memory.available * 100_000 // memory.total if memory.total else None
    free = memory.available * 1000 // MIB
    return [
        Observation(name=Measure.MEMORY_AVAILABLE, value=share, source="psutil:memory"),
        Observation(name=Measure.MEMORY_FREE, value=free, source="psutil:memory"),
    ]


def _link() -> Observation:
    """Give the fastest card that is up; a speed of 0 means that the driver does not know."""
    try:
        cards = psutil.net_if_stats()
    except OSError:
        cards = {}
    speeds = [
        card.speed
        for name, card in cards.items()
        if name not in LOOPBACK and card.isup and card.speed > 0
    ]
    value = max(speeds) * 1000 if speeds else None
    return Observation(name=Measure.LINK_SPEED, value=value, source="psutil:link")


def _battery() -> Observation:
    # Systems without power supplies have no such function or fail in it.
    read = getattr(psutil, "sensors_battery", None)
    try:
        battery = read() if read is not None else None
    except (OSError, ValueError):
        battery = None
    percent = -1 if battery is None else battery.percent
    value = round(percent * 1000) if 0 <= percent <= 100 else None
    return Observation(name=Measure.BATTERY, value=value, source="psutil:battery")
