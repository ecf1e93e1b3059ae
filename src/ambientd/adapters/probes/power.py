"""Energy and power: measured where something counts, from a labelled model where nothing does."""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import psutil

from ambientd.adapters.probes.battery import BatteryPower
from ambientd.model.telemetry import Measure, Observation
from ambientd.ports.clock import Clock
from ambientd.ports.probe import EnergyMeter, EnergyReading, EnergyUsed, energy_between
from ambientd.rules.energy import MODEL_SOURCE

HELD_MS = 1_000
"""Nothing finer leaves the meter: counters read more often tell what others compute (ADR 51)."""


class Counter(Protocol):
    """What tells the energy so far."""

    def read(self) -> EnergyReading:
        """Give the energy since the counter started."""
        ...


def processor_busy_ms() -> int:
    """Give the processor time that all programs have used since this device started."""
    times = psutil.cpu_times()
    kinds = ("user", "nice", "system", "irq", "softirq")
    return int(sum(getattr(times, kind, 0.0) for kind in kinds) * 1000)


class SteadyMeter:
    """Reads a counter at most once a second, and keeps the reading before that."""

    def __init__(self, counter: Counter, clock: Clock, busy_ms: Callable[[], int]) -> None:
        self._lock = threading.Lock()
        self._counter = counter
        self._clock = clock
        self._busy_ms = busy_ms
        self._latest = self._look()
        self._before = self._latest

    def read(self) -> EnergyReading:
        """Give the energy so far, as of this second."""
        with self._lock:
            if self._clock.monotonic_ms() - self._latest.at_ms >= HELD_MS:
                self._before, self._latest = self._latest, self._look()
            return self._latest

    def since(self, mark: EnergyReading) -> EnergyUsed:
        """Give what was used since a reading, or over the second before it."""
        latest = self.read()
        with self._lock:
            used = energy_between(self._before if mark is latest else mark, latest)
        return used if used.elapsed_ms > 0 else EnergyUsed(None, "unknown")

    def _look(self) -> EnergyReading:
        now = self._counter.read()
        return EnergyReading(now.energy_uj, now.source, self._clock.monotonic_ms(), self._busy_ms())


class ModelCounter:
    """What the device would have used by its idle power, its busy power and its load."""

    def __init__(
        self, idle_mw: int, busy_mw: int, cores: int, clock: Clock, busy_ms: Callable[[], int]
    ) -> None:
        self._idle_mw = idle_mw
        self._per_core_mw = max(0, busy_mw - idle_mw) // max(1, cores)
        self._clock = clock
        self._busy_ms = busy_ms
        self._start = (clock.monotonic_ms(), busy_ms())
        self._source = f"{MODEL_SOURCE}{idle_mw / 1000:g}-{busy_mw / 1000:g}W"

    def read(self) -> EnergyReading:
        """Give the modelled energy; milliwatts for a millisecond are microjoules."""
        elapsed_ms = self._clock.monotonic_ms() - self._start[0]
        busy_ms = max(0, self._busy_ms() - self._start[1])
        energy_uj = self._idle_mw * elapsed_ms + self._per_core_mw * busy_ms
        return EnergyReading(energy_uj, self._source)


class PowerProbe:
    """The mean power between two reads; a battery that is drained comes before a model."""

    def __init__(self, meter: EnergyMeter, battery: BatteryPower) -> None:
        self._meter = meter
        self._battery = battery
        self._last = meter.read()

    def read(self) -> Sequence[Observation]:
        """Give the power since the last read."""
        used, now = self._meter.since(self._last), self._meter.read()
        self._last = now
        value, source = None, "none" if now.energy_uj is None else now.source
        if used.energy_uj is not None:
            # Microjoules a millisecond are milliwatts.
            value = used.energy_uj // used.elapsed_ms
        if value is None or source.startswith(MODEL_SOURCE):
            drained = self._battery.read()
            if drained is not None:
                value, source = drained
        return [Observation(name=Measure.POWER, value=value, source=source)]
