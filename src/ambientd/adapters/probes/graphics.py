"""Graphics processors, by what the kernel's drivers show and by NVIDIA's own library."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ambientd.adapters.probes.sysfs import entries, read_text, read_within
from ambientd.adapters.probes.thermal import PLAUSIBLE_MILLI_CELSIUS
from ambientd.model.telemetry import Measure, Observation
from ambientd.ports.clock import Clock

MIB = 1024 * 1024
# Others are the small picture makers of servers and virtual machines, which compute nothing.
VENDORS = {"0x1002": "amdgpu", "0x8086": "i915", "0x10de": "nvidia"}
_BYTES_MAX = 2**50
_MILLIWATT_MAX = 5_000_000
_COUNTER_MAX = 10**18


@dataclass(frozen=True, slots=True)
class Graphics:
    """One graphics processor now; None is not known."""

    source: str
    load_percent: int | None = None
    memory_free_bytes: int | None = None
    milli_celsius: int | None = None
    power_mw: int | None = None


class Library(Protocol):
    """What a maker's own library tells; None when there is none here."""

    def read(self) -> Sequence[Graphics] | None:
        """Look at all of them."""
        ...


class GraphicsProbe:
    """Gives how many there are, and of those what they do; silent about them where none is."""

    def __init__(self, library: Library, clock: Clock, root: Path) -> None:
        self._library = library
        self._clock = clock
        self._root = root
        self._energy: dict[str, tuple[int, int]] = {}

    def read(self) -> Sequence[Observation]:
        """Measure now."""
        by_library = self._library.read()
        found = [*(by_library or ()), *self._cards(None if by_library is None else "nvidia")]
        sources = "+".join(dict.fromkeys(each.source for each in found)) or "drm"
        count = Observation(name=Measure.GPU_COUNT, value=len(found) * 1000, source=sources[:64])
        if not found:
            return [count]
        loads = _known(each.load_percent for each in found)
        frees = _known(each.memory_free_bytes for each in found)
        heats = _known(each.milli_celsius for each in found)
        powers = _known(each.power_mw for each in found)
        values = (
            (Measure.GPU_LOAD, sum(loads) * 1000 // len(loads) if loads else None),
            (Measure.GPU_MEMORY_FREE, max(frees) * 1000 // MIB if frees else None),
            (Measure.GPU_TEMPERATURE, max(heats, default=None)),
            # The sum of some would pass for the power of all.
            (Measure.GPU_POWER, sum(powers) if len(powers) == len(found) else None),
        )
        told = [Observation(name=name, value=value, source=sources[:64]) for name, value in values]
        return [count, *told]

    def _cards(self, told: str | None) -> list[Graphics]:
        found = []
        for card in entries(self._root, r"card\d+"):
            driver = VENDORS.get(read_text(card / "device" / "vendor") or "")
            if driver is not None and driver != told:
                found.append(self._card(card, driver))
        return found

    def _card(self, card: Path, driver: str) -> Graphics:
        device = card / "device"
        total = read_within(device / "mem_info_vram_total", 1, _BYTES_MAX)
        used = read_within(device / "mem_info_vram_used", 0, total or 0)
        celsius, power_mw = None, None
        for chip in entries(device / "hwmon", r"hwmon\d+"):
            heat = read_within(chip / "temp1_input", *_ends(PLAUSIBLE_MILLI_CELSIUS))
            celsius = heat if celsius is None else celsius
            if power_mw is None:
                power_mw = self._power_mw(chip, card.name)
        return Graphics(
            source=f"drm:{driver}",
            load_percent=read_within(device / "gpu_busy_percent", 0, 100),
            memory_free_bytes=None if total is None or used is None else total - used,
            milli_celsius=celsius,
            power_mw=power_mw,
        )

    def _power_mw(self, chip: Path, card: str) -> int | None:
        for name in ("power1_average", "power1_input"):
            microwatt = read_within(chip / name, 0, _MILLIWATT_MAX * 1000)
            if microwatt is not None:
                return microwatt // 1000
        energy_uj = read_within(chip / "energy1_input", 0, _COUNTER_MAX)
        if energy_uj is None:
            self._energy.pop(card, None)
            return None
        now_ms = self._clock.monotonic_ms()
        before = self._energy.get(card)
        self._energy[card] = (energy_uj, now_ms)
        if before is None or now_ms <= before[1] or energy_uj < before[0]:
            return None
        mean_mw = (energy_uj - before[0]) // (now_ms - before[1])
        return mean_mw if mean_mw <= _MILLIWATT_MAX else None


def _known(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def _ends(values: range) -> tuple[int, int]:
    return values[0], values[-1]
